"""One migration that is to be recorded, and the row itself."""


def one_migration(connection):
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.recorder import MigrationRecorder

    key = (arguments["app"], arguments["name"])
    if connection.vendor != "mysql":
        return stop(
            "the database %s is %s, and this step knows MySQL and MariaDB alone" % (connection.alias, connection.settings_dict["ENGINE"]),
            "give the step the same `env` or `env_file` as the running service has",
        )
    seen = server(connection)
    facts, digests, _ = actual(connection)
    executor = MigrationExecutor(connection)
    loader = executor.loader
    seen["applied"] = sorted("%s.%s" % k for k in MigrationRecorder(connection).applied_migrations())
    if key not in loader.disk_migrations:
        known = sorted(name for app, name in loader.disk_migrations if app == key[0])
        return stop(
            "the code has no migration %s.%s" % key,
            "name it in full; %s has: %s" % (key[0], ", ".join(known[-12:]) or "none"),
        )
    migration = loader.disk_migrations[key]
    if migration.replaces:
        return stop("%s.%s stands for other migrations" % key, "record those one by one; Django records it by itself then")
    refused = refused_history(loader, connection)
    if refused:
        return refused
    answer_of = {"server": seen, "operations": [], "facts": facts}
    if "%s.%s" % key in seen["applied"]:
        return answer_of
    steps = executor.migration_plan([key])
    if any(backwards for _, backwards in steps):
        return stop(
            "Django's plan for %s.%s goes backwards: it would delete rows" % key,
            "a migration that is behind the applied ones is not recorded by this step",
        )
    others = ["%s.%s" % (m.app_label, m.name) for m, _ in steps if (m.app_label, m.name) != key]
    if others or len(steps) != 1:
        return stop(
            "before %s.%s these are open: %s; recording it would leave them out or record them too" % (key + (", ".join(others),)),
            "apply or record them first, one by one",
        )
    state = executor._create_project_state(with_applied_migrations=True)
    # What it makes may be there.
    answer_of["operations"], _ = operations_of(migration, state, connection)
    return answer_of


def changed_row(connection):
    """Writes or deletes the one row, in a transaction that must change exactly one."""
    from django.db import transaction
    from django.db.migrations.recorder import MigrationRecorder

    key = (arguments["app"], arguments["name"])
    recorder = MigrationRecorder(connection)
    with transaction.atomic(using=connection.alias):
        rows = recorder.migration_qs.filter(app=key[0], name=key[1])
        if arguments["change"] == "insert":
            if not rows.exists():
                recorder.record_applied(*key)
        elif rows.count() > 1:
            return stop("django_migrations has %d rows of %s.%s" % ((rows.count(),) + key), "look at them")
        else:
            recorder.record_unapplied(*key)


def fake():
    from django.db import connections

    connection = connections[arguments["database"]]
    if arguments.get("change"):
        refused = changed_row(connection)
        if refused:
            return refused
    return one_migration(connection)


more = {"fake": fake}

"""The plan of migrations, and how schema, rows and connections stand: one question, one answer. It changes nothing."""


def stop(what, remedy):
    return {"stop": {"what": what, "remedy": remedy}}


def written_aliases(models):
    """The aliases that models are written to by the routers, the default first; with each its models."""
    from django.db import DEFAULT_DB_ALIAS, router

    found = {}
    for model in models:
        meta = model._meta
        if meta.proxy or meta.swapped or not meta.managed:
            continue
        found.setdefault(router.db_for_write(model) or DEFAULT_DB_ALIAS, []).append(meta.label)
    if not router.routers or not found:
        # Its migrations count, whatever models there are.
        found.setdefault(DEFAULT_DB_ALIAS, [])
    return {alias: found[alias] for alias in sorted(found, key=lambda a: (a != DEFAULT_DB_ALIAS, a))}


def destroys(operation):
    from django.db import migrations

    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return any(destroys(inner) for inner in operation.database_operations)
    return isinstance(operation, (migrations.DeleteModel, migrations.RemoveField))


def operations_of(migration, state, connection):
    """What each operation does to the schema, and the state after the last one."""
    from django.db import migrations

    label, found = migration.app_label, []
    for operation in migration.operations:
        before = wanted(models_of(state.apps, label), connection)
        after = state.clone()
        operation.state_forwards(label, after)
        of_database = after
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            of_database = state.clone()
            for inner in operation.database_operations:
                inner.state_forwards(label, of_database)
        data = is_data(operation)
        changed = changes(before, wanted(models_of(of_database.apps, label), connection))
        made = [key for key in changed if key not in before and key.startswith(("table ", "column "))]
        found.append(
            {
                "makes": [] if data else made,
                "what": "%s: %s" % (type(operation).__name__, operation.describe()),
                "data": data,
                "reversible": bool(operation.reversible),
                "destroys": destroys(operation),
                "changes": changed,
            }
        )
        state = after
    return found, state


def leaf_files(loader, conflicts):
    """The files of migrations that the version control does not know, of the applications with several leaves."""
    import subprocess

    extra = []
    for label in conflicts:
        module = sys.modules.get(loader.migrations_module(label)[0])
        for place in list(getattr(module, "__path__", [])):
            try:
                told = subprocess.run(
                    ["git", "-C", place, "ls-files", "--others", "--", "."],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20,
                )
            except Exception:
                continue
            if told.returncode == 0:
                names = told.stdout.decode("utf-8", "replace").split("\n")
                extra += [os.path.join(place, n) for n in names if n.endswith(".py")]
    return extra


def refused_history(loader, connection):
    """What Django refuses to plan with, told as what it is."""
    from django.db.migrations.exceptions import InconsistentMigrationHistory

    try:
        loader.check_consistent_history(connection)
    except InconsistentMigrationHistory as error:
        return stop(
            "the database and this release disagree about the order of migrations (InconsistentMigrationHistory): %s; nothing was "
            "changed" % error,
            "the two releases are not on one line of upgrades, such as a migration that was backported with other dependencies: see the "
            "release notes for the version to upgrade to first, and keep the rows of django_migrations as they are",
        )
    conflicts = loader.detect_conflicts()
    if conflicts:
        told = "; ".join("%s: %s" % (label, ", ".join(sorted(names))) for label, names in sorted(conflicts.items()))
        extra = leaf_files(loader, conflicts)
        if extra:
            told += "; not part of the release (unknown to git): " + ", ".join(sorted(extra))
        return stop(
            "the code has several last migrations of one application (two leaf nodes): %s; nothing was changed" % told,
            "the code tree is not the release alone, most likely a file of an earlier release was left behind: deploy the release into "
            "an empty directory, and do not make a merge migration on this machine",
        )
    return None


def foreign_key_problems(plan, facts, columns, seen, connection):
    """Foreign keys that the server will refuse: another character set, type or engine on the other side."""
    engines = {
        row["table_name"]: row
        for row in rows_of(
            connection,
            "SELECT table_name, engine, table_collation FROM information_schema.tables WHERE table_schema = DATABASE()",
        )
    }
    wrong, types = [], {}
    for migration in plan:
        for operation in migration["operations"]:
            types.update({k[7:]: v for k, v in operation["changes"].items() if k.startswith("column ")})
            for key, value in operation["changes"].items():
                if not key.startswith("foreign key ") or value is None:
                    continue
                here, there = key[len("foreign key ") :].split(" -> ")
                target = columns.get(there)
                if target is None or there in types:
                    continue
                table, other = here.split(".")[0], there.split(".")[0]
                name = "%s.%s: foreign key from %s to %s" % (migration["app"], migration["name"], here, there)
                if (engines[other]["engine"] or "").lower() != "innodb":
                    wrong.append("%s: the table %s has the engine %s, which has no foreign keys" % (name, other, engines[other]["engine"]))
                    continue
                if target["collation_name"]:
                    if here in columns:
                        collation = columns[here]["collation_name"]
                    elif table in engines:
                        collation = engines[table]["table_collation"]
                    else:
                        collation = seen["collation"]
                    if collation and collation != target["collation_name"]:
                        wrong.append(
                            "%s: %s has the collation %s (character set %s), and %s will have %s"
                            % (name, there, target["collation_name"], target["character_set_name"], here, collation)
                        )
                    continue
                mariadb = getattr(connection, "mysql_is_mariadb", False)
                want = types.get(here) or facts.get("column " + here) or ""
                have = plain_type(target["column_type"], mariadb)
                kind = want.split(" NOT NULL")[0].split(" DEFAULT")[0]
                if kind and kind != have:
                    wrong.append("%s: %s is %s, and %s will be %s" % (name, there, have, here, kind))
    return wrong


def unknown_rows(applied, loader, facts):
    """Rows whose migration the code has not, and columns that no model fills though they need a value."""
    from django.apps import apps

    labels = loader.migrated_apps
    known = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    gone = sorted("%s.%s" % key for key in applied if key[0] in labels and key not in known)
    orphans = []
    if gone:
        models = [m for label in sorted({name.split(".")[0] for name in gone}) for m in models_of(apps, label)]
        for model in models:
            table = model._meta.db_table
            own = {field.column for field in model._meta.local_fields}
            for key, value in sorted(facts.get(table, {}).items()):
                column = key[len("column %s." % table) :] if key.startswith("column %s." % table) else None
                if column and column not in own and "NOT NULL" in value and " DEFAULT " not in value:
                    orphans.append("%s.%s" % (table, column))
    return gone, orphans


def sizes(connection, tables):
    found = rows_of(
        connection,
        "SELECT table_name, table_rows, data_length FROM information_schema.tables WHERE table_schema = DATABASE()",
    )
    return {r["table_name"]: [int(r["table_rows"] or 0), int(r["data_length"] or 0)] for r in found if r["table_name"] in tables}


def memory_available():
    try:
        with open("/proc/meminfo") as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable"))
    except Exception:
        return 0


def look_at(alias):
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.recorder import MigrationRecorder

    connection = connections[alias]
    if connection.vendor != "mysql":
        return stop(
            "the database %s of the application is %s (%s), and this step knows MySQL and MariaDB alone"
            % (alias, connection.settings_dict["ENGINE"], connection.settings_dict["NAME"]),
            "if that is not the database of the running service, a variable of its environment is missing here: give the step the "
            "same `env` or `env_file`; else run the command with `run`",
        )
    seen = server(connection)
    # Connections before all that takes time.
    listed_now = processes(connection)
    facts, digests, columns = actual(connection)
    every = together(facts)
    executor = MigrationExecutor(connection)
    loader = executor.loader
    applied = set(MigrationRecorder(connection).applied_migrations())
    seen["applied"] = sorted("%s.%s" % key for key in applied)
    refused = refused_history(loader, connection)
    if refused:
        return dict(refused, server=seen)
    steps = executor.migration_plan(loader.graph.leaf_nodes())
    if any(backwards for _, backwards in steps):
        return stop("Django's own plan for %s goes backwards" % alias, "compare the migrations of the code with the release")
    state = executor._create_project_state(with_applied_migrations=True)
    plan, touched, already, named = [], set(), [], set()
    if arguments.get("detailed"):
        before = wanted(state.apps.get_models(include_auto_created=True), connection)
        seen["deviations"] = {k: every.get(k) for k, v in before.items() if not same(v, every.get(k))}
    for migration, _ in steps:
        operations, state = operations_of(migration, state, connection) if arguments.get("detailed") else ([], state)
        tables = {key.split(" ", 2 if key.startswith(("foreign", "primary")) else 1)[-1] for o in operations for key in o["changes"]}
        tables = {re.split(r"[ .]", t)[0] for t in tables}
        touched |= tables
        for operation in operations:
            there = [key for key in operation.pop("makes") if key in every and key not in named]
            already += ["%s.%s: %s" % (migration.app_label, migration.name, key) for key in there]
            named |= set(operation["changes"])
        if any(o["data"] for o in operations):
            touched |= {m._meta.db_table for m in models_of(state.apps, migration.app_label)}
        plan.append(
            {
                "app": migration.app_label,
                "name": migration.name,
                "initial": bool(migration.initial),
                "replaces": ["%s.%s" % key for key in migration.replaces],
                "operations": operations,
            }
        )
    gone, orphans = unknown_rows(applied, loader, facts)
    known = {"%s.%s" % key for key in loader.disk_migrations} & set(seen["applied"])
    answer_of = {
        "server": seen,
        "plan": plan,
        "squashes": sorted("%s.%s" % key for key, m in loader.disk_migrations.items() if m.replaces),
        "whole": overall(digests),
        "ever": bool(known),
        "gone": gone,
        "orphans": orphans,
        "tables": digests,
        "rows": sizes(connection, touched),
        "memory": memory_available(),
        "processes": [p for p in listed_now if p["db"] in (seen["schema"], "")],
        "lock": one(connection, "SELECT IS_USED_LOCK(%s)", [lock_name(seen["schema"])]),
    }
    former = arguments.get("tables", {}).get(alias)
    if former is None:
        whole = json.dumps(facts)
        answer_of["facts"] = facts if len(whole) < (600 << 10) else {}
    else:
        # All that a comparison needs: what has changed, and what is asked for.
        asked = set(arguments.get("touched", {}).get(alias, []))
        answer_of["facts"] = {t: f for t, f in facts.items() if digests[t] != former.get(t) or t in asked}
    if arguments.get("detailed"):
        answer_of["already"] = already
        answer_of["foreign"] = foreign_key_problems(plan, every, columns, seen, connection)
        existing = {t for t in touched if t in digests}
        answer_of["blockers"] = blockers(connection, seen["schema"], existing, listed_now)
    if not steps:
        after = wanted(state.apps.get_models(include_auto_created=True), connection)
        answer_of["lacks"] = {k: every.get(k) for k, v in after.items() if not same(v, every.get(k))}
        answer_of["wants"] = {k: after[k] for k in answer_of["lacks"]}
    return answer_of


def absent_models(models, plans):
    """Tables and columns of the code's models that are not there, on the alias where the router reads them."""
    from django.db import DEFAULT_DB_ALIAS, connections, router

    facts, wrong = {}, []
    for model in models:
        meta = model._meta
        if meta.proxy or meta.swapped or not meta.managed:
            continue
        alias = router.db_for_read(model) or DEFAULT_DB_ALIAS
        connection = connections[alias]
        if connection.vendor != "mysql":
            continue
        if alias not in facts:
            facts[alias] = actual(connection)[0]
        of = facts[alias].get(meta.db_table)
        if of is None:
            row = " although its migrations are recorded as applied (row without table)" if not plans.get(alias) else ""
            wrong.append("%s is read on %s, and there is no table %s there%s" % (meta.label, alias, meta.db_table, row))
            continue
        for field in meta.local_fields:
            if field.column and "column %s.%s" % (meta.db_table, field.column) not in of:
                wrong.append("%s on %s: the table %s has no column %s" % (meta.label, alias, meta.db_table, field.column))
    return wrong


def migrations():
    from django.apps import apps
    from django.db import connections
    from django.db.migrations.exceptions import BadMigrationError, NodeNotFoundError

    models = apps.get_models(include_auto_created=True)
    written = written_aliases(models)
    aliases = arguments["databases"] or list(written)
    unknown = [alias for alias in aliases if alias not in connections.databases]
    if unknown:
        return stop("the settings have no database " + ", ".join(unknown), "the settings have: " + ", ".join(sorted(connections.databases)))
    left = {alias: labels for alias, labels in written.items() if alias not in aliases}
    if left:
        told = "; ".join("%s: %s" % (alias, ", ".join(labels[:6])) for alias, labels in left.items())
        return stop(
            "models are written to a database that this step does not migrate: " + told,
            "name every database of the routers in `databases`, or leave the setting out",
        )
    found, plans = [], {}
    for alias in aliases:
        try:
            seen = look_at(alias)
        except (NodeNotFoundError, BadMigrationError) as error:
            seen = stop("the migrations of the code cannot be read: %s" % error, "compare the code with the release: a file is missing")
        if "stop" in seen:
            return seen
        found.append(seen)
        plans[alias] = seen["plan"]
    return {"databases": found, "absent": absent_models(models, plans) if not any(plans.values()) else []}


more = {"migrations": migrations}

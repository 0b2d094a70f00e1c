"""Runs `manage.py migrate` as it is, and tells what it does, in marked lines between what it prints itself.

argv: the marker, the path of manage.py (empty: the settings alone), the word `migrate`, its arguments as JSON. Before each
migration it waits until the line about it has been taken up: a file in `acks` says so. A thread of its own, with a
connection of its own, holds the lock of this step and watches what the server does for the command.
"""
import json
import os
import resource
import runpy
import sys
import threading
import time

marker, manage, question, arguments = sys.argv[1:5]
arguments = json.loads(arguments)
alias = arguments["alias"]
# Before the application replaces them.
Thread, Event, sleep, write, clock = threading.Thread, threading.Event, time.sleep, os.write, time.monotonic
main_thread = threading.get_ident()


def shown(value):
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")[:1500]


def tell(**what):
    try:
        sys.stdout.flush()
    except Exception:
        pass
    data = (marker + json.dumps(what) + "\n").encode("ascii")
    write(1, data)


class Watch:
    """What the main thread and the watching thread share."""

    ids = []
    ready = Event()
    refused = None
    # The migration in work: none, or [statements done, data steps begun].
    now = None
    killed = ""
    # A migration has run whose statements nobody knows beforehand.
    unknown = False


def other_connection():
    from copy import deepcopy
    from django.db import connections
    from django.db.utils import load_backend

    settings = deepcopy(connections[alias].settings_dict)
    return load_backend(settings["ENGINE"]).DatabaseWrapper(settings, alias)


def describe(process):
    idle = " (idle)" if process["command"] == "Sleep" else ""
    text = "connection %d of %s at %s%s for %d s" % (process["id"], process["user"], process["host"], idle, process["seconds"])
    if process.get("transaction"):
        text += ", in a transaction since %d s" % process["transaction"]
    if process["statement"]:
        text += ": " + process["statement"]
    return text


def look_once(connection, schema, state):
    listed_now = processes(connection)
    own = [p for p in listed_now if p["id"] in Watch.ids]
    waits = [p for p in own if p["state"].startswith("Waiting for table metadata lock")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if peak > state["peak"] + 64:
        state["peak"] = peak
        tell(memory=peak)
    for process in own:
        if process["stages"] or process["progress"]:
            tell(progress=[process["stage"], process["stages"], round(process["progress"], 1)], statement=process["statement"])
        elif process["seconds"] >= 10 and is_ddl(process):
            tell(working=process["seconds"], state=process["state"], statement=process["statement"])
    if not waits:
        state["waits"] = None
        return
    now = clock()
    if state["waits"] is None:
        state["waits"], state["told"] = now, None
    table = re.search(r"(?:TABLE|ON)\s+`?([^`\s(]+)", waits[0]["statement"])
    holders = blockers(connection, schema, {table.group(1)} if table else None, listed_now, Watch.ids)
    queued = [p for p in listed_now if p["id"] not in Watch.ids and p["state"].startswith("Waiting for table metadata lock")]
    names = [describe(p) for p in holders]
    if state["told"] != names:
        state["told"] = names
        tell(waits=waits[0]["statement"], holders=names, queued=len(queued))
    limit = arguments["lock_wait"]
    # Only while nothing of the migration is done: later it would leave it half applied.
    if limit and now - state["waits"] >= limit and Watch.now == [0, 0] and not Watch.killed:
        Watch.killed = "; ".join(names) or "a connection that the server does not name"
        tell(gives_up=waits[0]["statement"], holders=names)
        with connection.cursor() as cursor:
            cursor.execute("KILL QUERY %d" % waits[0]["id"])


def watch():
    try:
        connection = other_connection()
        schema = one(connection, "SELECT DATABASE()") or ""
        name = lock_name(schema)
        if one(connection, "SELECT GET_LOCK(%s, 0)", [name]) != 1:
            holder = one(connection, "SELECT IS_USED_LOCK(%s)", [name])
            by = [describe(p) for p in processes(connection) if p["id"] == holder] or ["connection %s" % holder]
            Watch.refused = "another upgrade migrates this database: %s has the lock %s" % (by[0], name)
            return
        others = [p for p in processes(connection) if p["id"] not in Watch.ids and p["db"] == schema and is_ddl(p)]
        if others:
            Watch.refused = "another connection changes this schema now: " + describe(others[0])
            return
        if arguments["applied"] is not None:
            count = one(connection, "SELECT COUNT(DISTINCT app, name) FROM django_migrations") if arguments["applied"] else None
            if count is not None and count != arguments["applied"]:
                Watch.refused = "django_migrations has %s rows, and had %s when this was decided: somebody else migrates" % (
                    count,
                    arguments["applied"],
                )
                return
        Watch.ready.set()
    except Exception as error:
        Watch.refused = "the database cannot be watched: %s" % error
        return
    finally:
        Watch.ready.set()
    state = {"peak": 0, "waits": None, "told": None}
    while True:
        try:
            look_once(connection, schema, state)
            sleep(0.4)
        except Exception:
            # The server is gone; the command itself will say so.
            return


def connected(sender, connection, **_):
    if connection.alias != alias or threading.get_ident() != main_thread or connection.vendor != "mysql":
        return
    first = not Watch.ids
    Watch.ids.append(int(one(connection, "SELECT CONNECTION_ID()")))
    tell(connected=Watch.ids[-1], started=started(connection))
    if first:
        Thread(target=watch, daemon=True).start()
        Watch.ready.wait()
    if Watch.refused:
        tell(refused=shown(Watch.refused))
        sys.stderr.write("upledger: %s\n" % Watch.refused)
        sys.stderr.flush()
        os._exit(4)


def chain(error):
    """The error and what led to it, the first cause first."""
    found, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        found.append("%s: %s" % (type(error).__name__, shown(error)))
        error = error.__cause__ or error.__context__
    return list(reversed(found))


def operation_in(error):
    trace, found = error.__traceback__, None
    while trace is not None:
        local = trace.tb_frame.f_locals
        if trace.tb_frame.f_code.co_name == "apply" and "operation" in local:
            found = local["operation"]
        trace = trace.tb_next
    return found


def acknowledged(number):
    path, parent = os.path.join(arguments["acks"], str(number)), os.getppid()
    while not os.path.exists(path):
        if os.getppid() != parent:
            os._exit(4)
        sleep(0.003)
    if os.path.getsize(path):
        # It could not be recorded.
        os._exit(4)


def install():
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.backends.signals import connection_created
    from django.db.migrations.migration import Migration
    from django.db.migrations.operations.special import RunPython
    from django.db.models import signals

    connection_created.connect(connected, weak=False)
    numbers = [0]
    apply, execute, run_python = Migration.apply, BaseDatabaseSchemaEditor.execute, RunPython.database_forwards

    def applying(self, project_state, schema_editor, collect_sql=False):
        if collect_sql or schema_editor.connection.alias != alias:
            return apply(self, project_state, schema_editor, collect_sql)
        numbers[0] += 1
        schema = None
        unknown = any(is_data(operation) for operation in self.operations)
        if Watch.unknown or unknown or numbers[0] == 1:
            schema = overall(actual(schema_editor.connection)[1])
        Watch.unknown = Watch.unknown or unknown
        Watch.now = [0, 0]
        tell(begins="%s.%s" % (self.app_label, self.name), number=numbers[0], schema=schema)
        acknowledged(numbers[0])
        return apply(self, project_state, schema_editor, collect_sql)

    def executing(self, *args, **kwargs):
        done = execute(self, *args, **kwargs)
        if Watch.now is not None and not self.collect_sql:
            Watch.now[0] += 1
        return done

    def running(self, *args, **kwargs):
        if Watch.now is not None:
            Watch.now[1] += 1
        return run_python(self, *args, **kwargs)

    Migration.apply, BaseDatabaseSchemaEditor.execute, RunPython.database_forwards = applying, executing, running

    from django.db.migrations.executor import MigrationExecutor

    apply_migration = MigrationExecutor.apply_migration

    def one_migration(self, state, migration, *args, **kwargs):
        # Statements of foreign keys and indexes are executed when the editor is left, so the error is caught here.
        try:
            done = apply_migration(self, state, migration, *args, **kwargs)
        except Exception as error:
            operation = operation_in(error)
            tell(
                failed="%s.%s" % (migration.app_label, migration.name),
                operation=operation.describe() if operation else None,
                errors=chain(error)[:4],
                killed=Watch.killed,
            )
            raise
        tell(applied="%s.%s" % (migration.app_label, migration.name))
        Watch.now = None
        return done

    MigrationExecutor.apply_migration = one_migration

    for name in ("pre_migrate", "post_migrate"):
        signal = getattr(signals, name)

        def sending(*args, signal=signal, name=name, send=signal.send, **kwargs):
            try:
                return send(*args, **kwargs)
            except Exception as error:
                import django

                own = (os.path.dirname(django.__file__) + os.sep, "<string>")
                trace, place = error.__traceback__, None
                while trace is not None:
                    code = trace.tb_frame.f_code
                    if not code.co_filename.startswith(own) and place is None:
                        module = trace.tb_frame.f_globals.get("__name__", "")
                        place = "%s.%s (%s:%d)" % (module, code.co_name, code.co_filename, trace.tb_lineno)
                    trace = trace.tb_next
                tell(hook=name, receiver=place or "a receiver of Django", errors=chain(error)[:4])
                raise

        signal.send = sending


def main():
    install()
    words = ["migrate", "--noinput", "--database=" + alias]
    try:
        if manage:
            sys.argv = [manage] + words
            sys.path[0:1] = [os.path.dirname(manage)]
            runpy.run_path(manage, run_name="__main__")
        else:
            from django.core.management import execute_from_command_line

            sys.argv = ["django"] + words
            sys.path[0:1] = [os.getcwd()]
            execute_from_command_line(sys.argv)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
    tell(peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    tell(finished=True)


main()

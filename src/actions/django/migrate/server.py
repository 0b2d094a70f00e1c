"""What the database server says of itself and of its connections. It changes nothing but one named lock of its own."""
import hashlib

DDL = ("ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE", "OPTIMIZE", "ANALYZE")


def lock_name(schema):
    name = "upledger:migrate:" + schema
    if len(name) <= 64:
        return name
    return "upledger:migrate:" + hashlib.sha256(schema.encode("utf-8")).hexdigest()[:40]


def one(connection, query, values=()):
    found = rows_of(connection, query, values)
    return next(iter(found[0].values())) if found else None


def variable(connection, name):
    found = rows_of(connection, "SHOW VARIABLES LIKE %s", [name])
    return str(found[0]["value"]) if found else ""


def started(connection):
    """When the server was started, in seconds: it tells connections of before from those of now."""
    now = int(one(connection, "SELECT UNIX_TIMESTAMP()"))
    uptime = rows_of(connection, "SHOW GLOBAL STATUS LIKE 'Uptime'")
    return now - int(uptime[0]["value"]) if uptime else 0


def server(connection):
    settings = connection.settings_dict
    names = ("hostname", "port", "server_uuid", "version", "wait_timeout", "lock_wait_timeout", "datadir")
    seen = {name: variable(connection, name) for name in names}
    schema = one(connection, "SELECT DATABASE()") or ""
    seen.update(
        alias=connection.alias,
        engine=settings["ENGINE"],
        schema=schema,
        user=str(one(connection, "SELECT CURRENT_USER()")),
        started=started(connection),
        given=str(settings.get("OPTIONS", {}).get("unix_socket") or settings.get("HOST") or "the driver's own default"),
    )
    charset = rows_of(
        connection,
        "SELECT default_character_set_name AS charset, default_collation_name AS collation FROM information_schema.schemata "
        "WHERE schema_name = DATABASE()",
    )
    seen.update(charset[0] if charset else {"charset": "", "collation": ""})
    return seen


def processes(connection):
    """The connections of others, as the server lists them: without the right PROCESS those of the same user alone."""
    own = one(connection, "SELECT CONNECTION_ID()")
    found = []
    for row in rows_of(connection, "SELECT * FROM information_schema.processlist"):
        if row["id"] == own or row.get("command") in ("Daemon", "Binlog Dump"):
            continue
        found.append(
            {
                "id": int(row["id"]),
                "user": row["user"] or "",
                "host": row["host"] or "",
                "db": row["db"] or "",
                "command": row["command"] or "",
                "seconds": int(row["time"] or 0),
                "state": row["state"] or "",
                "statement": " ".join((row["info"] or "").split())[:200],
                "progress": float(row.get("progress") or 0),
                "stage": int(row.get("stage") or 0),
                "stages": int(row.get("max_stage") or 0),
            }
        )
    return found


def is_ddl(process):
    return process["statement"].upper().startswith(DDL)


def open_transactions(connection):
    """The connections that have a transaction open, and for how long."""
    try:
        found = rows_of(
            connection,
            "SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) AS seconds FROM information_schema.innodb_trx",
        )
    except Exception:
        return {}
    return {int(row["id"]): int(row["seconds"] or 0) for row in found if row["id"]}


def lock_holders(connection, schema, tables):
    """The connections that hold a metadata lock on these tables; none where the server does not tell."""
    queries = (
        "SELECT thread_id AS id, table_name AS name FROM information_schema.metadata_lock_info WHERE table_schema = %s",
        "SELECT t.processlist_id AS id, m.object_name AS name FROM performance_schema.metadata_locks m JOIN performance_schema.threads t "
        "ON t.thread_id = m.owner_thread_id WHERE m.object_type = 'TABLE' AND m.lock_status = 'GRANTED' AND m.object_schema = %s",
    )
    for query in queries:
        try:
            found = rows_of(connection, query, [schema])
        except Exception:
            continue
        if found or "information_schema" in query:
            return {int(row["id"]) for row in found if row["id"] and (tables is None or row["name"] in tables)}
    return None


def blockers(connection, schema, tables, listed_now, ours=()):
    """Connections of others that keep an ALTER of these tables waiting."""
    open_now = open_transactions(connection)
    locks = lock_holders(connection, schema, tables)
    found = []
    for process in listed_now:
        if process["id"] in ours or process["state"].startswith("Waiting for table metadata lock"):
            continue
        holds = process["id"] in locks if locks is not None else process["id"] in open_now and process["db"] in (schema, "")
        if holds:
            found.append(dict(process, transaction=open_now.get(process["id"], 0)))
    return found

"""Asks tables for single values, in sessions that change nothing."""


def queries():
    from django.db import connections

    values = []
    for asked in arguments["queries"]:
        connection = connections[asked["alias"]]
        with connection.cursor() as cursor:
            if connection.vendor == "mysql":
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute(asked["query"])
            row = cursor.fetchone()
        value = row[0] if row else None
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
        values.append(None if value is None else str(value))
    return {"values": values}


more = {"queries": queries}

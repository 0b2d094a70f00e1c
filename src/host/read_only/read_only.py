# How the sessions of a database are made read-only.
READ_ONLY = {
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}


def read_only(connection_created):
    """Lets nothing that the application does change its databases."""

    def force(sender, connection, **_):
        if connection.vendor not in READ_ONLY:
            raise RuntimeError("sessions of " + connection.vendor + " cannot be made read-only")
        with connection.cursor() as cursor:
            cursor.execute(READ_ONLY[connection.vendor])

    connection_created.connect(force, weak=False)



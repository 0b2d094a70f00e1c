"""The database that would be emptied, and how many tables it has."""


def reinitialise():
    from django.db import connections

    connection = connections[arguments["database"]]
    if connection.vendor != "mysql":
        return stop(
            "the database %s is %s, and this step knows MySQL and MariaDB alone" % (connection.alias, connection.settings_dict["ENGINE"]),
            "give the step the same `env` or `env_file` as the running service has",
        )
    seen = server(connection)
    seen["applied"] = []
    return {"server": seen, "tables": len(connection.introspection.table_names(include_views=True))}


more = {"reinitialise": reinitialise}

"""Facts about tables, in one form: those that models want, and those that the database has.

A fact is a key that a person can read ("column orders.level", "foreign key tag.item_id -> item.id") and a value, which
says what it is: the type, NULL and default of a column, nothing for the others. It runs inside the application, before
`probe.py`, and changes nothing. Left out: comments, and conditions and expressions of indexes, which MySQL has not.
"""
import hashlib
import re

ANY_DEFAULT = " DEFAULT *"


def plain_type(text, mariadb):
    """A column's type as Django and as the server write it, in one form."""
    text = re.sub(r"\s+", " ", text.strip().lower())
    text = re.sub(r" (auto_increment|character set \S+|collate \S+)", "", text)
    text = re.sub(r"\s*,\s*", ",", text)
    for django, server in (
        ("integer", "int"),
        ("boolean", "tinyint"),
        ("bool", "tinyint"),
        ("numeric", "decimal"),
        ("double precision", "double"),
        ("real", "double"),
    ):
        text = re.sub("^" + django + r"\b", server, text)
    text = re.sub(r"^(tinyint|smallint|mediumint|int|bigint|year)\(\d+\)", r"\1", text)
    if mariadb and text == "json":
        text = "longtext"
    return text


def listed(columns):
    return "(" + ", ".join(columns) + ")"


def wanted(models, connection):
    """The facts of models, where this connection is theirs."""
    from django.db import router

    mariadb = getattr(connection, "mysql_is_mariadb", False)
    editor = connection.schema_editor(collect_sql=True)
    found = {}
    for model in models:
        meta = model._meta
        if not meta.can_migrate(connection) or not router.allow_migrate_model(connection.alias, model):
            continue
        table = meta.db_table
        column = {field.name: field.column for field in meta.local_fields}
        found["table " + table] = ""
        for field in meta.local_fields:
            kind = field.db_type(connection)
            if kind is None:
                continue
            value = plain_type(kind, mariadb) + ("" if field.null and not field.primary_key else " NOT NULL")
            if "db_default" in field.__dict__ and "NOT_PROVIDED" not in repr(field.db_default):
                value += ANY_DEFAULT
            found["column %s.%s" % (table, field.column)] = value
            if field.primary_key:
                found["primary key %s (%s)" % (table, field.column)] = ""
            elif field.unique:
                found["unique %s (%s)" % (table, field.column)] = ""
            elif editor._field_should_be_indexed(model, field):
                found["index %s (%s)" % (table, field.column)] = ""
            if field.remote_field and getattr(field, "db_constraint", False):
                target = field.remote_field.get_related_field()
                other = target.model._meta.db_table
                found["foreign key %s.%s -> %s.%s" % (table, field.column, other, target.column)] = ""
        for kind, groups in (
            ("unique", meta.unique_together),
            ("index", getattr(meta, "index_together", ())),
            ("index", [i.fields for i in meta.indexes if not getattr(i, "expressions", ()) and not i.condition]),
        ):
            for names in groups:
                names = [name.lstrip("-") for name in names]
                if names and all(name in column for name in names):
                    found["%s %s %s" % (kind, table, listed(column[n] for n in names))] = ""
        for constraint in meta.constraints:
            name = type(constraint).__name__
            fields = getattr(constraint, "fields", ())
            if name == "UniqueConstraint" and fields and not constraint.condition:
                found["unique %s %s" % (table, listed(column[n] for n in fields))] = ""
            elif name == "CheckConstraint" and connection.features.supports_table_check_constraints:
                found["check %s %s" % (table, constraint.name)] = ""
    return found


def same(want, have):
    """What is wanted is what is there."""
    if have is None or want is None:
        return have is want
    if want.endswith(ANY_DEFAULT):
        return have.split(" DEFAULT ")[0] == want[: -len(ANY_DEFAULT)]
    return want == have


def rows_of(connection, query, values=()):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        names = [part[0].lower() for part in cursor.description]
        # Some servers send words of their own tables as bytes.
        text = lambda v: v.decode("utf-8", "replace") if isinstance(v, bytes) else v
        return [dict(zip(names, map(text, row))) for row in cursor.fetchall()]


def actual(connection):
    """The facts of each table that the schema has, and a digest of all that is known of each."""
    mariadb = getattr(connection, "mysql_is_mariadb", False)
    facts, lines, columns = {}, {}, {}
    for row in rows_of(
        connection,
        "SELECT table_name, engine, table_collation, table_type FROM information_schema.tables WHERE table_schema = DATABASE()",
    ):
        if row["table_type"] != "BASE TABLE":
            continue
        table = row["table_name"]
        facts[table] = {"table " + table: ""}
        lines[table] = ["%s %s" % (row["engine"], row["table_collation"])]
    for row in rows_of(
        connection,
        "SELECT table_name, column_name, ordinal_position, column_type, is_nullable, column_default, extra, character_set_name, "
        "collation_name FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
    ):
        table, default = row["table_name"], row["column_default"]
        if table not in facts:
            continue
        value = plain_type(row["column_type"], mariadb) + ("" if row["is_nullable"] == "YES" else " NOT NULL")
        if default is not None and str(default).upper() != "NULL":
            value += " DEFAULT %s" % default
        facts[table]["column %s.%s" % (table, row["column_name"])] = value
        columns["%s.%s" % (table, row["column_name"])] = row
        lines[table].append(" ".join(str(part) for part in row.values()))
    indexes = {}
    for row in rows_of(
        connection,
        "SELECT table_name, index_name, non_unique, seq_in_index, column_name FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index",
    ):
        of = indexes.setdefault((row["table_name"], row["index_name"]), (not int(row["non_unique"]), []))
        of[1].append(row["column_name"] or "an expression")
    for (table, name), (unique, of) in sorted(indexes.items()):
        if table not in facts:
            continue
        lines[table].append("index %s %s %s" % (name, unique, of))
        kinds = ["index"]
        if unique:
            kinds.append("unique")
        if name == "PRIMARY":
            kinds.append("primary key")
        for kind in kinds:
            facts[table]["%s %s %s" % (kind, table, listed(of))] = ""
    for row in rows_of(
        connection,
        "SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name FROM "
        "information_schema.key_column_usage WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL "
        "ORDER BY table_name, constraint_name, ordinal_position",
    ):
        table = row["table_name"]
        key = "foreign key %s.%s -> %s.%s" % (
            table,
            row["column_name"],
            row["referenced_table_name"],
            row["referenced_column_name"],
        )
        if table in facts:
            facts[table][key] = ""
            lines[table].append(key + " " + row["constraint_name"])
    for row in rows_of(
        connection,
        "SELECT table_name, constraint_name FROM information_schema.table_constraints WHERE table_schema = DATABASE() "
        "AND constraint_type = 'CHECK' ORDER BY table_name, constraint_name",
    ):
        table = row["table_name"]
        if table in facts:
            facts[table]["check %s %s" % (table, row["constraint_name"])] = ""
            lines[table].append("check " + row["constraint_name"])
    digests = {
        table: hashlib.sha256("\n".join(of).encode("utf-8", "backslashreplace")).hexdigest()[:16]
        for table, of in lines.items()
    }
    return facts, digests, columns


def together(facts):
    found = {}
    for of in facts.values():
        found.update(of)
    return found


def models_of(state_apps, label):
    """The models of one application, tables between many-to-many included."""
    try:
        config = state_apps.get_app_config(label)
    except LookupError:
        return []
    return list(config.get_models(include_auto_created=True, include_swapped=False))


def changes(before, after):
    """Keys whose facts change, each with what it becomes: none where it goes."""
    found = {key: value for key, value in after.items() if before.get(key) != value}
    found.update({key: None for key in before if key not in after})
    return found


def overall(digests):
    """One digest of all tables but that of the migrations themselves."""
    lines = ["%s %s" % pair for pair in sorted(digests.items()) if pair[0] != "django_migrations"]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def is_data(operation):
    """It may change rows, or what nobody can know beforehand."""
    from django.db import migrations

    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return any(is_data(inner) for inner in operation.database_operations)
    known = (
        migrations.CreateModel, migrations.DeleteModel, migrations.RenameModel, migrations.AlterModelTable,
        migrations.AlterUniqueTogether, migrations.AlterModelOptions, migrations.AlterModelManagers,
        migrations.AlterOrderWithRespectTo, migrations.AddField, migrations.RemoveField, migrations.AlterField,
        migrations.RenameField, migrations.AddIndex, migrations.RemoveIndex,
    ) + tuple(
        getattr(migrations, name)
        for name in ("AddConstraint", "RemoveConstraint", "RenameIndex", "AlterIndexTogether", "AlterModelTableComment", "AlterConstraint")
        if hasattr(migrations, name)
    )
    return not isinstance(operation, known)

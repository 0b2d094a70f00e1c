"""Fails at its second statement. The first stays, because MySQL's DDL is not transactional: every further try fails with 1060."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("log_search", "0002_order_level")]

    operations = [
        migrations.RunSQL("ALTER TABLE orders ADD COLUMN note VARCHAR(64) NULL", migrations.RunSQL.noop),
        migrations.RunSQL("ALTER TABLE orders MODIFY COLUMN nowhere INT", migrations.RunSQL.noop),
    ]

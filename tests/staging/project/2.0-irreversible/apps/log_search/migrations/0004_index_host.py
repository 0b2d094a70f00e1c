"""Can be reversed, and is, before the reversal of 0003 fails: a reverse `migrate` stops half-way."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("log_search", "0003_levels")]

    operations = [
        migrations.RunSQL("CREATE INDEX orders_token ON orders (token)", "DROP INDEX orders_token ON orders"),
    ]

"""Orders get a level. Old rows read `info`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("log_search", "0001_initial")]

    operations = [
        migrations.AddField("order", "level", models.CharField(max_length=16, default="info")),
    ]

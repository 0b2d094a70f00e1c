"""Rewrites rows, and nothing can tell what they were: it has no way back."""

from django.db import migrations


def upper(apps, _):
    orders = apps.get_model("log_search", "Order").objects
    for order in orders.all():
        orders.filter(pk=order.pk).update(level=order.level.upper())


class Migration(migrations.Migration):
    dependencies = [("log_search", "0002_order_level")]

    operations = [migrations.RunPython(upper)]

"""Sends tasks named PREFIX-0, PREFIX-1, ... to the worker."""

from django.core.management.base import BaseCommand

from apps.log_search.tasks import record
from celery_app import app


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("count", type=int)
        parser.add_argument("seconds", type=float)
        parser.add_argument("--prefix", default="task")
        parser.add_argument("--queue", default="celery")

    def handle(self, count, seconds, prefix, queue, **_):
        with app.connection_for_write() as connection:
            for number in range(count):
                record.apply_async((f"{prefix}-{number}", seconds), queue=queue, connection=connection)
        self.stdout.write(f"{count} sent")

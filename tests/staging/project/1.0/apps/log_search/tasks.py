"""What the worker does."""

import time

from celery import shared_task
from django.conf import settings

from apps.log_search.models import DoneTask, StartedTask, Tick


@shared_task(name="log_search.record")
def record(task, seconds=0.0):
    """Leaves one row when it starts and one when it is done."""
    StartedTask.objects.create(task=task, version=settings.VERSION)
    end = time.monotonic() + seconds
    # In slices, as a task that works: a warm stop must let it end all the same.
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
    DoneTask.objects.create(task=task, version=settings.VERSION)


@shared_task(name="log_search.tick")
def tick():
    """What beat sends every second."""
    Tick.objects.create(version=settings.VERSION)

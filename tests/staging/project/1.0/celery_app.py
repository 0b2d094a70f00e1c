"""What the worker and beat run: `celery -A celery_app worker`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
# The tests may run as root, where Celery refuses pickled tasks unless told otherwise.
os.environ.setdefault("C_FORCE_ROOT", "1")

app = Celery("bklog")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["apps.log_search"])


"""The pages. None of them needs a login."""

import os
import sys
import time

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import connection
from django.http import HttpResponse, JsonResponse

from apps.log_search.models import Order


def home(request):
    """A page that names its style sheet by the manifest of the static files."""
    return HttpResponse(f'<link rel="stylesheet" href="{staticfiles_storage.url("bklog/app.css")}">\n')


def version(request):
    """What answers: release, interpreter, process."""
    return JsonResponse(
        {
            "release": settings.VERSION,
            "python": sys.implementation.name + " " + ".".join(map(str, sys.version_info[:3])),
            "prefix": sys.prefix,
            "pid": os.getpid(),
        }
    )


def healthz(request):
    """HTTP 200 even when the text says otherwise: the platform's own page does that."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        sick = os.path.exists(settings.SICK_FILE)
    except Exception:
        sick = True
    return HttpResponse("health check failed\n" if sick else "ok\n")


def readiness(request):
    """Proves only that Django answers."""
    return HttpResponse("ok\n")


def slow(request):
    """Takes its time, then records the order, then answers: one row for each request that was not cut off."""
    time.sleep(float(request.GET.get("seconds", "0")))
    order = Order.objects.create(token=request.GET.get("token", ""), version=settings.VERSION)
    return JsonResponse({"order": order.pk, "release": settings.VERSION})


def orders(request):
    """How many there are; with a token, how many of that."""
    found = Order.objects.all()
    if "token" in request.GET:
        found = found.filter(token=request.GET["token"])
    return JsonResponse({"orders": found.count(), "levels": sorted(set(found.values_list("level", flat=True)))})

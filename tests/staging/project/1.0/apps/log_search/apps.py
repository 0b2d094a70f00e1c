"""Its name in Django."""

from django.apps import AppConfig


class LogSearch(AppConfig):
    name = "apps.log_search"
    label = "log_search"

"""Its name in Django, and what the platform does after every `migrate`."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def register(**_):
    """When the service is away `migrate` ends with an error, although every migration has been applied."""
    from apps.log_search import iam

    iam.grant(iam.ACTIONS[0])


class LogSearch(AppConfig):
    name = "apps.log_search"
    label = "log_search"

    def ready(self):
        post_migrate.connect(register, sender=self)

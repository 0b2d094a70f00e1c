"""Grants every action anew. It ends well whatever came of it, as the platform's own command does."""

from django.core.management.base import BaseCommand

from apps.log_search import iam


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_):
        refused = []
        for action in iam.ACTIONS:
            try:
                granted = iam.grant(action)
            except OSError:
                granted = False
            if not granted:
                refused.append(action)
        if refused:
            self.stdout.write("Sorry, maybe something wrong with IAM upgrade: " + ", ".join(refused))
        else:
            self.stdout.write("Congratulations! IAM upgrade successfully!!!")

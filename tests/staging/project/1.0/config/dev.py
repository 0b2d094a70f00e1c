"""A developer's machine: no static root, so `collectstatic` refuses."""

from config.default import *  # noqa: F401,F403

DEBUG = True
STATIC_ROOT = None

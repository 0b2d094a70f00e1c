"""Production. Without a site file the static files go to `staticfiles/`, which no web server serves."""

from config.default import *  # noqa: F401,F403
from config.default import BASE_DIR, STATIC_ROOT

STATIC_ROOT = STATIC_ROOT or str(BASE_DIR / "staticfiles")

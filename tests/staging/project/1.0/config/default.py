"""What all environments have in common."""

from config import BASE_DIR, env

VERSION = (BASE_DIR / "VERSION").read_text().strip()
# As on the real platform it never changes, whatever the files do.
STATIC_VERSION = "1.0"

SECRET_KEY = env("SECRET_KEY", "of the tests")
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "apps.log_search",
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": env("DB_NAME", "bk_log_search"),
        "USER": env("DB_USER", "bklog"),
        "PASSWORD": env("DB_PASSWORD", ""),
        "HOST": env("DB_HOST", "127.0.0.1"),
        "PORT": env("DB_PORT", "3306"),
        # A socket is for administration; with it, the host must be localhost.
        "OPTIONS": {"charset": "utf8mb4"}
        | ({"unix_socket": env("DB_SOCKET")} if env("DB_SOCKET") else {}),
    }
}

STATIC_URL = "/static/"
# None makes `collectstatic` fail, as on the platform's developers' machines.
STATIC_ROOT = env("STATIC_ROOT")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

# The health page lies while this file is there.
SICK_FILE = env("SICK_FILE", str(BASE_DIR.parent / "run" / "sick"))

CELERY_BROKER_URL = env("BROKER_URL", "redis://127.0.0.1:6379/0")
# Pickled and not acknowledged late: what a stopping worker cuts off is lost.
CELERY_TASK_SERIALIZER = "pickle"
CELERY_ACCEPT_CONTENT = ["pickle", "json"]
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_RESULT_BACKEND = env("RESULT_BACKEND")
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {"tick": {"task": "log_search.tick", "schedule": 1.0}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "WARNING"}},
}

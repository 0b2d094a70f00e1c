"""Where settings come from: the process environment, then the file of the site, then a default.

The file is `etc/bklog.env` beside the code, or BKLOG_ENV. A variable of the process wins over the file, silently:
a value that is changed in the file and not in force is a fault that operators know well.
"""

import os
from pathlib import Path

import pymysql

pymysql.install_as_MySQLdb()

BASE_DIR = Path(__file__).resolve().parent.parent


def _site():
    path = Path(os.environ.get("BKLOG_ENV", BASE_DIR.parent / "etc" / "bklog.env"))
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


_SITE = _site()


def env(name, default=None):
    """The value in force."""
    return os.environ.get(name, _SITE.get(name, default))

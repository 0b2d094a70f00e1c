"""The settings of the environment named by BKPAAS_ENVIRONMENT: dev, stag or prod (the default)."""

import importlib

from config import env

_module = importlib.import_module("config." + env("BKPAAS_ENVIRONMENT", "prod"))
globals().update({name: value for name, value in vars(_module).items() if name.isupper()})

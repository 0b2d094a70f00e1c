"""The test environment."""

from config.default import *  # noqa: F401,F403

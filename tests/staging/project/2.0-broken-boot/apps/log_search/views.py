"""A release that cannot start: it needs what no requirement names."""

import a_module_that_nobody_installs  # noqa: F401

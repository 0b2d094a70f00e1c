"""Runs in a virtualenv and asks the library of its pip about requirements; prints one line of JSON.

argv: a list of requirements as JSON. For each it answers null where that pip does not understand it, else whether it
applies here, which version is installed (null: none), and whether that fits (null: cannot be told). It changes nothing.
"""
import json
import sys

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def installed():
    try:
        from importlib.metadata import distributions

        found = [(d.metadata["Name"], d.version) for d in distributions()]
    except ImportError:  # Python 3.6 and 3.7
        from pip._vendor import pkg_resources

        found = [(d.project_name, d.version) for d in pkg_resources.working_set]
    versions = {}
    for name, version in found:
        # Of two that shadow each other the first is imported.
        if name:
            versions.setdefault(canonicalize_name(name), version)
    return versions


def judged(text, versions):
    try:
        wanted = Requirement(text)
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    except Exception:
        return None
    version = versions.get(canonicalize_name(wanted.name))
    fits = None
    if version is not None and not wanted.url:
        try:
            fits = bool(wanted.specifier.contains(version, prereleases=True))
        except Exception:
            pass
    return {"applies": bool(applies), "version": version, "fits": fits}


versions = installed()
print(json.dumps([judged(text, versions) for text in json.loads(sys.argv[1])]))

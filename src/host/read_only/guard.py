# Python runs this as `sitecustomize` before the program: Django's database sessions become read-only when they are made.
def _guard():
    import importlib.machinery
    import importlib.util
    import os
    import sys

    class Signals:
        """Acts when Django's module of that name is loaded, whoever loads it."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != "django.db.backends.signals":
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is None or spec.loader is None:
                return None
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                read_only(module.connection_created)

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Signals)
    # Who started this looks whether it was run.
    with open(os.environ["UPLEDGER_READ_ONLY"], "a"):
        pass
    # The one that would have been run without this.
    here = os.path.dirname(os.path.abspath(__file__))
    others = [p for p in sys.path if os.path.abspath(p or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_guard()

# What a reader makes of a configuration file, given its text and not its path, so that a change is judged before it is
# written. The request comes on standard input and the answer goes out as one marked line: application code prints what it
# likes. Values of keys that were not asked for leave as salted digests. It runs on Python 3.6.
import hashlib
import io
import json
import os
import sys

MARKER = sys.argv[1]
sys.dont_write_bytecode = True
request = json.loads(sys.stdin.buffer.read().decode("utf-8"))
out = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "other"


def flat(value, path, found):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            flat(inner, path + (str(key),), found)
    elif isinstance(value, (list, tuple)) and value:
        for n, inner in enumerate(value):
            flat(inner, path + (str(n),), found)
    else:
        found[path] = value


def dotenv(text):
    from dotenv import dotenv_values

    before = dict(os.environ)
    try:
        return dict(dotenv_values(stream=io.StringIO(text)))
    finally:
        os.environ.clear()
        os.environ.update(before)


def environ_file(text):
    import logging

    logging.disable(logging.CRITICAL)
    import environ

    env = type("Env", (environ.Env,), {"ENVIRON": {}})
    handle = io.StringIO(text)
    handle.name = ".env"
    try:
        env.read_env(handle)
    except TypeError:
        # Older versions open paths alone.
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, ".env")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(text)
            env.read_env(path)
    reader = env()
    found = {}
    for key in env.ENVIRON:
        try:
            found[key] = reader.str(key)
        except Exception:
            # A value that begins with $ names another variable, which is not there.
            found[key] = None
    return found


def pyyaml(text):
    import yaml

    return yaml.safe_load(text)


def ruamel(text):
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def toml(text):
    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
    return tomllib.loads(text)


def ini(parser):
    def read(text):
        parser.read_string(text)
        found = {}
        for section in list(parser) if parser.defaults() else parser.sections():
            found[section] = {}
            for key in parser[section]:
                try:
                    found[section][key] = parser[section][key]
                except Exception as why:
                    found[section][key] = why
        return found

    return read


def settings(text):
    import importlib
    import importlib.machinery

    target = os.path.realpath(request["path"])
    loader = importlib.machinery.SourceFileLoader
    data, stats = loader.get_data, loader.path_stats

    def get_data(self, path):
        if os.path.realpath(path) == target:
            if text is None:
                raise FileNotFoundError(path)
            return text.encode("utf-8")
        return data(self, path)

    def path_stats(self, path):
        # Without them no compiled file is used.
        raise OSError(path)

    loader.get_data, loader.path_stats = get_data, path_stats
    sys.path.insert(0, os.getcwd())
    try:
        from django.db.backends.signals import connection_created
    except ImportError:
        pass
    else:
        read_only(connection_created)
    module = importlib.import_module(request["module"])
    return {name: getattr(module, name) for name in dir(module) if name.isupper()}


def reader(name):
    import configparser

    raw = configparser.RawConfigParser(allow_no_value=True)
    interpolating = configparser.ConfigParser(allow_no_value=True)
    return {
        "python_dotenv": dotenv,
        "django_environ": environ_file,
        "pyyaml": pyyaml,
        "ruamel": ruamel,
        "json": json.loads,
        "tomllib": toml,
        "configparser": ini(interpolating),
        "raw_configparser": ini(raw),
        "settings": settings,
    }[name]


def said(why):
    """Its first line, without the parts of values that configparser quotes."""
    lines = str(why).splitlines() or [""]
    text = lines[0]
    for quoting in (", found", "Raw value", "raw value", ". Raw", ": '"):
        text = text.split(quoting)[0]
    return text.strip()


def digest(value):
    salted = request["salt"] + repr(value)
    return hashlib.sha256(salted.encode("utf-8", "replace")).hexdigest()[:16]


def look(text):
    name = request["kind"]
    found = {}
    if text is not None:
        # As a file that is opened as text is read.
        text = io.StringIO(text, newline=None).read()
    try:
        flat(reader(name)(text), (), found)
    except Exception as why:
        return {"error": "%s: %s" % (type(why).__name__, said(why))}
    lower = name in ("configparser", "raw_configparser")
    asked = {}
    for path in request["keys"]:
        at = (path[0], path[1].lower()) if lower and len(path) == 2 else tuple(path)
        if at in found:
            value = found.pop(at)
            if isinstance(value, Exception):
                return {"error": "%s: %s" % (".".join(path), said(value))}
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            asked[json.dumps(path)] = [kind(value), "" if value is None else shown]
    holding = []
    for former in request["former"]:
        holding += [".".join(p) for p, v in found.items() if isinstance(v, str) and former in v]
    others = {".".join(path): digest(value) for path, value in found.items()}
    return {"asked": asked, "others": others, "holding": sorted(set(holding))}


answer = [look(text) for text in request["texts"]]
out.write("\n" + MARKER + json.dumps(answer) + "\n")
out.flush()

"""Runs inside the application, as its manage.py sets it up, and prints one marked line of JSON.

argv: the marker, the path of manage.py (empty: the settings alone make the application), what is asked for, and its
arguments as JSON. Everything else on standard output is noise of the application. It changes nothing.
"""
import hashlib
import json
import os
import runpy
import sys

marker, manage, question, arguments = sys.argv[1:5]
arguments = json.loads(arguments)


def printable(value):
    """The value with names that are no UTF-8 made readable: they are shown, never opened."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    return value


def answer(value):
    sys.stdout.flush()
    sys.stderr.flush()
    # One write, on a line of its own, past whatever the application has made of `sys.stdout`.
    data = ("\n" + marker + json.dumps(printable(value)) + "\n").encode("ascii")
    while data:
        data = data[os.write(1, data):]


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as f:
        for chunk in iter(lambda: f.read(1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()


def check():
    from django.core import checks
    from django.core.checks.registry import registry

    wanted = {"include_deployment_checks": arguments["deploy"]}
    if arguments["tags"]:
        known = registry.tags_available(arguments["deploy"])
        unknown = [t for t in arguments["tags"] if t not in known]
        if unknown:
            return {"error": "there is no check with the tag " + ", ".join(unknown)}
        wanted["tags"] = arguments["tags"]
    found = [m for m in checks.run_checks(**wanted) if not m.is_silenced()]
    return {
        "messages": [
            {
                "level": m.level,
                "id": m.id or "",
                "text": str(m.msg),
                "about": "" if m.obj is None else str(m.obj),
            }
            for m in found
        ]
    }


def obstacle(path, uid, groups):
    """What keeps a user from reading a file: the first part of its path that is closed to them."""
    parts = [path]
    while os.path.dirname(parts[0]) != parts[0]:
        parts.insert(0, os.path.dirname(parts[0]))
    for part in parts:
        try:
            seen = os.stat(part)
        except OSError as e:
            return "%s: %s" % (part, e.strerror)
        shift = 6 if seen.st_uid == uid else 3 if seen.st_gid in groups else 0
        need = 4 if part == path else 1
        if not (seen.st_mode >> shift) & need:
            return "%s (mode %04o, owner %d:%d)" % (part, seen.st_mode & 0o7777, seen.st_uid, seen.st_gid)
    return None


def unreadable(paths, user):
    """The files that a user cannot read, each with the part of its path that is closed."""
    import grp
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    groups = {g.gr_gid for g in grp.getgrall() if user in g.gr_mem} | {entry.pw_gid}
    if os.geteuid() != 0:
        closed = [obstacle(path, entry.pw_uid, groups) for path in paths]
        return [c for c in closed if c]
    # As root the kernel itself is asked, as that user: lists of access rights count as well.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        told = []
        try:
            os.close(reader)
            os.setgroups(sorted(groups))
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            for path in paths:
                try:
                    os.close(os.open(path, os.O_RDONLY))
                except OSError as e:
                    told.append(path + "\0" + (e.strerror or str(e)))
            with os.fdopen(writer, "wb") as out:
                out.write("\n".join(told).encode("utf-8", "surrogateescape") + b"\n.")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        told = source.read().decode("utf-8", "surrogateescape")
    os.waitpid(child, 0)
    if not told.endswith("\n."):
        raise RuntimeError("the files could not be tried as " + user)
    closed = []
    for line in told[:-2].split("\n"):
        if line:
            path, why = line.split("\0")
            closed.append(obstacle(path, entry.pw_uid, groups) or path + ": " + why)
    return closed


def manifest_of(storage, root):
    """The storage's own list of files, as it is on the disk now."""
    name = getattr(storage, "manifest_name", None)
    if not name or not hasattr(storage, "load_manifest"):
        return None, None
    # Newer versions can keep the manifest elsewhere.
    place = getattr(storage, "manifest_storage", None) or storage
    try:
        path = place.path(name)
    except NotImplementedError:
        return None, None
    if not os.path.isfile(path):
        return {"path": path, "sha256": None}, {}
    with open(path, "rb") as f:
        paths = json.loads(f.read().decode("utf-8")).get("paths", {})
    return {"path": path, "sha256": digest(path)}, paths


def is_called(storage, name, path, wanted):
    """Whether the storage would give this content that name; true where it cannot tell."""
    from django.core.files import File

    try:
        with open(path, "rb") as f:
            return storage.hashed_name(name, File(f)) == wanted
    except Exception:
        return True


def static():
    from django.conf import settings
    from django.contrib.staticfiles import finders
    from django.contrib.staticfiles.storage import staticfiles_storage as storage
    from django.core.exceptions import ImproperlyConfigured

    seen = {
        "static_root": None if not settings.STATIC_ROOT else str(settings.STATIC_ROOT),
        "static_url": str(settings.STATIC_URL),
        "storage": "",
        "version": str(getattr(settings, "STATIC_VERSION", "") or ""),
    }
    try:
        # The storage is made when it is first used; a storage with a manifest reads it then.
        root = storage.path("")
    except (NotImplementedError, ImproperlyConfigured):
        return dict(seen, root=None)
    kind = type(getattr(storage, "_wrapped", storage))
    seen["storage"] = kind.__module__ + "." + kind.__qualname__
    root = os.path.abspath(root)
    from django.apps import apps

    ignored = getattr(apps.get_app_config("staticfiles"), "ignore_patterns", ["CVS", ".*", "*~"])
    manifest, listed = manifest_of(storage, root)
    wanted, missing, different, whole = {}, [], [], hashlib.sha256()
    for finder in finders.get_finders():
        for path, source in finder.list(list(ignored)):
            prefix = getattr(source, "prefix", None)
            wanted.setdefault(os.path.join(prefix, path) if prefix else path, (path, source))
    there = []
    samples = []
    for name in sorted(wanted):
        path, source = wanted[name]
        origin = digest(source.path(path))
        whole.update((name + "\0" + origin + "\n").encode("utf-8", "surrogateescape"))
        target = os.path.join(root, name)
        hashed = os.path.join(root, listed[name]) if listed and name in listed else None
        if manifest is not None:
            if hashed is None:
                missing.append(name + " (not in the manifest)")
                continue
            if not os.path.isfile(hashed):
                missing.append(listed[name])
                continue
            there.append(hashed)
            # Links in it may have been rewritten; then the storage tells by its name what it is to hold.
            if digest(hashed) != origin and not is_called(storage, name, hashed, listed[name]):
                different.append(listed[name])
                continue
            if not os.path.isfile(target):
                continue  # some storages keep only the hashed files
        elif not os.path.isfile(target):
            missing.append(name)
            continue
        if digest(target) != origin:
            newer = int(os.path.getmtime(target)) >= int(os.path.getmtime(source.path(path)))
            different.append(name + (" (older content with a newer time)" if newer else ""))
            continue
        there.append(target)
        # The name that pages ask for tells a stale directory from the right one.
        asked = listed[name] if hashed else name
        plain = printable(asked) == asked
        if plain and 0 < os.path.getsize(os.path.join(root, asked)) <= 256 << 10:
            samples.append((os.path.getmtime(target), asked))
    # The newest are what this step has most likely written; the rest evenly, because one file may be the same in both.
    samples = [name for _, name in sorted(samples, reverse=True)]
    newest, rest = samples[:6], samples[6:]
    samples = newest + rest[:: max(1, len(rest) // 6)][:6]
    few = arguments["few"]
    closed = unreadable(there, arguments["user"]) if arguments["user"] else []
    if closed is None:
        return {"error": "there is no user " + arguments["user"]}
    return dict(
        seen,
        root=root,
        files=len(wanted),
        digest=whole.hexdigest(),
        missing=len(missing),
        missing_some=missing[:few],
        different=len(different),
        different_some=different[:few],
        unreadable=len(closed),
        unreadable_some=sorted(set(closed))[:few],
        manifest=manifest,
        samples=samples,
    )


def collect_into(root):
    """Lets the application collect its static files into another place than its settings name."""
    from django.conf import settings
    from django.contrib.staticfiles.storage import staticfiles_storage
    from django.utils.functional import empty

    settings.STATIC_ROOT = root
    # A storage that is made already has the former place.
    try:
        from django.core.files.storage import storages

        storages._storages.pop("staticfiles", None)
    except ImportError:
        pass
    staticfiles_storage._wrapped = empty


def collect():
    from django.contrib.staticfiles.storage import staticfiles_storage
    from django.core import management

    found = os.path.abspath(staticfiles_storage.path(""))
    if found != os.path.abspath(arguments["into"]):
        sys.exit("the static files storage has a place of its own, " + found + ", whatever STATIC_ROOT is")
    management.call_command("collectstatic", interactive=False)


def databases():
    """Where the settings say that each database is; none is asked."""
    from django.db import connections

    found = {}
    for alias, settings in connections.databases.items():
        options = settings.get("OPTIONS") or {}
        place = {key.lower(): settings.get(key) for key in ("ENGINE", "NAME", "HOST", "PORT")}
        place.update((key, options.get(key)) for key in ("unix_socket", "read_default_file", "service"))
        found[alias] = {key: str(value or "") for key, value in place.items()}
    return {"databases": found}


def execute(argv=None):
    """Takes the place of `execute_from_command_line`: manage.py has set up all that a command would have."""
    import django
    from django.conf import settings

    django.setup()
    if arguments.get("into"):
        collect_into(arguments["into"])
    if question == "collect":
        collect()
        return
    questions = {"check": check, "databases": databases, "static": static}
    questions.update(globals().get("more", {}))
    value = questions[question]()
    value["django"] = django.get_version()
    value["settings"] = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    value["debug"] = bool(settings.DEBUG)
    answer(value)


def refused(error):
    """A database refused to be written."""
    while error is not None:
        text = str(error).lower()
        if "read only" in text or "read-only" in text or "readonly" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def main():
    from django.core import management

    management.execute_from_command_line = execute
    # Entry points of other names use this one.
    management.ManagementUtility.execute = lambda self: execute()
    if arguments["read_only"]:
        from django.db.backends.signals import connection_created

        read_only(connection_created)
    try:
        if manage:
            sys.argv = [manage, "check"]
            sys.path[0:1] = [os.path.dirname(manage)]
            runpy.run_path(manage, run_name="__main__")
        else:
            sys.argv = ["django", "check"]
            sys.path[0:1] = [os.getcwd()]
            execute()
    except Exception as error:
        if not (arguments["read_only"] and refused(error)):
            raise
        why = "the application writes to its database when it is set up: " + str(error)
        if question == "collect":
            sys.exit(why)
        answer({"unseen": why})


main()

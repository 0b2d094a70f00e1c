# Talks to the workers of one Celery application, for the program that started it.
#
# One import of the application serves all questions. Questions come as lines of JSON on standard input, each is
# answered by one line of JSON on what was standard output; all that the application itself prints goes to standard
# error. It ends when its input ends, whatever it is waiting for. It runs on Python 2.7 and 3.6 and later, with Celery
# 3.1 and later. It leaves out what tasks were called with: that may hold secrets.

import calendar
import json
import os
import sys
import threading
import time

try:
    from queue import Queue
except ImportError:
    from Queue import Queue

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

# How many tasks are named; all are counted.
NAMED = 20

lines = Queue()


def read():
    while True:
        line = sys.stdin.readline()
        if not line:
            # Whoever asked is gone. A broker that does not answer must not keep us.
            os._exit(0)
        lines.put(line)


secrets = []


def clean(text):
    for secret in secrets:
        text = text.replace(secret, "***")
    return text[:2000]


def say(answer):
    out.write(json.dumps(answer) + "\n")
    out.flush()


def why(error):
    return clean("{}: {}".format(type(error).__name__, error))


def brief(task):
    return {
        "id": task.get("id") or "",
        "name": task.get("name") or task.get("type") or "",
        "since": task.get("time_start") if isinstance(task.get("time_start"), (int, float)) else None,
    }


def due(entry):
    # An ETA is told as ISO 8601 with its offset from UTC.
    text = entry.get("eta")
    if not text:
        return None
    try:
        base = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
        rest = text[19:].lstrip(".0123456789")
        if rest[:1] in "+-" and len(rest) >= 6:
            away = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
            base += away if rest[0] == "-" else -away
        return base
    except ValueError:
        return None


class Inspector(object):
    def __init__(self, setup):
        for name, key in (
            ("broker", "CELERY_BROKER_URL"),
            ("loader", "CELERY_LOADER"),
            ("config", "CELERY_CONFIG_MODULE"),
        ):
            if setup.get(name):
                os.environ[key] = setup[name]
        sys.path.insert(0, os.getcwd())
        import celery

        if setup.get("django"):
            # `manage.py celery`: the settings make the application.
            import django

            if hasattr(django, "setup"):
                django.setup()
            try:
                import djcelery

                djcelery.setup_loader()
            except ImportError:
                pass
        # Celery 5 takes the option from the environment, too.
        module = setup.get("module") or (None if setup.get("django") else os.environ.get("APP"))
        if module:
            from celery.app.utils import find_app

            self.app = find_app(module)
        else:
            from celery.app import app_or_default

            self.app = app_or_default()
        if setup.get("broker"):
            self.connection = self.app.connection(setup["broker"])
        else:
            opened = getattr(self.app, "connection_for_write", None) or self.app.connection
            self.connection = opened()
        if self.connection.password and len(self.connection.password) > 3:
            secrets.append(self.connection.password)
        self.connection.ensure_connection(max_retries=1, interval_start=0.2)
        self.hello = {
            "celery": getattr(celery, "__version__", ""),
            "driver": self.connection.transport.driver_type,
            "broker": clean(self.connection.as_uri()),
            "queues": sorted(self.app.amqp.queues),
        }

    def named(self, written):
        """The name that a worker answers by which was given that one: Celery's own rule."""
        try:
            from celery.utils.nodenames import default_nodename, host_format
        except ImportError:
            from celery.utils import default_nodename, host_format
        try:
            return host_format(default_nodename(written or None))
        except Exception:
            # Whoever was given it could not start either.
            return None

    def broadcast(self, command, arguments=None, nodes=None, timeout=1.0, limit=None, connection=None):
        answers = self.app.control.broadcast(
            command,
            arguments=arguments or {},
            destination=nodes,
            reply=True,
            timeout=timeout,
            limit=limit,
            connection=connection or self.connection,
        )
        return [(node, said) for answer in answers or [] for node, said in answer.items()]

    def gather(self, commands, nodes, timeout, limit):
        """What each command is answered, all of them asked at once: a worker that runs a task in its own process answers
        them in one pause between two tasks."""
        said, errors = {}, []

        def ask(command):
            try:
                connection = self.connection.clone()
                try:
                    said[command] = self.broadcast(command, None, nodes, timeout, limit, connection)
                finally:
                    connection.release()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=ask, args=(command,)) for command in commands]
        for thread in threads:
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return said

    def look(self, ask):
        names = dict((written, self.named(written)) for written in ask["names"])
        answer = {"roll": [], "reports": [], "names": dict((w, n) for w, n in names.items() if n)}
        aspects = ("active_queues", "active", "reserved", "scheduled")
        nodes = ask["nodes"]
        if ask["named"] and all(names.values()):
            nodes = sorted(set(names.values()))
        # Whoever is named ends the wait by answering; of others nobody knows how many there are.
        limit = ask["expected"] if nodes else None
        told = self.gather(("stats",) + aspects, nodes or None, ask["timeout"], limit)
        roll = answer["roll"]
        for node, said in told["stats"]:
            if isinstance(said, dict) and isinstance(said.get("pid"), int):
                pool = said.get("pool") or {}
                children = [p for p in pool.get("processes") or [] if isinstance(p, int)]
                roll.append({"node": node, "pid": said["pid"], "children": children})
        nodes = sorted(set(r["node"] for r in roll))
        said_by = {}
        for aspect in aspects:
            for node, said in told[aspect]:
                if isinstance(said, list):
                    said_by.setdefault(node, {}).setdefault(aspect, []).append(said)
        for node in nodes:
            parts = said_by.get(node, {})
            wanted = len([r for r in roll if r["node"] == node])
            gather = {a: [x for said in parts.get(a, []) for x in said] for a in aspects}
            times = sorted(t for t in map(due, gather["scheduled"]) if t is not None)
            answer["reports"].append({
                "node": node,
                "whole": all(len(parts.get(a, [])) >= wanted for a in gather),
                "queues": sorted(set(q["name"] for q in gather["active_queues"] if q.get("name"))),
                "active": len(gather["active"]),
                "running": [brief(t) for t in gather["active"][:NAMED]],
                "reserved": len(gather["reserved"]),
                "waiting": [brief(t) for t in gather["reserved"][:NAMED]],
                "scheduled": len(gather["scheduled"]),
                "due_in": times[0] - time.time() if times else None,
            })
        return answer

    def consume(self, ask):
        said = self.broadcast(
            "add_consumer" if ask["add"] else "cancel_consumer",
            {"queue": ask["queue"]},
            nodes=[ask["node"]],
            timeout=ask["timeout"],
            limit=1,
        )
        return {"answered": len(said)}

    def lengths(self, ask):
        queues = {}
        for name in ask["queues"]:
            channel = self.connection.channel()
            try:
                queues[name] = channel.queue_declare(queue=name, passive=True).message_count
            except self.connection.channel_errors:
                # There is no such queue: Redis keeps no empty one.
                queues[name] = 0
            finally:
                try:
                    channel.close()
                except Exception:
                    pass
        answer = {"queues": queues, "unacked": None, "visibility": None}
        if self.connection.transport.driver_type == "redis":
            channel = self.connection.default_channel
            answer["unacked"] = channel.client.hlen(channel.unacked_key)
            answer["visibility"] = channel.visibility_timeout
        return answer


def main():
    setup = json.loads(sys.stdin.readline())
    reader = threading.Thread(target=read)
    reader.daemon = True
    reader.start()
    try:
        inspector = Inspector(setup)
    except BaseException as error:
        say({"error": why(error)})
        os._exit(1)
    say(inspector.hello)
    while True:
        ask = json.loads(lines.get())
        try:
            say(getattr(inspector, ask["do"])(ask))
        except BaseException as error:
            say({"error": why(error)})
            # A connection that broke in the middle of an answer is not used again.
            os._exit(1)


main()

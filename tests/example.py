#!/usr/bin/env python3
"""Makes docs/examples: the night of an upgrade that had to be rolled back, as its timeline and its report tell it.

    tests/example.py [PROGRAM]          default: target/release/upledger; needs root, git, nginx, and a minute and a half

The shop is that of `upledger demo` behind a real Nginx, with more orders and with an index for its search; everything that
happens to it happens: the runner is killed during the migration, the machine's processes during the building of the index,
and the new release is broken. Directory, host and network are namespaces of this script, so that the record names nothing
of the machine that it was made on. Only times and process ids differ from one making to the next.
"""

import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PLACE = pathlib.Path("/srv/shop")
FRONT, SHOP = 8080, 8000
ORDERS = 24000
INDEX = """import sqlite3, sys, time

database, index = sys.argv[1:]
rows = sqlite3.connect(database).execute("SELECT id, customer FROM orders ORDER BY id").fetchall()
with open(index, "w", encoding="utf-8") as out:
    for n, (order, customer) in enumerate(rows, 1):
        out.write(f"{customer}\\t{order}\\n")
        if n % 2000 == 0:
            out.flush()
            print(f"{n} of {len(rows)} orders are in the index", flush=True)
            time.sleep(0.7)
"""
NGINX = f"""pid {PLACE}/run/nginx.pid;
error_log {PLACE}/log/nginx.log;
worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {PLACE}/run/body; proxy_temp_path {PLACE}/run/proxy; fastcgi_temp_path {PLACE}/run/f;
  uwsgi_temp_path {PLACE}/run/u; scgi_temp_path {PLACE}/run/s;
  server {{
    listen 127.0.0.1:{FRONT};
    location / {{ include {PLACE}/etc/maintenance*.conf; proxy_pass http://127.0.0.1:{SHOP}; }}
  }}
}}
"""
PAGE = f'nginx.maintenance: {{file: "${{root}}/etc/maintenance.conf", conf: "${{root}}/etc/nginx.conf", url: "http://127.0.0.1:{FRONT}/health"'
MIGRATE = f"python3, {PLACE}/shop/migrate.py"
PLAN = f"""# The upgrade of the shop: a maintenance page, new code, whole cents in the database, a new index for the search.
upledger: 1
name: shop 1.0 to 2.0
change: {{id: CR-2026-1107, reason: amounts in whole cents, risk: medium, impact: "the shop shows a maintenance page, for at most 30 minutes", services: [shop]}}
vars: {{root: {PLACE}}}
phases:
  - phase: before
    steps:
      - id: shop-is-healthy
        do: {{http.check: {{url: "http://127.0.0.1:{FRONT}/health", contains: '"health": "ok"'}}}}
        after_rollback: true
  - phase: close
    steps:
      - id: page-on
        do: {{{PAGE}, content: "return 503;\\n"}}}}
        why: users see the maintenance page while Nginx keeps running
      - id: stop
        do: {{process.stop: {{pidfile: "${{root}}/run/shop.pid", port: {SHOP}, grace: 10s}}}}
        env: {{SHOP_DATABASE: "${{root}}/shop.db"}}
  - phase: change
    steps:
      - id: code
        do: {{git.deploy: {{repo: "${{root}}/shop.git", ref: shop/2.0, into: "${{root}}/shop"}}}}
      - id: backup
        do: {{file.backup: {{path: "${{root}}/shop.db", to: "${{root}}/backup/shop-1.0.db", sha256: true}}}}
      - id: migrate
        why: not idempotent - a second run would fail half-way
        do: {{run: [{MIGRATE}, up, "${{root}}/shop.db", "${{root}}/log/migrations.log"]}}
        probe: {{run: [{MIGRATE}, state, "${{root}}/shop.db"]}}
        verify: {{run: [{MIGRATE}, state, "${{root}}/shop.db"]}}
        effect: probed
        timeout: 5m
        undo:
          run: [{MIGRATE}, restore, "${{root}}/backup/shop-1.0.db", "${{root}}/shop.db"]
          probe: {{run: [{MIGRATE}, same, "${{root}}/backup/shop-1.0.db", "${{root}}/shop.db"]}}
          effect: idempotent
      - id: search-index
        do: {{run: [python3, "${{root}}/index.py", "${{root}}/shop.db", "${{root}}/search.tsv"]}}
        on_doubt: ask
        timeout: 5m
        undo: {{run: [rm, -f, "${{root}}/search.tsv"], effect: idempotent}}
  - phase: start
    steps:
      - id: start
        do:
          process.start:
            argv: [python3, "${{root}}/shop/shop.py", "{SHOP}"]
            pidfile: ${{root}}/run/shop.pid
            log: ${{root}}/log/shop.log
        env: {{SHOP_DATABASE: "${{root}}/shop.db"}}
      - id: health
        do: {{http.check: {{url: "http://127.0.0.1:{SHOP}/health", contains: '"health": "ok"', within: 5s}}}}
  - phase: open
    steps:
      - id: page-off
        do: {{{PAGE}, on: false}}}}
      - id: users-are-served
        do: {{http.check: {{url: "http://127.0.0.1:{FRONT}/orders/1", contains: customer, within: 10s}}}}
"""


INSTALL = f"""# The shop as it is before the night.
upledger: 1
name: shop 1.0
phases:
  - phase: all
    steps:
      - id: start
        do:
          process.start:
            argv: [python3, "{PLACE}/shop/shop.py", "{SHOP}"]
            pidfile: {PLACE}/run/shop.pid
            log: {PLACE}/log/shop.log
        env: {{SHOP_DATABASE: "{PLACE}/shop.db"}}
"""


class Night:
    """The commands that people type, each under the name of who types it."""

    def __init__(self, program):
        self.program = program
        self.runner = None

    def environment(self, who):
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TZ": "Asia/Shanghai",
            "SUDO_USER": who, "UPLEDGER_STATE": "/srv/upledger", "UPLEDGER_MEMORY": "/srv/upledger-memory",
            "UPLEDGER_LANG": "en",
        }

    def says(self, who, *words, code=0):
        done = subprocess.run(
            [self.program, *words], cwd=PLACE, env=self.environment(who), stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        if done.returncode != code:
            sys.exit(f"upledger {' '.join(words)} ended with {done.returncode}, not {code}:\n{done.stdout}")
        return done.stdout

    def begins(self, who, *words):
        """A command that is killed later."""
        self.runner = subprocess.Popen(
            [self.program, *words], cwd=PLACE, env=self.environment(who), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def until_printed(self, step, text):
        def printed():
            if self.runner.poll() is not None:
                sys.exit(f"the runner ended with {self.runner.returncode}:\n{self.says_or_nothing('log')}")
            return text in self.says_or_nothing("log", "--output", step)

        wait_for(f"{step} prints {text}", printed)

    def says_or_nothing(self, *words):
        done = subprocess.run(
            [self.program, *words], cwd=PLACE, env=self.environment("alice"), capture_output=True, text=True
        )
        return done.stdout

    def killed(self, everything=False):
        """The runner is killed; with everything, the supervisor and the command of its step are, too."""
        self.runner.kill()
        self.runner.wait()
        for pid in filter(str.isdigit, os.listdir("/proc")) if everything else ():
            try:
                words = pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"__supervise-detached" in words[1:2] or f"{PLACE}/index.py".encode() in words:
                os.kill(int(pid), signal.SIGKILL)

    def thinks(self, seconds):
        """People read and talk before they act; what they wait for is not a condition that could be asked."""
        time.sleep(seconds)


def wait_for(what, holds):
    end = time.monotonic() + 120
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not within two minutes: {what}")
        time.sleep(0.1)


def answers(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def git(*words):
    quiet = ["-c", "user.name=shop", "-c", "user.email=shop@example.com", "-c", "init.defaultBranch=main"]
    dated = dict(os.environ, GIT_AUTHOR_DATE="2026-11-01T12:00:00Z", GIT_COMMITTER_DATE="2026-11-01T12:00:00Z")
    subprocess.run(["git", *quiet, *words], cwd=PLACE / "source", env=dated, check=True, stdout=subprocess.DEVNULL)


def build():
    """The shop as it runs before the night: release 1.0, its orders, its Nginx."""
    for name in ("source", "etc", "run", "log", "backup"):
        (PLACE / name).mkdir(parents=True)
    demo = ROOT / "src" / "demo"
    git("init", "--quiet")
    for release in ("1.0", "2.0"):
        for file in (demo / f"v{release[0]}").iterdir():
            text = file.read_text().replace("ORDERS = 4000", f"ORDERS = {ORDERS}")
            # A slip in the name of a column, as no compiler would find it.
            (PLACE / "source" / file.name).write_text(text.replace("sum(cents)", "sum(net_cents)"))
        git("add", ".")
        git("commit", "--quiet", "--message", f"shop {release}")
        git("tag", f"shop/{release}")
    git("clone", "--quiet", "--bare", ".", str(PLACE / "shop.git"))
    shutil.rmtree(PLACE / "source")
    (PLACE / "index.py").write_text(INDEX)
    (PLACE / "plan.yaml").write_text(PLAN)
    (PLACE / "etc" / "nginx.conf").write_text(NGINX)
    subprocess.run(["git", "clone", "--quiet", "--branch", "shop/1.0", PLACE / "shop.git", PLACE / "shop"], check=True,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["/usr/bin/python3", PLACE / "shop" / "seed.py", PLACE / "shop.db"], check=True, stdout=subprocess.DEVNULL)
    (PLACE / "install.yaml").write_text(INSTALL)
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin") or sys.exit("nginx is missing: apt-get install -y nginx-light")
    subprocess.run([nginx, "-c", PLACE / "etc" / "nginx.conf"], cwd="/", check=True)


def play(night):
    night.says("alice", "run", "install.yaml")
    wait_for("the shop answers", lambda: answers(FRONT))
    night.says("alice", "check", "plan.yaml")
    night.begins("alice", "run", "plan.yaml")
    night.until_printed("migrate", f"{ORDERS // 3 // 1000 * 1000} of {ORDERS} orders")
    # Her session is lost, and her runner with it. The migration goes on by itself.
    night.killed()
    night.thinks(6)
    night.begins("bob", "resume")
    night.until_printed("search-index", f"8000 of {ORDERS}")
    # Now the machine has to be restarted: whatever belongs to the run is gone.
    night.killed(everything=True)
    night.thinks(8)
    night.says("bob", "resume", code=4)
    night.thinks(4)
    night.says("bob", "note", "the index file ends at order 8000; building it again starts with an empty file")
    night.says("bob", "decide", "search-index", "retry", "--reason", "it can be built again from the start")
    night.says("bob", "resume", code=1)
    night.thinks(7)
    night.says("alice", "note", "the log of the shop says: no such column: net_cents; release 2.0 reads a column that the migration does not make")
    night.says("alice", "rollback", "--reason", "release 2.0 is broken, carol agrees by phone", code=5)


def write(night):
    for command in ("timeline", "report"):
        for end, lang in ((".html", "en"), (".zh-CN.html", "zh"), (".md", "en")):
            file = EXAMPLES / f"{command}{end}"
            file.unlink(missing_ok=True)
            night.says("alice", command, "--lang", lang, "--out", str(file))
            file.chmod(0o644)
    shutil.copy(PLACE / "plan.yaml", EXAMPLES / "plan.yaml")


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/upledger").resolve()
    if os.environ.get("UPLEDGER_EXAMPLE") != "inside":
        inside = dict(os.environ, UPLEDGER_EXAMPLE="inside")
        namespaces = ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
        sys.exit(subprocess.run([*namespaces, "/usr/bin/python3", __file__, str(program)], env=inside).returncode)
    place = ROOT / "target" / "example"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "machine-id").write_text("5e1f" * 8 + "\n")
    for command in (
        ["mount", "--bind", place / "machine-id", "/etc/machine-id"],
        ["mount", "--bind", place, "/srv"],
        ["hostname", "shop-1"],
        ["ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)
    build()
    night = Night(program)
    try:
        play(night)
        write(night)
    finally:
        # The shop ends with the namespace of its processes.
        os.kill(int((PLACE / "run" / "nginx.pid").read_text()), signal.SIGTERM)


main()

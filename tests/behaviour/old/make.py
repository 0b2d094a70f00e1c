#!/usr/bin/env python3
"""Makes the archives in this directory: ledgers and states that upledger 0.1.0 left, killed at many places of a run and
of a rollback, for `before_contract.rs`.

    make.py UPLEDGER [STATE...]

UPLEDGER is a dev build (failpoints!) of the program before the contract of actions: commit 6937044, version 0.1.0. All
archives that are committed were made by that one; a later program cannot make them.

Each archive holds `state` (the state directory without its reserve and its lock), `memory` (the memory of heads) and
the files that the plan worked on. Absolute paths are in the ledgers, so they can only be unpacked into ROOT. No process
of a state lives any more: a daemon that a plan started was killed after everything else.
"""

import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path("/var/tmp/upledger-before-contract")
HERE = pathlib.Path(__file__).resolve().parent
UPLEDGER = None
STATES = {}

# A step waits while its file is there: `hold` forwards, `hold-back` backwards, `hold-look` in a probe.
WAIT = "while [ -e @/%s ]; do sleep 0.05; done"

COMMANDS = f"""
upledger: 1
name: commands
phases:
  - phase: all
    steps:
      - id: one
        do: {{shell: "echo one >> @/trace; echo '{{\\"word\\": \\"seven\\"}}'"}}
        facts: {{word: {{json: .word}}}}
        on_doubt: ask
        undo: {{shell: "echo -one >> @/trace", on_doubt: ask}}
      - id: two
        do: {{shell: "[ ! -e @/broken ] || exit 3; echo two >> @/trace; {WAIT % 'hold'}; echo end of two >> @/trace"}}
        on_doubt: ask
        undo: {{shell: "[ ! -e @/broken ] || exit 3; echo -two >> @/trace; {WAIT % 'hold-back'}", on_doubt: ask}}
      - id: three
        do: {{run: [sh, -c, 'echo three $0 >> @/trace; touch @/three', {{from: one.word}}]}}
        probe: {{shell: "echo look >> @/looks; {WAIT % 'hold-look'}; test -e @/three"}}
        effect: probed
        undo: {{shell: "echo -three >> @/trace; rm -f @/three", effect: idempotent}}
"""

LOOKS = """
upledger: 1
name: looks
phases:
  - phase: all
    steps:
      - {id: there, do: {expect.file: {path: @/app.conf, contains: workers}}}
      - {id: word, do: {expect.command: {argv: [cat, @/limits], stdout_contains: come, within: 30s}}}
      - {id: after, do: {shell: "echo after >> @/trace"}, on_doubt: ask, undo: none}
"""

TAIL = f"""
      - id: tail
        do: {{shell: "[ ! -e @/broken ] || exit 3; echo tail >> @/trace; {WAIT % 'hold'}"}}
        probe: {{shell: "echo look >> @/looks; {WAIT % 'hold-look'}; exit 2"}}
        effect: unsafe
        on_doubt: ask
        undo: {{shell: "echo -tail >> @/trace; {WAIT % 'hold-back'}", effect: idempotent}}
"""

FILES = f"""
upledger: 1
name: files
phases:
  - phase: all
    steps:
      - {{id: keep, do: {{file.backup: {{path: @/app.conf}}}}}}
      - {{id: conf, do: {{file.replace: {{path: @/app.conf, content: "workers=4\\n"}}}}}}
      - {{id: limit, do: {{file.line: {{path: @/etc/limits, match: "^nofile ", line: nofile 65536}}}}}}
{TAIL}"""

RELEASE = f"""
upledger: 1
name: release
phases:
  - phase: all
    steps:
      - {{id: stop, do: {{process.stop: {{pidfile: @/pid}}}}}}
      - {{id: code, do: {{git.deploy: {{repo: @/source, ref: app/2.0, into: @/app}}}}}}
      - id: start
        do: {{process.start: {{argv: [tail, -f, @/plan.yaml], pidfile: @/pid, log: @/log}}}}
        ENV
{TAIL}"""

# A typed step among commands: not begun yet, found done, with the undo of a command.
MIXED = """
upledger: 1
name: mixed
phases:
  - phase: all
    steps:
      - id: first
        do: {shell: "echo first >> @/trace; while [ -e @/hold ]; do sleep 0.05; done"}
        on_doubt: ask
        undo: {shell: "echo -first >> @/trace; while [ -e @/hold-back ]; do sleep 0.05; done", on_doubt: ask}
"""
LINE = """
      - {id: limit, do: {file.line: {path: @/etc/limits, match: "^nofile ", line: nofile 65536}}}
"""
LINE_IN_UNDO = """
      - id: limit
        do: {shell: "echo nofile 65536 > @/etc/limits"}
        on_doubt: ask
        undo: {file.line: {path: @/etc/limits, match: "^nofile ", line: nofile 1024}}
"""
LAST = """
      - {id: last, do: {shell: "echo last >> @/trace"}, on_doubt: ask, undo: {shell: "echo -last >> @/trace", on_doubt: ask}}
"""


# ---- The program and its processes ----

def environment(state, point=None):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(ROOT), "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {"UPLEDGER_STATE": str(ROOT / state), "UPLEDGER_MEMORY": str(ROOT / "memory")}
    if point:
        env["UPLEDGER_FAILPOINT"] = point
    return env


def start(*words, state="state", point=None):
    """The program, in a session of its own; it goes on."""
    return subprocess.Popen(
        [UPLEDGER, *words], cwd=ROOT, env=environment(state, point), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, text=True)


def up(*words, code=0, **options):
    """The program, to its end; -9 for one that a failpoint killed."""
    process = start(*words, **options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, f"{words}: {process.returncode}, not {code}: {err}"


def until(what, holds):
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.01)


def processes(wanted):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted(entry):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def has_open(entry, below):
    return any(os.readlink(fd).startswith(str(below)) for fd in (entry / "fd").iterdir())


def attempts():
    """Supervisors, commands and what they started: whoever has a file of a job directory open."""
    return processes(lambda entry: has_open(entry, ROOT / "state/jobs"))


def stopped():
    """The process that a failpoint has stopped."""
    return processes(lambda entry: (entry / "stat").read_text().rpartition(")")[2].split()[0] == "T"
                     and has_open(entry, ROOT / "state"))


def daemons():
    return processes(lambda entry: (entry / "cmdline").read_bytes() == f"tail\0-f\0{ROOT}/plan.yaml\0".encode())


def end(pids, how=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass


def kill(runner):
    runner.kill()
    runner.communicate()


def lines(name):
    path = ROOT / name
    return path.read_text().splitlines() if path.exists() else []


def touch(*names):
    for name in names:
        (ROOT / name).touch()


def write(name, text):
    """An undo puts the time back as well, and archives hold whole seconds."""
    (ROOT / name).write_text(text)
    os.utime(ROOT / name, (1_700_000_000, 1_700_000_000))


def remove(name):
    (ROOT / name).unlink()


# ---- Places to die ----

def die(point, *words):
    """The runner dies at a failpoint, and nothing that it started lives."""
    up(*words, code=-9, point=point)
    until("nothing runs", lambda: not attempts())


def recorded(kind):
    """How many events of that kind are durable and remembered."""
    ledger = sqlite3.connect(f"file:{ROOT}/state/ledger.db?mode=ro", uri=True)
    kinds = [kind for (kind,) in ledger.execute("SELECT kind FROM event")]
    ledger.close()
    (memory,) = (ROOT / "memory").glob("*.json")
    return kinds.count(kind) if json.loads(memory.read_text())["size"] == len(kinds) else None


def die_while_held(hold, line, *words, outcomes=None):
    """The runner dies while a step or a look runs, which ends by itself afterwards. A look that takes long does not keep
    the outcome before it from being recorded: `outcomes` are so many of a kind."""
    touch(hold)
    runner = start(*words)
    until(f"{line} is said", lambda: line in lines("trace") + lines("looks"))
    if outcomes:
        kind, count = outcomes
        until(f"{count} {kind}", lambda: recorded(kind) == count)
    kill(runner)
    remove(hold)
    until("nothing runs", lambda: not attempts())


def die_at_the_result(step, then, *words):
    """The runner dies while the supervisor stands before the result of a step; then that goes on, or dies as well."""
    runner = start(*words, point=f"stop={step}/before-result")
    until("it has stopped", stopped)
    supervisor = stopped()
    kill(runner)
    end(supervisor, then)
    until("nothing runs", lambda: not attempts())


def pause_while_held(line, *words):
    """A pause, taken after the step that runs."""
    touch("hold")
    runner = start(*words)
    until(f"{line} is said", lambda: line in lines("trace"))
    up("pause", "--reason", "lunch")
    remove("hold")
    runner.communicate(timeout=60)
    assert runner.returncode == 4, runner.returncode


def run_with_a_hole(code):
    """The second step, or the last, finds `broken` and fails."""
    touch("broken")
    up("run", "plan.yaml", code=code)


def plan(text):
    (ROOT / "plan.yaml").write_text(text.replace("@", str(ROOT)).replace("        ENV\n", ""))


RUN = ("run", "plan.yaml")
BACK = ("rollback", "--reason", "back")


# ---- States: commands only ----

def state(make):
    STATES[make.__name__.replace("_", "-")] = make
    return make


@state
def commands_planned():
    plan(COMMANDS)
    die("append:2", *RUN)


@state
def commands_job_made():
    plan(COMMANDS)
    die("job-made:2", *RUN)


@state
def commands_intent():
    plan(COMMANDS)
    die("append:5", *RUN)


@state
def commands_result():
    plan(COMMANDS)
    die_while_held("hold", "two", *RUN)


@state
def commands_lost_result():
    plan(COMMANDS)
    die_at_the_result("two", signal.SIGKILL, *RUN)


@state
def commands_between():
    plan(COMMANDS)
    die_while_held("hold-look", "look", *RUN, outcomes=("step.succeeded", 2))


@state
def commands_paused():
    plan(COMMANDS)
    pause_while_held("two", *RUN)


@state
def commands_failed():
    plan(COMMANDS)
    run_with_a_hole(1)
    remove("broken")


@state
def commands_doubt():
    plan(COMMANDS)
    die_at_the_result("two", signal.SIGKILL, *RUN)
    up("resume", code=4)


@state
def commands_decided():
    commands_doubt()
    up("decide", "two", "done", "--reason", "seen")


@state
def commands_completed():
    plan(COMMANDS)
    up(*RUN)


@state
def commands_aborted():
    commands_paused()
    up("abort", "--reason", "enough", code=12)


@state
def commands_back_started():
    commands_completed()
    die("append:2", *BACK)


@state
def commands_back_result():
    commands_completed()
    die_while_held("hold-back", "-two", *BACK)


@state
def commands_back_lost_result():
    commands_completed()
    die_at_the_result("two", signal.SIGKILL, *BACK)


@state
def commands_back_stuck():
    commands_completed()
    touch("broken")
    up(*BACK, code=6)
    remove("broken")


@state
def commands_back_to():
    commands_completed()
    up(*BACK, "--to", "one", code=5)


@state
def looks_result():
    plan(LOOKS)
    write("app.conf", "workers=1\n")
    write("limits", "to\n")
    runner = start(*RUN)
    until("a look runs", lambda: processes(
        lambda entry: b"__act" in (entry / "cmdline").read_bytes() and has_open(entry, ROOT / "state/jobs")))
    kill(runner)
    write("limits", "to come\n")
    until("nothing runs", lambda: not attempts())


# ---- States: files ----

def files():
    plan(FILES)
    (ROOT / "etc").mkdir()
    write("app.conf", "workers=1\n")
    write("etc/limits", "nofile 1024\n")


@state
def files_planned():
    files()
    die("append:2", *RUN)


@state
def files_job_made():
    files()
    die("job-made:2", *RUN)


@state
def files_intent():
    files()
    die("append:5", *RUN)


@state
def files_result():
    files()
    die_at_the_result("conf", signal.SIGCONT, *RUN)


@state
def files_lost_result():
    files()
    die_at_the_result("conf", signal.SIGKILL, *RUN)


@state
def files_between():
    files()
    die_while_held("hold-look", "look", *RUN, outcomes=("step.succeeded", 3))


@state
def files_failed():
    files()
    run_with_a_hole(1)
    remove("broken")


@state
def files_doubt():
    files()
    die_at_the_result("tail", signal.SIGKILL, *RUN)
    up("resume", code=4)


@state
def files_completed():
    files()
    up(*RUN)


@state
def files_aborted():
    files_failed()
    up("abort", "--reason", "enough", code=12)


@state
def files_back_started():
    files_completed()
    die("append:2", *BACK)


@state
def files_back_result():
    files_completed()
    die_at_the_result("limit", signal.SIGCONT, *BACK)


@state
def files_back_lost_result():
    files_completed()
    die_at_the_result("limit", signal.SIGKILL, *BACK)


@state
def files_back_stuck():
    files_completed()
    (ROOT / "etc").rename(ROOT / "elsewhere")
    up(*BACK, code=6)
    (ROOT / "elsewhere").rename(ROOT / "etc")


# ---- States: a release with daemons and a repository ----

def git(*words):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(ROOT), "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {f"GIT_{who}_{what}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=ROOT / "source", env=env, check=True, stdout=subprocess.DEVNULL)


def release(env=""):
    (ROOT / "source").mkdir()
    git("init", "-q", "-b", "main", "--template=")
    for version in ("1.0", "2.0"):
        (ROOT / "source/version").write_text(version + "\n")
        git("add", "-A")
        git("commit", "-q", "-m", version)
        git("tag", f"app/{version}")
    git("clone", "-q", "--template=", str(ROOT / "source"), str(ROOT / "app"))
    subprocess.run(["git", "checkout", "-q", "app/1.0"], cwd=ROOT / "app", env={"PATH": "/usr/bin:/bin"}, check=True)
    # What is to be stopped was started by an earlier run, whose ledger is of no interest.
    plan("upledger: 1\nname: before\nphases:\n  - phase: all\n    steps:\n      - {id: start, do: {process.start: "
         '{argv: [tail, -f, @/plan.yaml], pidfile: @/pid, log: @/log}}}\n')
    up(*RUN, state="before")
    shutil.rmtree(ROOT / "before")
    shutil.rmtree(ROOT / "memory")
    (ROOT / "plan.yaml").write_text(RELEASE.replace("@", str(ROOT)).replace("ENV", env))


@state
def release_stop_lost_result():
    release()
    die_at_the_result("stop", signal.SIGKILL, *RUN)


@state
def release_code_result():
    release()
    die_at_the_result("code", signal.SIGCONT, *RUN)


@state
def release_start_half():
    """The action itself dies between the pidfile of the daemon and its end, and so does its supervisor."""
    release("env: {UPLEDGER_FAILPOINT: stop=daemon-after-pidfile}")
    runner = start(*RUN)
    until("it has stopped", stopped)
    action = stopped()
    kill(runner)
    # First the supervisor, which would write down how the action ended.
    end(set(attempts()) - set(daemons()) - set(action))
    end(action)
    until("nothing runs", lambda: not attempts())


@state
def release_completed():
    release()
    up(*RUN)


@state
def release_back_start_result():
    """The undo of `start` has ended the daemon, and is not recorded."""
    release_completed()
    die_at_the_result("start", signal.SIGCONT, *BACK)


@state
def release_back_stop_lost_result():
    """The undo of `stop` has started the daemon again, and nobody knows."""
    release_completed()
    die_at_the_result("stop", signal.SIGKILL, *BACK)


# ---- States: a typed step among commands ----

def mixed(*steps):
    plan("".join([MIXED, *steps]))
    (ROOT / "etc").mkdir()
    write("etc/limits", "nofile 1024\n")


@state
def mixed_untouched():
    mixed(LINE, LAST)
    pause_while_held("first", *RUN)


@state
def mixed_satisfied():
    """The typed step was done before the run came; the run stands before the last."""
    mixed(LINE, LAST.replace("}, on", "}, probe: {shell: 'echo look >> @/looks; while [ -e @/hold-look ]; do sleep 0.05; done; exit 1'}, on", 1))
    write("etc/limits", "nofile 65536\n")
    die_while_held("hold-look", "look", *RUN, outcomes=("step.satisfied", 1))


@state
def mixed_undone():
    """The typed step is undone, and what is left to undo is a command."""
    mixed(LINE)
    up(*RUN)
    die_while_held("hold-back", "-first", *BACK)


@state
def mixed_undo():
    """A command whose undo is typed."""
    mixed(LINE_IN_UNDO, TAIL)
    die_while_held("hold-look", "look", *RUN, outcomes=("step.succeeded", 2))


@state
def mixed_undo_stuck():
    """A typed undo of a command, which never worked."""
    mixed_undo()
    up(*BACK, code=6)


# ---- Archives ----

def pack(name):
    """Without an owner: whoever unpacks them has them."""
    def plain(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = int(info.mtime)
        return info

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(ROOT.iterdir()):
            archive.add(path, path.name, filter=plain)
    (HERE / f"{name}.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))


def make(name):
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(mode=0o755)
    try:
        STATES[name]()
        for unwanted in ("state/reserve", "state/runner.lock", "source/.git/COMMIT_EDITMSG"):
            (ROOT / unwanted).unlink(missing_ok=True)
        end(daemons())
        until("the daemons have ended", lambda: not daemons())
        assert not attempts()
        pack(name)
    finally:
        end(daemons() + attempts())
        shutil.rmtree(ROOT)


def main():
    global UPLEDGER
    UPLEDGER = os.path.abspath(sys.argv[1])
    said = subprocess.run([UPLEDGER, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == "upledger 0.1.0\n", said
    # The records name the host.
    subprocess.run(["hostname", "fixture"], check=True) if socket.gethostname() != "fixture" else None
    os.umask(0o022)
    for name in sys.argv[2:] or STATES:
        make(name)
        print(f"{(HERE / name).with_suffix('.tar.gz').stat().st_size:7}  {name}")


if __name__ == "__main__":
    # In a name space of its own, so that the host keeps its name.
    if "UPLEDGER_FIXTURES" not in os.environ:
        os.environ["UPLEDGER_FIXTURES"] = "1"
        os.execvp("unshare", ["unshare", "--uts", sys.executable, *sys.argv])
    main()

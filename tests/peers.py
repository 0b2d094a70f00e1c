#!/usr/bin/env python3
"""What runners do when they are killed in the middle of a command: the table of the README.

    tests/peers.py [PROGRAM]        default: target/release/upledger, which must be built

Three steps; the second one notes its start, works for four seconds and notes its end. The runner, and in a second round
the runner with everything that it started, is killed with SIGKILL one second into it, and run again the way its manual
says. Counted is how often the second step was started and how often it ended.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "peers"
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/upledger").resolve()
SECONDS = 4


def command(step, place):
    if step != 2:
        return "true"
    return f"echo start >> {place}/trace; sleep {SECONDS}; echo end >> {place}/trace"


def shell_loop(place):
    (place / "run.sh").write_text("set -e\n" + "".join(f"sh -c '{command(s, place)}'\n" for s in (1, 2, 3)))
    run = ["sh", str(place / "run.sh")]
    return run, run, {}


def make(place):
    rules = [f"{place}/done3:\n"]
    for step in (1, 2, 3):
        before = f"{place}/done{step - 1}" if step > 1 else ""
        rules.append(f"{place}/done{step}: {before}\n\t@{command(step, place)}\n\t@touch $@\n")
    (place / "Makefile").write_text("".join(rules))
    run = ["make", "-s", "-f", str(place / "Makefile")]
    return run, run, {}


def upledger(place):
    steps = "".join(
        f"      - {{id: step{s}, do: {{shell: {json.dumps(command(s, place))}}}, on_doubt: ask, undo: none}}\n" for s in (1, 2, 3)
    )
    (place / "plan.yaml").write_text(f"upledger: 1\nname: peer\nphases:\n  - phase: all\n    steps:\n{steps}")
    env = {"UPLEDGER_STATE": str(place / "state"), "UPLEDGER_MEMORY": str(place / "memory")}
    return [str(PROGRAM), "run", str(place / "plan.yaml")], [str(PROGRAM), "resume"], env


def stats():
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = pathlib.Path("/proc", name, "stat").read_text().rsplit(")", 1)[1].split()
            found[int(name)] = int(fields[1])
        except OSError:
            pass
    return found


def tree(root):
    parents, found = stats(), [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def holders(place):
    """Processes of the step or its supervisor, wherever they hang in the tree."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", name, "cmdline").read_bytes()
            files = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except OSError:
            continue
        if int(name) != os.getpid() and (str(place).encode() in words or any(f.startswith(str(place)) for f in files)):
            found.append(int(name))
    return found


def trace(place):
    file = place / "trace"
    return file.read_text().split() if file.exists() else []


def crash(peer, everything):
    place = PLACE / f"{peer.__name__}-{'all' if everything else 'runner'}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    run, again, env = peer(place)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, **env}}
    runner = subprocess.Popen(run, **quiet)
    while "start" not in trace(place):
        if runner.poll() is not None:
            sys.exit(f"{peer.__name__} ended before its second step, with exit code {runner.returncode}")
        time.sleep(0.05)
    time.sleep(1)
    pids = [runner.pid]
    if everything:
        pids = sorted(set(tree(runner.pid) + holders(place)))
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    runner.wait()
    code = subprocess.run(again, **quiet).returncode
    time.sleep(SECONDS + 1)
    seen = trace(place)
    return seen.count("start"), seen.count("end"), code


def main():
    if not PROGRAM.exists():
        sys.exit(f"there is no {PROGRAM}; build it with: cargo build --release")
    print(f"{'':12}  {'runner killed':24}  runner and command killed")
    for peer in (shell_loop, make, upledger):
        row = []
        for everything in (False, True):
            starts, ends, code = crash(peer, everything)
            row.append(f"{starts} start(s), {ends} end(s), exit {code}")
        print(f"{peer.__name__:12}  {row[0]:24}  {row[1]}", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What a plan of 10,000 steps costs: the table of docs/performance.md.

    tests/performance.py [--steps N] [PROGRAM]      default: target/release/upledger, which must be built

Runs of the same plan, each step `/bin/true`, with state directories of their own below `target/performance`. The first is
timed and weighed, another one, below strace, has its syncs counted: both do the whole plan. A disk is slower at some
moments than at others, so the last hundred steps of the first run wait until another run of the plan has done its first
hundred, and a third one does its first hundred right behind them. Then what only reads is timed on the ledger of the
first. Each limit is judged in a line of its own; the exit code is 1 if one is broken.
Set UPLEDGER_PERFORMANCE to another directory to choose the disk. Without strace nothing is counted, and that is said.
"""

import argparse
import bisect
import datetime
import os
import pathlib
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = pathlib.Path(os.environ.get("UPLEDGER_PERFORMANCE", ROOT / "target" / "performance"))
PART = 100
"""Steps at either end that are compared."""
GATES = {"first": PART + 10, "last": PART + 10}
"""Steps from the beginning and from the end that fail until there is a file of that name: the run stops there."""

SPEED = 0.9
"""How fast the last hundred steps are at least, against the first."""
STATUS_MS = 100
MEMORY_MIB = 64
SUPERVISOR = b"__supervise-detached"
"""The first argument of a supervisor. Between fork and exec it still has the memory of the runner."""
ROUNDS = 20
"""How often what reads is timed; the median counts."""


def plan(steps, place):
    gates = {GATES["first"]: "first", steps - GATES["last"]: "last"}
    argv = lambda n: f"[/usr/bin/test, -e, {place / gates[n]}]" if n in gates else "[/bin/true]"
    lines = ["upledger: 1", "name: performance", "phases:", "  - phase: all", "    steps:"]
    lines += [
        f"      - {{id: s{n:05}, do: {{run: {argv(n)}}}, effect: idempotent, undo: none}}" for n in range(1, steps + 1)
    ]
    return "\n".join(lines) + "\n"


def environment(place):
    return dict(
        os.environ, UPLEDGER_STATE=str(place / "state"), UPLEDGER_MEMORY=str(place / "memory"), UPLEDGER_LANG="en"
    )


def high_water(pid):
    """The most memory that a process has held so far, in KiB; 0 once it is gone."""
    try:
        lines = pathlib.Path("/proc", str(pid), "status").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def supervisors(program):
    """Every supervisor of the program."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if words[1:2] == [SUPERVISOR] and os.path.samefile(f"/proc/{name}/exe", program):
                yield int(name)
        except OSError:
            pass


def weigh(program, runner, peaks, over):
    """Looks again and again until it is over: the kernel keeps the peak of the runner, but each supervisor is short."""
    while not over.wait(0.05):
        peaks["runner"] = max(peaks["runner"], high_water(runner))
        for pid in supervisors(program):
            peaks["supervisor"] = max(peaks["supervisor"], high_water(pid))


def run(program, place, peaks, gates=(), before=()):
    """Runs the plan, or goes on with it, to its end or to the first gate that is not among these."""
    command = ["resume"]
    begins = not place.exists()
    if begins:
        place.mkdir(parents=True)
        (place / "plan.yaml").write_text(plan(ARGS.steps, place))
        command = ["run", str(place / "plan.yaml")]
    else:
        stopped_at = {"first": GATES["first"], "last": ARGS.steps - GATES["last"]}[gates[-1]]
        decide = ["decide", f"s{stopped_at:05}", "retry", "--reason", "the gate is open"]
        subprocess.run([str(program), *decide], env=environment(place), stdout=subprocess.DEVNULL, check=True)
    for gate in gates:
        (place / gate).touch()
    over = threading.Event()
    with open(place / "printed", "ab") as printed:
        command = [*before, str(program), *command]
        child = subprocess.Popen(command, env=environment(place), stdin=subprocess.DEVNULL, stdout=printed)
        if not before:
            watcher = threading.Thread(target=weigh, args=(program, child.pid, peaks, over))
            watcher.start()
        # The kernel's last word on the runner itself, whenever the watcher looked last.
        _, status, usage = os.wait4(child.pid, 0)
        if not before:
            over.set()
            watcher.join()
    stops = os.waitstatus_to_exitcode(status) == 1 and len(gates) < len(GATES)
    if status != 0 and not stops:
        sys.exit(f"the run ended with {status}; see {place / 'printed'}")
    peaks["runner"] = max(peaks["runner"], usage.ru_maxrss)


def times(place):
    """When each step began and when it was done, by the ledger, in seconds."""
    with sqlite3.connect(f"file:{place}/state/ledger.db?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT kind, ts FROM event WHERE kind IN ('step.started', 'step.succeeded') ORDER BY seq")
        seen = {"step.started": [], "step.succeeded": []}
        for kind, ts in rows:
            at = datetime.datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
            seen[kind].append(at.timestamp())
    return seen["step.started"], seen["step.succeeded"]


def windows(place):
    """When each of the first and of the last hundred steps began, and the one behind them; the last ones are none of a
    run that stopped at the first gate."""
    began, _ = times(place)
    # The intent of a step is recorded together with the outcome of the one before.
    return began[: PART + 1], began[-PART - 1 :]


def durations(began):
    """How long these steps took, in seconds."""
    return [after - before for before, after in zip(began, began[1:])]


def syncs(trace, began):
    """How many syncs there were from each of these moments to the next."""
    counts = [0] * (len(began) - 1)
    with open(trace) as lines:
        for line in lines:
            # PID SECONDS fsync(...) = 0, or the first half of one that another thread interrupted.
            words = line.split(None, 2)
            if len(words) == 3 and words[2].startswith(("fsync(", "fdatasync(")):
                step = bisect.bisect_right(began, float(words[1])) - 1
                if 0 <= step < len(counts):
                    counts[step] += 1
    return counts


def median_ms(program, place, *words):
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([str(program), *words], env=environment(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)


def judge(what, figure, limit, kept):
    print(f"{'pass' if kept else 'FAIL':4}  {what:58} {figure:>14}   {limit}")
    return kept


def machine():
    model = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    return f"{len(model) or os.cpu_count()} x {model[0] if model else platform.machine()}, Linux {platform.release()}"


def main():
    program = ARGS.program.resolve()
    shutil.rmtree(PLACE, ignore_errors=True)
    print(f"{ARGS.steps} steps, {program}, {machine()}", flush=True)

    timed = PLACE / "timed"
    peaks = {"runner": 0, "supervisor": 0}
    run(program, timed, peaks)
    run(program, timed, peaks, ["first"])
    others = [PLACE / "before", PLACE / "behind"]
    run(program, others[0], peaks)
    run(program, timed, peaks, ["first", "last"])
    run(program, others[1], peaks)
    # The median of each, because a machine does other things as well.
    first = statistics.median([took for other in others for took in durations(windows(other)[0])])
    last = statistics.median(durations(windows(timed)[1]))
    began, done = times(timed)
    if len(done) != ARGS.steps:
        sys.exit(f"{len(done)} of {ARGS.steps} steps were done")
    kept = [
        judge(
            f"speed of the last {PART} steps against the first",
            f"{first / last:.2f}",
            f"at least {SPEED}   ({first * 1000:.1f} ms, {last * 1000:.1f} ms a step)",
            first / last >= SPEED,
        )
    ]

    if shutil.which("strace"):
        counted, trace = PLACE / "counted", PLACE / "counted.trace"
        strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-ttt", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        run(program, counted, peaks, list(GATES), strace)
        ends = [syncs(trace, window) for window in windows(counted)]
        # One sync of a step is spared where its supervisor was faster than the runner, so that the sums vary a little.
        first, last = map(statistics.median, ends)
        limit = f"the same   (in all {sum(ends[0])}, {sum(ends[1])})"
        what = f"syncs of a step, median of the first and the last {PART}"
        kept.append(judge(what, f"{first:.0f}, {last:.0f}", limit, first == last))
    else:
        print("----  syncs: there is no strace, so nothing was counted")

    status = median_ms(program, timed, "status")
    kept.append(judge(f"`status`, median of {ROUNDS}", f"{status:.0f} ms", f"under {STATUS_MS} ms", status < STATUS_MS))
    for who in ("runner", "supervisor"):
        mib = peaks[who] / 1024
        kept.append(judge(f"peak memory of the {who}", f"{mib:.1f} MiB", f"under {MEMORY_MIB} MiB", 0 < mib < MEMORY_MIB))

    print()
    for words in (["runs"], ["log"], ["verify"], ["check", str(timed / "plan.yaml")]):
        print(f"      {'`' + words[0] + '`, median of ' + str(ROUNDS):58} {median_ms(program, timed, *words):>11.0f} ms")
    print(f"      {'the whole run':58} {done[-1] - began[0]:>12.0f} s")
    size = (timed / "state" / "ledger.db").stat().st_size
    print(f"      {'the ledger':58} {size / 2**20:>10.1f} MiB")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a plan of many steps costs.")
    parser.add_argument("program", nargs="?", type=pathlib.Path, default=ROOT / "target/release/upledger")
    parser.add_argument("--steps", type=int, default=10_000, help=f"at least {4 * PART}")
    ARGS = parser.parse_args()
    if ARGS.steps < 4 * PART:
        parser.error(f"--steps: at least {4 * PART}")
    sys.exit(main())

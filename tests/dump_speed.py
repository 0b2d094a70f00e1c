#!/usr/bin/env python3
"""What a backup of a million rows costs beside the usual pipeline: a table of docs/performance.md.

    tests/dump_speed.py [--rows N] [--rounds N] [PROGRAM]      default: target/release/upledger, which must be built

A private MariaDB below `target/dump-speed` has one table. Each round dumps it by `mariadb-dump | zstd` and by a plan of one
`mysql.backup`, and restores it by `zstd -d | mariadb` and in that step's own proof; every other round begins with the plan.
The ratios of the medians and the memory are judged; the exit code is 1 if a limit is broken.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "dump-speed"
SOCKET = PLACE / "mariadb.sock"
SCHEMA = "app"
RATIO = 1.05
MEMORY_MIB = 64
OPTIONS = (
    "--opt --single-transaction --quick --routines --events --triggers --hex-blob --order-by-primary "
    "--skip-dump-date --default-character-set=utf8mb4 --set-charset --tz-utc --max-allowed-packet=1G"
)
"""Those of `mysql.backup`: src/host/mysql/dump.rs."""
TABLE = "CREATE TABLE log_index (id INT PRIMARY KEY, name VARCHAR(100), body TEXT, at DATETIME(6), size BIGINT, KEY (at))"
ROWS = (
    "INSERT INTO log_index SELECT seq, CONCAT('index-', MD5(seq)), CONCAT(SHA2(seq, 512), ' it''s a line \\n', MD5(seq + 1)), "
    "TIMESTAMPADD(SECOND, seq, '2026-01-01'), seq * 7919 FROM seq_1_to_{}"
)
PLAN = """upledger: 1
name: dump-speed
phases:
  - phase: all
    steps:
      - {{id: dump, do: {{mysql.backup: {{server: {{socket: {socket}, user: root}}, database: {schema}}}}}, why: a measurement}}
"""


def serve():
    """Starts the server; returns its process."""
    user = ["--user=root"] if os.geteuid() == 0 else []
    common = ["--no-defaults", *user, f"--datadir={PLACE / 'data'}"]
    settings = [f"--socket={SOCKET}", f"--pid-file={PLACE}/mariadb.pid", "--skip-networking", f"--tmpdir={PLACE}"]
    with open(PLACE / "mariadb.log", "ab") as log:
        install = ["mariadb-install-db", *common, "--auth-root-authentication-method=socket", "--skip-test-db"]
        subprocess.run(install, stdout=log, stderr=log, check=True)
        server = ["mariadbd", *common, *settings, "--innodb-buffer-pool-size=512M", "--innodb-flush-log-at-trx-commit=2"]
        child = subprocess.Popen(server, stdout=log, stderr=log)
    for _ in range(600):
        if subprocess.run(client("SELECT 1"), capture_output=True).returncode == 0:
            return child
        time.sleep(0.1)
    sys.exit(f"MariaDB does not answer; see {PLACE / 'mariadb.log'}")


def client(query, schema=""):
    return ["mariadb", "--no-defaults", f"--socket={SOCKET}", "--user=root", f"--execute={query}", *filter(None, [schema])]


def ask(query, schema=""):
    subprocess.run(client(query, schema), check=True, stdout=subprocess.DEVNULL)


def piped(line):
    """How long a pipeline took, in seconds."""
    start = time.perf_counter()
    subprocess.run(["bash", "-euo", "pipefail", "-c", line], check=True)
    return time.perf_counter() - start


def by_hand():
    """How long the dump and the restore took."""
    file = PLACE / "hand.sql.zst"
    login = f"--no-defaults --socket={SOCKET} --user=root"
    ask("CREATE DATABASE by_hand CHARACTER SET utf8mb4")
    dump = piped(f"mariadb-dump {login} {OPTIONS} -- {SCHEMA} | zstd -q -f -o {file}")
    restore = piped(f"zstd -q -d -c {file} | mariadb {login} by_hand")
    ask("DROP DATABASE by_hand")
    return dump, restore


def weigh(program, peaks, over):
    """The most memory that any process of the program has held, in KiB."""
    while not over.wait(0.02):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.path.samefile(f"/proc/{pid}/exe", program):
                    status = pathlib.Path("/proc", pid, "status").read_text()
                    peaks.append(int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
            except (OSError, TypeError):
                pass


def by_plan(program, number, peaks):
    """How long the dump and the restore of the step took, by its own words."""
    place = PLACE / f"run-{number}"
    place.mkdir()
    plan = place / "plan.yaml"
    plan.write_text(PLAN.format(socket=SOCKET, schema=SCHEMA))
    environment = dict(
        os.environ, UPLEDGER_STATE=str(place / "state"), UPLEDGER_MEMORY=str(place / "memory"), UPLEDGER_LANG="en"
    )
    over = threading.Event()
    watcher = threading.Thread(target=weigh, args=(program, peaks, over))
    watcher.start()
    with open(place / "printed", "wb") as printed:
        done = subprocess.run([program, "run", plan], env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
    over.set()
    watcher.join()
    if done.returncode != 0:
        sys.exit(f"the run ended with {done.returncode}; see {place / 'printed'}")
    said = subprocess.run([program, "log", "--output", "dump"], env=environment, capture_output=True, text=True).stdout
    took = [float(re.search(rf"{word} \d+ MiB in ([\d.]+) s", said)[1]) for word in ("dumped", "restored")]
    shutil.rmtree(place)
    return took


def judge(what, figure, limit, kept):
    print(f"{'pass' if kept else 'FAIL':4}  {what:48} {figure:>10}   {limit}")
    return kept


def main():
    program = ARGS.program.resolve()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    server = serve()
    try:
        ask(f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4")
        ask(TABLE, SCHEMA)
        ask(ROWS.format(ARGS.rows), SCHEMA)
        hand, plan, peaks = [], [], []
        for number in range(ARGS.rounds):
            if number % 2 == 0:
                hand.append(by_hand())
            plan.append(by_plan(program, number, peaks))
            if number % 2 == 1:
                hand.append(by_hand())
            print("  ".join(f"{t:.2f} s" for t in (*hand[-1], *plan[-1])), flush=True)
    finally:
        server.terminate()
        server.wait()
    kept = []
    for at, what in enumerate(("dump", "restore")):
        ours, theirs = (statistics.median(took[at] for took in all) for all in (plan, hand))
        seconds = f"at most {RATIO}   ({ours:.2f} s, {theirs:.2f} s by hand)"
        kept.append(judge(f"{what} of {ARGS.rows} rows against the pipeline", f"{ours / theirs:.2f}", seconds, ours <= RATIO * theirs))
    mib = max(peaks) / 1024
    kept.append(judge("peak memory of any of its processes", f"{mib:.1f} MiB", f"under {MEMORY_MIB} MiB", mib < MEMORY_MIB))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a backup of many rows costs beside the usual pipeline.")
    parser.add_argument("program", nargs="?", type=pathlib.Path, default=ROOT / "target/release/upledger")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    ARGS = parser.parse_args()
    sys.exit(main())

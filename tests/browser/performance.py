#!/usr/bin/env python3
"""What the page of a run of 10,000 events costs: the figures of docs/performance.md.

    tests/browser/performance.py [--events N] [--page FILE] [PROGRAM]     default: target/release/upledger, which must be built

Runs a plan of half as many steps as events, each `/bin/true`, writes its timeline, opens it in headless Chromium at 1280
and at 390 pixels, and scrolls from its beginning to its end and back as a finger does. The browser itself says which of its
tasks took longer than 50 ms. Each limit is judged in a line of its own; the exit code is 1 if one is broken.
With --page nothing is run, and that file is opened: the page of a report, for example.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from devtools import Browser, Page

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLACE = ROOT / "target" / "page-performance"
SIZE_MB = 3
TASK_MS = 200
WRITE_S = 0.5
ROUNDS = 5
"""How often the page is written; the median counts."""
SPEED = 8000
"""Pixels a second: a finger that scrolls fast."""
MOST = 60_000
"""Pixels of one gesture."""
WATCH = """window.longest = [];
new PerformanceObserver(list => list.getEntries().forEach(e => longest.push(e.duration))).observe({type: 'longtask', buffered: true}); 0"""

BUSY = """new Promise(done => setTimeout(() => { const until = performance.now() + 150; while (performance.now() < until);
  setTimeout(() => done(longest.splice(0).length), 100) }, 0))"""
"""How many long tasks the browser notices of one that is there."""


def plan(steps):
    lines = ["upledger: 1", "name: page", "phases:", "  - phase: all", "    steps:"]
    lines += [f"      - {{id: s{n:05}, do: {{run: [/bin/true]}}, effect: idempotent, undo: none}}" for n in range(1, steps + 1)]
    return "\n".join(lines) + "\n"


def judge(what, figure, limit, kept):
    print(f"{'pass' if kept else 'FAIL':4}  {what:66} {figure:>12}   {limit}", flush=True)
    return kept


def written(program, events):
    """The page of such a run, and how long it took to write, in seconds."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    (PLACE / "plan.yaml").write_text(plan(events // 2))
    here = dict(os.environ, UPLEDGER_STATE=str(PLACE / "state"), UPLEDGER_MEMORY=str(PLACE / "memory"), UPLEDGER_LANG="en")
    call = lambda *words: subprocess.run([program, *words], env=here, stdout=subprocess.DEVNULL, check=True)
    call("run", "--quiet", str(PLACE / "plan.yaml"))
    took = []
    for n in range(ROUNDS):
        began = time.perf_counter()
        call("timeline", "--out", str(PLACE / f"{n}.html"))
        took.append(time.perf_counter() - began)
    return PLACE / "0.html", statistics.median(took)


def scrolled(browser, file, width):
    """How long the page took to load, in seconds, and its tasks of more than 50 ms while it was scrolled."""
    with Page(browser, width) as page:
        began = time.perf_counter()
        page.open(file)
        loaded = time.perf_counter() - began
        page.ask(WATCH)
        # What loading left behind is over once two frames have been shown.
        page.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(longest.length = 0))))")
        if not page.ask(BUSY):
            sys.exit("a long task was not noticed")
        height = page.ask("document.documentElement.scrollHeight")
        for distance in (-min(height, MOST), min(height, MOST)):
            page.call("Input.synthesizeScrollGesture", x=width // 2, y=400, yDistance=distance, speed=SPEED)
        # To the very end at once, as the key does it.
        page.ask("new Promise(done => { scrollTo(0, document.documentElement.scrollHeight); requestAnimationFrame(() => requestAnimationFrame(() => done(0))) })")
        return loaded, page.ask("longest"), page.ask("scrollY")


def main():
    parser = argparse.ArgumentParser(description="What the page of a long run costs.")
    parser.add_argument("program", nargs="?", type=pathlib.Path, default=ROOT / "target/release/upledger")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--page", type=pathlib.Path)
    args = parser.parse_args()
    kept = []
    if args.page:
        file = args.page
    else:
        file, took = written(args.program.resolve(), args.events)
        print(f"{args.events} events, {args.program}")
        kept.append(judge(f"`timeline`, median of {ROUNDS}", f"{took:.2f} s", f"under {WRITE_S} s", took < WRITE_S))
    size = file.stat().st_size / 1e6
    kept.append(judge("the page", f"{size:.2f} MB", f"under {SIZE_MB} MB", size < SIZE_MB))
    with Browser() as browser:
        for width in (1280, 390):
            loaded, long, at = scrolled(browser, file, width)
            if at == 0:
                sys.exit("the page was not scrolled")
            longest = max(long, default=0)
            what = f"longest task while scrolling at {width} pixels, of {len(long)} over 50 ms"
            kept.append(judge(what, f"{longest:.0f} ms", f"under {TASK_MS} ms", longest < TASK_MS))
            print(f"      {f'loaded at {width} pixels':66} {loaded:>10.2f} s")
        print(f"      {browser.version()}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

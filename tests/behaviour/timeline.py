"""Recomputes a timeline from the exported events, without the program: usage: timeline.py EVENTS.jsonl TIMELINE.json RUN."""

import datetime
import json
import sys


def micros(ts):
    at = datetime.datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def same(what, ours, theirs):
    if ours != theirs:
        sys.exit(f"{what}: the events say {ours!r}, the timeline {theirs!r}")


def main():
    events = [json.loads(line) for line in open(sys.argv[1])]
    timeline, run = json.load(open(sys.argv[2])), sys.argv[3]
    own = [e for e in events if e.get("run") == run]
    same("events", len(own), timeline["events"])
    for edge, event in (("from", own[0]), ("until", own[-1])):
        same(edge, (event["ts"], event["seq"], micros(event["ts"])), tuple(timeline[edge][k] for k in ("ts", "seq", "us")))

    bars, ends = {}, {"step.succeeded": "succeeded", "step.failed": "failed", "step.doubted": "in_doubt", "step.fenced": "fenced"}
    for event in own:
        data = event["data"]
        if event["kind"] == "step.started":
            at = data["at"]
            key = (at["part"]["step"], at["part"]["way"], at["attempt"])
            bars[key] = {"start": event["seq"], "command": data["command"], "outcome": "running", "end": None, "took_ms": None}
        elif event["kind"] in ends:
            at = data.get("at", data)
            bar = bars[(at["part"]["step"], at["part"]["way"], at["attempt"])]
            bar.update(end=event["seq"], outcome=ends[event["kind"]], took_ms=data.get("took_ms"))
    drawn = [b for b in timeline["bars"] if b["attempt"] > 0]
    same("attempts", len(bars), len(drawn))
    for bar in drawn:
        ours = bars[(bar["step"], bar["way"], bar["attempt"])]
        theirs = {k: bar[k] for k in ("command", "outcome", "took_ms")}
        theirs.update(start=bar["start"]["seq"], end=bar["end"] and bar["end"]["seq"])
        same(bar["step"], ours, theirs)

    marks = {"run.resumed", "run.pause_requested", "run.abort_requested", "run.aborted", "run.completed", "run.amended",
             "rollback.started", "rollback.completed", "step.adopted", "step.doubted", "step.probed", "step.decided",
             "step.kill_requested", "step.escalated", "note.added"}
    same("marks", [e["seq"] for e in own if e["kind"] in marks], [m["at"]["seq"] for m in timeline["marks"]])

    times = {e["seq"]: micros(e["ts"]) for e in own}
    for wait in timeline["waits"]:
        for edge in ("from", "until"):
            same("wait", times[wait[edge]["seq"]], wait[edge]["us"])
        if wait["until"]["us"] - wait["from"]["us"] < 1_000_000:
            sys.exit(f"a wait of less than a second: {wait}")
    print("agrees")


main()

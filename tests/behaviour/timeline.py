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


def steps_of(own):
    plans = [e["data"]["plan"] for e in own if e["kind"] in ("run.planned", "run.amended")]
    return {step["id"]: step for plan in plans for phase in plan["phases"] for step in phase["steps"]}


def kind_of(step, way):
    """What runs: the undo that the plan writes, or the step's own action; a check after a rollback is its own step's."""
    check = step.get("after_rollback", False) and step["left_out"] is None
    written = step["undo"].get("action") if isinstance(step["undo"], dict) else None
    action = written["action"] if way == "undo" and written and not check else step["action"]
    return next(iter(action))


def shut_out(own, steps):
    """From the intent of what shuts users out to the first good http.check behind what lets them in; without a check, to that."""
    outages, let_in = [], None
    for e in own:
        data = e["data"]
        part = data.get("at", data).get("part") if isinstance(data.get("at", data), dict) else None
        if part is None or part["step"] not in steps:
            continue
        step, way = steps[part["step"]], part["way"]
        is_open = bool(outages) and outages[-1]["until"] is None
        if e["kind"] == "step.started":
            if not step.get("closes" if way == "do" else "opens", False):
                continue
            if is_open and let_in is None:
                continue
            if is_open:
                outages[-1]["until"], let_in = let_in, None
            outages.append({"from": e["seq"], "until": None, "closed_by": part["step"], "opened_by": None, "way": way})
            continue
        good = e["kind"] in ("step.succeeded", "step.satisfied")
        good = good or (e["kind"] == "step.probed" and data["answer"] == "done")
        good = good or (e["kind"] == "step.decided" and data["decision"] == "done")
        if not good or not is_open:
            continue
        if let_in is None and step.get("opens" if way == "do" else "closes", False):
            let_in, outages[-1]["opened_by"] = e["seq"], part["step"]
        elif let_in is not None and "http.check" in step["action"]:
            outages[-1]["until"], outages[-1]["opened_by"], let_in = e["seq"], part["step"], None
    if let_in is not None:
        outages[-1]["until"] = let_in
    return outages


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
    ends, begins = ("run.completed", "run.aborted", "rollback.completed"), "rollback.started"
    over = [(e["seq"], next((b["seq"] for b in own if b["kind"] == begins and b["seq"] > e["seq"]), None)) for e in own if e["kind"] in ends]
    for wait in timeline["waits"]:
        for ended, again in over:
            if wait["from"]["seq"] >= ended and (again is None or wait["from"]["seq"] < again):
                sys.exit(f"nobody waits in a run that has ended: {wait}")

    steps = steps_of(own)
    for bar in timeline["bars"]:
        same(f"kind of {bar['step']}", kind_of(steps[bar["step"]], bar["way"]), bar["kind"])
    outages = [
        {"from": o["from"]["seq"], "until": o["until"] and o["until"]["seq"], **{k: o[k] for k in ("closed_by", "opened_by", "way")}}
        for o in timeline["outages"]
    ]
    reached = {b["step"] for b in timeline["bars"] if b["way"] == "do"}
    plan = [e["data"]["plan"] for e in own if e["kind"] in ("run.planned", "run.amended")][-1]
    unreached = [step["id"] for phase in plan["phases"] for step in phase["steps"] if step["id"] not in reached]
    same("steps that were not reached", unreached, timeline["unreached"])
    same("outages", shut_out(own, steps), outages)
    print("agrees")


main()

"""Recomputes a compliance report from the exported events, without the program.

usage: report.py EVENTS.jsonl REPORT.json RUN            the report of a run
       report.py EVENTS.jsonl PERIOD.json                the runs of a period: all of the ledger
"""

import datetime
import hashlib
import json
import sys


def micros(ts):
    at = datetime.datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def same(what, ours, theirs):
    if ours != theirs:
        sys.exit(f"{what}: the events say {ours!r}, the report {theirs!r}")


def expand(ranges):
    return [seq for first, last in ranges for seq in range(first, last + 1)]


def root(hashes):
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\1" + root(hashes[:k]) + root(hashes[k:])).digest()


class Run:
    """What the events of a run say, by their own definitions (docs/events.md)."""

    def __init__(self, events, name):
        self.own = [e for e in events if e["run"] == name]
        self.by_kind = {}
        for e in self.own:
            self.by_kind.setdefault(e["kind"], []).append(e)
        plans = self.of("run.planned") + self.of("run.amended")
        self.plan = plans[-1]["data"]["plan"]
        self.steps = {s["id"]: s for p in plans for phase in p["data"]["plan"]["phases"] for s in phase["steps"]}
        self.plan_event = plans[-1]
        self.bars = self.attempts()
        self.outages = self.shut_out()

    def of(self, *kinds):
        return [e for e in self.own if e["kind"] in kinds]

    def seqs(self, *kinds):
        return [e["seq"] for e in self.of(*kinds)]

    def attempts(self):
        """Attempts, and steps that needed none: part, number, start, end, how they ended."""
        ends = {"step.succeeded": "succeeded", "step.failed": "failed", "step.doubted": "in_doubt", "step.fenced": "fenced"}
        alone = {"step.satisfied": "satisfied", "step.skipped": "skipped", "step.refused": "refused"}
        bars, open_bars = [], {}
        for e in self.own:
            data = e["data"]
            if e["kind"] == "step.started":
                part = data["at"]["part"]
                bar = {"part": part, "attempt": data["at"]["attempt"], "start": e, "end": None, "outcome": "running"}
                open_bars[part["step"], part["way"]] = bar
                bars.append(bar)
            elif e["kind"] in ends:
                part = data.get("at", data)["part"]
                open_bars[part["step"], part["way"]].update(end=e, outcome=ends[e["kind"]])
            elif e["kind"] in alone:
                bars.append({"part": data["part"], "attempt": 0, "start": e, "end": e, "outcome": alone[e["kind"]]})
        return bars

    def is_check(self, part):
        return self.steps[part["step"]]["effect"] == "pure"

    def kind(self, part):
        """What runs: the undo that the plan writes, or the step's own action; a check after a rollback is its own step's."""
        step = self.steps[part["step"]]
        check = step.get("after_rollback", False) and step["left_out"] is None
        written = step["undo"].get("action") if isinstance(step["undo"], dict) else None
        return next(iter(written["action"] if part["way"] == "undo" and written and not check else step["action"]))

    def shut_out(self):
        """From the intent of what shuts users out to the first good http.check after they are let in, or else to what let them in."""
        outages, let_in = [], None
        for e in self.own:
            data = e["data"]
            if e["kind"] == "step.started":
                part = data["at"]["part"]
                step = self.steps[part["step"]]
                shuts = step.get("closes" if part["way"] == "do" else "opens", False)
                if shuts and let_in is not None:
                    outages[-1]["until"], let_in = let_in, None
                if shuts and not (outages and outages[-1]["until"] is None):
                    outages.append({"from": e, "until": None, "opened_by": None, "way": part["way"]})
                continue
            good = e["kind"] in ("step.succeeded", "step.satisfied")
            good = good or (e["kind"] == "step.probed" and data["answer"] == "done")
            good = good or (e["kind"] == "step.decided" and data["decision"] == "done")
            if not good or not outages or outages[-1]["until"] is not None:
                continue
            part = data["at"]["part"] if "at" in data else data["part"]
            step = self.steps[part["step"]]
            if outages[-1]["opened_by"] is None:
                if step.get("opens" if part["way"] == "do" else "closes", False):
                    outages[-1]["opened_by"], let_in = part["step"], e
            elif "http.check" in step["action"]:
                outages[-1]["until"], let_in = e, None
        if let_in is not None:
            outages[-1]["until"] = let_in
        return outages

    def outage_ms(self):
        """None where nobody was shut out, and while somebody is."""
        if not self.outages or any(o["until"] is None for o in self.outages):
            return None
        return sum((micros(o["until"]["ts"]) - micros(o["from"]["ts"])) // 1000 for o in self.outages)

    def unattended_ms(self):
        """Nobody drove the run while an attempt was open: from the last event to the resume."""
        total, is_open, last = 0, False, None
        for e in self.own:
            if e["kind"] == "step.started":
                is_open = True
            elif e["kind"] in ("step.succeeded", "step.failed", "step.fenced", "step.doubted"):
                is_open = False
            elif e["kind"] == "run.resumed" and is_open:
                alone = micros(e["ts"]) - micros(last["ts"])
                total += alone if alone >= 1_000_000 else 0
            last = e
        return total // 1000

    def lasted_ms(self):
        return (micros(self.own[-1]["ts"]) - micros(self.own[0]["ts"])) // 1000

    def disturbance(self):
        """The first and the last event of what the change did to users, or else to the machine."""
        if self.outages:
            last = self.outages[-1]["until"]
            return self.outages[0]["from"]["seq"], last and last["seq"]
        changing = [b for b in self.bars if b["attempt"] > 0 and not self.is_check(b["part"])]
        if not changing:
            return None, None
        open_bars = [b for b in changing if b["end"] is None]
        return min(b["start"]["seq"] for b in changing), None if open_bars else max(b["end"]["seq"] for b in changing) + 1

    def checks(self):
        first, last = self.disturbance()
        held, failed, before, after = [], [], [], []
        for bar in self.bars:
            if not self.is_check(bar["part"]) or bar["outcome"] not in ("succeeded", "satisfied", "failed", "refused"):
                continue
            seq = bar["end"]["seq"]
            good = bar["outcome"] in ("succeeded", "satisfied")
            (held if good else failed).append(seq)
            if good and (first is None or seq < first):
                before.append(seq)
            elif good and last is not None and seq >= last:
                after.append(seq)
        return held, failed, before, after


def check_counts(run, report):
    held, failed, before, after = run.checks()
    failures = run.seqs("step.failed", "step.refused")
    undone = [
        b["end"]["seq"]
        for b in run.bars
        if b["part"]["way"] == "undo" and b["outcome"] == "succeeded" and not run.is_check(b["part"])
    ]
    counts = {
        "execution.attempts_started": run.seqs("step.started"),
        "execution.succeeded": run.seqs("step.succeeded"),
        "execution.failed": run.seqs("step.failed"),
        "execution.in_doubt": run.seqs("step.doubted"),
        "execution.fenced": run.seqs("step.fenced"),
        "execution.refused": run.seqs("step.refused"),
        "execution.satisfied": run.seqs("step.satisfied"),
        "execution.left_out": run.seqs("step.skipped"),
        "failure.failures": failures,
        "failure.doubts": run.seqs("step.doubted"),
        "failure.decisions": run.seqs("step.decided"),
        "failure.kills": run.seqs("step.kill_requested"),
        "failure.escalations": run.seqs("step.escalated"),
        "failure.rollbacks": run.seqs("rollback.started"),
        "failure.amendments": run.seqs("run.amended"),
        "failure.undone": undone,
        "tests.checks_passed": held,
        "tests.checks_failed": failed,
        "tests.checks_before": before,
        "result.checks_after": after,
    }
    for name, seqs in counts.items():
        block, field = name.split(".")
        fact = report[block][field]
        same(name, len(seqs), fact["value"])
        if seqs:
            same(f"{name}, its events", sorted(seqs), expand(fact["seq"]))
    if failures:
        first = run.of("step.failed", "step.refused")[0]
        same("first failure", (first["ts"], [[first["seq"]] * 2]), tuple(report["failure"]["first_failure_at"][k] for k in ("value", "seq")))


def check_stories(run, report):
    """What was interrupted, and what was left as it was found."""
    open_step, interrupted, found = None, [], []
    for e in run.own:
        data = e["data"]
        if e["kind"] == "step.started":
            open_step, since = data["at"]["part"]["step"], e["seq"]
        elif e["kind"] in ("step.succeeded", "step.failed", "step.fenced", "step.doubted"):
            open_step = None
        elif e["kind"] == "run.resumed" and open_step:
            interrupted.append((open_step, e["seq"]))
        elif e["kind"] == "step.satisfied" and data["part"]["way"] == "undo" and not run.is_check(data["part"]):
            found.append((data["part"]["step"], e["seq"]))
    # Whether a runner is there now, no event says.
    if open_step and open_step in report["failure"]["interrupted"]["value"]:
        interrupted.append((open_step, since))
    for (block, field), ours in {("failure", "interrupted"): interrupted, ("changed", "left_as_found"): found}.items():
        fact = report[block][field]
        steps = list(dict.fromkeys(step for step, _ in ours))
        same(f"{field}, how many", len(steps), len(fact["value"]))
        if ours:
            same(f"{field}, its events", sorted(seq for _, seq in ours), expand(fact["seq"]))
        for step, line in zip(steps, fact["value"]):
            if step not in line:
                sys.exit(f"{field}: {line!r} does not name {step}")
    same("uninterrupted", not interrupted, report["execution"]["uninterrupted"]["value"])


def check_run(events, run, report):
    same("events of the run", [e["seq"] for e in run.own], expand(report["report"]["run_events"]["seq"]))
    same("number of them", len(run.own), report["report"]["run_events"]["value"])
    check_counts(run, report)
    check_stories(run, report)

    change = run.plan["change"] or {}
    for field, key in (("change_id", "id"), ("reason", "reason"), ("risk", "risk"), ("impact", "impact")):
        same(field, change.get(key), report["change"][field]["value"])
    same("title", run.plan["name"], report["change"]["title"]["value"])
    same("steps", sum(len(p["steps"]) for p in run.plan["phases"]), report["execution"]["steps"]["value"])
    changing = [s for p in run.plan["phases"] for s in p["steps"] if s["effect"] != "pure" and s["left_out"] is None]
    undone = [s for s in changing if isinstance(s["undo"], dict) and ("own" in s["undo"] or "action" in s["undo"])]
    same("way back", f"{len(undone)}/{len(changing)}", report["execution"]["way_back"]["value"])
    without = [s["id"] for s in changing if s["undo"] == "nothing"]
    same("without undo", without, report["execution"]["without_undo"]["value"])
    canonical = json.dumps(run.plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    same("plan", digest, report["authorisation"]["plan_sha256"]["value"])

    people = list(dict.fromkeys(e["actor"] for e in run.own))
    same("people", people, report["identity"]["actors"]["value"])
    same("hosts", list(dict.fromkeys(e["host"] for e in run.own)), report["change"]["hosts"]["value"])
    opened = {e["seq"]: e for e in events if e["kind"] == "session.opened"}
    sessions = {}
    for e in run.own:
        sessions[e["sess"]] = sessions.get(e["sess"], 0) + 1
    theirs = {s["seq"][0][0]: s["events_written"] for s in report["identity"]["sessions"]}
    same("sessions", sessions, theirs)
    for session in report["identity"]["sessions"]:
        of = opened[session["seq"][0][0]]
        same("session", (of["ts"], of["actor"], of["data"]["program_sha256"]), (session["opened_at"], session["actor"], session["program_sha256"]))

    result = report["result"]
    same("lasted", run.lasted_ms(), result["lasted"]["value"])
    same("started", run.own[0]["ts"], result["started_at"]["value"])
    same("outage", run.outage_ms(), result["outage"]["value"])
    ours = [(o["from"]["seq"], o["until"] and o["until"]["seq"], o["way"]) for o in run.outages]
    theirs = [(min(expand(o["seq"])), max(expand(o["seq"])) if o["until"] else None, o["way"]) for o in result["outages"]]
    same("outages", ours, theirs)
    same("unattended", run.unattended_ms(), result["unattended"]["value"])

    last, deviation, steps, boots = {}, 0, [], []
    for e in run.own:
        now = micros(e["ts"]), e["mono"]
        if e["boot"] in last:
            moved = abs((now[0] - last[e["boot"]][0]) - (now[1] - last[e["boot"]][1]))
            deviation = max(deviation, moved)
            steps += [e["seq"]] if moved > 2_000_000 else []
        else:
            boots.append(e["seq"])
        last[e["boot"]] = now
    same("deviation of the clock", deviation, report["clock"]["deviation_us"]["value"])
    same("steps of the clock", len(steps), report["clock"]["clock_steps"]["value"])
    same("boots", len(boots), report["clock"]["boots"]["value"])

    rows = report["execution"]["attempts"]
    same("kinds", [run.kind(b["part"]) for b in run.bars], [r["action"] for r in rows])
    for product in report["changed"]["products"]:
        data = events[expand(product["seq"])[0]]["data"]
        same("kind of an output", run.kind(data["at"]["part"] if "at" in data else data["part"]), product["action"])
    same("rows", [(b["part"]["step"], b["part"]["way"], b["attempt"], b["outcome"]) for b in run.bars], [
        (events[expand(r["seq"])[0]]["data"].get("at", events[expand(r["seq"])[0]]["data"])["part"]["step"], r["way"], r["attempt"], r["outcome"]) for r in rows
    ])
    same("durations", [(b["end"] or {}).get("data", {}).get("took_ms") if b["attempt"] else None for b in run.bars], [r["took_ms"] for r in rows])
    same("doubts", run.seqs("step.doubted"), [expand(d["seq"])[0] for d in report["failure"]["doubted_steps"]])


def check_integrity(lines, events, report):
    hashes = [hashlib.sha256(b"\0" + line).digest() for line in lines]
    integrity = report["integrity"]
    same("verified", len(lines), integrity["events_verified"]["value"])
    same("head", f"{len(lines) - 1} {hashes[-1].hex()}", integrity["head"]["value"])
    same("root", root(hashes).hex(), integrity["root"]["value"])
    same("ledger", events[0]["ledger"], report["report"]["ledger_id"]["value"])
    same("created", events[0]["ts"], integrity["ledger_created_at"]["value"])


def check_proofs(events, run, report):
    """Every value has a source, every proof is an event, and what is absent has neither."""
    own = {e["seq"] for e in run.own}
    of_ledger = {e["seq"] for e in events if e["run"] is None}
    for name, block in report.items():
        if not isinstance(block, dict):
            continue
        for key, fact in block.items():
            if isinstance(fact, list):
                for row in fact:
                    if not set(expand(row["seq"])) <= own | of_ledger or not row["seq"]:
                        sys.exit(f"{name}.{key}: a row is not proven: {row}")
                continue
            where = f"{name}.{key}"
            if fact["source"] in ("absent", "not_applicable"):
                same(where, (None, []), (fact["value"], fact["seq"]))
            elif fact["value"] is None:
                sys.exit(f"{where} has a source and no value")
            elif fact["source"] == "events" and not fact["seq"]:
                sys.exit(f"{where} is not proven by any event")
            if fact["source"] == "events" and not set(expand(fact["seq"])) <= own | of_ledger:
                sys.exit(f"{where} is proven by an event of another run: {fact['seq']}")


def check_controls(report):
    for control in report["controls"]:
        where = f"{control['standard']} {control['clause']}"
        for point in control["points"]:
            block, field = point["field"].split(".")
            fact = report[block][field]
            if isinstance(fact, list):
                present = bool(fact)
            else:
                present = fact["value"] is not None and fact["value"] is not False and fact["value"] != []
            same(f"{where}: {point['field']}", present, point["present"])
            if present and not isinstance(fact, list):
                same(f"{where}: its proof", (fact["seq"], fact["source"]), (point["seq"], point["source"]))
        there = [p["present"] for p in control["points"]]
        same(where, "present" if all(there) else "partial" if any(there) else "absent", control["evidence"])


def check_period(events, period):
    names = list(dict.fromkeys(e["run"] for e in events if e["run"] is not None))
    same("runs", names, [r["run"] for r in period["runs"]])
    for line in period["runs"]:
        run = Run(events, line["run"])
        check_line(run, line)


def check_line(run, line):
    where = line["run"]
    counts = {
        "attempts": run.seqs("step.started"),
        "failures": run.seqs("step.failed", "step.refused"),
        "doubts": run.seqs("step.doubted"),
        "decisions": run.seqs("step.decided"),
        "kills": run.seqs("step.kill_requested"),
        "rollbacks": run.seqs("rollback.started"),
    }
    for key, seqs in counts.items():
        same(f"{where}: {key}", (len(seqs), seqs), (line[key], expand(line["evidence"][key])))
    same(f"{where}: events", [e["seq"] for e in run.own], expand(line["evidence"]["run"]))
    same(f"{where}: outage", run.outage_ms(), line["outage_ms"])
    same(f"{where}: outages", len(run.outages), line["outages"])
    same(f"{where}: shut out", any(o["until"] is None for o in run.outages), line["shut_out"])
    same(f"{where}: lasted", run.lasted_ms(), line["lasted_ms"])
    same(f"{where}: people", list(dict.fromkeys(e["actor"] for e in run.own)), line["actors"])
    same(f"{where}: change", (run.plan["change"] or {}).get("id"), line["change"])


def main():
    lines = open(sys.argv[1], "rb").read().splitlines()
    events, report = [json.loads(line) for line in lines], json.load(open(sys.argv[2]))
    if len(sys.argv) == 3:
        check_period(events, report)
    else:
        run = Run(events, sys.argv[3])
        check_run(events, run, report)
        check_integrity(lines, events, report)
        check_proofs(events, run, report)
        check_controls(report)
    print("agrees")


main()

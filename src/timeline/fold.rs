//! The fold: the events of one run in, its timeline out, with bars, waits and outages.

use super::{Bar, Idle, Mark, Moment, Outage, Outcome, Timeline, Wait};
use crate::clock;
use crate::journal::Entry;
use crate::report::{lines, localized, status};
use std::collections::{BTreeMap, BTreeSet};
use upledger_replay::event::{
    Answer, Attempt, Decision, Direction, Event, RollbackStarted, TaskKey, own,
};
use upledger_replay::plan::{OnFailure, Plan, Step, Undo};
use upledger_replay::state::{Run, When};

/// Nothing shorter is a wait: a commit and a look lie between two steps.
const SHORTEST_US: i64 = 1_000_000;

/// Folds the events of a run, in their order; `run` is what they fold to.
#[must_use]
pub fn fold(run: &Run, entries: &[Entry]) -> Option<Timeline> {
    let own = entries.iter().filter(|e| e.run.as_ref() == Some(&run.name));
    let own: Vec<&Entry> = own.collect();
    let (first, last) = (own.first()?, own.last()?);
    let mut folding = Folding::of(&run.plan);
    own.iter().for_each(|entry| folding.event(entry, run));
    folding.close();
    let state = status::word(run, &clock::now());
    let forwards = folding.bars.iter().filter(|b| b.way == Direction::Do);
    let reached: BTreeSet<&str> = forwards.map(|b| b.step.as_str()).collect();
    let ids = run.plan.steps().map(|(_, step)| &step.id);
    let unreached = ids
        .filter(|id| !reached.contains(id.as_str()))
        .cloned()
        .collect();
    Some(Timeline {
        schema: "upledger.timeline/1",
        run: run.name.clone(),
        plan: run.plan.name.clone(),
        digest: run.digest.clone(),
        change: run.plan.change.clone(),
        state: state.stable.to_owned(),
        shown: state.shown,
        actor: first.actor.clone(),
        from: moment(&first.when),
        until: moment(&last.when),
        events: own.len(),
        steps: run.plan.steps().count(),
        unreached,
        deserted: false,
        bars: folding.bars,
        marks: folding.marks,
        waits: folding.waits,
        outages: folding.outages,
    })
}

/// What upledger records by itself in somebody's session: what it concludes, and the rollback that a plan asks for after
/// a failure.
pub(crate) fn by_program(event: &Event, plan: &Plan) -> bool {
    match event {
        Event::StepAdopted(_)
        | Event::StepDoubted(_)
        | Event::StepProbed(_)
        | Event::StepEscalated(_)
        | Event::RunCompleted(_)
        | Event::RunAborted(_)
        | Event::RollbackCompleted(_) => true,
        Event::RollbackStarted(r) => is_asked_by_the_plan(r, plan),
        _ => false,
    }
}

/// Its reason names the failed step, as `decide` words it.
fn is_asked_by_the_plan(rollback: &RollbackStarted, plan: &Plan) -> bool {
    let failed = rollback.reason.strip_suffix(own::FAILED);
    plan.on_failure == OnFailure::Rollback
        && rollback.to.is_none()
        && failed.is_some_and(|step| plan.step(step).is_some())
}

fn moment(when: &When) -> Moment {
    let at = chrono::DateTime::parse_from_rfc3339(&when.ts);
    Moment {
        ts: when.ts.clone(),
        us: at.map_or(0, |at| at.timestamp_micros()),
        seq: when.seq,
    }
}

/// What a step of the plan means for the timeline.
struct Known {
    phase: String,
    kind: String,
    /// The kind that its undo runs.
    undo_kind: String,
    closes: bool,
    opens: bool,
}

impl Known {
    fn of(phase: &str, step: &Step) -> Self {
        Self {
            phase: phase.into(),
            kind: step.action.kind.clone(),
            undo_kind: undo_kind(step).into(),
            closes: step.closes,
            opens: step.opens,
        }
    }
}

/// The kind that the undo of a step runs: the one that the plan writes, or its own.
pub(crate) fn undo_kind(step: &Step) -> &str {
    match &step.undo {
        Undo::Action(undo) => &undo.action.kind,
        Undo::Own { .. } | Undo::PointOfNoReturn(_) | Undo::Nothing => &step.action.kind,
    }
}

struct Folding {
    steps: BTreeMap<String, Known>,
    bars: Vec<Bar>,
    /// The bar of the attempt that is open.
    open: Option<usize>,
    marks: Vec<Mark>,
    waits: Vec<Wait>,
    outages: Vec<Outage>,
    /// When the last outage was over, as long as no good check has proven it.
    opened: Option<Moment>,
    /// The run has ended: nobody waits for anything.
    ended: bool,
    /// The last event.
    last: Option<Moment>,
    /// Nothing has been followed since; and whether a person has spoken since.
    idle: Option<(Moment, bool)>,
}

impl Folding {
    fn of(plan: &Plan) -> Self {
        Self {
            steps: plan
                .steps()
                .map(|(phase, step)| (step.id.clone(), Known::of(phase, step)))
                .collect(),
            bars: Vec::new(),
            open: None,
            marks: Vec::new(),
            waits: Vec::new(),
            outages: Vec::new(),
            opened: None,
            ended: false,
            last: None,
            idle: None,
        }
    }

    fn event(&mut self, entry: &Entry, run: &Run) {
        let at = moment(&entry.when);
        match &entry.event {
            Event::RunPlanned(planned) => self.plan(&planned.plan),
            Event::RunAmended(amended) => {
                self.plan(&amended.plan);
                self.person();
                self.mark(entry, run, &at);
            }
            Event::RunResumed(_) => {
                self.resumed(&at);
                self.mark(entry, run, &at);
            }
            Event::StepStarted(started) => {
                self.busy(&at);
                let mut bar = self.bar(run, &started.at.part, at.clone(), Outcome::Running);
                bar.attempt = started.at.attempt;
                bar.command.clone_from(&started.command);
                bar.end = None;
                self.shuts(&bar);
                self.open = Some(self.bars.len());
                self.bars.push(bar);
            }
            Event::StepSucceeded(s) => {
                let evidence = s.evidence.clone();
                self.ends(&s.at, &at, Outcome::Succeeded, s.took_ms, "", evidence);
            }
            Event::StepFailed(f) => {
                let detail = localized::failure(f);
                let tail = f.tail.clone();
                self.ends(&f.at, &at, Outcome::Failed, f.took_ms, &detail, tail);
            }
            Event::StepFenced(attempt) => {
                self.ends(attempt, &at, Outcome::Fenced, None, "", Vec::new());
            }
            Event::StepDoubted(d) => {
                let cause = localized::doubt(d.doubt, &d.cause);
                self.ends(&d.at, &at, Outcome::InDoubt, None, &cause, d.tail.clone());
                self.mark(entry, run, &at);
            }
            Event::StepProbed(p) => {
                if p.answer == Answer::Done {
                    self.lets_in(&p.at.part, &at);
                }
                let answered = match p.answer {
                    Answer::Done => Some(Outcome::Succeeded),
                    Answer::Nothing => Some(Outcome::Fenced),
                    Answer::Unclear => None,
                };
                self.settled(&p.at.part, answered, entry, run);
                self.mark(entry, run, &at);
            }
            Event::StepDecided(d) => {
                self.person();
                let decided = match d.decision {
                    Decision::Done => Some(Outcome::Succeeded),
                    Decision::Skip => Some(Outcome::Skipped),
                    Decision::Fail => Some(Outcome::Failed),
                    // The next attempt tells.
                    Decision::Retry => None,
                };
                if d.decision == Decision::Done {
                    self.lets_in(&d.part, &at);
                }
                self.settled(&d.part, decided, entry, run);
                self.mark(entry, run, &at);
            }
            Event::StepAdopted(attempt) => {
                self.on_the_way(attempt, entry, run);
                self.mark(entry, run, &at);
            }
            Event::StepEscalated(e) => {
                self.on_the_way(&e.at, entry, run);
                self.mark(entry, run, &at);
            }
            Event::KillRequested(k) => {
                self.on_the_way(&k.at, entry, run);
                self.mark(entry, run, &at);
            }
            Event::StepRefused(r) => {
                let mut bar = self.bar(run, &r.part, at.clone(), Outcome::Refused);
                bar.detail = localized::refusal(&r.detail);
                self.bars.push(bar);
            }
            Event::StepSatisfied(s) => {
                let mut bar = self.bar(run, &s.part, at.clone(), Outcome::Satisfied);
                bar.evidence.clone_from(&s.evidence);
                self.bars.push(bar);
                self.lets_in(&s.part, &at);
            }
            Event::StepSkipped(s) => {
                let mut bar = self.bar(run, &s.part, at.clone(), Outcome::Skipped);
                bar.detail = localized::left_out(&s.reason);
                self.bars.push(bar);
            }
            Event::NoteAdded(_) => self.mark(entry, run, &at),
            Event::PauseRequested(_) | Event::AbortRequested(_) | Event::RollbackStarted(_) => {
                self.ended &= !matches!(entry.event, Event::RollbackStarted(_));
                self.person();
                self.mark(entry, run, &at);
            }
            Event::RunAborted(_) | Event::RunCompleted(_) | Event::RollbackCompleted(_) => {
                self.busy(&at);
                self.ended = true;
                self.mark(entry, run, &at);
            }
            Event::StepNoted(_)
            | Event::LedgerCreated(_)
            | Event::SessionOpened(_)
            | Event::LedgerRestored(_) => {}
        }
        if self.open.is_none() && self.idle.is_none() && !self.ended {
            self.idle = Some((at.clone(), false));
        }
        self.last = Some(at);
    }

    fn plan(&mut self, plan: &Plan) {
        for (phase, step) in plan.steps() {
            self.steps.insert(step.id.clone(), Known::of(phase, step));
        }
    }

    fn bar(&self, run: &Run, part: &TaskKey, start: Moment, outcome: Outcome) -> Bar {
        let known = self.steps.get(&part.step);
        let check = run.is_check(part);
        let kind = |known: &Known| match part.way {
            Direction::Undo if !check => known.undo_kind.clone(),
            Direction::Do | Direction::Undo => known.kind.clone(),
        };
        Bar {
            phase: known.map_or_else(String::new, |k| k.phase.clone()),
            step: part.step.clone(),
            kind: known.map_or_else(String::new, kind),
            target: part.target.clone(),
            way: part.way,
            check,
            attempt: 0,
            end: Some(start.clone()),
            start,
            took_ms: None,
            outcome,
            settled: None,
            settled_as: None,
            detail: String::new(),
            evidence: Vec::new(),
            command: Vec::new(),
            on_the_way: Vec::new(),
        }
    }

    fn last_of(&mut self, part: &TaskKey) -> Option<&mut Bar> {
        let same = |bar: &&mut Bar| {
            bar.step == part.step && bar.target == part.target && bar.way == part.way
        };
        self.bars.iter_mut().rev().find(same)
    }

    fn ends(
        &mut self,
        attempt: &Attempt,
        at: &Moment,
        outcome: Outcome,
        took_ms: Option<u64>,
        detail: &str,
        evidence: Vec<String>,
    ) {
        self.open = None;
        self.idle = None;
        if let Some(bar) = self.last_of(&attempt.part) {
            bar.end = Some(at.clone());
            bar.outcome = outcome;
            bar.took_ms = took_ms;
            bar.detail = detail.into();
            bar.evidence = evidence;
        }
        if outcome == Outcome::Succeeded {
            self.lets_in(&attempt.part, at);
        }
    }

    fn settled(&mut self, part: &TaskKey, outcome: Option<Outcome>, entry: &Entry, run: &Run) {
        let words = words(entry, run);
        if let Some(bar) = self.last_of(part) {
            bar.settled = Some(words);
            bar.settled_as = outcome;
        }
    }

    fn on_the_way(&mut self, attempt: &Attempt, entry: &Entry, run: &Run) {
        let words = words(entry, run);
        if let Some(bar) = self.last_of(&attempt.part) {
            bar.on_the_way.push(words);
        }
    }

    fn mark(&mut self, entry: &Entry, run: &Run, at: &Moment) {
        self.marks.push(Mark {
            at: at.clone(),
            kind: entry.event.kind(),
            actor: entry.actor.clone(),
            program: by_program(&entry.event, &run.plan),
            step: entry.event.part().map(|part| part.step.clone()),
            words: words(entry, run),
            detail: lines::detail(entry, Some(run)),
        });
    }

    /// A person has spoken while nothing ran.
    fn person(&mut self) {
        if let Some((_, spoke)) = &mut self.idle {
            *spoke = true;
        }
    }

    /// Another runner has taken over: what happened since the last event nobody saw.
    fn resumed(&mut self, at: &Moment) {
        self.person();
        if self.open.is_some()
            && let Some(last) = self.last.clone()
        {
            self.wait(last, at.clone(), Idle::NoRunner);
        }
    }

    /// Something begins, or everything ends.
    fn busy(&mut self, at: &Moment) {
        if let Some((since, spoke)) = self.idle.take() {
            let why = if spoke { Idle::Person } else { Idle::Between };
            self.wait(since, at.clone(), why);
        }
    }

    fn wait(&mut self, from: Moment, until: Moment, why: Idle) {
        if until.us - from.us >= SHORTEST_US {
            self.waits.push(Wait { from, until, why });
        }
    }

    /// A step begins that shuts users out.
    fn shuts(&mut self, bar: &Bar) {
        let Some(known) = self.steps.get(&bar.step) else {
            return;
        };
        let shuts = match bar.way {
            Direction::Do => known.closes,
            Direction::Undo => known.opens,
        };
        if !shuts {
            return;
        }
        // They were let in between, though no check has said so.
        self.close();
        if self.outages.last().is_some_and(|o| o.until.is_none()) {
            return;
        }
        self.outages.push(Outage {
            from: bar.start.clone(),
            until: None,
            closed_by: bar.step.clone(),
            opened_by: None,
            way: bar.way,
        });
    }

    /// A step is done that lets users in, or that has seen after it that they are.
    fn lets_in(&mut self, part: &TaskKey, at: &Moment) {
        let Some(known) = self.steps.get(&part.step) else {
            return;
        };
        let opens = match part.way {
            Direction::Do => known.opens,
            Direction::Undo => known.closes,
        };
        let checks = known.kind == "http.check";
        let Some(outage) = self.outages.last_mut().filter(|o| o.until.is_none()) else {
            return;
        };
        match self.opened {
            // They are let in, and the next good check proves it.
            None if opens => {
                self.opened = Some(at.clone());
                outage.opened_by = Some(part.step.clone());
            }
            Some(_) if checks => {
                self.opened = None;
                outage.until = Some(at.clone());
                outage.opened_by = Some(part.step.clone());
            }
            _ => {}
        }
    }

    /// Where no check came after the opening, that ends the outage.
    fn close(&mut self) {
        if let (Some(opened), Some(outage)) = (self.opened.take(), self.outages.last_mut()) {
            outage.until = Some(opened);
        }
    }
}

fn words(entry: &Entry, run: &Run) -> String {
    lines::in_words(entry, Some(run))
}

//! Predicts what a rollback would do now: the steps that it would undo, in its order, from what the record holds of each
//! and from a look at what is there. Nothing is changed and nothing recorded. What would be lost with an undo comes from its
//! action (`Consequences`); since when users have written, as a sentence, from `report::loss`.

use super::screen::put;
use super::{judge, own_undo, plainly, startable};
use crate::action::{Blob, Consequences, Places, RawPast, about, meet};
use crate::report::paint::Tone;
use crate::report::{columns, pad, rows, safe};
use crate::site::task::PreparedTask;
use crate::site::{Facts, Local, Moment};
use crate::text::actions as phrases;
use crate::text::forecast as text;
use serde_json::{Value, json};
use std::path::Path;
use upledger_replay::event::{Answer, Direction};
use upledger_replay::needs;
use upledger_replay::plan::Undo;
use upledger_replay::state::{Run, Task};

/// What would become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It would be undone.
    Undo,
    /// It is as it was before the step, and would not be touched.
    AsBefore,
    /// What is there is not clear; the rollback looks again when it is there.
    CannotTell,
    /// Its undo would refuse as things are.
    Refuse,
    /// Its undo could not be started.
    CannotRun,
    /// The rollback stops here, because the plan says that it cannot be undone.
    NoReturn,
    /// It is checked once everything is undone.
    Check,
}

/// One step of a rollback.
#[derive(Debug)]
pub struct Reversal {
    step: String,
    target: String,
    outcome: Outcome,
    /// What its undo does, in lines.
    commands: Vec<String>,
    /// What was found.
    evidence: Vec<String>,
    /// What would change, as a unified diff.
    diff: Option<String>,
    /// What its undo may change.
    touches: Places,
    /// What its undo would mean for what was written since; none where it undoes nothing.
    since: Option<Consequences>,
}

/// Secrets, for what is to be undone with them.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    /// Names and values.
    pub known: &'a [(String, String)],
    /// The names of those that cannot be read here, and why.
    pub missing: &'a [(String, String)],
}

/// Looks at every step that a rollback would undo, in its order. `run` stands as it would once the rollback has begun;
/// `salts` are those of the content that a past names, and `state` is where that content is kept.
#[must_use]
pub fn rollback(
    run: &Run,
    state: &Path,
    salts: impl Fn(&RawPast) -> Vec<Blob>,
    secrets: Secrets<'_>,
) -> Vec<Reversal> {
    let local = Local::new(state);
    // What is undone before a step may change what its look has seen.
    let mut before: Vec<(String, Places)> = Vec::new();
    let look = |unit| {
        let one = reversal(run, unit, &local, &salts, secrets, &before);
        if one.outcome != Outcome::AsBefore {
            before.push((one.step.clone(), one.touches.clone()));
        }
        one
    };
    let mut steps: Vec<Reversal> = run.to_undo().map(look).collect();
    steps.extend(run.to_check().map(|unit| check(run, unit)));
    steps
}

/// The steps undone before that change what is read here: those of which it is known, or those that may change anything.
/// Where some change it by name, only these.
fn earlier<'a>(before: &'a [(String, Places)], reads: &Places, known: bool) -> Vec<&'a str> {
    let of = before
        .iter()
        .filter(|(_, touched)| touched.is_some() == known && meet(reads, touched));
    let (named, others): (Vec<_>, Vec<_>) = of.partition(|(_, touched)| about(reads, touched));
    let which = if named.is_empty() { others } else { named };
    which.into_iter().map(|(step, _)| step.as_str()).collect()
}

/// A check at the end.
fn check(run: &Run, unit: &Task) -> Reversal {
    let action = run
        .step(unit)
        .map(|(_, step)| plainly(&run.plan, &step.action));
    Reversal {
        outcome: Outcome::Check,
        commands: action.unwrap_or_default(),
        touches: Some(Vec::new()),
        ..Reversal::of(unit)
    }
}

impl Reversal {
    fn of(unit: &Task) -> Self {
        Self {
            step: unit.step.clone(),
            target: unit.target.clone(),
            outcome: Outcome::Undo,
            commands: Vec::new(),
            evidence: Vec::new(),
            diff: None,
            touches: None,
            since: None,
        }
    }
}

fn reversal(
    run: &Run,
    unit: &Task,
    local: &Local,
    salts: &impl Fn(&RawPast) -> Vec<Blob>,
    secrets: Secrets<'_>,
    before: &[(String, Places)],
) -> Reversal {
    let key = unit.key(Direction::Undo);
    let past = PreparedTask::past(run, &key);
    let mut one = Reversal::of(unit);
    let Some((_, step)) = run.step(unit) else {
        return one;
    };
    if let Undo::PointOfNoReturn(why) = &step.undo {
        one.outcome = Outcome::NoReturn;
        one.commands.push(text::no_return(why));
        return one;
    }
    one.since = Some(Consequences::default());
    let needed = needs::of_way(&run.plan, step, key.way);
    let unread = |(name, _): &&(String, String)| needed.contains(name);
    let unread: Vec<_> = secrets.missing.iter().filter(unread).collect();
    if !unread.is_empty() {
        // The rollback would not begin without it.
        one.outcome = Outcome::CannotRun;
        one.commands = match &step.undo {
            Undo::Own { .. } => own_undo(&run.plan, step, &past),
            Undo::Action(undo) => plainly(&run.plan, &undo.action),
            Undo::PointOfNoReturn(_) | Undo::Nothing => Vec::new(),
        };
        let why = unread
            .iter()
            .map(|(name, why)| text::secret_unread(name, why));
        one.evidence.extend(why);
        return one;
    }
    let (plan, known) = (&run.plan, secrets.known);
    let made = PreparedTask::new(local, &run.name, plan, &key, Facts::Of(run), known);
    let task = match made.map(PreparedTask::for_preview) {
        Ok(task) => task,
        Err(why) => {
            one.outcome = Outcome::CannotTell;
            one.evidence.push(text::depends(why));
            return one;
        }
    };
    one.commands = match &step.undo {
        Undo::Own { .. } => own_undo(&run.plan, step, &past),
        Undo::Action(_) | Undo::PointOfNoReturn(_) | Undo::Nothing => task.outline(),
    };
    let properties = task.properties();
    one.touches = properties.touches.clone();
    let surely = earlier(before, &properties.reads, true);
    let perhaps = earlier(before, &properties.reads, false);
    let behind = !surely.is_empty();
    // What is not changed by its name is looked at now: what would be lost is there already.
    let hides = |(_, touched): &(String, Places)| about(&properties.touches, touched);
    let hidden = behind && before.iter().any(hides);
    let (mut past, mut kept) = (past, Some(Vec::new()));
    if task.own_undo() || !past.before.is_null() {
        kept = Some(salts(&past));
    } else if !hidden {
        kept = one.looks_first(
            &task,
            &local.moment(),
            &mut past,
            (behind, perhaps.as_slice()),
        );
    }
    if task.has_probe && behind {
        // What is there now is the work of steps that are undone before it.
        one.evidence
            .push(text::looked_at_behind(judge::named(&surely)));
    }
    if behind && !properties.touches_content() {
        one.since = Some(Consequences::none());
    } else if let Some(kept) = kept.filter(|_| !hidden) {
        let is_done =
            task.has_probe && !behind && one.probes(&task, local, (&past, kept.as_slice()));
        if is_done {
            one.since = None;
        } else {
            let mut since = task.consequences(&local.moment(), &past, &kept);
            if behind {
                // Whoever uses it now may be stopped by then.
                since.refuses.clear();
            }
            one.meets(since, &perhaps);
        }
        if is_done && !perhaps.is_empty() {
            one.outcome = Outcome::CannotTell;
            let perhaps = judge::named(&perhaps);
            one.evidence.push(text::may_be_done_by_then(perhaps));
        } else if is_done {
            // It would do nothing.
            (one.commands, one.diff) = (Vec::new(), None);
        }
    }
    if let Some(now) = startable::obstacle(&task)
        && one.outcome != Outcome::AsBefore
    {
        if before.is_empty() {
            one.outcome = Outcome::CannotRun;
        }
        one.evidence.insert(0, text::now(now.why));
    }
    one
}

impl Reversal {
    /// Takes in what is there; whether the undo has nothing to do.
    fn probes(
        &mut self,
        task: &PreparedTask,
        local: &Local,
        (past, kept): (&RawPast, &[Blob]),
    ) -> bool {
        let (look, _) = task.probe(&local.moment(), past, kept);
        let found = look.evidence.iter().map(phrases::looked);
        match look.answer {
            Answer::Nothing => {}
            Answer::Done => {
                self.outcome = Outcome::AsBefore;
                self.evidence = found.collect();
            }
            Answer::Unclear => {
                self.outcome = Outcome::CannotTell;
                self.evidence.extend(found);
            }
        }
        look.answer == Answer::Done
    }

    /// An undo that the plan writes is a step of its own, which looks before it acts. The salts of what it keeps; none where
    /// it would be refused.
    fn looks_first(
        &mut self,
        task: &PreparedTask,
        moment: &Moment,
        past: &mut RawPast,
        (behind, perhaps): (bool, &[&str]),
    ) -> Option<Vec<Blob>> {
        match task.observe(moment) {
            Ok(seen) => {
                past.before = seen.before;
                let preview = task.preview(past);
                self.commands = preview.commands;
                self.evidence.extend(preview.findings);
                self.diff = seen.diff;
                Some(seen.kept)
            }
            // What is undone before may take the reason away.
            Err(why) if behind => {
                self.evidence.push(text::now(phrases::looked(why)));
                None
            }
            Err(why) if why.is_unseen() => {
                self.outcome = Outcome::CannotTell;
                self.evidence.push(phrases::looked(why));
                None
            }
            Err(why) => {
                let refused = Consequences {
                    refuses: vec![why.to_string()],
                    ..Consequences::default()
                };
                self.meets(refused, perhaps);
                None
            }
        }
    }

    /// Takes in what its undo would mean for what was written since; the steps of `perhaps` are undone before it, and may
    /// change that.
    fn meets(&mut self, since: Consequences, perhaps: &[&str]) {
        if !since.refuses.is_empty() {
            // They say why it is not clear.
            self.evidence.clear();
            self.outcome = Outcome::Refuse;
            if !perhaps.is_empty() {
                self.outcome = Outcome::CannotTell;
                let perhaps = judge::named(perhaps);
                self.evidence.push(text::looked_at_behind(perhaps));
            }
        }
        let refuses = since.refuses.iter().map(text::would_refuse);
        let lost = since.lost.iter().flatten().map(text::would_be_lost);
        let stays = since.stays.iter().map(text::would_stay);
        let finds = since.finds.iter().map(text::now);
        let all = finds.chain(refuses).chain(lost).chain(stays);
        self.evidence.extend(all);
        self.since = Some(since);
    }
}

/// The rollback would not begin, or stop there: an undo would refuse as things are, or could not be started.
#[must_use]
pub fn is_barred(steps: &[Reversal]) -> bool {
    let barred = [Outcome::Refuse, Outcome::CannotRun];
    steps.iter().any(|s| barred.contains(&s.outcome))
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Undo => text::undo(),
        Outcome::AsBefore => text::as_before(),
        Outcome::CannotTell => text::cannot_tell(),
        Outcome::Refuse => text::refuses(),
        Outcome::CannotRun => text::cannot_run(),
        Outcome::NoReturn => text::stops_here(),
        Outcome::Check => text::check(),
    }
}

/// What the rollback means for what was written since, in one line; none where it undoes nothing.
fn written_since(steps: &[Reversal]) -> String {
    let undone: Vec<(&str, &Consequences)> = steps
        .iter()
        .filter_map(|s| Some((s.step.as_str(), s.since.as_ref()?)))
        .collect();
    let names = |which: fn(&Consequences) -> bool| -> String {
        let of = undone.iter().filter(|(_, c)| which(c));
        crate::text::list(&of.map(|(step, _)| *step).collect::<Vec<_>>())
    };
    let lost = names(|c| c.lost.as_ref().is_some_and(|lost| !lost.is_empty()));
    let unknown = names(|c| c.lost.is_none());
    let parts = [
        (!lost.is_empty()).then(|| text::loses(&lost)),
        (!unknown.is_empty()).then(|| text::loss_unknown(&unknown)),
        (lost.is_empty() && unknown.is_empty() && !undone.is_empty()).then(text::loses_nothing),
    ];
    let parts = parts.into_iter().flatten();
    parts.reduce(text::clauses).unwrap_or_default()
}

/// What stays although it is behind the step to which the rollback goes: the plan says that there is nothing to undo.
fn stays(run: &Run) -> Vec<&str> {
    let mut places: Vec<(usize, &str)> = run
        .without_undo()
        .chain(run.passed_over())
        .map(|unit| (unit.index, unit.step.as_str()))
        .collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|(_, step)| step).collect()
}

/// The forecast for people.
#[must_use]
pub fn lines(run: &Run, steps: &[Reversal]) -> Vec<String> {
    let target = match &run.rollback_to {
        None => text::before_the_first(),
        Some(step) => text::behind_step(step),
    };
    let mut out = rows(&[
        (text::the_run(), run.name.clone()),
        (text::plan(), run.plan.name.clone()),
        (text::back_to(), target),
    ]);
    out.push(String::new());
    let words = steps.iter().map(|s| columns(&word(s.outcome))).max();
    let ids = steps.iter().map(|s| s.step.len()).max().unwrap_or(0);
    for step in steps {
        let mark = if step.outcome == Outcome::NoReturn {
            '!'
        } else {
            ' '
        };
        let tone = match step.outcome {
            Outcome::Refuse | Outcome::CannotRun => Tone::Failed,
            Outcome::NoReturn | Outcome::CannotTell => Tone::Asks,
            Outcome::Undo | Outcome::AsBefore | Outcome::Check => Tone::Plain,
        };
        let outcome = pad(&tone.paint(&word(step.outcome)), words.unwrap_or(0));
        let first = format!("{mark} {outcome}  {:<ids$}  ", step.step);
        let below = step.commands.iter().chain(&step.evidence);
        let diff = step.diff.iter().flat_map(|d| d.lines());
        let diff = diff.map(|l| format!("  {}", safe(l)));
        let below: Vec<String> = below.map(|l| safe(l)).chain(diff).collect();
        put(&mut out, &first, &below);
    }
    let counted = |outcome| steps.iter().filter(|s| s.outcome == outcome).count();
    let counts: Vec<String> = [
        Outcome::Undo,
        Outcome::AsBefore,
        Outcome::CannotTell,
        Outcome::Refuse,
        Outcome::CannotRun,
        Outcome::NoReturn,
        Outcome::Check,
    ]
    .into_iter()
    .filter(|o| counted(*o) > 0)
    .map(|o| text::count(word(o), counted(o)))
    .collect();
    if steps.is_empty() {
        out.push(format!("  {}", text::nothing_to_undo()));
    }
    out.push(String::new());
    let mut last = Vec::new();
    let kept = stays(run);
    if !kept.is_empty() {
        last.push((text::stays(), crate::text::list(&kept)));
    }
    let since = written_since(steps);
    if !since.is_empty() {
        last.push((text::written_since(), since));
    }
    if !counts.is_empty() {
        last.push((
            text::summary(),
            text::nothing_changed(crate::text::parts(&counts)),
        ));
    }
    out.extend(rows(&last));
    out
}

/// The forecast for programs.
#[must_use]
pub fn value(run: &Run, steps: &[Reversal]) -> Value {
    let outcome = |o: Outcome| match o {
        Outcome::Undo => "undo",
        Outcome::AsBefore => "as_before",
        Outcome::CannotTell => "cannot_tell",
        Outcome::Refuse => "would_refuse",
        Outcome::CannotRun => "cannot_run",
        Outcome::NoReturn => "point_of_no_return",
        Outcome::Check => "check",
    };
    let steps: Vec<Value> = steps
        .iter()
        .map(|s| {
            json!({
                "step": s.step, "target": s.target, "outcome": outcome(s.outcome),
                "commands": s.commands, "evidence": s.evidence, "diff": s.diff,
                "lost": s.since.as_ref().map_or(Some(&Vec::new()), |c| c.lost.as_ref()),
                "kept": s.since.as_ref().map_or(&Vec::new(), |c| &c.stays),
                "refuses": s.since.as_ref().map_or(&Vec::new(), |c| &c.refuses),
            })
        })
        .collect();
    json!({"run": run.name, "to": run.rollback_to, "steps": steps, "stays": stays(run)})
}

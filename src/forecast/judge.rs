//! What the looks mean for a plan, step after step: a step that an earlier one may make possible is not said to fail, and
//! what follows from a failure is said once.

use super::looks::{Found, Outcome};
use super::startable::Obstacle;
use super::{Forecast, Verdict};
use crate::action::{Look, Place, Places, about, meet};
use crate::text::actions as phrases;
use crate::text::forecast as text;
use upledger_replay::event::Answer;
use upledger_replay::plan::{Effect, Step};

/// How many steps are named.
const NAMED: usize = 3;
/// A line of that many bytes is not longer than the words that it was said before.
const SHORT: usize = 60;

/// An earlier step that may change something.
struct Earlier {
    step: String,
    touches: Places,
    fails: bool,
}

/// The steps so far.
#[derive(Default)]
pub(super) struct Judge {
    earlier: Vec<Earlier>,
    /// The steps whose expectations can be looked at now.
    evaluated: Vec<bool>,
}

/// Earlier steps that change what a step reads.
struct Changes<'a> {
    /// All that may.
    all: Vec<&'a Earlier>,
    /// Those that change what it reads by name, or all where there are none.
    named: Vec<&'a Earlier>,
    /// Nobody can say what the step reads.
    unknown: bool,
}

/// Some names, and how many there are beside them.
pub(super) fn named(names: &[&str]) -> String {
    match names.get(..NAMED) {
        Some(first) if names.len() > NAMED => {
            text::names_and_more(crate::text::list(first), names.len() - NAMED)
        }
        _ => crate::text::list(names),
    }
}

impl Changes<'_> {
    fn none(&self) -> bool {
        self.all.is_empty()
    }

    fn names(&self) -> String {
        let run = self.named.iter().filter(|e| !e.fails);
        let names: Vec<&str> = run.map(|e| e.step.as_str()).collect();
        if self.unknown && names.len() > NAMED {
            return text::any_of(names.len());
        }
        named(&names)
    }

    /// The first of them, where all of them fail.
    fn failing(&self) -> Option<&Earlier> {
        let all = self.all.iter().all(|e| e.fails);
        self.all.first().copied().filter(|_| all)
    }

    /// What may come of it: by a step that runs, or not at all because that one fails.
    fn shown(&self, runs: impl FnOnce(String) -> String) -> String {
        match self.failing() {
            Some(failing) => text::follows_from(&failing.step),
            None => runs(self.names()),
        }
    }
}

impl Judge {
    fn changes(&self, reads: &Places) -> Changes<'_> {
        let earlier = self.earlier.iter();
        let all: Vec<&Earlier> = earlier.filter(|e| meet(reads, &e.touches)).collect();
        let by_name = |e: &&&Earlier| !e.fails && about(reads, &e.touches);
        let named: Vec<&Earlier> = all.iter().filter(by_name).copied().collect();
        Changes {
            named: match named.is_empty() {
                true => all.clone(),
                false => named,
            },
            all,
            unknown: reads.is_none(),
        }
    }

    /// The expectations of that step can be looked at now.
    pub(super) fn evaluates(&self, at: usize) -> bool {
        self.evaluated.get(at).copied().unwrap_or_default()
    }

    /// What becomes of a step, and what it means for those after it.
    pub(super) fn judge(&mut self, one: &mut Forecast, step: &Step, found: &Found) {
        let expects = self.verdict(one, step, found);
        self.evaluated.push(expects);
        let runs = !matches!(one.verdict, Verdict::LeftOut | Verdict::Already);
        if runs && step.effect != Effect::Pure {
            let fails = one.follows || matches!(one.verdict, Verdict::Fail | Verdict::CannotRun);
            let mut touches = found.properties.touches.clone();
            if let Some(places) = touches.as_mut().filter(|_| fails) {
                // What follows from a failure has to be about the same thing, not about any process.
                places.retain(|p| !matches!(p, Place::Processes | Place::Written));
            }
            self.earlier.push(Earlier {
                step: step.id.clone(),
                touches,
                fails,
            });
        }
    }

    /// The verdict; whether its expectations are to be looked at.
    fn verdict(&self, one: &mut Forecast, step: &Step, found: &Found) -> bool {
        let changes = self.changes(&found.properties.reads);
        match &found.outcome {
            Outcome::LeftOut => {
                one.verdict = Verdict::LeftOut;
                return false;
            }
            Outcome::NotReady(why) => {
                one.verdict = Verdict::CannotTell;
                one.waits = true;
                one.evidence.push(text::depends(why));
                return false;
            }
            Outcome::Unread {
                secret, observed, ..
            } => {
                one.verdict = Verdict::CannotTell;
                if let Some(Err(why)) = observed {
                    refused(one, step, why, &changes);
                }
                one.evidence.push(text::needs_secret(secret));
            }
            Outcome::Refused(_, why) => {
                refused(one, step, why, &changes);
                // What an earlier step changes does not give it a program.
                if let Some(why) = &found.obstacle {
                    self.obstacle(one, why);
                }
                return false;
            }
            Outcome::Looked(_, observed) => {
                if one.diff.is_some() {
                    one.verdict = Verdict::Change;
                }
                if let Some(look) = &observed.probed {
                    probed(one, look, &changes);
                }
            }
        }
        if let Some(why) = &found.obstacle {
            self.obstacle(one, why);
        }
        // A command serves as a look where the plan says so; as a step it is not started by a preview.
        let kind = found.properties.looks && found.properties.effect == Effect::Pure;
        let looks = kind && !matches!(one.verdict, Verdict::CannotRun);
        let sees = matches!(found.outcome, Outcome::Looked(..))
            || matches!(
                &found.outcome,
                Outcome::Unread {
                    observed: Some(Ok(_)),
                    ..
                }
            );
        if looks && sees && !changes.none() {
            one.evidence.push(changes.shown(text::expected_later));
        }
        looks && sees && changes.none()
    }

    /// It cannot be started now.
    fn obstacle(&self, one: &mut Forecast, obstacle: &Obstacle) {
        if !matches!(
            one.verdict,
            Verdict::Run | Verdict::Change | Verdict::CannotTell
        ) {
            return;
        }
        let provides = self.changes(&Some(vec![obstacle.at.clone()]));
        one.evidence.insert(0, obstacle.why.clone());
        if provides.none() {
            one.verdict = Verdict::CannotRun;
            one.certain = true;
        } else {
            one.verdict = Verdict::CannotTell;
            one.follows = provides.failing().is_some();
            one.waits = !one.follows;
            one.evidence.insert(1, provides.shown(text::may_come));
        }
    }
}

/// What is there forbids it, or cannot be seen. Where no earlier step changes that, it will fail; a step that the plan tries
/// again is one whose author expects the world to change by itself.
fn refused(one: &mut Forecast, step: &Step, why: &crate::action::Error, changes: &Changes<'_>) {
    one.evidence.push(phrases::looked(why));
    if why.is_unseen() {
        one.verdict = Verdict::CannotTell;
    } else if why.is_certain() || changes.none() {
        one.verdict = Verdict::Fail;
        one.certain = why.is_lasting() || step.retry.times == 0;
    } else {
        one.verdict = Verdict::CannotTell;
        one.follows = changes.failing().is_some();
        one.waits = !one.follows;
        one.evidence.push(changes.shown(text::may_change));
    }
}

/// Whether it is done, as far as a look tells now.
fn probed(one: &mut Forecast, look: &Look, changes: &Changes<'_>) {
    match look.answer {
        Answer::Done if !changes.none() => {
            one.verdict = Verdict::Later;
            one.evidence.push(changes.shown(text::may_be_done_by_then));
        }
        Answer::Done => {
            one.verdict = Verdict::Already;
            one.evidence
                .extend(look.evidence.iter().map(phrases::looked));
        }
        Answer::Nothing => {}
        Answer::Unclear => {
            one.verdict = Verdict::CannotTell;
            one.evidence
                .extend(look.evidence.iter().map(phrases::looked));
        }
    }
}

/// What a look at what the plan expects has seen. It is the present state, which may be another when the run comes to it,
/// so that no run is refused for it.
pub(super) fn expectation(one: &mut Forecast, look: Look) {
    let seen = look.evidence.iter().map(phrases::looked);
    match look.answer {
        Answer::Done => one
            .evidence
            .push(text::holds_now(crate::text::clauses(&look.evidence))),
        Answer::Nothing => {
            one.verdict = Verdict::Fail;
            one.evidence.extend(seen);
        }
        Answer::Unclear => {
            one.verdict = Verdict::CannotTell;
            one.evidence.extend(seen);
        }
    }
}

/// What several steps fail of, or may, is said at the first of them.
pub(super) fn once(all: &mut [Forecast]) {
    let mut said: Vec<(String, String)> = Vec::new();
    for one in all {
        if !matches!(
            one.verdict,
            Verdict::Fail | Verdict::CannotRun | Verdict::CannotTell
        ) {
            continue;
        }
        for line in &mut one.evidence {
            match said.iter().find(|(l, _)| l == line) {
                Some((_, first)) if line.len() > SHORT => *line = text::as_for(first),
                Some(_) => {}
                None => said.push((line.clone(), one.step.clone())),
            }
        }
    }
}

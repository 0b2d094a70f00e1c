//! Expectations: `expect.process`, `expect.port`, `expect.stopped`, `expect.file`, `expect.command`. They look and
//! change nothing.
//!
//! As a step an expectation is always carried out: it has no probe that could settle it beforehand, so its evidence is
//! of the moment at which the plan wants it. As a `probe` or `verify` of another step it looks once and waits for
//! nothing. A failure says what was expected and what was seen.

pub mod command;
pub mod file;
pub mod port;
pub mod process;
pub mod stopped;

#[cfg(test)]
mod tests;

use super::{Action, Context, Error, Look, Stage};
use crate::text::actions as told;
use crate::time::Length;
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// The first pause between two looks; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(1);

/// What one look saw.
pub(crate) struct Seen {
    /// It is as expected.
    holds: bool,
    /// What was seen, in lines.
    saw: Vec<String>,
}

/// Something that is looked at until it is as expected.
pub(crate) trait Expectation: Send + Sync {
    /// What is expected, in words that follow "expected".
    fn wanted(&self) -> String;

    /// How long it is waited for.
    fn within(&self) -> Option<Length>;

    /// Rules about its settings.
    fn problems(&self) -> Vec<String>;

    /// Where it stands in an upgrade.
    fn stages(&self) -> Vec<Stage> {
        Vec::new()
    }

    /// Looks once.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn see(&self, cx: &Context) -> Result<Seen, Error>;

    /// The evidence once it was as expected.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn evidence(&self, cx: &Context) -> Result<Look, Error> {
        look(self, cx)
    }
}

fn look<E: Expectation + ?Sized>(expectation: &E, cx: &Context) -> Result<Look, Error> {
    let seen = expectation.see(cx)?;
    Ok(if seen.holds {
        Look {
            answer: Answer::Done,
            evidence: seen.saw,
        }
    } else {
        Look::nothing(disappointed(expectation, &seen.saw))
    })
}

fn disappointed<E: Expectation + ?Sized>(expectation: &E, saw: &[String]) -> String {
    format!("expected {}; saw {}", expectation.wanted(), saw.join("; "))
}

/// Looks until it is as expected or the time is over.
fn wait<E: Expectation + ?Sized>(
    expectation: &E,
    cx: &Context,
    log: &mut dyn Write,
) -> Result<(), Error> {
    let began = Instant::now();
    let limit = expectation
        .within()
        .map_or(Duration::ZERO, |l| Duration::from_millis(l.0));
    let (mut pause, mut last) = (FIRST, String::new());
    let mut say = |line: &str| {
        writeln!(log, "{line}").map_err(|e| Error::io("cannot write the step's output", &e))
    };
    loop {
        let disappointment = match expectation.see(cx) {
            Ok(seen) if seen.holds => return seen.saw.iter().try_for_each(|line| say(line)),
            Ok(seen) => disappointed(expectation, &seen.saw),
            Err(e) => format!("expected {}; cannot look: {e}", expectation.wanted()),
        };
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            let waited = expectation
                .within()
                .map_or_else(String::new, |l| format!(", after {l}"));
            return Err(Error::new(format!("{disappointment}{waited}")));
        }
        if disappointment != last {
            say(&format!("not yet: {disappointment}"))?;
            last = disappointment;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST);
    }
}

impl<E: Expectation> Action for E {
    fn effect(&self) -> Effect {
        Effect::Pure
    }

    fn looks(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<String> {
        Expectation::problems(self)
    }

    fn stages(&self) -> Vec<Stage> {
        Expectation::stages(self)
    }

    fn commands(&self, _cx: &Context) -> Vec<String> {
        vec![match self.within() {
            Some(limit) => told::expect_within(self.wanted(), limit),
            None => told::expect(self.wanted()),
        }]
    }

    fn probe(&self, cx: &Context, _observed: &Value) -> Result<Look, Error> {
        look(self, cx)
    }

    fn perform(&self, cx: &Context, _observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        wait(self, cx, log)
    }

    fn verify(&self, cx: &Context, _observed: &Value) -> Result<Look, Error> {
        self.evidence(cx)
    }
}

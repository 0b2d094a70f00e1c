//! Expectations: `expect.process`, `expect.port`, `expect.stopped`, `expect.file`, `expect.command`. They look and
//! change nothing.
//!
//! As a step an expectation is always carried out: it has no probe that could settle it beforehand, so its evidence is
//! of the moment at which the plan wants it. As a `probe` or `verify` of another step it looks once and waits for
//! nothing. A failure says what was expected and what was seen.

pub mod command;
mod count;
pub mod file;
pub mod port;
pub mod process;
pub mod stopped;
pub mod tables;

#[cfg(test)]
mod tests;

pub use count::Count;

use crate::action::{
    Action, Context, Direction, Error, Look, Past, Places, Properties, Stage, Work,
};
use crate::text::actions as phrases;
use crate::time::Length;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// The first pause between two looks; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(1);

/// What one look saw.
pub(crate) struct Finding {
    /// It is as expected.
    pub(crate) holds: bool,
    /// What was seen, in lines.
    pub(crate) saw: Vec<String>,
}

/// Something that is looked at until it is as expected.
pub(crate) trait Expectation:
    Serialize + DeserializeOwned + JsonSchema + Send + Sync
{
    /// What is expected, in words that follow "expected".
    fn wanted(&self) -> String;

    /// How long to wait for it.
    fn within(&self) -> Option<Length>;

    /// Rules about its settings.
    fn problems(&self) -> Vec<String>;

    /// Where it stands in an upgrade.
    fn stages(&self) -> Vec<Stage> {
        Vec::new()
    }

    /// What it looks at; none where that may be anything.
    fn reads(&self) -> Places {
        None
    }

    /// Looks once.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn see(&self, cx: &Context) -> Result<Finding, Error>;

    /// The evidence once it was as expected.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn evidence(&self, cx: &Context) -> Result<Look, Error> {
        look(self, cx)
    }
}

fn look<E: Expectation>(expectation: &E, cx: &Context) -> Result<Look, Error> {
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

fn disappointed<E: Expectation>(expectation: &E, saw: &[String]) -> String {
    format!("expected {}; saw {}", expectation.wanted(), saw.join("; "))
}

/// Looks until it is as expected or the time is over.
fn wait<E: Expectation>(expectation: &E, work: &mut Work<'_, ()>) -> Result<(), Error> {
    let began = Instant::now();
    let limit = expectation
        .within()
        .map_or(Duration::ZERO, |l| Duration::from_millis(l.0));
    let (mut pause, mut last) = (FIRST, String::new());
    loop {
        let disappointment = match expectation.see(work.cx()) {
            Ok(seen) if seen.holds => {
                seen.saw.iter().for_each(|line| work.log_line(line));
                return Ok(());
            }
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
            work.log_line(&format!("not yet: {disappointment}"));
            last = disappointment;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST);
    }
}

impl<E: Expectation> Action for E {
    type Before = ();
    type Note = ();
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            stages: Expectation::stages(self),
            reads: Expectation::reads(self),
            ..Properties::look()
        }
    }

    fn problems(&self) -> Vec<String> {
        Expectation::problems(self)
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![match self.within() {
            Some(limit) => phrases::expect_within(self.wanted(), limit),
            None => phrases::expect(self.wanted()),
        }]
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let mut look = look(self, cx)?;
        let waits = self.within().is_some_and(|l| l.0 > 0);
        if cx.inert && waits && look.answer == Answer::Nothing {
            // What is waited for is not said to fail because it has not come yet.
            look.answer = Answer::Unclear;
        }
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<(), Error> {
        wait(self, work)
    }

    fn verify(&self, cx: &Context, _past: &Past<Self>) -> Result<Look, Error> {
        self.evidence(cx)
    }
}

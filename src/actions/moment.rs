//! What a look was told, for the other looks of the same moment.
//!
//! Before a step the runner observes, probes and shows it, and each of these asks the same. A client such as
//! supervisorctl takes half a second to start, so that the second one is spared the question.
//!
//! Invariants: only a runner's looks have a moment, an action at work always asks; an answer that is on its way to
//! another is not kept; whoever waits for a change, or looks after one, begins anew.

use super::Captured;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a moment may last.
const LENGTH: Duration = Duration::from_secs(5);

/// The last answer, shared by all looks that have this moment.
#[derive(Debug, Clone, Default)]
pub struct Moment(Arc<Mutex<Option<Told>>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    asked: Vec<String>,
    answer: Captured,
}

impl Moment {
    /// What was answered to this question in this moment.
    pub(crate) fn told(&self, asked: &[String]) -> Option<Captured> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.as_ref()?;
        (told.asked == asked && told.at.elapsed() < LENGTH).then(|| told.answer.clone())
    }

    /// Keeps an answer to a question that was put at that time.
    pub(crate) fn keep(&self, at: Instant, asked: Vec<String>, answer: Captured) {
        let told = Told { at, asked, answer };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// The moment is over.
    pub(crate) fn pass(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

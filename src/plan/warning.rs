//! Warnings about a plan: shown in the language of the screen, recorded in English.

use super::outline::Span;
use crate::text::english;

/// A warning about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// For people, in their language.
    pub shown: String,
    /// For the record and for programs, in English.
    pub recorded: String,
    /// Where it is written: the number of its line, from 1.
    pub line: Option<usize>,
}

impl Warning {
    /// From a text, and the place that it is about.
    pub(crate) fn new(text: &str, at: Span, say: impl Fn() -> String) -> Self {
        Self {
            line: Some(line(text, at)),
            ..Self::anywhere(say)
        }
    }

    /// From a text about nothing that is written in the plan.
    pub(crate) fn anywhere(say: impl Fn() -> String) -> Self {
        Self {
            shown: say(),
            recorded: english(say),
            line: None,
        }
    }
}

/// The number of the line in which a place begins, from 1.
pub(crate) fn line(text: &str, at: Span) -> usize {
    let before = text.as_bytes().get(..at.start).unwrap_or_default();
    before.iter().filter(|b| **b == b'\n').count() + 1
}

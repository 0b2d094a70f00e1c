//! What a look saw, and how much of it is recorded.

use crate::redact::Redactor;
use serde::{Deserialize, Serialize};
use upledger_replay::event::Answer;

/// Longest line of evidence, in characters.
pub const LINE: usize = 400;
/// Most lines of evidence of one look.
const LINES: usize = 20;
/// Characters of a long line's end that are kept: that is where a remedy stands.
const END: usize = 120;

/// A line that is not too long, its end included.
fn bounded(line: &str) -> String {
    let length = line.chars().count();
    if length <= LINE {
        return line.to_owned();
    }
    let gap = " ... ";
    let begin: String = line.chars().take(LINE - END - gap.len()).collect();
    let end: String = line.chars().skip(length - END).collect();
    format!("{begin}{gap}{end}")
}

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The answer.
    pub answer: Answer,
    /// What it rests on, in lines for people.
    pub evidence: Vec<String>,
}

impl Look {
    /// It is done; as verification: the evidence agrees.
    pub fn done(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Done,
            evidence: vec![evidence.into()],
        }
    }

    /// Nothing of it happened.
    pub fn nothing(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Nothing,
            evidence: vec![evidence.into()],
        }
    }

    /// Half done, or it cannot be told.
    pub fn unclear(evidence: impl Into<String>) -> Self {
        Self {
            answer: Answer::Unclear,
            evidence: vec![evidence.into()],
        }
    }

    /// There is nothing to look at, so nothing disagrees.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            answer: Answer::Done,
            evidence: Vec::new(),
        }
    }

    /// As it may be recorded and shown: redacted, and then bounded.
    #[must_use]
    pub fn fit(self, redactor: &Redactor) -> Self {
        let lines: Vec<String> = self
            .evidence
            .iter()
            .flat_map(|text| {
                let text = redactor.text(text);
                text.lines().map(bounded).collect::<Vec<String>>()
            })
            .collect();
        let more = lines.len().saturating_sub(LINES);
        let mut evidence = lines;
        if more > 0 {
            evidence.truncate(LINES - 1);
            evidence.push(format!("and {} more lines", more + 1));
        }
        Self { evidence, ..self }
    }
}

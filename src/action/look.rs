//! What a look saw, and how much of it is recorded.

use crate::host::process::users;
use crate::redact::Redactor;
use serde::{Deserialize, Serialize};
use std::path::Path;
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

/// What an undo would mean now, for a preview of a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consequences {
    /// What was written since the step and would be lost, in lines; none where that cannot be told.
    pub lost: Option<Vec<String>>,
    /// What was written since the step and would stay, in lines.
    pub stays: Vec<String>,
    /// Why the undo would refuse, in lines.
    pub refuses: Vec<String>,
    /// What the undo finds that is no longer as the record names it, and what it then does, in lines.
    #[serde(default)]
    pub finds: Vec<String>,
}

impl Consequences {
    /// Nothing that was written since would be lost.
    #[must_use]
    pub fn none() -> Self {
        Self {
            lost: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Of an undo that would do nothing, for this reason.
    #[must_use]
    pub(crate) fn refused(why: String) -> Self {
        Self {
            refuses: vec![why],
            ..Self::none()
        }
    }

    /// Of the undo of a step that has written this file, which refuses where somebody has edited it since, or writes to
    /// it now.
    pub(crate) fn of_file(target: &Path, edited: bool) -> Self {
        let mut refuses = Vec::new();
        if edited {
            refuses.push(format!(
                "{} has been edited since, and is not touched",
                target.display()
            ));
        }
        refuses.extend(users::none_writes(target).err().map(|e| e.to_string()));
        Self {
            refuses,
            ..Self::none()
        }
    }

    /// As they may be shown: redacted, and then bounded.
    #[must_use]
    pub fn fit(self, redactor: &Redactor) -> Self {
        let fit = |evidence| {
            let answer = Answer::Unclear;
            Look { answer, evidence }.fit(redactor).evidence
        };
        Self {
            lost: self.lost.map(fit),
            stays: fit(self.stays),
            refuses: fit(self.refuses),
            finds: fit(self.finds),
        }
    }
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

    /// The same, with more in its first line, which is the one that a run shows.
    #[must_use]
    pub(crate) fn and(mut self, more: Option<String>) -> Self {
        if let (Some(first), Some(more)) = (self.evidence.first_mut(), more) {
            first.push_str("; ");
            first.push_str(&more);
        }
        self
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

//! `expect.process`: how many processes have a command line that matches.

use super::{Expectation, Finding};
use crate::action::{Context, Error, Place, Places};
use crate::host::process::list;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many of the processes found are named.
const NAMED: usize = 20;

/// Expects a number of processes whose command line matches; at least one by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// A regular expression for the command line, its arguments joined by spaces. upledger's own processes never match.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Exactly this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// At least this number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// At most this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// There is no such process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub none: bool,
    /// How long to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

fn processes(number: u32) -> String {
    if number == 1 {
        phrases::one_process(number)
    } else {
        phrases::processes(number)
    }
}

impl Process {
    fn range(&self) -> (u32, u32) {
        match (self.none, self.count) {
            (true, _) => (0, 0),
            (false, Some(count)) => (count, count),
            (false, None) => (self.min.unwrap_or(1), self.max.unwrap_or(u32::MAX)),
        }
    }

    fn compiled(&self) -> Result<Regex, regex::Error> {
        Regex::new(&self.pattern)
    }

    fn regex(&self) -> Result<Regex, Error> {
        self.compiled()
            .map_err(|e| Error::io("`match` is no regular expression", &e))
    }
}

impl Expectation for Process {
    fn wanted(&self) -> String {
        let number = match self.range() {
            (0, 0) => phrases::no_process(),
            (0, u32::MAX) => phrases::any_number(),
            (min, u32::MAX) => phrases::at_least(processes(min)),
            (0, max) => phrases::at_most(processes(max)),
            (min, max) if min == max => phrases::exactly(processes(min)),
            (min, max) => phrases::from_to(min, processes(max)),
        };
        phrases::matching(number, &self.pattern)
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .compiled()
            .err()
            .map(|e| text::no_regex("match", e))
            .into_iter()
            .collect();
        if self.pattern.is_empty() {
            wrong.push(text::every_process());
        }
        let said = [
            self.count.is_some(),
            self.none,
            self.min.is_some() || self.max.is_some(),
        ];
        if said.iter().filter(|s| **s).count() > 1 {
            wrong.push(text::one_count());
        }
        let (min, max) = self.range();
        if min > max {
            wrong.push(text::min_and_max(min, max));
        }
        wrong
    }

    fn reads(&self) -> Places {
        Some(vec![Place::Processes])
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let redactor = cx.redactor()?;
        let found: Vec<_> = list::matching(&self.regex()?)?
            .into_iter()
            .map(|p| p.without(&redactor))
            .collect();
        let (min, max) = self.range();
        let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let mut saw = vec![format!("{} matching {}", processes(number), self.pattern)];
        saw.extend(found.iter().take(NAMED).map(ToString::to_string));
        if found.len() > NAMED {
            saw.push(format!("and {} more", found.len() - NAMED));
        }
        Ok(Finding {
            holds: (min..=max).contains(&number),
            saw,
        })
    }
}

//! A number that is expected: exactly, at least, at most.

use crate::text::queries as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many are expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Exactly this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exactly: Option<u64>,
    /// At least this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// At most this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl Count {
    /// What is wrong with the setting of that name.
    pub(crate) fn problem(&self, setting: &str) -> Option<String> {
        if *self == Self::default() {
            return Some(text::no_limit(setting));
        }
        let (min, max) = self.min.zip(self.max).filter(|(min, max)| min > max)?;
        Some(text::min_above_max(setting, min, max))
    }

    /// What is expected, in words.
    pub(crate) fn wanted(&self) -> String {
        let exactly = self.exactly.map(text::exactly);
        let min = self.min.map(text::at_least);
        let max = self.max.map(text::at_most);
        let all: Vec<String> = exactly.into_iter().chain(min).chain(max).collect();
        crate::text::parts(&all)
    }

    /// A number is as expected.
    pub(crate) fn holds(&self, count: u64) -> bool {
        self.exactly.is_none_or(|n| n == count)
            && self.min.is_none_or(|n| count >= n)
            && self.max.is_none_or(|n| count <= n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Count {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_count_needs_a_limit_and_not_two_that_exclude_each_other() {
        assert!(count("{}").problem("c").is_some());
        assert!(count(r#"{"min": 2, "max": 1}"#).problem("c").is_some());
        let good = count(r#"{"min": 1, "max": 2}"#);
        assert_eq!(good.problem("c"), None);
        assert!(!good.holds(0) && good.holds(1) && good.holds(2) && !good.holds(3));
        assert!(count(r#"{"exactly": 0}"#).holds(0));
    }
}

//! `mysql.query`: the answer of a query, as facts for later steps.
//!
//! The session may not write: the words of the query are checked with the plan, and the server refuses what a function or a
//! view would write. It is asked when the step runs, and never taken as done already.

use crate::action::{Action, Context, Direction, Error, Past, Preview, Properties, Work};
use crate::host::mysql::{Server, queries};
use crate::text::queries as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most rows that are written to the output of the step.
const SHOWN: usize = 100;

/// Asks a query in a read-only session. Its first value is the fact `value`. The rows are written to the output, one JSON
/// array a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The server, and the account.
    pub server: Server,
    /// The database. Default: none is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The query: one statement that reads.
    pub query: String,
    /// The time limit of the query. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub timeout: Length,
}

pub(super) fn half_a_minute() -> Length {
    Length(30_000)
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The first value of the first row; missing without a row, and where it is NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The number of rows.
    pub rows: u64,
    /// When it was asked, by the clock of the server, in UTC.
    pub at: String,
}

impl Action for Query {
    type Before = ();
    type Note = ();
    type Output = Answered;

    fn properties(&self) -> Properties {
        Properties {
            looks: false,
            ..Properties::look()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems("server");
        wrong.extend(queries::problem(&self.query));
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![text::ask(self.server.shown(), &self.query)]
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn preview(&self, direction: Direction, _past: &Past<Self>) -> Preview {
        Preview {
            commands: self.outline(direction),
            ..Preview::default()
        }
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<Answered, Error> {
        let login = self.server.login(work.cx())?;
        let limit = Duration::from_millis(self.timeout.0);
        let answer = queries::ask(&login, self.database.as_deref(), &self.query, limit)?;
        for row in answer.rows.iter().take(SHOWN) {
            let values: Vec<Option<String>> = (0..row.len()).map(|n| row.get(n)).collect();
            let line = serde_json::to_string(&values);
            work.log_line(&line.map_err(|e| Error::io("cannot write a row", &e))?);
        }
        let more = answer.rows.len().saturating_sub(SHOWN);
        if more > 0 {
            work.log_line(&format!("and {more} more rows"));
        }
        Ok(Answered {
            value: answer.rows.first().and_then(|row| row.get(0)),
            rows: answer.rows.len() as u64,
            at: answer.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::stays;

    #[test]
    fn what_is_recorded_of_a_query_stays() {
        stays::<Query>(
            "null",
            "null",
            r#"{"value": "7", "rows": 1, "at": "2026-11-30 02:00:00.000"}"#,
        );
        stays::<Query>(
            "null",
            "null",
            r#"{"rows": 0, "at": "2026-11-30 02:00:00.000"}"#,
        );
    }

    #[test]
    fn a_statement_that_writes_is_a_problem() {
        let query = |text: &str| Query {
            server: Server {
                socket: Some("/s".into()),
                ..Server::default()
            },
            database: None,
            query: text.into(),
            timeout: half_a_minute(),
        };
        assert!(query("SELECT 1").problems().is_empty());
        assert_eq!(query("DELETE FROM t").problems().len(), 1);
    }
}

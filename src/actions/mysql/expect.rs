//! `mysql.expect`: tables, columns, numbers of rows, and values of queries, of a MariaDB or MySQL server.
//!
//! The number of rows is counted by `COUNT(*)`, never taken from the statistics of `information_schema`, which are an
//! estimate. Each question has a new session in autocommit mode that may not write: an open transaction would answer from
//! its old snapshot. What was seen is told with the query, its answer and the time.

use super::query::half_a_minute;
use crate::action::{Context, Error};
use crate::actions::expect::tables::{Answered, Asks, Column, Table, Value, Wanted};
use crate::actions::expect::{Count, Expectation, Finding};
use crate::host::mysql::{Login, Row, Server, ident, literal, queries};
use crate::text::queries as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Expects tables, columns, numbers of rows, or values of queries. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The server, and the account.
    pub server: Server,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The number of rows of tables, counted: `{orders: {min: 1}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, Count>,
    /// Tables and views: `{orders: {}, old_orders: {exists: false}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Table>,
    /// Columns, by table: `{orders: {note: {type: varchar(200)}}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, BTreeMap<String, Column>>,
    /// Values of queries: `[{query: "SELECT MAX(version) FROM releases", equals: "2.0"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// Whether the server takes writes: it is neither read-only nor a replica. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// The time limit of one query. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub timeout: Length,
    /// How long to wait for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

impl Expect {
    fn all(&self) -> Wanted<'_> {
        Wanted {
            rows: &self.rows,
            tables: &self.tables,
            columns: &self.columns,
            values: &self.values,
            writable: self.writable,
        }
    }
}

struct Asker<'a> {
    login: Login,
    database: Option<&'a str>,
    limit: Duration,
}

impl Asks for Asker<'_> {
    fn login(&self) -> String {
        self.login.to_string()
    }

    fn ask(&self, sql: &str) -> Result<Answered, Error> {
        let answer = queries::ask(&self.login, self.database, sql, self.limit)?;
        let values = |row: &Row| (0..row.len()).map(|n| row.get(n)).collect();
        Ok(Answered {
            rows: answer.rows.iter().map(values).collect(),
            at: answer.at,
        })
    }

    fn quoted(&self, table: &str) -> String {
        ident(table)
    }

    fn kind_of(&self, table: &str) -> String {
        format!(
            "SELECT table_type FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = {}",
            literal(table)
        )
    }

    fn type_of(&self, table: &str, column: &str) -> String {
        format!(
            "SELECT column_type, is_nullable FROM information_schema.columns WHERE table_schema = DATABASE() \
             AND table_name = {} AND column_name = {}",
            literal(table),
            literal(column)
        )
    }

    /// An account with all privileges may write to a read-only server as well, so that its writes prove nothing.
    fn writable(&self) -> Result<(bool, String), Error> {
        let answer = queries::ask(
            &self.login,
            self.database,
            "SELECT @@GLOBAL.read_only, @@hostname, @@port",
            self.limit,
        )?;
        let row = answer.rows.first();
        let read_only = row.is_some_and(|row| row.text(0) != "0");
        let name = row.map_or_else(String::new, |row| {
            format!("{}:{}", row.text(1), row.text(2))
        });
        let mut saw = match read_only {
            true => format!("{name} is read-only"),
            false => format!("{name} is not read-only"),
        };
        // Newer servers of both have the first, older ones the second; both need a privilege.
        let ask = |sql| queries::ask(&self.login, self.database, sql, self.limit);
        let asked = ask("SHOW REPLICA STATUS").or_else(|_| ask("SHOW SLAVE STATUS"));
        let replica = match asked {
            Ok(answer) => answer.rows.first().map(|row| row.text(1)),
            Err(e) => {
                saw += &format!("; whether it is a replica cannot be asked: {e}");
                None
            }
        };
        if let Some(master) = &replica {
            saw += &format!(", and a replica of {master}");
        }
        Ok((!read_only && replica.is_none(), saw))
    }
}

impl Expectation for Expect {
    fn wanted(&self) -> String {
        text::expected_of(self.server.shown(), self.all().said())
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems("server");
        wrong.extend(self.all().problems(self.database.is_some()));
        let values = self.values.iter();
        wrong.extend(values.filter_map(|value| queries::problem(&value.query)));
        wrong
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        self.all().see(&Asker {
            login: self.server.login(cx)?,
            database: self.database.as_deref(),
            limit: Duration::from_millis(self.timeout.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(text: &str) -> Expect {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn settings_that_mean_nothing_are_problems() {
        let none = expect(r#"{"server": {"socket": "/s"}}"#);
        assert_eq!(none.problems().len(), 1);
        let wrong = expect(
            r#"{"server": {"socket": "/s"}, "rows": {"t": {}}, "columns": {"t": {"a": {"exists": false, "null": true}}},
            "values": [{"query": "DELETE FROM t", "equals": 1}, {"query": "SELECT 1"}]}"#,
        );
        assert_eq!(wrong.problems().len(), 5, "{:#?}", wrong.problems());
        let good = expect(
            r#"{"server": {"socket": "/s"}, "database": "d", "rows": {"t": {"min": 1}},
            "values": [{"query": "SELECT 1", "equals": 1}]}"#,
        );
        assert!(good.problems().is_empty(), "{:#?}", good.problems());
    }
}

//! `mysql.expect`: tables, columns, numbers of rows, and values of queries, of a MariaDB or MySQL server.
//!
//! The number of rows is counted by `COUNT(*)`, never taken from the statistics of `information_schema`, which are an
//! estimate. Each question has a new session in autocommit mode that may not write: an open transaction would answer from
//! its old snapshot. What was seen is told with the query, its answer and the time.

use super::query::half_a_minute;
use crate::action::{Context, Error};
use crate::actions::expect::{Count, Expectation, Finding};
use crate::host::mysql::{Login, Server, ident, literal, queries};
use crate::text::queries as text;
use crate::time::Length;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest value that is shown.
const SHOWN: usize = 100;

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

/// What is expected of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Whether it exists. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub exists: bool,
}

/// What is expected of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Whether it exists. Default: true.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub exists: bool,
    /// Its type, as `SHOW COLUMNS` writes it, such as `varchar(200)`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it may be NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<bool>,
}

/// What is expected of the first value that a query returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The query: one statement that reads.
    pub query: String,
    /// The value, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Text>,
    /// It is NULL, or there is no row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_null: bool,
    /// A regular expression that the value matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// A whole number in these limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// Text, or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "QueryText")]
pub enum Text {
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

fn yes() -> bool {
    true
}

impl Column {
    fn wanted(&self, name: &str) -> Vec<String> {
        if !self.exists {
            return vec![text::absent(name)];
        }
        let kind = self.kind.as_ref().map(|k| text::column_type(name, k));
        let null = self.null.map(|null| match null {
            true => text::nullable(name),
            false => text::not_null(name),
        });
        let all: Vec<String> = kind.into_iter().chain(null).collect();
        match all.is_empty() {
            true => vec![text::exists(name)],
            false => all,
        }
    }
}

impl Value {
    fn wanted(&self) -> String {
        let query = &self.query;
        if let Some(value) = &self.equals {
            return text::equals(query, value);
        }
        if let Some(pattern) = &self.matches {
            return text::matches(query, pattern);
        }
        match &self.count {
            Some(count) => text::counts(query, count.wanted()),
            None => text::is_null(query),
        }
    }

    fn holds(&self, value: Option<&str>) -> Result<bool, Error> {
        if let Some(wanted) = &self.equals {
            return Ok(value == Some(&wanted.to_string()));
        }
        if let Some(pattern) = &self.matches {
            let pattern = Regex::new(pattern)
                .map_err(|e| Error::io("`matches` is not a regular expression", &e))?;
            return Ok(value.is_some_and(|value| pattern.is_match(value)));
        }
        Ok(match &self.count {
            Some(count) => value
                .and_then(|value| value.parse().ok())
                .is_some_and(|value| count.holds(value)),
            None => value.is_none(),
        })
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong: Vec<String> = queries::problem(&self.query).into_iter().collect();
        let given = [
            self.equals.is_some(),
            self.is_null,
            self.matches.is_some(),
            self.count.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            wrong.push(text::one_answer(&self.query));
        }
        wrong.extend(self.count.as_ref().and_then(|c| c.problem("values.count")));
        if let Some(Err(e)) = self.matches.as_deref().map(Regex::new) {
            wrong.push(crate::text::settings::no_regex("values.matches", e));
        }
        wrong
    }
}

/// Asks, and tells what was seen.
struct Asker<'a> {
    login: Login,
    database: Option<&'a str>,
    limit: Duration,
    finding: Finding,
}

impl Asker<'_> {
    fn ask(&self, sql: &str) -> Result<queries::Answer, Error> {
        queries::ask(&self.login, self.database, sql, self.limit)
    }

    fn see(&mut self, holds: bool, saw: String) {
        self.finding.holds &= holds;
        self.finding.saw.push(saw);
    }

    fn rows(&mut self, table: &str, count: &Count) -> Result<(), Error> {
        let sql = format!("SELECT COUNT(*) FROM {}", ident(table));
        let answer = self.ask(&sql)?;
        let rows = answer.rows.first().map_or(0, |row| row.number(0));
        self.see(
            count.holds(rows),
            format!("{sql}: {rows}, at {} UTC", answer.at),
        );
        Ok(())
    }

    fn table(&mut self, name: &str, table: &Table) -> Result<(), Error> {
        let sql = format!(
            "SELECT table_type FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = {}",
            literal(name)
        );
        let answer = self.ask(&sql)?;
        let kind = answer.rows.first().map(|row| row.text(0));
        let saw = match &kind {
            Some(kind) => format!("{name} exists ({kind})"),
            None => format!("{name} does not exist, or {} may not see it", self.login),
        };
        self.see(kind.is_some() == table.exists, saw);
        Ok(())
    }

    fn column(&mut self, table: &str, name: &str, column: &Column) -> Result<(), Error> {
        let sql = format!(
            "SELECT column_type, is_nullable FROM information_schema.columns WHERE table_schema = DATABASE() \
             AND table_name = {} AND column_name = {}",
            literal(table),
            literal(name)
        );
        let answer = self.ask(&sql)?;
        let Some(row) = answer.rows.first() else {
            let saw = format!(
                "{table}.{name} does not exist, or {} may not see it",
                self.login
            );
            self.see(!column.exists, saw);
            return Ok(());
        };
        let (kind, null) = (row.text(0), row.text(1) == "YES");
        let same = |wanted: &String| wanted.eq_ignore_ascii_case(&kind);
        let holds = column.exists
            && column.kind.as_ref().is_none_or(same)
            && column.null.is_none_or(|wanted| wanted == null);
        let may = if null {
            "may be NULL"
        } else {
            "may not be NULL"
        };
        self.see(holds, format!("{table}.{name} is {kind} and {may}"));
        Ok(())
    }

    /// An account with all privileges may write to a read-only server as well, so that its writes prove nothing.
    fn writable(&mut self, wanted: bool) -> Result<(), Error> {
        let answer = self.ask("SELECT @@GLOBAL.read_only, @@hostname, @@port")?;
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
        let asked = self.ask("SHOW REPLICA STATUS");
        let asked = asked.or_else(|_| self.ask("SHOW SLAVE STATUS"));
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
        self.see((!read_only && replica.is_none()) == wanted, saw);
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Error> {
        let answer = self.ask(&value.query)?;
        let first = answer.rows.first().and_then(|row| row.get(0));
        let shown = match &first {
            Some(text) => {
                let short: String = text.chars().take(SHOWN).collect();
                format!("'{short}'")
            }
            None if answer.rows.is_empty() => "no row".into(),
            None => "NULL".into(),
        };
        self.see(
            value.holds(first.as_deref())?,
            format!("{}: {shown}, at {} UTC", value.query, answer.at),
        );
        Ok(())
    }
}

impl Expectation for Expect {
    fn wanted(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        let rows = self.rows.iter();
        all.extend(rows.map(|(table, count)| text::rows(table, count.wanted())));
        all.extend(self.tables.iter().map(|(name, table)| match table.exists {
            true => text::exists(name),
            false => text::absent(name),
        }));
        for (table, columns) in &self.columns {
            let columns = columns.iter();
            all.extend(
                columns.flat_map(|(name, column)| column.wanted(&format!("{table}.{name}"))),
            );
        }
        all.extend(self.values.iter().map(Value::wanted));
        all.extend(self.writable.map(|writable| match writable {
            true => text::writable(),
            false => text::not_writable(),
        }));
        text::expected_of(self.server.shown(), all.join("; "))
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.server.problems("server");
        let tables = [
            ("rows", self.rows.is_empty()),
            ("tables", self.tables.is_empty()),
            ("columns", self.columns.values().all(BTreeMap::is_empty)),
        ];
        let others = self.values.is_empty() && self.writable.is_none();
        if tables.iter().all(|(_, none)| *none) && others {
            wrong.push(text::nothing_expected());
        }
        if self.database.is_none() {
            let given = tables.iter().find(|(_, none)| !none);
            wrong.extend(given.map(|(name, _)| text::needs_database(name)));
        }
        for (table, count) in &self.rows {
            wrong.extend(count.problem(&format!("rows.{table}")));
        }
        for (table, columns) in &self.columns {
            for (name, column) in columns {
                if !column.exists && (column.kind.is_some() || column.null.is_some()) {
                    wrong.push(text::absent_beside(format!("columns.{table}.{name}")));
                }
            }
        }
        wrong.extend(self.values.iter().flat_map(Value::problems));
        wrong
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        let mut asker = Asker {
            login: self.server.login(cx)?,
            database: self.database.as_deref(),
            limit: Duration::from_millis(self.timeout.0),
            finding: Finding {
                holds: true,
                saw: Vec::new(),
            },
        };
        for (table, count) in &self.rows {
            asker.rows(table, count)?;
        }
        for (name, table) in &self.tables {
            asker.table(name, table)?;
        }
        for (table, columns) in &self.columns {
            for (name, column) in columns {
                asker.column(table, name, column)?;
            }
        }
        for value in &self.values {
            asker.value(value)?;
        }
        if let Some(wanted) = self.writable {
            asker.writable(wanted)?;
        }
        Ok(asker.finding)
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

    #[test]
    fn a_value_is_text_a_number_in_limits_or_none() {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let equals = value(r#"{"query": "SELECT 1", "equals": 1}"#);
        assert!(equals.holds(Some("1")).unwrap() && !equals.holds(None).unwrap());
        let count = value(r#"{"query": "SELECT 1", "count": {"min": 2}}"#);
        assert!(count.holds(Some("3")).unwrap() && !count.holds(Some("x")).unwrap());
        let null = value(r#"{"query": "SELECT 1", "is_null": true}"#);
        assert!(null.holds(None).unwrap() && !null.holds(Some("")).unwrap());
    }
}

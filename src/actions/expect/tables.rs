//! What is expected of databases of any server: tables, columns, values of queries.

use super::{Count, Finding};
use crate::action::Error;
use crate::text::queries as text;
use crate::text::settings;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest value that is shown.
const SHOWN: usize = 100;

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
    /// Its type, as the server writes it: `varchar(200)` in MariaDB, `character varying(200)` in PostgreSQL.
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
    /// In words, each on its own.
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
    /// In words.
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

    /// Whether the first value that the query returned is as expected.
    ///
    /// # Errors
    /// [`Error`] when the pattern is none.
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
        let mut wrong = Vec::new();
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
            wrong.push(settings::no_regex("values.matches", e));
        }
        wrong
    }
}

/// The expectations of one step, of whichever server.
pub(crate) struct Wanted<'a> {
    pub(crate) rows: &'a BTreeMap<String, Count>,
    pub(crate) tables: &'a BTreeMap<String, Table>,
    pub(crate) columns: &'a BTreeMap<String, BTreeMap<String, Column>>,
    pub(crate) values: &'a [Value],
    pub(crate) writable: Option<bool>,
}

/// What a query has returned.
pub(crate) struct Answered {
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// When, by the clock of the server, in UTC.
    pub(crate) at: String,
}

/// How one kind of server is asked.
pub(crate) trait Asks {
    /// The account and the place.
    fn login(&self) -> String;

    /// Asks one query, in a session that may not write.
    ///
    /// # Errors
    /// [`Error`] that names the query, and what the server says.
    fn ask(&self, sql: &str) -> Result<Answered, Error>;

    /// The name of a table, quoted.
    fn quoted(&self, table: &str) -> String;

    /// The query for the kind of a table or a view; no row where there is none.
    fn kind_of(&self, table: &str) -> String;

    /// The query for the type of a column, and whether it may be NULL (`YES`); no row where there is none.
    fn type_of(&self, table: &str, column: &str) -> String;

    /// Whether the server takes writes, and what was seen.
    ///
    /// # Errors
    /// [`Error`] when it cannot be asked.
    fn writable(&self) -> Result<(bool, String), Error>;
}

impl Wanted<'_> {
    /// In words.
    pub(crate) fn said(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        let rows = self.rows.iter();
        all.extend(rows.map(|(table, count)| text::rows(table, count.wanted())));
        all.extend(self.tables.iter().map(|(name, table)| match table.exists {
            true => text::exists(name),
            false => text::absent(name),
        }));
        for (table, columns) in self.columns {
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
        crate::text::clauses(&all)
    }

    /// Rules about the settings. What a query may be is a matter of the server.
    pub(crate) fn problems(&self, has_database: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let tables = [
            ("rows", self.rows.is_empty()),
            ("tables", self.tables.is_empty()),
            ("columns", self.columns.values().all(BTreeMap::is_empty)),
        ];
        let others = self.values.is_empty() && self.writable.is_none();
        if tables.iter().all(|(_, none)| *none) && others {
            wrong.push(text::nothing_expected());
        }
        if !has_database {
            let given = tables.iter().find(|(_, none)| !none);
            wrong.extend(given.map(|(name, _)| text::needs_database(name)));
        }
        for (table, count) in self.rows {
            wrong.extend(count.problem(&format!("rows.{table}")));
        }
        for (table, columns) in self.columns {
            for (name, column) in columns {
                if !column.exists && (column.kind.is_some() || column.null.is_some()) {
                    wrong.push(text::absent_beside(format!("columns.{table}.{name}")));
                }
            }
        }
        wrong.extend(self.values.iter().flat_map(Value::problems));
        wrong
    }

    /// Asks for all of it.
    ///
    /// # Errors
    /// [`Error`] when something cannot be asked.
    pub(crate) fn see(&self, server: &impl Asks) -> Result<Finding, Error> {
        let mut finding = Finding {
            holds: true,
            saw: Vec::new(),
        };
        let mut see = |(holds, saw): (bool, String)| {
            finding.holds &= holds;
            finding.saw.push(saw);
        };
        for (table, count) in self.rows {
            see(rows(server, table, count)?);
        }
        for (name, table) in self.tables {
            let answer = server.ask(&server.kind_of(name))?;
            let kind = answer.first();
            let saw = match &kind {
                Some(kind) => format!("{name} exists ({kind})"),
                None => format!(
                    "{name} does not exist, or {} may not see it",
                    server.login()
                ),
            };
            see((kind.is_some() == table.exists, saw));
        }
        for (table, columns) in self.columns {
            for (name, column) in columns {
                see(type_of(server, table, name, column)?);
            }
        }
        for value in self.values {
            see(value_of(server, value)?);
        }
        if let Some(wanted) = self.writable {
            let (writable, saw) = server.writable()?;
            see((writable == wanted, saw));
        }
        Ok(finding)
    }
}

impl Answered {
    fn get(&self, column: usize) -> Option<&str> {
        self.rows.first()?.get(column)?.as_deref()
    }

    fn first(&self) -> Option<&str> {
        self.get(0)
    }
}

fn rows(server: &impl Asks, table: &str, count: &Count) -> Result<(bool, String), Error> {
    let sql = format!("SELECT COUNT(*) FROM {}", server.quoted(table));
    let answer = server.ask(&sql)?;
    let rows = answer.first().and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok((
        count.holds(rows),
        format!("{sql}: {rows}, at {} UTC", answer.at),
    ))
}

fn type_of(
    server: &impl Asks,
    table: &str,
    name: &str,
    column: &Column,
) -> Result<(bool, String), Error> {
    let answer = server.ask(&server.type_of(table, name))?;
    let Some(kind) = answer.first() else {
        let saw = format!(
            "{table}.{name} does not exist, or {} may not see it",
            server.login()
        );
        return Ok((!column.exists, saw));
    };
    let null = answer.get(1) == Some("YES");
    let same = |wanted: &String| wanted.eq_ignore_ascii_case(kind);
    let holds = column.exists
        && column.kind.as_ref().is_none_or(same)
        && column.null.is_none_or(|wanted| wanted == null);
    let may = if null {
        "may be NULL"
    } else {
        "may not be NULL"
    };
    Ok((holds, format!("{table}.{name} is {kind} and {may}")))
}

fn value_of(server: &impl Asks, value: &Value) -> Result<(bool, String), Error> {
    let answer = server.ask(&value.query)?;
    let shown = match answer.first() {
        Some(text) => {
            let short: String = text.chars().take(SHOWN).collect();
            format!("'{short}'")
        }
        None if answer.rows.is_empty() => "no row".into(),
        None => "NULL".into(),
    };
    Ok((
        value.holds(answer.first())?,
        format!("{}: {shown}, at {} UTC", value.query, answer.at),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! `postgres.expect`: tables, columns, numbers of rows, and values of queries, of a PostgreSQL database.
//!
//! The number of rows is counted, never taken from `pg_class`, which has an estimate. Each question is asked in a session and
//! a transaction of its own that may not write. A table is named alone, where the search path of the role finds it, or as
//! `schema.table`.

use crate::action::{Context, Error};
use crate::actions::expect::tables::{Answered, Asks, Column, Table, Value, Wanted};
use crate::actions::expect::{Count, Expectation, Finding};
use crate::host::postgres::{Client, Server, ServerError, ident, literal};
use crate::host::sql::{self, Dialect};
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
    /// The server, and the role.
    pub server: Server,
    /// The database.
    pub database: String,
    /// The number of rows of tables, counted: `{orders: {min: 1}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, Count>,
    /// Tables and views: `{orders: {}, audit.old_orders: {exists: false}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Table>,
    /// Columns, by table: `{orders: {note: {type: character varying(200)}}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, BTreeMap<String, Column>>,
    /// Values of queries: `[{query: "SELECT max(version) FROM releases", equals: "2.0"}]`.
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

fn half_a_minute() -> Length {
    Length(30_000)
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
    client: Client,
    database: &'a str,
    limit: Duration,
}

/// The relation of that name, as an expression.
fn relation(table: &str) -> String {
    format!("to_regclass({})", literal(&quoted(table)))
}

fn quoted(table: &str) -> String {
    let parts: Vec<String> = table.splitn(2, '.').map(ident).collect();
    parts.join(".")
}

impl Asks for Asker<'_> {
    fn login(&self) -> String {
        self.client.login.to_string()
    }

    fn ask(&self, sql: &str) -> Result<Answered, Error> {
        let refused = |e: ServerError| {
            let error = Error::io(format!("{}: {sql}", self.client.login), &e);
            match e.code.as_deref() {
                Some("25006") => {
                    error.remedy("a query only reads; change data by another kind of step")
                }
                _ => error,
            }
        };
        let rows = self
            .client
            .ask(self.database, sql, self.limit)
            .map_err(refused)?;
        let mut rows = rows
            .iter()
            .map(|row| (0..row.len()).map(|n| row.get(n)).collect::<Vec<_>>());
        let at = rows.next().and_then(|row| row.into_iter().next().flatten());
        Ok(Answered {
            rows: rows.collect(),
            at: at.unwrap_or_default(),
        })
    }

    fn quoted(&self, table: &str) -> String {
        quoted(table)
    }

    fn kind_of(&self, table: &str) -> String {
        format!(
            "SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' \
             WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE relkind::text END \
             FROM pg_class WHERE oid = {} AND relkind IN ('r', 'p', 'v', 'm', 'f')",
            relation(table)
        )
    }

    fn type_of(&self, table: &str, column: &str) -> String {
        format!(
            "SELECT format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END FROM pg_attribute \
             WHERE attrelid = {} AND attname = {} AND attnum > 0 AND NOT attisdropped",
            relation(table),
            literal(column)
        )
    }

    /// A role may have a read-only default of its own; that of the server counts.
    fn writable(&self) -> Result<(bool, String), Error> {
        let rows = self.client.query(
            self.database,
            "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')",
        )?;
        let (replica, read_only) = rows.first().map_or((true, true), |row| {
            (row.text(0) == "t", row.text(1) == "on")
        });
        let saw = match (replica, read_only) {
            (true, _) => "is a replica",
            (false, true) => "is read-only",
            (false, false) => "is not read-only",
        };
        Ok((
            !replica && !read_only,
            format!("{} {saw}", self.client.login),
        ))
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
        wrong.extend(self.all().problems(!self.database.is_empty()));
        let values = self.values.iter();
        wrong.extend(values.filter_map(|value| sql::problem(&value.query, Dialect::Postgres)));
        wrong
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        self.all().see(&Asker {
            client: Client::open(cx, self.server.login(cx)?, &self.database)?,
            database: &self.database,
            limit: Duration::from_millis(self.timeout.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_may_have_its_schema() {
        assert_eq!(quoted("orders"), r#""orders""#);
        assert_eq!(
            relation("audit.or'ders"),
            r#"to_regclass('"audit"."or''ders"')"#
        );
    }
}

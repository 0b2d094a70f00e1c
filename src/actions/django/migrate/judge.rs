//! How far a migration came, from the rows of `django_migrations`, the facts of the schema and what was noted. Pure.
//!
//! MySQL has no transactions for changes of tables: what a migration did before it died stays, and another try fails with
//! an error of its own. So the operations of the migration are compared with the schema one by one, and what cannot be
//! explained by them counts as theirs. A data step is not seen in a schema: where it may have begun, nothing is taken for
//! untouched.

use super::seen::{Changes, DatabaseState, Facts, Migration, Operation, table_of};
use super::{Database, Note};
use std::collections::{BTreeMap, BTreeSet};

/// How far the planned migrations of one database came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stand {
    /// Rows and schema are as they were, and no data step began.
    NotStarted,
    /// So many are applied in full, and nothing of the next.
    Between(usize),
    /// All have their rows.
    Applied,
    /// One of them is in the schema in part, or its data step may have run.
    Half(Half),
    /// The rows say something that this step does not do.
    Foreign(Vec<String>),
}

/// A migration that came half-way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Half {
    /// Those before it that are applied.
    pub(super) before: usize,
    pub(super) migration: String,
    /// Operations of it that are in the schema, of those that can be seen there.
    pub(super) done: usize,
    pub(super) of: usize,
    /// What is there and what lacks, in lines.
    pub(super) lines: Vec<String>,
    /// A data step may have run.
    pub(super) data: bool,
}

impl Half {
    /// Its state in one line.
    pub(super) fn head(&self) -> String {
        let data = if self.data {
            "; a data step of it may have changed rows"
        } else {
            ""
        };
        match (self.done, self.of) {
            (0, _) if self.data && self.lines.is_empty() => format!(
                "{} has begun, the schema is as before, but its data step may have changed rows",
                self.migration
            ),
            (done, of) if of > 0 => format!(
                "{} is half applied: {done} of {of} operations are in the schema{data}",
                self.migration
            ),
            (_, _) => format!(
                "{} is half applied: the schema has changed{data}",
                self.migration
            ),
        }
    }
}

/// Facts of all tables together.
pub(super) fn together(facts: &BTreeMap<String, Facts>) -> Facts {
    facts
        .values()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// What is wanted is what is there.
pub(super) fn same(want: Option<&String>, have: Option<&String>) -> bool {
    const ANY: &str = " DEFAULT *";
    match (want, have) {
        (None, None) => true,
        (Some(want), Some(have)) => match want.strip_suffix(ANY) {
            Some(want) => have.split(" DEFAULT ").next() == Some(want),
            None => want == have,
        },
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// What of one of a migration's operations is not in the schema. `before` are the facts when the migration began. What a
/// later operation makes of a fact shows that this one has run, too, unless it is what was there before.
fn lacks(operations: &[Operation], at: usize, before: &Facts, have: &Facts) -> Vec<String> {
    let (earlier, rest) = operations.split_at(at);
    let Some((operation, later)) = rest.split_first() else {
        return Vec::new();
    };
    let implied = implied(have);
    let mut found = Vec::new();
    for (key, want) in &operation.changes {
        let now = have.get(key);
        let was = earlier.iter().rev().find_map(|o| o.changes.get(key));
        let was = was.map_or(before.get(key), Option::as_ref);
        let mut later = later.iter().filter_map(|o| o.changes.get(key));
        let is_past = later.any(|v| v.as_ref() != was && same(v.as_ref(), now));
        // An index below a foreign key stays as long as that needs it.
        let needed = want.is_none() && implied.contains(key);
        if !same(want.as_ref(), now) && !is_past && !needed {
            found.push(lacking(key, want.as_deref(), now.map(String::as_str)));
        }
    }
    found
}

/// What of a whole migration is not in the schema, each with its operation.
pub(super) fn lacks_of_all(operations: &[Operation], have: &Facts) -> Vec<String> {
    let implied = implied(have);
    let mut found = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        for (key, want) in &operation.changes {
            let now = have.get(key);
            let later = &operations[at + 1..];
            let is_last = later.iter().all(|o| !o.changes.contains_key(key));
            let needed = want.is_none() && implied.contains(key);
            if is_last && !needed && !same(want.as_ref(), now) {
                let lack = lacking(key, want.as_deref(), now.map(String::as_str));
                found.push(format!("{}: {lack}", operation.what));
            }
        }
    }
    found
}

/// One fact that is not as it should be.
pub(super) fn lacking(key: &str, want: Option<&str>, have: Option<&str>) -> String {
    let word = |v: &str| {
        if v.is_empty() {
            "there".to_owned()
        } else {
            v.to_owned()
        }
    };
    match (want, have) {
        (None, _) => format!("{key} is still there"),
        (Some(_), None) => format!("{key} is missing"),
        (Some(want), Some(have)) => format!("{key} is {}, not {}", word(have), word(want)),
    }
}

/// The migrations of the plan that have no row.
fn open<'a>(database: &'a Database, now: &DatabaseState) -> Vec<&'a Migration> {
    let applied: BTreeSet<&String> = now.server.applied.iter().collect();
    let has = |m: &Migration| {
        applied.contains(&m.full())
            || (!m.replaces.is_empty() && m.replaces.iter().all(|r| applied.contains(r)))
    };
    database.plan.iter().filter(|m| !has(m)).collect()
}

/// Rows that are new or gone, and are none of the plan's.
fn foreign_rows(database: &Database, now: &DatabaseState) -> Vec<String> {
    let planned: BTreeSet<String> = database
        .plan
        .iter()
        .flat_map(|m| m.replaces.iter().cloned().chain([m.full()]))
        .collect();
    let ours = |name: &&String| !planned.contains(*name) && !now.squashes.contains(*name);
    let was: BTreeSet<&String> = database.applied.iter().filter(ours).collect();
    let is: BTreeSet<&String> = now.server.applied.iter().filter(ours).collect();
    let new = is
        .difference(&was)
        .map(|n| format!("{n} is recorded as applied, and not by this step"));
    let gone = was
        .difference(&is)
        .map(|n| format!("{n} is no longer recorded as applied"));
    new.chain(gone).collect()
}

/// How far it came. `former` are the facts of the tables before, where they are still known.
pub(super) fn stand<'a>(
    database: &Database,
    notes: impl DoubleEndedIterator<Item = &'a Note> + Clone,
    now: &DatabaseState,
    former: Option<&BTreeMap<String, Facts>>,
) -> Stand {
    let foreign = foreign_rows(database, now);
    if !foreign.is_empty() {
        return Stand::Foreign(foreign);
    }
    let open = open(database, now);
    let Some(next) = open.first() else {
        return Stand::Applied;
    };
    let done = database.plan.len() - open.len();
    let have = together(&now.facts);
    let before = former.map(|f| after(together(f), &database.plan[..done]));
    let before = before.unwrap_or_default();
    let begun = notes.clone().rev().find_map(|n| match n {
        Note::Begins {
            alias,
            migration,
            schema,
        } if *alias == database.alias && *migration == next.full() => Some(schema.as_deref()),
        _ => None,
    });
    // Every table is as it was when this one began.
    let untouched = begun == Some(Some(now.whole.as_str()))
        || (done == 0 && same_tables(&database.tables, &now.tables));
    let (mut seen_ops, mut visible, mut lines) = (0, 0, Vec::new());
    let mut reached_data = false;
    let mut blocked = false;
    for (at, operation) in next.operations.iter().enumerate() {
        if operation.changes.is_empty() {
            reached_data |= operation.data && !blocked;
            continue;
        }
        visible += 1;
        let lacks = lacks(&next.operations, at, &before, &have);
        if untouched || lacks.len() == operation.changes.len() {
            blocked = true;
            lines.push(format!("not in the schema: {}", operation.what));
        } else if lacks.is_empty() {
            seen_ops += 1;
            lines.push(format!("in the schema: {}", operation.what));
        } else {
            lines.push(format!("in part: {}: {}", operation.what, lacks.join(", ")));
        }
        reached_data |= operation.data && !blocked;
    }
    let partly = lines.iter().any(|l| !l.starts_with("not in"));
    let unexplained = match begun {
        _ if untouched => Vec::new(),
        // What it did itself, or nobody knows.
        Some(schema) => {
            let mut lines = unexplained(database, now, former, done);
            if schema.is_some() && !partly && lines.is_empty() {
                lines.push("changed: the schema, in a way that no operation names".into());
            }
            lines
        }
        // It has not begun, so what nobody can explain is of those before it.
        None if database.plan[..done].iter().any(Migration::has_data) => Vec::new(),
        None => unexplained(database, now, former, done),
    };
    let begun = begun.is_some();
    let data = begun && reached_data;
    if partly || !unexplained.is_empty() || data {
        let nothing_seen = !partly && unexplained.is_empty();
        let mut lines = if nothing_seen { Vec::new() } else { lines };
        lines.extend(unexplained);
        return Stand::Half(Half {
            before: done,
            migration: next.full(),
            done: seen_ops,
            of: visible,
            lines,
            data,
        });
    }
    match done {
        0 => Stand::NotStarted,
        done => Stand::Between(done),
    }
}

/// All tables but that of the migrations have their digests.
fn same_tables(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> bool {
    let others = |of: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let others = of.iter().filter(|(name, _)| *name != "django_migrations");
        others
            .map(|(name, digest)| (name.clone(), digest.clone()))
            .collect()
    };
    others(was) == others(is)
}

/// Changes of tables that no operation explains, such as those of `RunSQL`: `done` migrations are applied, and the next has
/// begun or not.
fn unexplained(
    database: &Database,
    now: &DatabaseState,
    former: Option<&BTreeMap<String, Facts>>,
    done: usize,
) -> Vec<String> {
    let (applied, rest) = database.plan.split_at(done);
    let of_next: BTreeSet<&String> = rest.first().into_iter().flat_map(keys_of).collect();
    let touched: BTreeSet<&str> = applied
        .iter()
        .flat_map(keys_of)
        .chain(of_next.iter().copied())
        .map(|key| table_of(key))
        .collect();
    let expected = former.map(|former| after(together(former), applied));
    let have = together(&now.facts);
    let implied = implied(&have);
    let names: BTreeSet<&String> = database.tables.keys().chain(now.tables.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (was, is) = (database.tables.get(name), now.tables.get(name));
        if was == is || name == "django_migrations" {
            continue;
        }
        let own = touched.contains(name.as_str());
        let Some(expected) = expected.as_ref().filter(|_| was.is_some() || own) else {
            match (was, is) {
                (Some(_) | None, _) if own => {}
                (None, _) => found.push(format!("changed: the table {name} is new")),
                (_, None) => found.push(format!("changed: the table {name} is gone")),
                (Some(_), Some(_)) => found.push(format!("changed: the table {name}")),
            }
            continue;
        };
        let keys: BTreeSet<&String> = expected.keys().chain(have.keys()).collect();
        let keys = keys.into_iter().filter(|key| {
            table_of(key) == name && !of_next.contains(key) && !implied.contains(*key)
        });
        let each: Vec<String> = keys
            .filter_map(|key| difference(key, expected.get(key), have.get(key)))
            .collect();
        match each.as_slice() {
            [] if own => {}
            [] => found.push(format!(
                "changed: the table {name}, in an order, a character set or a name"
            )),
            each => found.push(format!("changed: {}", each.join(", "))),
        }
    }
    found
}

fn keys_of(migration: &Migration) -> impl Iterator<Item = &String> {
    migration.operations.iter().flat_map(|o| o.changes.keys())
}

/// The facts when these migrations have done what their operations say.
fn after(mut facts: Facts, applied: &[Migration]) -> Facts {
    for (key, value) in applied
        .iter()
        .flat_map(|m| &m.operations)
        .flat_map(|o| &o.changes)
    {
        match value {
            Some(value) => facts.insert(key.clone(), value.clone()),
            None => facts.remove(key),
        };
    }
    facts
}

/// Facts that follow from others: a unique index is an index, and a foreign key needs one.
fn implied(have: &Facts) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for key in have.keys() {
        if let Some(rest) = key.strip_prefix("primary key ") {
            found.extend([format!("unique {rest}"), format!("index {rest}")]);
        } else if let Some(rest) = key.strip_prefix("unique ") {
            found.insert(format!("index {rest}"));
        } else if let Some(rest) = key.strip_prefix("foreign key ")
            && let Some((here, _)) = rest.split_once(" -> ")
            && let Some((table, column)) = here.split_once('.')
        {
            found.insert(format!("index {table} ({column})"));
        }
    }
    found
}

fn difference(key: &str, was: Option<&String>, is: Option<&String>) -> Option<String> {
    match (was, is) {
        (None, Some(_)) => Some(format!("{key} is new")),
        (Some(_), None) => Some(format!("{key} is gone")),
        (Some(was), Some(is)) if !same(Some(was), Some(is)) => {
            Some(format!("{key} is {is}, was {was}"))
        }
        (Some(_) | None, _) => None,
    }
}

/// What the models want and the schema has not, but for what was so before.
pub(super) fn new_deviations(database: &Database, now: &DatabaseState) -> Vec<String> {
    let known = |key: &String, have: &Option<String>| database.deviations.get(key) == Some(have);
    let lacks: &Changes = &now.lacks;
    lacks
        .iter()
        .filter(|(key, have)| !known(key, have))
        .map(|(key, have)| lacking(key, now.wants.get(key).map(String::as_str), have.as_deref()))
        .collect()
}

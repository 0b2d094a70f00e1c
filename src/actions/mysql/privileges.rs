//! What an account may do, by its grants: what it may not see is absent from a dump, and not an error.
//!
//! Left out: grants on single tables and columns, which never cover a schema.

use crate::action::Error;
use crate::host::mysql::Session;
use regex::Regex;
use std::sync::LazyLock;

static GRANT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^GRANT (.+?) ON (.+) TO [`']").expect("a pattern of ours"));

/// The grants of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    /// `user@host`.
    pub(super) account: String,
    /// Privileges, and what they are on, such as `*.*`.
    given: Vec<(Vec<String>, String)>,
}

impl Grants {
    /// Those of a session's account.
    ///
    /// # Errors
    /// [`Error`] when they cannot be seen.
    pub(super) fn of(session: &mut Session) -> Result<Self, Error> {
        let account = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
        let rows = session.query("SHOW GRANTS")?;
        let lines = rows.iter().filter_map(|row| row.get(0));
        Ok(Self::read(account, lines))
    }

    fn read(account: String, lines: impl Iterator<Item = String>) -> Self {
        let mut given = Vec::new();
        for line in lines {
            let Some(found) = GRANT.captures(&line) else {
                continue;
            };
            let list = found[1].split(',').map(|p| p.trim().to_uppercase());
            given.push((list.collect(), found[2].to_owned()));
        }
        Self { account, given }
    }

    /// It has a privilege on everything.
    pub(super) fn globally(&self, privilege: &str) -> bool {
        self.has(privilege, |object| object == "*.*")
    }

    /// It has a privilege on a whole schema.
    pub(super) fn on(&self, schema: &str, privilege: &str) -> bool {
        self.has(privilege, |object| {
            object == "*.*" || covers(object, schema)
        })
    }

    /// It has a privilege on a table.
    fn on_table(&self, schema: &str, table: &str, privilege: &str) -> bool {
        let place = format!("`{schema}`.`{table}`");
        self.on(schema, privilege) || self.has(privilege, |object| object == place)
    }

    fn has(&self, privilege: &str, on: impl Fn(&str) -> bool) -> bool {
        let all = |p: &String| p == privilege || p == "ALL PRIVILEGES" || p == "ALL";
        self.given
            .iter()
            .any(|(list, object)| on(object) && list.iter().any(all))
    }

    /// What it lacks to see everything of a schema, in lines.
    pub(super) fn lacks_to_dump(&self, schema: &str) -> Vec<String> {
        let needed = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];
        let mut lacks: Vec<String> = needed
            .into_iter()
            .filter(|p| !self.on(schema, p))
            .map(|p| format!("{p} on `{schema}`.*"))
            .collect();
        let routines = [
            "EXECUTE",
            "ALTER ROUTINE",
            "CREATE ROUTINE",
            "SHOW CREATE ROUTINE",
        ];
        let sees = routines.iter().any(|p| self.on(schema, p))
            || self.globally("SHOW_ROUTINE")
            || self.on_table("mysql", "proc", "SELECT");
        if !sees {
            lacks.push(format!(
                "SELECT on mysql.proc (MariaDB), SHOW_ROUTINE (MySQL) or EXECUTE on `{schema}`.*"
            ));
        }
        lacks
    }

    /// What it lacks to bring a schema back that holds such objects, in lines.
    pub(super) fn lacks_to_restore(&self, schema: &str, kinds: &[&str]) -> Vec<String> {
        let mut needed = vec![
            "SELECT",
            "INSERT",
            "CREATE",
            "DROP",
            "ALTER",
            "INDEX",
            "LOCK TABLES",
        ];
        let by_kind = [
            ("view", "CREATE VIEW"),
            ("view", "SHOW VIEW"),
            ("trigger", "TRIGGER"),
            ("event", "EVENT"),
            ("procedure", "CREATE ROUTINE"),
            ("function", "CREATE ROUTINE"),
        ];
        needed.extend(
            by_kind
                .iter()
                .filter(|(kind, _)| kinds.contains(kind))
                .map(|(_, p)| *p),
        );
        needed.dedup();
        needed
            .into_iter()
            .filter(|p| !self.on(schema, p))
            .map(|p| format!("{p} on `{schema}`.*"))
            .collect()
    }

    /// It may create what runs as another account.
    pub(super) fn sets_definer(&self) -> bool {
        ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER"]
            .iter()
            .any(|p| self.globally(p))
    }
}

/// A pattern such as `` `app\_%`.* `` covers a schema.
fn covers(object: &str, schema: &str) -> bool {
    let Some(pattern) = object.strip_suffix(".*") else {
        return false;
    };
    let pattern = pattern.trim_matches('`').replace("``", "`");
    let mut regex = String::from("^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => regex.extend(chars.next().map(|c| regex::escape(&c.to_string()))),
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push('$');
    Regex::new(&regex).is_ok_and(|r| r.is_match(schema))
}

#[cfg(test)]
mod unit {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::read("u@h".into(), lines.iter().map(|l| (*l).to_owned()))
    }

    #[test]
    fn a_grant_covers_what_its_pattern_covers() {
        let all = grants(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(all.lacks_to_dump("d").is_empty() && all.sets_definer());
        let some = grants(&[
            "GRANT USAGE ON *.* TO `u`@`h`",
            r"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `app\_%`.* TO `u`@`h`",
        ]);
        assert!(some.lacks_to_dump("app_x").is_empty());
        assert_eq!(some.lacks_to_dump("appx").len(), 5);
    }

    #[test]
    fn a_grant_on_one_table_covers_no_schema() {
        let one = grants(&["GRANT SELECT ON `d`.`a` TO `u`@`h`"]);
        assert!(
            one.lacks_to_dump("d")
                .contains(&"SELECT on `d`.*".to_owned())
        );
    }

    #[test]
    fn what_a_restore_needs_depends_on_what_it_creates() {
        let some = grants(&[
            "GRANT SELECT, INSERT, CREATE, DROP, ALTER, INDEX, LOCK TABLES ON `d`.* TO `u`@`h`",
        ]);
        assert!(some.lacks_to_restore("d", &[]).is_empty());
        let lacks = some.lacks_to_restore("d", &["view"]);
        assert_eq!(lacks, ["CREATE VIEW on `d`.*", "SHOW VIEW on `d`.*"]);
    }
}

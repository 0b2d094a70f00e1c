//! Accounts that could write to a schema while it is restored: they are locked meanwhile, where that may be done.
//!
//! Invariants: what is locked was noted before, so that whoever comes after a kill unlocks it; an account that was locked
//! before stays locked; administrators and the account in use are never locked. Sessions that are open are not affected.

use super::restore::Note;
use super::{LIMIT, is_denied};
use crate::action::{Data, Error, Work};
use crate::host::mysql::{Login, ServerError, Session, literal};
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    user: String,
    /// From where.
    host: String,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

impl Account {
    fn quoted(&self) -> String {
        format!("{}@{}", literal(&self.user), literal(&self.host))
    }
}

/// Those of others that may write to one of the schemas and are no administrators; none where that cannot be seen.
pub(super) fn writers(
    session: &mut Session,
    schemas: &[String],
    ignored: &[String],
) -> Result<Option<Vec<Account>>, Error> {
    let locked = match session.is_mariadb() {
        true => {
            "COALESCE((SELECT JSON_VALUE(g.Priv, '$.account_locked') FROM mysql.global_priv g WHERE g.User = u.User AND g.Host = u.Host), 'false') IN ('true', '1')"
        }
        false => "u.account_locked = 'Y'",
    };
    let patterns: Vec<String> = schemas
        .iter()
        .map(|s| format!("{} LIKE d.Db", literal(s)))
        .collect();
    let names: Vec<String> = schemas.iter().map(|s| literal(s)).collect();
    let (patterns, names) = (patterns.join(" OR "), names.join(", "));
    let sql = format!(
        "SELECT u.User, u.Host FROM mysql.user u WHERE u.Super_priv = 'N' AND NOT ({locked}) AND u.Host <> '' \
         AND CONCAT(u.User, '@', u.Host) <> CURRENT_USER() \
         AND u.User NOT IN ('mariadb.sys', 'mysql', 'mysql.sys', 'mysql.session', 'mysql.infoschema', '') AND (\
         'Y' IN (u.Insert_priv, u.Update_priv, u.Delete_priv, u.Create_priv, u.Drop_priv, u.Alter_priv) \
         OR EXISTS (SELECT 1 FROM mysql.db d WHERE d.User = u.User AND d.Host = u.Host AND ({patterns}) \
         AND 'Y' IN (d.Insert_priv, d.Update_priv, d.Delete_priv, d.Create_priv, d.Drop_priv, d.Alter_priv)) \
         OR EXISTS (SELECT 1 FROM mysql.tables_priv t WHERE t.User = u.User AND t.Host = u.Host AND t.Db IN ({names})))"
    );
    let rows = match session.query(&sql) {
        Ok(rows) => rows,
        Err(e) if is_denied(&e) => return Ok(None),
        Err(e) => return Err(Error::io("cannot see the accounts of the server", &e)),
    };
    let all = rows.iter().map(|row| Account {
        user: row.text(0),
        host: row.text(1),
    });
    Ok(Some(all.filter(|a| !ignored.contains(&a.user)).collect()))
}

/// Locks an account; `false` where the account in use may not.
pub(super) fn lock(session: &mut Session, account: &Account) -> Result<bool, Error> {
    match session.execute(&format!("ALTER USER {} ACCOUNT LOCK", account.quoted())) {
        Ok(()) => Ok(true),
        Err(e) if is_denied(&e) => Ok(false),
        Err(e) => Err(Error::io(format!("cannot lock the account {account}"), &e)),
    }
}

/// Unlocks an account that was locked here.
pub(super) fn unlock(session: &mut Session, account: &Account) -> Result<(), ServerError> {
    session.execute(&format!("ALTER USER {} ACCOUNT UNLOCK", account.quoted()))
}

/// Accounts that are locked; they are unlocked on every exit.
pub(super) struct Locks {
    login: Login,
    accounts: Vec<Account>,
}

impl Locks {
    /// Those that a killed attempt has left locked.
    pub(super) fn left_by(login: &Login, notes: &[Note]) -> Self {
        let mut accounts: Vec<Account> = Vec::new();
        for note in notes {
            match note {
                Note::Locked(account) => accounts.push(account.clone()),
                Note::Unlocked(account) => accounts.retain(|a| a != account),
                Note::Scratch(_) | Note::Dropping(_) => {}
            }
        }
        Self {
            login: login.clone(),
            accounts,
        }
    }

    pub(super) fn lock(&mut self, session: &mut Session, account: Account) -> Result<bool, Error> {
        let locked = lock(session, &account)?;
        if locked && !self.accounts.contains(&account) {
            self.accounts.push(account);
        }
        Ok(locked)
    }

    pub(super) fn log<N: Data>(&self, work: &mut Work<'_, N>) {
        if !self.accounts.is_empty() {
            let names: Vec<String> = self.accounts.iter().map(ToString::to_string).collect();
            work.log_line(&format!("locked until the end: {}", names.join(", ")));
        }
    }

    /// Unlocks all; those that were.
    pub(super) fn release(&mut self, session: &mut Session) -> Result<Vec<Account>, Error> {
        let mut released = Vec::new();
        while let Some(account) = self.accounts.last() {
            let unlocked = unlock(session, account);
            unlocked.map_err(|e| {
                Error::io(format!("cannot unlock the account {account}"), &e)
                    .remedy(format!("ALTER USER {account} ACCOUNT UNLOCK"))
            })?;
            released.extend(self.accounts.pop());
        }
        Ok(released)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        if self.accounts.is_empty() {
            return;
        }
        // The attempt has failed for a reason of its own; the next one finds in the notes what is left.
        if let Ok(mut session) = Session::open(&self.login, None, LIMIT) {
            let _ = self.release(&mut session);
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::action::Context;
    use crate::host::mysql::Server;

    #[test]
    fn what_a_killed_attempt_locked_and_did_not_unlock_is_left() {
        let account: Account = serde_json::from_str(r#"{"user": "app", "host": "%"}"#).unwrap();
        let server: Server = serde_json::from_str(r#"{"socket": "/s", "user": "u"}"#).unwrap();
        let login = server.login(&Context::default()).unwrap();
        let locked = Note::Locked(account.clone());
        let mut left = Locks::left_by(&login, std::slice::from_ref(&locked));
        assert_eq!(left.accounts, std::slice::from_ref(&account));
        // Nothing is there to be unlocked.
        left.accounts.clear();
        let both = [locked, Note::Unlocked(account)];
        assert!(Locks::left_by(&login, &both).accounts.is_empty());
    }
}

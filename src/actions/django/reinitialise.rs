//! `django.reinitialise`: the database of a test installation is dropped and created again with nothing in it.
//!
//! Invariants: only a plan for the environment `test` may hold it; the database that the plan names must be the one that the
//! application's settings lead to, on the server of the backup; what is dropped is in a backup that was proved, and the undo
//! restores that. Migrations are applied by a `django.migrate` behind it, with `new_database: true`.

use super::App;
use super::migrate::{Answered, Server, ask, backup_is_of};
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Place, Preview, Properties, Stage,
    StepUse, Work,
};
use crate::actions::mysql::{self, restore};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use upledger_replay::plan::Effect;

/// Drops the application's database and creates it again, empty. Only in a plan with `environment: test`; the undo restores
/// the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reinitialise {
    /// The interpreter of the release's virtualenv, as an absolute path.
    pub python: String,
    /// `manage.py`, or an entry point of another name, as an absolute path. Default: the one in the step's `cwd`; where
    /// there is none, the module of `settings` is used (`python -m django`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// `dev`, `stag` or `prod` of BlueKing (`BKPAAS_ENVIRONMENT`, `BK_ENV`), or a module for `DJANGO_SETTINGS_MODULE`.
    /// Default: from the environment of the step and `manage.py`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The name of the database, which must be the one that the application's settings lead to.
    pub database: String,
    /// Its alias in the settings. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The earlier `mysql.backup` step, which the undo restores.
    pub backup: String,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What tells the server from others.
    server: String,
    /// How many tables and views it had.
    tables: u64,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    schema: String,
}

/// What the application says.
#[derive(Debug, Clone, Deserialize)]
struct Installation {
    server: Server,
    tables: u64,
}

impl Reinitialise {
    fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn output(&self) -> Output {
        Output {
            schema: self.database.clone(),
        }
    }
}

/// Something was dropped, or may have been.
fn dropped<'n>(mut notes: impl Iterator<Item = &'n restore::Note>) -> bool {
    notes.any(|note| matches!(note, restore::Note::Dropping(_)))
}

impl Action for Reinitialise {
    type Before = Before;
    type Note = restore::Note;
    type Output = Output;

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            only_for: Some("test"),
            below_cwd: self.app().below_cwd(),
            uses: vec![StepUse {
                setting: "backup",
                step: self.backup.clone(),
                kinds: &["mysql.backup"],
            }],
            restores: Some(Direction::Undo),
            stages: vec![Stage::Migrate],
            reads: Some(vec![Place::Data, Place::Files]),
            touches: Some(vec![Place::Data]),
            ..Properties::reversible()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        let given = [("database", &self.database), ("backup", &self.backup)];
        let empty = given.into_iter().filter(|(_, value)| value.is_empty());
        wrong.extend(empty.map(|(setting, _)| text::empty(setting)));
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        vec![match direction {
            Direction::Do => phrases::reinitialise(&self.database),
            Direction::Undo => phrases::restore_backup(&self.backup),
        }]
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let alias = self.alias.as_deref().unwrap_or("default");
        let script = include_str!("reinitialise.py");
        let arguments = json!({"database": alias});
        let seen: Installation = ask(&self.app(), cx, script, "reinitialise", &arguments)
            .and_then(Answered::into_result)?;
        if seen.server.schema != self.database {
            return Err(Error::new(format!(
                "the application's database is {}, and `database` says {}",
                seen.server.shown(),
                self.database
            ))
            .remedy("nothing is dropped that is not named: name the database that the settings lead to, or correct the settings"));
        }
        let used = cx.used(&self.backup)?;
        backup_is_of(used, &seen.server)?;
        if used.produced.is_some() {
            restore::check(cx, used, &mysql::Manner::default())?;
        }
        Ok(Before {
            server: seen.server.identity(),
            tables: seen.tables,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        Preview {
            commands: self.outline(direction),
            findings: vec![phrases::reinitialise_loses(
                &self.database,
                past.before.tables,
            )],
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Output>), Error> {
        let (name, tables) = (&self.database, past.before.tables);
        if !dropped(past.noted()) {
            return Ok(match tables {
                0 => (Look::done(format!("{name} is empty")), Some(self.output())),
                _ => (Look::nothing(format!("{name} has {tables} tables")), None),
            });
        }
        let used = cx.used(&self.backup)?;
        Ok(match restore::objects(cx, used, name)? {
            Some(0) => (Look::done(format!("{name} is empty")), Some(self.output())),
            Some(n) => (Look::unclear(format!("{name} holds {n} objects")), None),
            None => (Look::unclear(format!("{name} does not exist")), None),
        })
    }

    fn perform(
        &self,
        work: &mut Work<'_, restore::Note>,
        _past: &Past<Self>,
    ) -> Result<Output, Error> {
        let used = work.cx().used(&self.backup)?.clone();
        restore::empty(work, &used, &self.database)?;
        Ok(self.output())
    }

    fn undo(&self, work: &mut Work<'_, restore::Note>, past: &Past<Self>) -> Result<(), Error> {
        if !dropped(past.noted()) {
            work.log_line("nothing was dropped, so nothing is restored");
            return Ok(());
        }
        let used = work.cx().used(&self.backup)?.clone();
        let earlier: Vec<restore::Note> = work.all_noted().cloned().collect();
        restore::bring_back(
            work,
            &used,
            &mysql::Manner::default(),
            |note| note,
            &earlier,
        )?;
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        if !dropped(past.noted()) {
            return Ok(Look::done(
                "nothing was dropped, so nothing is to be restored",
            ));
        }
        let found = restore::differences(cx, cx.used(&self.backup)?, &mysql::Manner::default())?;
        Ok(match found.is_empty() {
            true => Look::done(format!("{} is as the backup", self.database)),
            false => Look::nothing(found.join("; ")),
        })
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        if !dropped(past.noted()) {
            return Ok(Consequences::none());
        }
        let check = restore::check(cx, cx.used(&self.backup)?, &mysql::Manner::default());
        Ok(Consequences {
            refuses: check.err().iter().map(ToString::to_string).collect(),
            ..Consequences::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_stays_readable() {
        crate::action::stays::<Reinitialise>(
            r#"{"server": "uid", "tables": 3}"#,
            r#"{"dropping": ["app"]}"#,
            r#"{"schema": "app"}"#,
        );
    }
}

//! `django.migrate`: the migrations of a release, judged by rows and tables, never by the exit code.
//!
//! Invariants: what will be applied is observed before anything changes, with a digest of every table; the command runs in
//! the application as it is, under a lock in the database, and each migration is noted before it begins. After a failure
//! rows, tables and the server's connections tell how far it came, and a migration that came half-way is never run again:
//! the undo is the restore of the backup that the step names, never a reverse migration. What the server still does for a
//! client that is gone is waited for before anything is judged.
//! Left out: databases other than MySQL and MariaDB.

mod command;
mod failure;
mod judge;
mod look;
mod seen;

#[cfg(test)]
mod tests;

use super::App;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Kept, Look, Past, Place, Preview, Properties,
    Stage, StepUse, Work,
};
use crate::actions::mysql::restore;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use judge::Stand;
pub(super) use look::{ask, backup_is_of, lacking};
use schemars::JsonSchema;
pub(super) use seen::{Answered, Schema, Server};
use seen::{Changes, DatabaseState, Facts, Migration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use upledger_replay::event::Answer;

/// The kinds of step that a migration may name as its backup.
pub(super) const BACKUPS: [&str; 3] = ["mysql.backup", "run", "shell"];

/// Applies the migrations of the release, after their plan was observed and recorded, and checks rows, tables, columns,
/// indexes and foreign keys against the models. The undo restores the backup; a reverse migration is never run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
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
    /// The earlier step that backs up the database: `mysql.backup`, whose dump the undo restores; or `run` or `shell` with a
    /// `verify`, and then the step has an `undo` that restores it. Without it the step says
    /// `undo: {point_of_no_return: ...}`, or has an `undo` of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The aliases of the databases to migrate, in this order. Default: each that the routers let models be written to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The name of the schema that the first of them must be; the step is refused where the application's settings lead to
    /// another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The database is new: no migration of the code was applied yet. Otherwise such a database is refused, because it is
    /// likely to be the wrong one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_database: bool,
    /// How long a migration may wait for the lock of a table before it is ended, as long as nothing of it is done: other
    /// connections wait behind it, reads included. `0s`: without a limit. Default: 1m.
    #[serde(default = "lock_wait")]
    pub lock_wait: Length,
}

fn lock_wait() -> Length {
    Length(60_000)
}

/// The databases before anything changed, and what will be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    databases: Vec<Database>,
    /// There is no `manage.py`: the settings alone make the application.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    alone: bool,
}

/// One database before anything changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Database {
    alias: String,
    schema: String,
    /// What tells the server from others.
    server: String,
    /// The same for people.
    shown: String,
    /// The migrations with a row, `app.name`.
    applied: Vec<String>,
    /// Those that will be applied, in their order.
    plan: Vec<Migration>,
    /// A digest of each table.
    tables: BTreeMap<String, String>,
    /// All facts of the tables.
    facts: Option<Kept>,
    /// What of the models before was not so in the schema.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    deviations: Changes,
    /// What is to be known beforehand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Database {
    /// The facts of its tables before, where they are still known.
    fn former(&self, cx: &Context) -> Option<BTreeMap<String, Facts>> {
        let kept = self.facts.as_ref()?;
        serde_json::from_slice(&cx.kept(kept).ok()?).ok()
    }
}

/// What it does to a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The command is started for this database.
    Runs {
        /// The alias.
        alias: String,
    },
    /// A connection of the command: what the server does for it is waited for.
    Connected {
        /// The alias.
        alias: String,
        /// Its number on the server.
        id: u64,
        /// When the server was started, in seconds since 1970.
        started: i64,
    },
    /// A migration is about to begin.
    Begins {
        /// The alias.
        alias: String,
        /// `app.name`.
        migration: String,
        /// One digest of all tables then, where migrations before it do what nobody can know beforehand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<String>,
    },
    /// A migration failed.
    Failed {
        /// The alias.
        alias: String,
        /// `app.name`.
        migration: String,
        /// The operation in work; none at the statements that come last, such as foreign keys.
        operation: Option<String>,
        /// The first error.
        error: String,
    },
    /// A receiver of a signal failed.
    HookFailed {
        /// The alias.
        alias: String,
        /// Its name and place.
        receiver: String,
        /// The first error.
        error: String,
    },
    /// The command came to its end, receivers of `post_migrate` included.
    Ended {
        /// The alias.
        alias: String,
    },
    /// The undo restores the backup.
    Restores,
    /// What the restore does.
    Restoring(restore::Note),
    /// It is restored.
    Restored,
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The number of migrations that were applied.
    applied: u64,
    /// The schema of the first database.
    schema: String,
}

impl Migrate {
    pub(super) fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn command(&self, alias: Option<&str>, alone: bool) -> String {
        let database = alias.map(|a| format!("--database={a}"));
        let mut words = vec!["migrate", "--noinput"];
        words.extend(database.as_deref());
        self.app().shown(&words, alone)
    }

    fn output(before: &Before) -> Output {
        let applied: usize = before.databases.iter().map(|d| d.plan.len()).sum();
        Output {
            applied: u64::try_from(applied).unwrap_or(u64::MAX),
            schema: before
                .databases
                .first()
                .map(|d| d.schema.clone())
                .unwrap_or_default(),
        }
    }

    /// Runs the command for one database, as far as it is not done.
    fn one(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<Self>,
        database: &Database,
    ) -> Result<(), Error> {
        let alias = database.alias.clone();
        let now = self.quiet(work, past, database)?;
        let stand = self.stand(work.cx(), work.all_noted(), database, &now);
        let done = match &stand {
            Stand::NotStarted => 0,
            Stand::Between(done) => *done,
            Stand::Applied => database.plan.len(),
            Stand::Half(_) | Stand::Foreign(_) => {
                let (lines, error) = failure::not_again(&stand, work.all_noted(), database);
                lines.iter().for_each(|line| work.log_line(line));
                return Err(error);
            }
        };
        work.log_line(&format!(
            "{}: {done} of {} migrations of the plan are applied",
            database.shown,
            database.plan.len()
        ));
        work.note(Note::Runs {
            alias: alias.clone(),
        })?;
        let rows = now.server.applied.len();
        let ran = command::run(self, work, &alias, rows, (done, database.plan.len()));
        let (ended, report) = ran?;
        if ended.code == Some(0) && report.finished {
            return work.note(Note::Ended { alias });
        }
        let now = match self.quiet(work, past, database) {
            Ok(now) => now,
            Err(why) => return Err(failure::unseen(&ended, &report, &why)),
        };
        let stand = self.stand(work.cx(), work.all_noted(), database, &now);
        let ran = (&ended, &report);
        let (lines, error) =
            failure::explain(self, ran, &stand, (database, &now), work.all_noted());
        lines.iter().for_each(|line| work.log_line(line));
        Err(error)
    }

    /// How far it came.
    fn stand<'n>(
        &self,
        cx: &Context,
        notes: impl DoubleEndedIterator<Item = &'n Note> + Clone,
        database: &Database,
        now: &DatabaseState,
    ) -> Stand {
        judge::stand(database, notes, now, database.former(cx).as_ref())
    }
}

/// The command for this database came to its end after it was started last.
fn ended<'n>(notes: impl DoubleEndedIterator<Item = &'n Note>, alias: &str) -> bool {
    let mut last = notes.rev().filter_map(|note| match note {
        Note::Runs { alias: of } if of == alias => Some(false),
        Note::Ended { alias: of } if of == alias => Some(true),
        _ => None,
    });
    last.next().unwrap_or(true)
}

/// A migration may have changed something.
fn began<'n>(mut notes: impl Iterator<Item = &'n Note>) -> bool {
    notes.any(|note| matches!(note, Note::Begins { .. }))
}

impl Action for Migrate {
    type Before = Before;
    type Note = Note;
    type Output = Output;

    fn properties(&self) -> Properties {
        let uses = self.backup.iter().map(|step| StepUse {
            setting: "backup",
            step: step.clone(),
            kinds: &BACKUPS,
        });
        Properties {
            has_undo: self.backup.is_some(),
            below_cwd: self.app().below_cwd(),
            uses: uses.collect(),
            restores: self.backup.as_ref().map(|_| Direction::Undo),
            stages: vec![Stage::Migrate],
            reads: Some(vec![Place::Data, Place::Files]),
            touches: Some(vec![Place::Data]),
            ..Properties::reversible()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        let empty = [
            ("backup", self.backup.as_ref().is_some_and(String::is_empty)),
            ("schema", self.schema.as_ref().is_some_and(String::is_empty)),
            ("databases", self.databases.iter().any(String::is_empty)),
        ];
        let empty = empty.into_iter().filter(|(_, empty)| *empty);
        wrong.extend(empty.map(|(setting, _)| text::empty(setting)));
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match (direction, self.databases.as_slice()) {
            (Direction::Do, []) => vec![self.command(None, false)],
            (Direction::Do, each) => each.iter().map(|a| self.command(Some(a), false)).collect(),
            (Direction::Undo, _) => vec![phrases::restore_backup(
                self.backup.as_deref().unwrap_or_default(),
            )],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        self.look_before(cx)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let databases = || past.before.databases.iter();
        if direction == Direction::Undo {
            let nothing = !began(past.noted()) && !past.notes.is_empty();
            return Preview {
                commands: match nothing {
                    true => vec![phrases::nothing_migrated()],
                    false => self.outline(direction),
                },
                ..Preview::default()
            };
        }
        let open = databases().filter(|d| !d.plan.is_empty());
        let commands = open.map(|d| self.command(Some(&d.alias), past.before.alone));
        let mut findings = Vec::new();
        for database in databases() {
            let names: Vec<String> = database.plan.iter().map(Migration::full).collect();
            findings.push(match names.len() {
                0 => phrases::no_migration_open(&database.shown),
                n => phrases::migrations_open(&database.shown, n, crate::text::list(&names)),
            });
            findings.extend(database.warnings.iter().map(phrases::looked));
        }
        Preview {
            commands: commands.collect(),
            findings,
            kept: Vec::new(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Output>), Error> {
        self.probe_all(cx, past)
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Output, Error> {
        let before = &past.before;
        let open = before.databases.iter().filter(|d| !d.plan.is_empty());
        let mut open: Vec<&Database> = open.collect();
        if open.is_empty() {
            // Rows and plan are right, and something else is not: its receivers run once more.
            open = before.databases.iter().collect();
        }
        for database in open {
            self.one(work, past, database)?;
        }
        Ok(Self::output(before))
    }

    fn verify(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        Ok(self.probe(cx, past)?.0)
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        self.put_back(work, past)
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        self.is_back(cx, past)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        self.restorable(cx, past)
    }
}

/// The answer that a stand means for a probe.
fn answer(stand: &Stand, hooks: bool) -> Answer {
    match stand {
        Stand::NotStarted => Answer::Nothing,
        Stand::Applied if hooks => Answer::Done,
        Stand::Applied | Stand::Between(_) | Stand::Half(_) | Stand::Foreign(_) => Answer::Unclear,
    }
}

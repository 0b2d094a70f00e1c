//! The looks of `django.migrate`: before, whether it is done, and whether the backup is back.

use super::judge::{self, Stand};
use super::seen::{Answered, DatabaseState, Migration, Schema, Server, Whole};
use super::{Before, Database, Migrate, Note, Output, answer, began, ended};
use crate::action::{Consequences, Context, Error, Look, Past, Used, Work};
use crate::actions::django::App;
use crate::actions::mysql::backup::Produced;
use crate::actions::{Do, mysql};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

const CODE: &str = concat!(
    include_str!("schema.py"),
    include_str!("server.py"),
    include_str!("look.py")
);
/// Between two looks at what the server still does.
const PAUSE: Duration = Duration::from_millis(500);
/// How many names a line tells.
const NAMED: usize = 12;

/// Some of many names.
pub(super) fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = names[..names.len() - more].join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Asks an application about its migrations; `more` may define another question.
pub(in crate::actions::django) fn ask<T: DeserializeOwned>(
    app: &App<'_>,
    cx: &Context,
    more: &str,
    question: &str,
    arguments: &Value,
) -> Result<Answered<T>, Error> {
    app.ask_with(cx, &format!("{CODE}{more}"), question, arguments)
}

/// What of the operations of one migration is not in the schema.
pub(in crate::actions::django) fn lacking(seen: &Schema) -> Vec<String> {
    judge::lacks_of_all(&seen.operations, &judge::together(&seen.facts))
}

impl Migrate {
    fn ask(&self, cx: &Context, aliases: &[String], arguments: &Value) -> Result<Whole, Error> {
        let mut arguments = arguments.clone();
        arguments["databases"] = json!(aliases);
        ask::<Whole>(&self.app(), cx, "", "migrations", &arguments)?.into_result()
    }

    /// How the databases of the record are now.
    pub(super) fn again(&self, cx: &Context, databases: &[&Database]) -> Result<Whole, Error> {
        let aliases: Vec<String> = databases.iter().map(|d| d.alias.clone()).collect();
        let tables: BTreeMap<&String, _> =
            databases.iter().map(|d| (&d.alias, &d.tables)).collect();
        let touched = |d: &Database| -> BTreeSet<String> {
            let keys = d
                .plan
                .iter()
                .flat_map(|m| &m.operations)
                .flat_map(|o| o.changes.keys());
            keys.map(|k| super::seen::table_of(k).to_owned()).collect()
        };
        let touched: BTreeMap<&String, _> =
            databases.iter().map(|d| (&d.alias, touched(d))).collect();
        let whole = self.ask(cx, &aliases, &json!({"tables": tables, "touched": touched}))?;
        for (database, seen) in databases.iter().zip(&whole.databases) {
            let (now, was) = (seen.server.identity(), &database.server);
            if now != *was || seen.server.schema != database.schema {
                return Err(Error::new(format!(
                    "the application's database {} is another than when this step began: {}, and was {}",
                    database.alias,
                    seen.server.shown(),
                    database.shown
                ))
                .remedy("give the step the environment that it had"));
            }
        }
        Ok(whole)
    }

    /// One database, when the server no longer works for connections of this step that are gone.
    pub(super) fn quiet(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<Self>,
        database: &Database,
    ) -> Result<DatabaseState, Error> {
        let mut said = String::new();
        loop {
            let whole = self.again(work.cx(), &[database])?;
            let Some(now) = whole.databases.into_iter().next() else {
                return Err(Error::new("the application told of no database"));
            };
            let notes = past.noted().chain(work.noted());
            let Some(still) = at_work(notes, &database.alias, &now) else {
                return Ok(now);
            };
            if said != still.statement {
                said.clone_from(&still.statement);
                let line = format!(
                    "the server still works for a client that is gone, which is waited for: {still}"
                );
                work.log_line(&line);
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn look_before(&self, cx: &Context) -> Result<Before, Error> {
        let whole = self.ask(cx, &self.databases, &json!({"detailed": true}))?;
        if whole.databases.is_empty() {
            return Err(Error::new("the application told of no database"));
        }
        let mut databases = Vec::new();
        for (at, seen) in whole.databases.iter().enumerate() {
            self.refusals(cx, seen, at == 0)?;
            let facts = match seen.facts.is_empty() {
                true => None,
                false => {
                    let bytes = serde_json::to_vec(&seen.facts)
                        .map_err(|e| Error::io("the facts of the schema have no JSON form", &e))?;
                    Some(cx.keep(&bytes)?)
                }
            };
            databases.push(Database {
                alias: seen.server.alias.clone(),
                schema: seen.server.schema.clone(),
                server: seen.server.identity(),
                shown: seen.server.shown(),
                applied: seen.server.applied.clone(),
                plan: seen.plan.clone(),
                tables: seen.tables.clone(),
                facts,
                deviations: seen.server.deviations.clone(),
                warnings: warnings(seen),
            });
        }
        Ok(Before {
            databases,
            alone: self.app().manage(cx)?.is_none(),
        })
    }

    /// What must not be migrated.
    fn refusals(&self, cx: &Context, seen: &DatabaseState, first: bool) -> Result<(), Error> {
        let server = &seen.server;
        if let Some(schema) = self
            .schema
            .as_ref()
            .filter(|s| first && **s != server.schema)
        {
            return Err(Error::new(format!(
                "the application's database is {}, and `schema` says {schema}",
                server.shown()
            ))
            .remedy("give the step the same `env` or `env_file` as the running service has"));
        }
        if !seen.ever && !seen.plan.is_empty() && !self.new_database {
            let first = seen
                .plan
                .iter()
                .find(|m| m.initial)
                .unwrap_or(&seen.plan[0]);
            return Err(Error::new(format!(
                "no migration of this code was ever applied to {}: the plan begins with {}, so this is not the database of the \
                 running service",
                server.shown(),
                first.full()
            ))
            .remedy(
                "give the step the same `env` or `env_file` as the running service has, or say `new_database: true`",
            ));
        }
        if let Some(backup) = &self.backup {
            backup_is_of(cx.used(backup)?, &seen.server)?;
        }
        if let Some(lock) = seen.lock {
            return Err(Error::new(format!(
                "another upgrade migrates the schema {} now: connection {lock} has the lock of this step",
                server.schema
            ))
            .remedy("wait for it, and look at what it did before you go on"));
        }
        if let Some(other) = seen.processes.iter().find(|p| p.is_ddl()) {
            return Err(Error::new(format!(
                "another connection changes the schema {} now: {other}",
                server.schema
            ))
            .remedy("wait until it has ended"));
        }
        if !seen.already.is_empty() {
            return Err(Error::new(format!(
                "the schema {} already holds parts of migrations that are not recorded: {}",
                server.schema,
                some(&seen.already)
            ))
            .remedy(
                "an earlier try died half-way, or somebody did it by hand: restore the backup; where all of a migration is there, \
                 record it with django.fake",
            )
            .lasting());
        }
        if !seen.foreign.is_empty() {
            return Err(Error::new(format!(
                "foreign keys of the plan cannot be formed: {}",
                seen.foreign.join("; ")
            ))
            .remedy(
                "convert the older column and its table to the character set, type or engine of the new one before the upgrade, with \
                 the application stopped",
            )
            .lasting());
        }
        if !seen.orphans.is_empty() {
            return Err(Error::new(format!(
                "the schema is newer than this code: rows without a migration in the code: {}; columns that need a value and that no \
                 model has, so that writes fail: {}",
                some(&seen.gone),
                some(&seen.orphans)
            ))
            .remedy("deploy the release that the schema is of, or restore the backup of the schema that the code is of"));
        }
        Ok(())
    }

    pub(super) fn probe_all(
        &self,
        cx: &Context,
        past: &Past<Self>,
    ) -> Result<(Look, Option<Output>), Error> {
        let databases: Vec<&Database> = past.before.databases.iter().collect();
        let until = Instant::now() + cx.patience();
        let (whole, still) = loop {
            let whole = self.again(cx, &databases)?;
            let mut each = whole.databases.iter();
            let still = each.find_map(|now| at_work(past.noted(), &now.server.alias, now).cloned());
            match still {
                Some(_) if Instant::now() < until => std::thread::sleep(PAUSE),
                still => break (whole, still),
            }
        };
        if let Some(still) = still {
            let why = format!("the server still works for a client that is gone: {still}");
            return Ok((Look::unclear(why), None));
        }
        let (mut worst, mut evidence) = (Answer::Done, Vec::new());
        let mut nothing = true;
        for (database, now) in databases.iter().zip(&whole.databases) {
            let stand = self.stand(cx, past.noted(), database, now);
            let hooks = ended(past.noted(), &database.alias);
            evidence.extend(lines_of(&stand, database, hooks));
            let mut answer = answer(&stand, hooks);
            if answer == Answer::Done {
                let wrong = judge::new_deviations(database, now);
                if !wrong.is_empty() {
                    evidence.push(format!(
                        "the schema does not agree with the models: {}",
                        some(&wrong)
                    ));
                    answer = Answer::Unclear;
                }
                if !now.gone.is_empty() {
                    let gone = some(&now.gone);
                    evidence.push(format!("rows without a migration in the code: {gone}"));
                }
            }
            // A database with an empty plan is neither done nor to be done.
            nothing &= answer == Answer::Nothing || database.plan.is_empty();
            if answer != Answer::Done {
                worst = answer;
            }
        }
        if !whole.absent.is_empty() {
            evidence.push(some(&whole.absent));
            worst = Answer::Unclear;
        }
        if worst != Answer::Done && !nothing {
            worst = Answer::Unclear;
        }
        let look = Look {
            answer: worst,
            evidence,
        };
        let output = (worst == Answer::Done).then(|| Self::output(&past.before));
        Ok((look, output))
    }

    /// Puts the backup back, where anything began.
    pub(super) fn put_back(
        &self,
        work: &mut Work<'_, Note>,
        past: &Past<Self>,
    ) -> Result<(), Error> {
        if !began(past.noted()) {
            work.log_line("no migration began, so nothing is restored");
            return Ok(());
        }
        for database in &past.before.databases {
            // A restore that died has left no schema to ask; what others do there the restore itself looks for.
            if let Err(why) = self.quiet(work, past, database) {
                work.log_line(&format!("the application cannot be asked: {why}"));
            }
        }
        let backup = self.backup.as_deref().unwrap_or_default();
        work.note(Note::Restores)?;
        restore(work, backup)?;
        work.note(Note::Restored)
    }

    /// What the restore would refuse now.
    pub(super) fn restorable(
        &self,
        cx: &Context,
        past: &Past<Self>,
    ) -> Result<Consequences, Error> {
        if !began(past.noted()) {
            return Ok(Consequences::none());
        }
        let used = cx.used(self.backup.as_deref().unwrap_or_default())?;
        let check = mysql::restore::check(cx, used, &mysql::Manner::default());
        Ok(Consequences {
            refuses: check.err().iter().map(ToString::to_string).collect(),
            ..Consequences::default()
        })
    }

    pub(super) fn is_back(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        if !began(past.noted()) {
            return Ok(Look::done(
                "no migration began, so nothing is to be restored",
            ));
        }
        let databases: Vec<&Database> = past.before.databases.iter().collect();
        let whole = self.again(cx, &databases)?;
        let mut evidence = Vec::new();
        for (database, now) in databases.iter().zip(&whole.databases) {
            let names = database.applied == now.server.applied;
            let changed: Vec<String> = different(&database.tables, &now.tables);
            if !names || !changed.is_empty() {
                return Ok(Look::nothing(format!(
                    "{} is not as before: {}{}",
                    database.schema,
                    if names {
                        ""
                    } else {
                        "other rows in django_migrations; "
                    },
                    some(&changed)
                )));
            }
            evidence.push(format!(
                "{}: {} rows in django_migrations and {} tables are as before",
                database.schema,
                now.server.applied.len(),
                now.tables.len()
            ));
        }
        let mut last = past.noted().rev();
        let restored = last.find_map(|note| match note {
            Note::Restored => Some(true),
            Note::Begins { .. } | Note::Restores => Some(false),
            _ => None,
        });
        if restored == Some(false) {
            return Ok(Look::nothing(
                "a migration began and the backup is not restored: rows may have changed",
            ));
        }
        Ok(Look {
            answer: Answer::Done,
            evidence,
        })
    }
}

/// Tables that are not as they were.
fn different(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let names = names.into_iter().filter(|n| was.get(*n) != is.get(*n));
    names.map(|n| format!("table {n}")).collect()
}

/// A connection of this step for which the server still works though its client is gone.
fn at_work<'s, 'n>(
    notes: impl Iterator<Item = &'n Note>,
    alias: &str,
    now: &'s DatabaseState,
) -> Option<&'s super::seen::Process> {
    // Numbers of connections begin anew with the server; the clock may differ by a second.
    let ours: BTreeSet<u64> = notes
        .filter_map(|note| match note {
            Note::Connected {
                alias: of,
                id,
                started,
            } if of == alias && (started - now.server.started).abs() <= 2 => Some(*id),
            _ => None,
        })
        .collect();
    let mut each = now.processes.iter();
    each.find(|p| ours.contains(&p.id) && p.works())
}

/// What the plan means, beyond its names.
fn warnings(seen: &DatabaseState) -> Vec<String> {
    let mut found = Vec::new();
    let names = |which: &dyn Fn(&&Migration) -> bool| -> Vec<String> {
        seen.plan
            .iter()
            .filter(which)
            .map(Migration::full)
            .collect()
    };
    let mut tell = |names: Vec<String>, what: &str| {
        if !names.is_empty() {
            found.push(format!("{what}: {}", some(&names)));
        }
    };
    tell(
        names(&|m| m.operations.iter().any(|o| !o.reversible)),
        "irreversible",
    );
    tell(
        names(&|m| m.operations.iter().any(|o| o.destroys)),
        "destroys data (a column or a table goes)",
    );
    tell(
        names(&|m| m.mixes()),
        "changes data and tables in one migration, which cannot be repeated on this server",
    );
    if !seen.rows.is_empty() && !seen.plan.is_empty() {
        let size = |(table, (rows, bytes)): (&String, &(u64, u64))| {
            format!("{table} (about {rows} rows, {} MiB)", bytes >> 20)
        };
        let sizes: Vec<String> = seen.rows.iter().map(size).collect();
        found.push(format!("tables that it changes or reads: {}", some(&sizes)));
    }
    let server = &seen.server;
    if seen.plan.iter().any(Migration::has_data) {
        found.push(format!(
            "the server ends a connection that is idle for {} s (wait_timeout): a data step that computes for longer between two \
             queries loses it",
            server.wait_timeout
        ));
        let largest = seen
            .rows
            .values()
            .map(|(_, bytes)| *bytes)
            .max()
            .unwrap_or(0);
        found.push(format!(
            "a data step may hold a whole table in memory, iterator() included: the largest has {} MiB, and {} MiB are free",
            largest >> 20,
            seen.memory >> 20
        ));
    }
    let blockers = seen.blockers.iter().map(ToString::to_string);
    found.extend(
        blockers
            .map(|b| format!("holds a table of the plan now, so an ALTER would wait for it: {b}")),
    );
    if !seen.gone.is_empty() {
        found.push(format!(
            "rows without a migration in the code: {}",
            some(&seen.gone)
        ));
    }
    found
}

/// How it stands, in lines.
pub(super) fn lines_of(stand: &Stand, database: &Database, hooks: bool) -> Vec<String> {
    let (alias, total) = (&database.alias, database.plan.len());
    match stand {
        Stand::NotStarted => vec![format!(
            "{alias}: none of {total} migrations is applied, rows and tables are as before"
        )],
        Stand::Between(done) => vec![format!(
            "{alias}: {done} of {total} migrations are applied, and nothing of {}",
            database.plan[*done].full()
        )],
        Stand::Applied if total == 0 => {
            vec![format!("{alias}: no migration is open")]
        }
        Stand::Applied if hooks => vec![format!("{alias}: all {total} migrations have their row")],
        Stand::Applied => vec![format!(
            "{alias}: all {total} migrations have their row, but the command did not come to its end: receivers of post_migrate \
             may not have run"
        )],
        Stand::Half(half) => {
            let mut lines = vec![format!("{alias}: {}", half.head())];
            lines.extend(half.lines.iter().cloned());
            lines
        }
        Stand::Foreign(rows) => vec![format!(
            "{alias}: django_migrations was changed by somebody else: {}",
            some(rows)
        )],
    }
}

/// The backup is of this database, where that can be known.
pub(in crate::actions::django) fn backup_is_of(used: &Used, server: &Server) -> Result<(), Error> {
    let Do::MysqlBackup(_) = &used.action else {
        return Ok(());
    };
    // A preview comes before the backup.
    let Some(produced) = &used.produced else {
        return Ok(());
    };
    let produced: Produced = serde_json::from_value(produced.clone()).map_err(|e| {
        Error::io(
            format!("what {} has produced cannot be read", used.step),
            &e,
        )
    })?;
    if produced.server != server.identity() {
        return Err(Error::new(format!(
            "the backup {} is of another server than the application's database: {}, and this is {}",
            used.step,
            produced.server,
            server.shown()
        ))
        .remedy("give the step the same `env` or `env_file` as the running service has, or back up this server"));
    }
    if !produced.databases.contains(&server.schema) {
        return Err(Error::new(format!(
            "the backup {} does not hold the schema {}, which is to be migrated, but {}",
            used.step,
            server.schema,
            produced.databases.join(", ")
        ))
        .remedy("name the schema in the backup's `databases`"));
    }
    Ok(())
}

/// Restores what the backup step has saved.
fn restore(work: &mut Work<'_, Note>, backup: &str) -> Result<(), Error> {
    let used = work.cx().used(backup)?.clone();
    let Do::MysqlBackup(_) = &used.action else {
        return Err(Error::new(format!(
            "the backup {backup} is a command, and only the plan can say how it is restored"
        ))
        .remedy("restore it by hand, then decide this undo as done"));
    };
    let earlier: Vec<mysql::restore::Note> = work
        .all_noted()
        .filter_map(|note| match note {
            Note::Restoring(note) => Some(note.clone()),
            _ => None,
        })
        .collect();
    let manner = mysql::Manner::default();
    mysql::restore::bring_back(work, &used, &manner, Note::Restoring, &earlier)?;
    Ok(())
}

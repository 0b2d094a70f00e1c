//! `django.fake`: one migration is recorded as applied, because the schema holds all of it already.
//!
//! `manage.py migrate --fake` records everything up to a name, forwards and backwards, and looks at nothing. This step
//! records one named migration: Django's own plan for it must hold that one alone, every table, column with type and
//! default, index and foreign key of it must be there, and what changes data must have been done by a person who says how.
//! Invariants: exactly one row is new afterwards; the undo deletes that row and nothing else.

use super::App;
use super::migrate::{Answered, Schema, lacking};
use crate::action::{
    Action, Context, Direction, Error, Look, Past, Place, Preview, Properties, Stage, Work,
};
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upledger_replay::event::Answer;

/// Records one migration as applied, without running it. The schema must hold all that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fake {
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
    /// The label of the application.
    pub app: String,
    /// The name of the migration in full, such as `0002_price`.
    pub name: String,
    /// The alias of the database. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What was done instead of its `RunPython` and `RunSQL`, and by whom; it becomes part of the record. Without it a
    /// migration that has such operations is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_instead: Option<String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What tells the server from others.
    server: String,
    schema: String,
    /// The rows of `django_migrations`.
    applied: Vec<String>,
    /// The operations that were compared.
    operations: Vec<String>,
}

/// What it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The row is inserted.
    Records,
    /// The row is deleted.
    Deletes,
}

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The migration, `app.name`.
    migration: String,
}

impl Fake {
    fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn full(&self) -> String {
        format!("{}.{}", self.app, self.name)
    }

    fn output(&self) -> Output {
        Output {
            migration: self.full(),
        }
    }

    fn ask(&self, cx: &Context, change: Option<&str>) -> Result<Schema, Error> {
        let arguments: Value = json!({
            "app": self.app,
            "name": self.name,
            "database": self.database.as_deref().unwrap_or("default"),
            "change": change,
        });
        super::migrate::ask(&self.app(), cx, include_str!("fake.py"), "fake", &arguments)
            .and_then(Answered::into_result)
    }

    /// Refuses unless the schema holds all of it.
    fn compare(&self, seen: &Schema) -> Result<(), Error> {
        let data: Vec<&str> = seen
            .operations
            .iter()
            .filter(|o| o.data)
            .map(|o| o.what.as_str())
            .collect();
        if !data.is_empty() && self.done_instead.is_none() {
            return Err(Error::new(format!(
                "{} changes data or does what nobody can see in a schema: {}; recording it would leave that out",
                self.full(),
                data.join(", ")
            ))
            .remedy("do it by hand and say so in `done_instead`, or restore the backup and let the migration run"));
        }
        let lacks = lacking(seen);
        if !lacks.is_empty() {
            return Err(Error::new(format!(
                "the schema {} does not hold all of {}: {}",
                seen.server.schema,
                self.full(),
                lacks.join("; ")
            ))
            .remedy("make what lacks by hand, exactly as the migration would, or restore the backup and let it run"));
        }
        Ok(())
    }

    /// The same database as before.
    fn same(before: &Before, seen: &Schema) -> Result<(), Error> {
        if seen.server.identity() == before.server && seen.server.schema == before.schema {
            return Ok(());
        }
        Err(Error::new(format!(
            "the application's database is another than when this step began: {}",
            seen.server.shown()
        )))
    }

    /// The rows with this one.
    fn wanted(&self, before: &Before) -> Vec<String> {
        let mut rows = before.applied.clone();
        rows.push(self.full());
        rows.sort();
        rows.dedup();
        rows
    }
}

impl Action for Fake {
    type Before = Before;
    type Note = Note;
    type Output = Output;

    fn properties(&self) -> Properties {
        Properties {
            below_cwd: self.app().below_cwd(),
            stages: vec![Stage::Migrate],
            reads: Some(vec![Place::Data, Place::Files]),
            touches: Some(vec![Place::Data]),
            ..Properties::reversible()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        for (setting, name, such) in [
            ("app", &self.app, "shop"),
            ("name", &self.name, "0002_price"),
        ] {
            let plain = |c: char| c.is_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                wrong.push(text::no_label(setting, such));
            }
        }
        if self
            .done_instead
            .as_ref()
            .is_some_and(|d| d.trim().is_empty())
        {
            wrong.push(text::empty("done_instead"));
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match direction {
            Direction::Do => {
                let instead = self.done_instead.iter().map(phrases::fake_instead);
                std::iter::once(phrases::fake_row(self.full()))
                    .chain(instead)
                    .collect()
            }
            Direction::Undo => vec![phrases::undo_fake(self.full())],
        }
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let seen = self.ask(cx, None)?;
        self.compare(&seen)?;
        Ok(Before {
            server: seen.server.identity(),
            schema: seen.server.schema.clone(),
            applied: seen.server.applied.clone(),
            operations: seen.operations.iter().map(|o| o.what.clone()).collect(),
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let mut findings = Vec::new();
        if direction == Direction::Do && !before.operations.is_empty() {
            findings.push(phrases::fake_agrees(self.full(), before.operations.len()));
        }
        Preview {
            commands: self.outline(direction),
            findings,
            kept: Vec::new(),
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Output>), Error> {
        let seen = self.ask(cx, None)?;
        Self::same(&past.before, &seen)?;
        let (now, full) = (&seen.server.applied, self.full());
        if *now == self.wanted(&past.before) {
            let look = Look::done(format!(
                "{full} is recorded as applied, and no other row is new"
            ));
            return Ok((look, Some(self.output())));
        }
        let look = if *now == past.before.applied {
            Look::nothing(format!(
                "{full} is not recorded, and the rows are as before"
            ))
        } else {
            Look::unclear("django_migrations was changed by somebody else meanwhile")
        };
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Output, Error> {
        let cx = work.cx();
        let seen = self.ask(cx, None)?;
        Self::same(&past.before, &seen)?;
        self.compare(&seen)?;
        work.note(Note::Records)?;
        let now = self.ask(cx, Some("insert"))?;
        if now.server.applied != self.wanted(&past.before) {
            return Err(Error::new(format!(
                "after {} was recorded, django_migrations has other rows than it should: somebody else has changed it",
                self.full()
            )));
        }
        work.log_line(&format!(
            "{} is recorded in {}",
            self.full(),
            seen.server.shown()
        ));
        Ok(self.output())
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let cx = work.cx();
        Self::same(&past.before, &self.ask(cx, None)?)?;
        if past.before.applied.contains(&self.full()) {
            work.log_line("the row was there before this step, and stays");
            return Ok(());
        }
        work.note(Note::Deletes)?;
        self.ask(cx, Some("delete"))?;
        work.log_line(&format!("{} is no longer recorded", self.full()));
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let seen = self.ask(cx, None)?;
        Self::same(&past.before, &seen)?;
        Ok(if seen.server.applied == past.before.applied {
            Look::done("the rows of django_migrations are as before")
        } else if seen.server.applied.contains(&self.full()) {
            Look::nothing(format!("{} is recorded", self.full()))
        } else {
            Look {
                answer: Answer::Unclear,
                evidence: vec!["django_migrations was changed by somebody else meanwhile".into()],
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_stays_readable() {
        crate::action::stays::<Fake>(
            r#"{"server": "uid", "schema": "app", "applied": ["shop.0001_initial"], "operations": ["AddField: x"]}"#,
            r#""records""#,
            r#"{"migration": "shop.0002_price"}"#,
        );
    }
}

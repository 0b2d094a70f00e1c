//! `supervisor.update`: supervisord runs the configuration of its files, and what that starts and stops is shown before.
//!
//! Evidence: supervisord has nothing to reread any more, and what its configuration starts runs. The undo brings the
//! programs of the groups that were updated to where they were: what did not run before is stopped, before the code goes
//! back that it runs; where the former configuration is in its files again, it is read. A step with `only: rollback`, before
//! the one that changes the files, is what reads it once they are back: the order is that of the plan.
//!
//! Left out: the configuration of supervisord itself, such as its socket, which only its restart reads.

use crate::action::{
    Action, Context, Direction, Error, Look, Past, Place, Preview, Properties, Work,
};
use crate::host::process::note::Note;
use crate::host::service::by::{Supervisor, ctl};
use crate::host::service::found::Program;
use crate::host::service::supervisord::update::{Change, Effects, is_of};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Between the gentle signal and KILL when an update is undone.
const GRACE: Duration = Duration::from_secs(30);

/// When it does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// The step itself does nothing. Its undo makes supervisord run the configuration of its files.
    Rollback,
}

/// Makes supervisord read its configuration and run it (`supervisorctl update`): groups that have changed are stopped and
/// started anew, new ones are started, and those that are gone are stopped. Programs with `autostart=false` are not
/// started, also if they were running. The preview shows what would be started, stopped and restarted. The undo stops what
/// was not running before. If an earlier step of the plan changes the files, put a second step with `only: rollback`
/// before that one (and before the code changes): its undo makes supervisord run the former configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The supervisorctl command, as a list of arguments. Default: `[supervisorctl]`.
    #[serde(default = "ctl")]
    #[schemars(length(min = 1))]
    pub ctl: Vec<String>,
    /// The groups to update; a program outside of a group is a group of its own. Default: all whose configuration has
    /// changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// `rollback`: only the undo does something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// The time limit until the programs run, in addition to what their stops may take. Default: 1m.
    #[serde(default = "a_minute")]
    pub within: Length,
}

fn a_minute() -> Length {
    Length(60_000)
}

/// What was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What an update would have done.
    pub(crate) changes: Vec<Change>,
    /// All programs of supervisord.
    pub(crate) programs: Vec<Program>,
}

impl Before {
    fn ran(&self, name: &str) -> bool {
        self.programs
            .iter()
            .any(|p| p.name == name && p.is_wanted())
    }
}

/// What an update came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Updated {
    /// The programs that were started.
    pub started: String,
    /// The programs that were restarted.
    pub restarted: String,
    /// The programs that were stopped and not started again.
    pub stopped: String,
}

impl Update {
    fn client(&self) -> Supervisor {
        Supervisor::client(&self.ctl)
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.within.0)
    }

    fn command(&self) -> String {
        let words = self.ctl.iter().map(String::as_str).chain(["update"]);
        let words = words.chain(self.groups.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The groups that this step has updated, or is about to.
    fn touched(past: &Past<Self>) -> BTreeSet<String> {
        let noted = past.noted().flat_map(updated);
        let planned = past.before.changes.iter().map(|c| c.group.clone());
        planned.chain(noted).collect()
    }

    /// What is not as it was before: programs of these groups that run and did not, and those that do not run and did.
    fn differences(
        before: &Before,
        now: &[Program],
        groups: &BTreeSet<String>,
    ) -> (Vec<String>, Vec<String>) {
        let of = |p: &&Program| groups.iter().any(|g| is_of(&p.name, g));
        let surplus = now.iter().filter(of);
        let surplus = surplus.filter(|p| p.is_wanted() && !before.ran(&p.name));
        let lacking = now.iter().filter(of);
        let lacking = lacking.filter(|p| !p.is_wanted() && before.ran(&p.name));
        let names = |of: Vec<&Program>| of.iter().map(|p| p.name.clone()).collect();
        (names(surplus.collect()), names(lacking.collect()))
    }

    /// Programs that ran before and that supervisord does not know now.
    fn unknown(before: &Before, now: &[Program], groups: &BTreeSet<String>) -> Vec<String> {
        let gone = before.programs.iter().filter(|p| {
            let of = groups.iter().any(|g| is_of(&p.name, g));
            of && p.is_wanted() && now.iter().all(|n| n.name != p.name)
        });
        gone.map(|p| p.name.clone()).collect()
    }
}

/// The groups that a note tells of.
fn updated(note: &Note) -> Vec<String> {
    match note {
        Note::Updating { groups } => groups.clone(),
        _ => Vec::new(),
    }
}

fn groups(changes: &[Change]) -> String {
    let names: Vec<&str> = changes.iter().map(|c| c.group.as_str()).collect();
    names.join(", ")
}

/// What is said of programs that only the former configuration has.
fn gone(names: &[String]) -> String {
    format!(
        "{} ran before and is not configured any more; it runs again once the former configuration is read",
        names.join(", ")
    )
}

impl Action for Update {
    type Before = Before;
    type Note = Note;
    type Output = Updated;

    fn properties(&self) -> Properties {
        let (service, files) = (Place::Processes, Place::Files);
        Properties {
            program: self.ctl.first().map(|program| (program.clone(), None)),
            reads: Some(vec![service.clone(), files]),
            touches: Some(vec![service, Place::Written]),
            ..Properties::reversible()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.ctl.first().is_none_or(String::is_empty) {
            problems.push(text::empty("ctl"));
        }
        let valid = |name: &String| {
            let odd = |c: char| c.is_whitespace() || "*?:".contains(c);
            !(name.is_empty() || name.starts_with('-') || name.contains(odd))
        };
        let wrong = self.groups.iter().filter(|name| !valid(name));
        problems.extend(wrong.map(text::no_group));
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match (direction, self.only) {
            (Direction::Do, None) => vec![self.command()],
            (Direction::Do, Some(Only::Rollback)) => vec![phrases::update_in_rollback()],
            (Direction::Undo, None) => vec![text::undo_update()],
            (Direction::Undo, Some(Only::Rollback)) => {
                vec![self.command(), phrases::update_stops_surplus()]
            }
        }
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        let client = self.client();
        let changes = match self.only {
            Some(Only::Rollback) => Vec::new(),
            None => client.pending(cx, &self.groups)?,
        };
        Ok(Before {
            changes,
            programs: client.programs(cx)?,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let effects = Effects::of(&past.before.changes);
        let mut commands = self.outline(direction);
        match (direction, self.only) {
            (_, Some(Only::Rollback)) => {}
            (Direction::Do, None) if past.before.changes.is_empty() => {
                commands.push(phrases::update_nothing());
            }
            (Direction::Do, None) => commands.extend(effects.lines()),
            (Direction::Undo, None) if effects.started.is_empty() => {}
            (Direction::Undo, None) => {
                let names: Vec<&str> = effects.started.iter().map(String::as_str).collect();
                commands.push(self.client().typed("stop", &names));
            }
        }
        Preview {
            commands,
            ..Preview::default()
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Updated>), Error> {
        let none = Updated {
            started: String::new(),
            restarted: String::new(),
            stopped: String::new(),
        };
        if self.only.is_some() {
            let noted = past.noted().any(|n| matches!(n, Note::Updating { .. }));
            let what = "the undo of this step makes supervisord run the configuration of its files";
            return Ok(match noted {
                true => (Look::done(what), Some(none)),
                false => (Look::nothing(what), None),
            });
        }
        let pending = self.client().pending(cx, &self.groups)?;
        if !pending.is_empty() {
            let mut look = Look::nothing(format!(
                "supervisord does not run the configuration of its files: {}",
                groups(&pending)
            ));
            look.evidence
                .extend(crate::action::recorded(|| Effects::of(&pending).lines()));
            return Ok((look, None));
        }
        let effects = Effects::of(&past.before.changes);
        let up = effects.up();
        let down = self
            .client()
            .down(cx, &up.iter().collect::<Vec<_>>(), self.within())?;
        if !down.is_empty() {
            let shown: Vec<String> = down.iter().map(|l| l.shown()).collect();
            return Ok((Look::unclear(shown.join("; ")), None));
        }
        let mut look = Look::done("supervisord runs the configuration of its files");
        if !up.is_empty() {
            look.evidence.push(format!("{} is running", up.join(", ")));
        }
        let output = Updated {
            started: effects.started.join(", "),
            restarted: effects.restarted.join(", "),
            stopped: [effects.stopped, effects.removed].concat().join(", "),
        };
        Ok((look, Some(output)))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<Updated, Error> {
        if self.only.is_some() {
            work.note(Note::Updating { groups: Vec::new() })?;
            work.log_line("nothing is done on the way forward");
        } else {
            let client = self.client();
            let pending = client.pending(work.cx(), &self.groups)?;
            for line in crate::action::recorded(|| Effects::of(&pending).lines()) {
                work.log_line(&line);
            }
            if !pending.is_empty() {
                client.update(work, &pending, &self.groups, self.within())?;
            }
        }
        let effects = Effects::of(&past.before.changes);
        Ok(Updated {
            started: effects.started.join(", "),
            restarted: effects.restarted.join(", "),
            stopped: [effects.stopped, effects.removed].concat().join(", "),
        })
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let (client, before) = (self.client(), &past.before);
        let mut touched = Self::touched(past);
        let mut pending = client.pending(work.cx(), &self.groups)?;
        if self.only.is_none() {
            // What others have changed meanwhile is not for this undo.
            pending.retain(|change| touched.contains(&change.group));
        }
        if !pending.is_empty() {
            work.log_line(&format!(
                "the configuration in the files is another one: {}",
                groups(&pending)
            ));
            let names: Vec<String> = pending.iter().map(|c| c.group.clone()).collect();
            touched.extend(names.iter().cloned());
            // What it starts and did not run before is stopped right afterwards, and need not come up.
            let mut all = pending.clone();
            for member in all.iter_mut().flat_map(|c| &mut c.programs) {
                member.autostart = member.autostart.filter(|_| before.ran(&member.name));
            }
            client.update(work, &all, &names, self.within())?;
        }
        let now = client.programs(work.cx())?;
        let (surplus, _) = Self::differences(before, &now, &touched);
        if !surplus.is_empty() {
            work.log_line(&format!("{} did not run before", surplus.join(", ")));
            client.end(work, surplus, GRACE)?;
        }
        let now = client.at_rest(work.cx())?;
        let (_, lacking) = Self::differences(before, &now, &touched);
        if !lacking.is_empty() {
            client.bring_up(work, &lacking, self.within())?;
        }
        let unknown = Self::unknown(before, &now, &touched);
        if !unknown.is_empty() {
            work.log_line(&gone(&unknown));
        }
        Ok(())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let (client, before) = (self.client(), &past.before);
        let touched = Self::touched(past);
        let mut pending = client.pending(cx, &self.groups)?;
        if self.only.is_none() {
            pending.retain(|change| touched.contains(&change.group));
        }
        if !pending.is_empty() {
            return Ok(Look::nothing(format!(
                "supervisord does not run the configuration of its files: {}",
                groups(&pending)
            )));
        }
        let now = client.at_rest(cx)?;
        let (surplus, lacking) = Self::differences(before, &now, &touched);
        if !surplus.is_empty() {
            let names = surplus.join(", ");
            return Ok(Look::nothing(format!(
                "{names} is running, and was not running before"
            )));
        }
        if !lacking.is_empty() {
            let names = lacking.join(", ");
            return Ok(Look::nothing(format!(
                "{names} was running before, and is not running"
            )));
        }
        let mut look = Look::done("the programs that were updated run, or not, as before");
        let unknown = Self::unknown(before, &now, &touched);
        if !unknown.is_empty() {
            look.evidence.push(gone(&unknown));
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"{
        "changes": [{"group": "app", "what": "changed", "programs": [
            {"name": "app:web", "runs": true, "autostart": true}, {"name": "app:old", "runs": false}]}],
        "programs": [{"name": "app:web", "state": "RUNNING"}, {"name": "app:old", "state": "STOPPED"}]}"#;

    #[test]
    fn what_is_stored_is_read_for_ever() {
        crate::action::stays::<Update>(
            BEFORE,
            r#"{"updating": {"groups": ["app"]}}"#,
            r#"{"started": "", "restarted": "app:web", "stopped": "app:old"}"#,
        );
    }

    #[test]
    fn what_runs_now_is_compared_with_what_ran_in_the_groups_of_the_update() {
        let before: Before = serde_json::from_str(BEFORE).unwrap();
        let now = |text: &str| serde_json::from_str::<Vec<Program>>(text).unwrap();
        let groups = BTreeSet::from(["app".to_owned()]);
        let turned = now(
            r#"[{"name": "app:web", "state": "STOPPED"}, {"name": "app:old", "state": "STARTING"},
                {"name": "other", "state": "RUNNING"}]"#,
        );
        let (surplus, lacking) = Update::differences(&before, &turned, &groups);
        assert_eq!(
            (surplus, lacking),
            (vec!["app:old".into()], vec!["app:web".into()])
        );
        assert_eq!(
            Update::unknown(&before, &turned, &groups),
            Vec::<String>::new()
        );
        assert_eq!(Update::unknown(&before, &[], &groups), ["app:web"]);
        let none = Update::differences(&before, &turned, &BTreeSet::new());
        assert_eq!(none, (Vec::new(), Vec::new()), "others are left alone");
    }

    #[test]
    fn a_group_is_a_plain_name() {
        let problems = |groups: &str| {
            let text = format!(r#"{{"groups": {groups}}}"#);
            serde_json::from_str::<Update>(&text)
                .unwrap()
                .problems()
                .len()
        };
        assert_eq!(problems(r#"["app", "web-1"]"#), 0);
        assert_eq!(problems(r#"["", "-c", "a b", "a:b", "a*"]"#), 5);
    }
}

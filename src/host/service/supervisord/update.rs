//! What `supervisorctl update` would do, and what it did: the groups whose configuration is not the one that runs, and their
//! programs.
//!
//! supervisord compares its files with what runs when it is told to reread them, which starts and stops nothing. An update
//! stops a changed group and adds it anew: what has `autostart` starts, also what somebody had stopped, and what has not
//! stays stopped, also what ran. An update is made by supervisorctl group by group, so one that dies is finished by another.

use super::client::Line;
use super::{CLIENT, SETTLE};
use crate::action::{Context, Error, Work};
use crate::host::exec;
use crate::host::process::identity::Ident;
use crate::host::process::note::Note;
use crate::host::service::by::Supervisor;
use crate::host::service::found::Program;
use crate::host::service::kind::AnyProcess;
use crate::host::service::manager::Manager;
use crate::host::service::names::Names;
use crate::text::actions as phrases;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What supervisorctl says where there is nothing to update.
const NOTHING: &str = "No config updates to processes";

/// What becomes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// supervisord does not know it yet.
    Added,
    /// It is stopped and added anew.
    Changed,
    /// It is stopped and forgotten.
    Removed,
}

/// A program of such a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its name, with its group.
    pub(crate) name: String,
    /// It runs now, or supervisord tries to start it.
    pub(crate) runs: bool,
    /// The new configuration has it, and starts it by itself or not; none where it has it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) autostart: Option<bool>,
}

/// A group whose configuration is not the one that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Its name.
    pub(crate) group: String,
    /// What becomes of it.
    pub(crate) what: What,
    /// Its programs.
    pub(crate) programs: Vec<Member>,
}

/// What an update does to programs, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// They do not run, and are started.
    pub(crate) started: Vec<String>,
    /// They run, and are stopped and started.
    pub(crate) restarted: Vec<String>,
    /// They run, and are stopped: their configuration does not start them.
    pub(crate) stopped: Vec<String>,
    /// They are stopped where they run, and supervisord forgets them.
    pub(crate) removed: Vec<String>,
    /// They are new and not started.
    pub(crate) added: Vec<String>,
}

impl Effects {
    /// Of these changes.
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut effects = Self::default();
        for change in changes {
            for member in &change.programs {
                let to = match (member.autostart, member.runs, change.what) {
                    (Some(true), true, _) => &mut effects.restarted,
                    (Some(true), false, _) => &mut effects.started,
                    (Some(false), true, _) => &mut effects.stopped,
                    (Some(false), false, What::Added) => &mut effects.added,
                    (Some(false), false, What::Changed | What::Removed) => continue,
                    (None, _, _) => &mut effects.removed,
                };
                to.push(member.name.clone());
            }
        }
        effects
    }

    /// In lines for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |names: &Vec<String>, say: fn(String) -> String| {
            (!names.is_empty()).then(|| say(crate::text::list(names)))
        };
        [
            line(&self.started, phrases::update_starts),
            line(&self.restarted, phrases::update_restarts),
            line(&self.stopped, phrases::update_stops),
            line(&self.removed, phrases::update_removes),
            line(&self.added, phrases::update_adds),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What has to run afterwards.
    pub(crate) fn up(&self) -> Vec<String> {
        self.started
            .iter()
            .chain(&self.restarted)
            .cloned()
            .collect()
    }
}

/// That program belongs to that group.
pub(crate) fn is_of(program: &str, group: &str) -> bool {
    program == group || program.split_once(':').is_some_and(|(g, _)| g == group)
}

/// Groups and what becomes of them, as `reread` prints them; none of what is no such line.
fn reread(line: &str) -> Option<(String, What)> {
    let (group, word) = line.trim().rsplit_once(": ")?;
    let what = match word {
        "available" => What::Added,
        "changed" => What::Changed,
        "disappeared" => What::Removed,
        _ => return None,
    };
    Some((group.to_owned(), what))
}

/// A program and whether it is started by itself, as `avail` prints it.
fn avail(line: &str) -> Option<(String, bool)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [name, "avail", starts, _] | [name, "in", "use", starts, _] => {
            Some(((*name).to_owned(), *starts == "auto"))
        }
        _ => None,
    }
}

impl Supervisor {
    /// The supervisord of that command, without a program.
    pub(crate) fn client(ctl: &[String]) -> Self {
        Self::of(ctl, Vec::new())
    }

    fn of(ctl: &[String], programs: Vec<String>) -> Self {
        Self {
            program: None,
            programs: Names(programs),
            ctl: ctl.to_vec(),
        }
    }

    /// All programs that supervisord has, and their states.
    pub(crate) fn programs(&self, cx: &Context) -> Result<Vec<Program>, Error> {
        Ok(self.all(cx)?.iter().map(|l| l.program(None)).collect())
    }

    /// The groups whose configuration is not the one that runs; `of` names those that are meant, or none for all.
    ///
    /// # Errors
    /// [`Error`] when supervisord does not answer, or cannot read its files.
    pub(crate) fn pending(&self, cx: &Context, of: &[String]) -> Result<Vec<Change>, Error> {
        let said = self.call(cx, &["reread"], exec::LOOK)?;
        let lines = || said.shown.lines();
        if let Some(why) = lines().find_map(|l| l.trim().strip_prefix("ERROR: ")) {
            return Err(Error::new(format!(
                "supervisord cannot read its configuration: {why}"
            )));
        }
        let mut groups: Vec<(String, What)> = lines().filter_map(reread).collect();
        if groups.is_empty() && !lines().any(|l| l.trim() == NOTHING) {
            return Err(self.silent(&said)?);
        }
        groups.retain(|(group, _)| of.is_empty() || of.contains(group));
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let said = self.call(cx, &["avail"], exec::LOOK)?;
        let configured: Vec<(String, bool)> = said.shown.lines().filter_map(avail).collect();
        let running = self.all(cx)?;
        let change = |(group, what): (String, What)| {
            let mut programs: BTreeMap<String, Member> = BTreeMap::new();
            let mut member = |name: &str, runs: bool, autostart: Option<bool>| {
                let known = programs.entry(name.to_owned()).or_insert_with(|| Member {
                    name: name.to_owned(),
                    runs: false,
                    autostart: None,
                });
                known.runs |= runs;
                known.autostart = autostart.or(known.autostart);
            };
            for line in running.iter().filter(|l| is_of(&l.name, &group)) {
                member(&line.name, line.program(None).is_wanted(), None);
            }
            let kept = configured.iter().filter(|_| what != What::Removed);
            for (name, starts) in kept.filter(|(name, _)| is_of(name, &group)) {
                member(name, false, Some(*starts));
            }
            Change {
                group,
                what,
                programs: programs.into_values().collect(),
            }
        };
        Ok(groups.into_iter().map(change).collect())
    }

    /// Makes supervisord run the configuration of its files, for these changes, and waits until what it starts runs, within
    /// that time beyond what the stops may take.
    ///
    /// # Errors
    /// [`Error`] when it refuses, or something does not start.
    pub(crate) fn update(
        &self,
        work: &mut Work<'_, Note>,
        changes: &[Change],
        of: &[String],
        within: Duration,
    ) -> Result<(), Error> {
        let cx = work.cx();
        let before = self.all(cx)?;
        let ends = |line: &&Line| {
            let mut groups = changes.iter().filter(|c| c.what != What::Added);
            groups.any(|c| is_of(&line.name, &c.group))
        };
        let ended: Vec<&Line> = before.iter().filter(ends).collect();
        let idents: Vec<Ident> = ended
            .iter()
            .filter_map(|l| l.pid.and_then(Ident::of))
            .collect();
        let groups = changes.iter().map(|c| c.group.clone()).collect();
        work.note(Note::Updating { groups })?;
        let known = self.settings_of(cx);
        // One group after the other is stopped; the programs of one at the same time.
        let waits = changes.iter().map(|change| {
            let own = ended.iter().filter(|l| is_of(&l.name, &change.group));
            own.filter_map(|l| known.get(&l.name)?.wait)
                .max()
                .unwrap_or(0)
        });
        let stops = Duration::from_millis(waits.sum());
        let mut words = vec!["update"];
        words.extend(of.iter().map(String::as_str));
        let said = self.call(cx, &words, stops + within.max(CLIENT))?;
        for line in said.shown.lines().chain(said.stderr.lines()) {
            work.log_line(line);
        }
        for line in self.kills(cx, &idents) {
            // Not ours, and seen only afterwards: on record all the same, because work was cut off.
            work.escalate(&format!(
                "supervisord killed by its own stopwaitsecs: {line}"
            ))?;
        }
        if said.code != Some(0) {
            return Err(Error::new(format!(
                "not updated: {} {}: {}",
                self.typed("update", &words[1..]).trim_end(),
                said.ended,
                said.tail(3).join("; ")
            )));
        }
        let up = Effects::of(changes).up();
        let up: Vec<&String> = up.iter().collect();
        let down = self.down(cx, &up, within)?;
        match down.as_slice() {
            [] => Ok(()),
            down => Err(Error::new(format!(
                "not started: {}{}",
                down.iter().map(Line::shown).collect::<Vec<_>>().join("; "),
                self.tails(cx, &down.iter().map(|l| l.name.clone()).collect::<Vec<_>>())
            ))),
        }
    }

    /// Those of these programs that do not run, once nothing of them is on its way any more, at most that long.
    pub(crate) fn down(
        &self,
        cx: &Context,
        names: &[&String],
        within: Duration,
    ) -> Result<Vec<Line>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let these = Self::of(&self.ctl, names.iter().map(|n| (*n).clone()).collect());
        let lines = these.settled(cx, within)?;
        let known = self.settings_of(cx);
        let up = |l: &Line| l.state == "RUNNING" || l.program(known.get(&l.name)).is_finished();
        Ok(lines.into_iter().filter(|l| !up(l)).collect())
    }

    /// Stops these programs, and what they have started.
    pub(crate) fn end(
        &self,
        work: &mut Work<'_, Note>,
        names: Vec<String>,
        grace: Duration,
    ) -> Result<(), Error> {
        let these = Self::of(&self.ctl, names);
        let these = &these;
        let kind = AnyProcess::default();
        let found = these.find(work.cx(), &kind)?;
        let wait = Duration::from_millis(found.wait().unwrap_or(0));
        these.stop(work, &kind, &found, grace.max(wait).into())
    }

    /// Starts these programs.
    pub(crate) fn bring_up(
        &self,
        work: &mut Work<'_, Note>,
        names: &[String],
        within: Duration,
    ) -> Result<(), Error> {
        let these = Self::of(&self.ctl, names.to_vec());
        let now = (&these).find(work.cx(), &AnyProcess::default())?;
        these.start_programs(work, names, names, &now, within)
    }

    /// All programs, once nothing is on its way any more.
    pub(crate) fn at_rest(&self, cx: &Context) -> Result<Vec<Program>, Error> {
        let all = Self::of(&self.ctl, vec!["*".into()]);
        let lines = all.settled(cx, SETTLE)?;
        Ok(lines.iter().map(|l| l.program(None)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_supervisorctl_says_of_a_new_configuration_is_read_as_it_prints_it() {
        let groups: Vec<(String, What)> = "web: changed\nnew: available\nold: disappeared\n"
            .lines()
            .filter_map(reread)
            .collect();
        let named = |group: &str, what| (group.to_owned(), what);
        assert_eq!(
            groups,
            [
                named("web", What::Changed),
                named("new", What::Added),
                named("old", What::Removed)
            ]
        );
        assert_eq!(reread(NOTHING), None);
        assert_eq!(reread("ERROR: CANT_REREAD: x"), None);
        assert_eq!(
            avail("g:a                              in use    auto      999:999"),
            Some(("g:a".into(), true))
        );
        assert_eq!(
            avail("b                                avail     manual    999:999"),
            Some(("b".into(), false))
        );
        assert_eq!(avail("unix:///s.sock no such file"), None);
        assert!(is_of("g:a", "g") && is_of("g", "g") && !is_of("gg:a", "g"));
    }

    #[test]
    fn an_update_starts_what_starts_by_itself_and_leaves_the_rest_stopped() {
        let member = |name: &str, runs, autostart| Member {
            name: name.into(),
            runs,
            autostart,
        };
        let changes = [
            Change {
                group: "g".into(),
                what: What::Changed,
                programs: vec![
                    member("g:runs", true, Some(true)),
                    member("g:stopped", false, Some(true)),
                    member("g:manual", true, Some(false)),
                    member("g:idle", false, Some(false)),
                    member("g:gone", true, None),
                ],
            },
            Change {
                group: "n".into(),
                what: What::Added,
                programs: vec![member("n", false, Some(false))],
            },
        ];
        let effects = Effects::of(&changes);
        assert_eq!(effects.started, ["g:stopped"]);
        assert_eq!(effects.restarted, ["g:runs"]);
        assert_eq!(effects.stopped, ["g:manual"]);
        assert_eq!(effects.removed, ["g:gone"]);
        assert_eq!(effects.added, ["n"]);
        assert_eq!(effects.up(), ["g:stopped", "g:runs"]);
    }
}

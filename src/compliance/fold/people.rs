//! Who: the sessions in which the events of the run were written, what people did in it, and who is on record.

use super::{World, time};
use crate::compliance::Report;
use crate::compliance::blocks::{ActionRow, Session};
use crate::compliance::fact::{Fact, Seqs, Time};
use crate::journal::Entry;
use crate::report::lines;
use crate::timeline::by_program;
use serde_json::Value;
use std::collections::BTreeMap;
use upledger_replay::event::Event;

/// A value, and every event that says it, in the order in which they were first said.
#[derive(Default)]
struct Said(Vec<(String, Seqs)>, BTreeMap<String, usize>);

impl Said {
    fn add(&mut self, value: &str, seq: u64) {
        if let Some((_, seqs)) = self.1.get(value).and_then(|at| self.0.get_mut(*at)) {
            seqs.add(seq);
            return;
        }
        self.1.insert(value.into(), self.0.len());
        self.0.push((value.into(), Seqs::one(seq)));
    }

    fn list(self) -> Fact<Vec<String>> {
        Fact::list(self.0)
    }
}

#[derive(Default)]
pub(super) struct People {
    /// Every session of the ledger so far, by its number.
    opened: BTreeMap<u64, Session>,
    /// How many events of the run each of them wrote.
    used: BTreeMap<u64, u64>,
    actors: Said,
    hosts: Said,
    notes: Vec<(String, Seqs)>,
    actions: Vec<ActionRow>,
    started_by: Fact<String>,
    plan: Fact<String>,
    warnings: Vec<(String, Seqs)>,
}

impl People {
    /// An event of any run, or of the ledger.
    pub(super) fn ledger(&mut self, entry: &Entry) {
        if let Event::SessionOpened(data) = &entry.event {
            self.opened.insert(entry.when.seq, session(entry, data));
        }
    }

    /// An event of the run.
    pub(super) fn event(&mut self, entry: &Entry, world: &World<'_>) {
        let seq = entry.when.seq;
        self.actors.add(&entry.actor, seq);
        self.hosts.add(&entry.host, seq);
        if let Some(session) = entry.session {
            *self.used.entry(session).or_default() += 1;
        }
        match &entry.event {
            Event::RunPlanned(planned) => {
                self.started_by = Fact::said(entry.actor.clone(), Seqs::one(seq));
                self.plan = Fact::said(planned.digest.clone(), Seqs::one(seq));
                self.warn(&planned.warnings, seq);
            }
            Event::RunAmended(amended) => {
                self.plan = Fact::said(amended.digest.clone(), Seqs::one(seq));
                self.warn(&amended.warnings, seq);
            }
            Event::NoteAdded(note) => self.notes.push((note.text.clone(), Seqs::one(seq))),
            _ => {}
        }
        if is_of_a_person(&entry.event) && !by_program(&entry.event, &world.run.plan) {
            self.actions.push(ActionRow {
                time: time(&entry.when),
                actor: entry.actor.clone(),
                words: lines::in_words(entry, Some(world.run)),
                kind: entry.event.kind().into(),
                step: entry.event.part().map(|part| part.step.clone()),
                seq: Seqs::one(seq),
            });
        }
    }

    fn warn(&mut self, warnings: &[String], seq: u64) {
        let warnings = warnings.iter().cloned();
        self.warnings.extend(warnings.map(|w| (w, Seqs::one(seq))));
    }

    pub(super) fn close(mut self, report: &mut Report, world: &World<'_>) {
        for (seq, used) in &self.used {
            let Some(mut session) = self.opened.remove(seq) else {
                continue;
            };
            session.events_written = *used;
            report.identity.sessions.push(session);
        }
        let sessions = || report.identity.sessions.iter();
        let address = |s: &Session| {
            let connection = s.ssh_connection.as_deref()?;
            let address = connection.split_whitespace().next()?;
            Some((address.to_owned(), s.seq.clone()))
        };
        let addresses = Fact::list(sessions().filter_map(address));
        let machine = |s: &Session| Some((s.machine_sha256.clone()?, s.seq.clone()));
        let machines = Fact::list(sessions().filter_map(machine));
        // Nothing that a session does not say is a yes.
        let synchronized = sessions().map(|s| s.clock_synchronized == Some(true));
        let proof = sessions()
            .map(|s| s.seq.clone())
            .fold(Seqs::default(), |mut all, one| {
                all.join(&one);
                all
            });
        let synchronized: Vec<bool> = synchronized.collect();
        if !synchronized.is_empty() && synchronized.iter().all(|yes| *yes) {
            report.clock.clock_synchronized = Fact::said(true, proof);
        }
        report.identity.source_addresses = addresses;
        report.identity.machines = machines;
        report.identity.actors = self.actors.list();
        report.change.hosts = self.hosts.list();
        report.execution.notes = Fact::list_within(self.notes, &world.all);
        report.execution.actions = self.actions;
        report.authorisation.started_by = self.started_by;
        report.authorisation.plan_sha256 = self.plan;
        report.authorisation.warnings_shown = Fact::list_within(self.warnings, &world.plans);
    }
}

fn session(entry: &Entry, data: &Value) -> Session {
    let text = |key: &str| {
        data[key]
            .as_str()
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
    };
    let (uid, euid) = (data["uid"].as_u64(), data["euid"].as_u64());
    let user = match (uid, euid) {
        (Some(uid), Some(euid)) if uid != euid => format!("{uid} ({euid})"),
        (Some(uid), _) => uid.to_string(),
        (None, _) => String::new(),
    };
    Session {
        opened_at: Time(entry.when.ts.clone()),
        actor: entry.actor.clone(),
        host: entry.host.clone(),
        user,
        login_user: data["loginuid"].as_u64(),
        sudo_user: text("sudo_user"),
        ssh_connection: text("ssh_connection"),
        terminal: text("tty"),
        events_written: 0,
        program: text("program"),
        program_sha256: text("program_sha256"),
        machine_sha256: text("machine"),
        pid: data["pid"].as_u64(),
        clock_synchronized: data["clock_synchronized"].as_bool(),
        seq: Seqs::one(entry.when.seq),
    }
}

/// Somebody typed it. A pause at Ctrl-C is recorded by the runner, for whoever pressed it.
fn is_of_a_person(event: &Event) -> bool {
    matches!(
        event,
        Event::RunPlanned(_)
            | Event::RunAmended(_)
            | Event::RunResumed(_)
            | Event::PauseRequested(_)
            | Event::AbortRequested(_)
            | Event::RollbackStarted(_)
            | Event::StepDecided(_)
            | Event::KillRequested(_)
            | Event::NoteAdded(_)
    )
}

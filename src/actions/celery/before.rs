//! What a stop keeps: who ran and what each consumed, in the ledger; and what a drain came to, beside it.
//!
//! Invariants: no environment and no whole command line stands in it (`service` keeps those in private). A note is
//! replaced as a whole and durable before what it tells of goes on; it names its step, so that no other reads it.

use super::ask::Desk;
use super::census::census;
use super::crew::{Crew, Seen};
use super::find::{self, Origin};
use super::note;
use super::words::Role;
use crate::actions::process::identity::Ident;
use crate::actions::service::found::Found;
use crate::actions::{Context, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a worker that does not answer at once is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What ran before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    /// As its keeper found it.
    pub(super) service: Found,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    /// Its workers or beats.
    pub(super) crew: Vec<Member>,
}

/// One worker, or one beat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    #[serde(flatten)]
    pub(super) ident: Ident,
    /// The name that it answered by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// What it consumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) queues: Vec<String>,
}

impl Before {
    pub(super) fn value(&self) -> Result<Value, Error> {
        serde_json::to_value(self).map_err(|e| Error::io("what was observed cannot be kept", &e))
    }

    pub(super) fn of(observed: &Value) -> Result<Self, Error> {
        if observed.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(observed.clone())
            .map_err(|e| Error::io("what was observed cannot be read", &e))
    }

    /// What each worker consumed, by its name.
    pub(super) fn consumed(&self) -> BTreeMap<String, Vec<String>> {
        let mut consumed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for member in &self.crew {
            if let Some(node) = &member.node {
                let queues = consumed.entry(node.clone()).or_default();
                queues.extend(member.queues.iter().cloned());
            }
        }
        consumed
    }

    /// It ran before.
    pub(super) fn knows(&self, ident: &Ident) -> bool {
        self.crew.iter().any(|m| m.ident == *ident)
    }

    /// For people.
    pub(super) fn names(&self) -> String {
        let each: Vec<String> = self
            .crew
            .iter()
            .map(|m| match &m.node {
                Some(node) => format!("{node} (process {})", m.ident.pid),
                None => format!("process {}", m.ident.pid),
            })
            .collect();
        each.join(", ")
    }
}

/// Who runs now; asked what they consume, where that is wanted.
pub(super) fn before(
    cx: &Context,
    crew: &Crew<'_>,
    seen: &Seen,
    asks: bool,
) -> Result<Before, Error> {
    let mut members: Vec<Member> = seen
        .live
        .iter()
        .map(|l| Member {
            ident: l.ident.clone(),
            node: None,
            queues: Vec::new(),
        })
        .collect();
    if let Some(first) = seen.live.first().filter(|_| asks) {
        let mut desk = Desk::open(cx, first, crew.app)?;
        let until = Instant::now() + PATIENCE;
        let census = loop {
            let census = census(&seen.live, desk.look(&[], 0)?);
            // One that is busy with a task in its own process answers later; the drain waits for it.
            if census.whole() || Instant::now() >= until {
                break census;
            }
        };
        for member in &mut members {
            let mut nodes = census.nodes.iter();
            let node = nodes.find(|(_, pids)| pids.contains(&member.ident.pid));
            if let Some((node, _)) = node {
                let told = census.told.iter().find(|t| t.node == *node);
                member.queues = told.map(|t| t.queues.clone()).unwrap_or_default();
                member.node = Some(node.clone());
            }
        }
    }
    Ok(Before {
        service: seen.found.clone(),
        origin: seen.live.first().map(|l| l.origin.clone()),
        crew: members,
    })
}

/// A beat that lives inside a worker is none that can be stopped alone.
pub(super) fn inside(crew: &Crew<'_>) -> Result<(), Error> {
    let all = find::all()?;
    let inside = all
        .iter()
        .filter(|l| l.words.role == Role::Worker && l.words.beat_inside)
        .find(|l| crew.by.is_none() && l.origin.meant(crew.app));
    match inside {
        Some(live) => Err(Error::new(format!(
            "the beat runs inside {} (-B) and ends with it: leave this step out, and stop the workers first",
            live.shown()
        ))),
        None => Ok(()),
    }
}

/// What a drain came to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Outcome {
    /// Tasks that waited for their time.
    scheduled: u64,
    /// Tasks that ran when time was up.
    #[serde(default)]
    tasks: Option<String>,
    /// What the queues held.
    #[serde(default)]
    lines: Vec<String>,
}

fn place(cx: &Context) -> Result<PathBuf, Error> {
    note::place(cx, "drained", "")
}

/// Keeps what a drain came to.
pub(super) fn keep(cx: &Context, scheduled: u64, tasks: Option<&str>) -> Result<(), Error> {
    let outcome = Outcome {
        scheduled,
        tasks: tasks.map(str::to_owned),
        lines: Vec::new(),
    };
    write(&place(cx)?, &outcome)
}

/// Adds what the queues held afterwards.
pub(super) fn note(cx: &Context, lines: &[String]) -> Result<(), Error> {
    let place = place(cx)?;
    let mut outcome: Outcome = read(&place)?.unwrap_or_default();
    outcome.lines = lines.to_vec();
    write(&place, &outcome)
}

/// The tasks that ran when time was up.
pub(super) fn tasks(cx: &Context) -> Result<Option<String>, Error> {
    let outcome: Option<Outcome> = read(&place(cx)?)?;
    Ok(outcome.and_then(|o| o.tasks))
}

/// What is worth telling as evidence.
pub(super) fn noted(cx: &Context) -> Result<Vec<String>, Error> {
    let Some(outcome) = read::<Outcome>(&place(cx)?)? else {
        return Ok(Vec::new());
    };
    let mut lines = Vec::new();
    if outcome.scheduled > 0 {
        let n = outcome.scheduled;
        lines.push(format!(
            "{n} tasks that wait for their time went back to their queues"
        ));
    }
    if let Some(tasks) = outcome.tasks {
        lines.push(format!("time was up while these ran: {tasks}"));
    }
    lines.extend(outcome.lines.into_iter().filter(|l| !l.is_empty()));
    Ok(lines)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let cannot =
        |e: &dyn std::error::Error| Error::io(format!("cannot read {}", path.display()), e);
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| cannot(&e)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot(&e)),
    }
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Error> {
    let put = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new()
            .prefix(".upledger-note-")
            .tempfile_in(dir)?;
        file.write_all(&serde_json::to_vec(what)?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(|e| Error::io(format!("cannot write {}", path.display()), &e))
}

//! Workers and beats that run again: started as they ran, answering, and consuming what they consumed.
//!
//! Invariants: an answer counts only from a process that lives here, by its number, so that no old worker and none of
//! another machine answers for a new one; a worker that was told to end is not taken for one that runs; one that lives
//! gets back what this step has cancelled, also where nobody could ask it before.

use super::beat;
use super::cmdline::{self, Role};
use super::counts;
use super::deaths::{Deaths, Written};
use super::drain::{Drain, Run};
use super::find::{self, Live};
use super::inspector::{self, ANSWER, Inspection, Inspector};
use super::snapshot::Snapshot;
use super::workers::{Running, Workers};
use crate::action::{Context, Error, Look, Work};
use crate::host::process::identity::Ident;
use crate::host::process::note::{Note, signalled, was_signalled};
use crate::host::service::Master;
use crate::host::service::found::Program;
use crate::host::service::launch::Readiness;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(300);
/// How long the first question to a worker that starts waits: it does not hear one that came before it listened. The next
/// ones wait longer, up to [`ANSWER`].
const STARTING: Duration = Duration::from_millis(250);
/// How long a look waits for a worker that is about to answer.
const BACK: Duration = Duration::from_secs(3);

/// What has to be there.
pub(super) struct Wanted {
    /// How many.
    pub(super) count: usize,
    /// The programs of their manager that have to run; all of them where nothing is known of before.
    pub(super) programs: Option<Vec<String>>,
    /// The programs that did not run before: a worker of one of them is not waited for.
    pub(super) spared: Vec<String>,
    /// What each worker of that name has to consume.
    pub(super) queues: BTreeMap<String, Vec<String>>,
    /// What must be consumed by any of them.
    pub(super) anywhere: Vec<String>,
}

impl Wanted {
    fn of<'n>(before: &Snapshot, notes: impl IntoIterator<Item = &'n Note>) -> Self {
        let known = before.consumed([]);
        let mut queues = before.consumed(notes);
        // One that came later need not be there any more.
        queues.retain(|node, _| known.contains_key(node));
        Self {
            count: before.members.len(),
            programs: Some(before.service.running().map(str::to_owned).collect()),
            spared: before.spared(),
            queues,
            anywhere: Vec::new(),
        }
    }

    /// A program that did not run before need not run after.
    fn demands(&self, program: &Program) -> bool {
        let named = |names: &Vec<String>| names.contains(&program.name);
        self.programs.as_ref().is_none_or(named)
    }
}

/// Asks again and again, through one import of the application.
pub(super) struct Asker<'a> {
    cx: &'a Context,
    workers: Workers<'a>,
    /// They were told to end.
    signalled: Vec<Ident>,
    inspector: Option<(i32, Inspector)>,
    /// How long the next question waits.
    patience: Duration,
    logs: BTreeSet<PathBuf>,
    deaths: Deaths,
    dead: bool,
}

impl<'a> Asker<'a> {
    pub(super) fn new<'n>(
        cx: &'a Context,
        workers: Workers<'a>,
        notes: impl IntoIterator<Item = &'n Note>,
    ) -> Self {
        Self {
            cx,
            workers,
            signalled: signalled(notes).cloned().collect(),
            inspector: None,
            patience: STARTING,
            logs: BTreeSet::new(),
            deaths: Deaths::default(),
            dead: false,
        }
    }

    /// The log files that those of our own user named on their command lines.
    pub(super) fn logs(&self) -> impl Iterator<Item = PathBuf> {
        self.logs.iter().cloned()
    }

    /// What was started has died, and it is no use to wait for it.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// One look at all that lives.
    pub(super) fn look(&mut self, wanted: &Wanted) -> Result<Look, Error> {
        let Running { found, live } = self.workers.look(self.cx)?;
        let live = self.workers.without(self.cx, live, &wanted.spared);
        let name = self.workers.role.name();
        self.dead = self.deaths.look(&self.workers, &live);
        if live.is_empty() {
            let states: Vec<String> = found.programs.iter().map(Program::shown).collect();
            let mut look = Look::nothing(format!("no {name} is running"));
            look.evidence.extend(states);
            look.evidence.extend(found.notes);
            return Ok(look);
        }
        for l in &live {
            // What another user writes on a command line may name any file, and would have us read it out.
            let ours = l.user.0 == rustix::process::geteuid().as_raw();
            let file = l.file(&l.cmdline.logfile).filter(|f| ours && f.is_file());
            self.logs.extend(file);
            if self.signalled.contains(&l.ident) {
                return Ok(Look::nothing(format!(
                    "{} is running, but has been signalled to stop",
                    l.shown()
                )));
            }
        }
        if live.len() < wanted.count {
            return Ok(Look::unclear(format!(
                "{} of {} are running: {}",
                live.len(),
                wanted.count,
                find::names(&live)
            )));
        }
        let mut programs = found.programs.iter();
        if let Some(down) = programs.find(|p| !p.is_running() && wanted.demands(p))
            && wanted.count > 1
        {
            return Ok(Look::unclear(down.shown()));
        }
        match self.workers.role {
            Role::Beat => beat::ready(&live),
            Role::Worker => self.answers(&live, wanted),
        }
    }

    fn answers(&mut self, live: &[Live], wanted: &Wanted) -> Result<Look, Error> {
        let inspection = self.inspection(live);
        let inspection = match inspection {
            Ok(inspection) => inspection,
            Err(e) => {
                self.inspector = None;
                return Ok(Look::unclear(e.to_string()));
            }
        };
        let counts = counts::join(live, inspection);
        if !counts.whole() {
            return Ok(Look::unclear(counts.shown()));
        }
        for (node, queues) in &wanted.queues {
            let Some(report) = counts.reports.iter().find(|t| t.node == *node) else {
                return Ok(Look::unclear(format!(
                    "{node} does not answer; {}",
                    counts.shown()
                )));
            };
            if let Some(missing) = queues.iter().find(|q| !report.queues.contains(q)) {
                return Ok(Look::unclear(format!("{node} does not consume {missing}")));
            }
        }
        if let Some(idle) = counts.reports.iter().find(|t| t.queues.is_empty()) {
            return Ok(Look::unclear(format!("{} consumes nothing", idle.node)));
        }
        let missing = wanted
            .anywhere
            .iter()
            .find(|q| !counts.reports.iter().any(|t| t.queues.contains(q)));
        if let Some(missing) = missing {
            return Ok(Look::unclear(format!("no worker consumes {missing}")));
        }
        let evidence = counts
            .reports
            .iter()
            .map(|t| {
                let pids = counts.nodes.get(&t.node).cloned().unwrap_or_default();
                let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
                format!(
                    "{} answers (process {}) and consumes {}",
                    t.node,
                    pids.join(", "),
                    t.queues.join(", ")
                )
            })
            .collect();
        Ok(Look {
            answer: Answer::Done,
            evidence,
        })
    }

    fn inspection(&mut self, live: &[Live]) -> Result<Inspection, Error> {
        if self.cx.answers.is_some() {
            return inspector::inspect(self.cx, live, self.workers.app);
        }
        // The environment is that of the process beside which the helper was started.
        let stale = |pid: i32| !live.iter().any(|l| l.ident.pid == pid);
        if self.inspector.as_ref().is_none_or(|(pid, _)| stale(*pid)) {
            let first = live
                .first()
                .ok_or_else(|| Error::new("no worker is running"))?;
            self.inspector = Some((
                first.ident.pid,
                Inspector::open(self.cx, first, self.workers.app)?,
            ));
        }
        match &mut self.inspector {
            Some((_, inspector)) => {
                let wait = self.patience;
                self.patience = ANSWER.min(wait * 2);
                inspector.look(live, wait)
            }
            None => Err(Error::new("the application cannot be inspected")),
        }
    }

    /// The same for a look, which waits only for who lives and is about to answer; not in a preview.
    pub(super) fn settle(&mut self, wanted: &Wanted, within: Duration) -> Result<Look, Error> {
        let within = if self.cx.inert {
            Duration::ZERO
        } else {
            within
        };
        let deadline = Instant::now() + within;
        loop {
            let look = self.look(wanted)?;
            if look.answer != Answer::Unclear || Instant::now() >= deadline {
                return Ok(look);
            }
            std::thread::sleep(PAUSE);
            self.cx.look_anew();
        }
    }

    /// Looks until all is there, or time is up.
    pub(super) fn wait(&mut self, wanted: &Wanted, within: Duration) -> Result<Look, Error> {
        let deadline = Instant::now() + within;
        loop {
            let look = self.look(wanted)?;
            if look.answer == Answer::Done || self.dead || Instant::now() >= deadline {
                return Ok(look);
            }
            std::thread::sleep(PAUSE);
            self.cx.look_anew();
        }
    }
}

/// Starts what ran before, and gives those that live their consumers back.
pub(super) fn restore(
    work: &mut Work<'_, Note>,
    workers: &Workers<'_>,
    before: &Snapshot,
    grace: Duration,
    within: Duration,
) -> Result<(), Error> {
    let cx = work.cx();
    if !before.ran() {
        work.log_line("nothing was running before; nothing to start");
        return Ok(());
    }
    let began = Instant::now();
    let seen = workers.look(cx)?;
    let mut live = seen.live.iter();
    if live.any(|l| was_signalled(work.all_noted(), &l.ident)) {
        // Half ended they are of no use, and nothing runs in them: they were drained before they were told.
        work.log_line("waiting for processes that have been signalled to stop");
        workers.end(work, &seen, grace, None)?;
    }
    if workers.role == Role::Beat {
        for master in &before.service.masters {
            beat::sweep(&master.words(cx)?, Path::new(&master.cwd), work)?;
        }
    }
    let readiness = Readiness {
        ready: None,
        ports: &[],
    };
    let masters = before.service.masters.iter();
    let written = Written::into(masters.flat_map(logs));
    let manager = workers.manager();
    manager.start(work, workers, Some(&before.service), readiness, within)?;
    let left = within.saturating_sub(began.elapsed());
    let wanted = Wanted::of(before, work.all_noted());
    if workers.role == Role::Worker && !put_back(work, workers, before, left)? {
        let last = written.last(cx, workers, []);
        return Err(Error::new(format!("it exited after the start{last}")));
    }
    let mut asker = Asker::new(cx, *workers, work.all_noted());
    let look = asker.wait(&wanted, left)?;
    let said = look.evidence.join("; ");
    if look.answer == Answer::Done {
        work.log_line(&said);
        return Ok(());
    }
    let why = match asker.is_dead() {
        true => "it exited after the start".to_owned(),
        false => format!("not restored within {} s", within.as_secs()),
    };
    let files: Vec<PathBuf> = asker.logs().collect();
    let last = written.last(cx, workers, &files);
    Err(Error::new(format!("{why}: {said}{last}")))
}

/// Where a process of our own user wrote to, as its command line and its open files said.
fn logs(master: &Master) -> Vec<PathBuf> {
    let ours = master.user.uid == rustix::process::geteuid().as_raw();
    let words = cmdline::read(&master.argv);
    let named = words.and_then(|words| {
        let name = words.node.clone().unwrap_or_default();
        find::file(&words.logfile, &name, Path::new(&master.cwd))
    });
    let open = master.log.as_ref().map(PathBuf::from);
    open.into_iter().chain(named).filter(|_| ours).collect()
}

/// Once all answer, they consume what they consumed. `false`: they have died.
fn put_back(
    work: &mut Work<'_, Note>,
    workers: &Workers<'_>,
    before: &Snapshot,
    within: Duration,
) -> Result<bool, Error> {
    let cx = work.cx();
    let spared = before.spared();
    let live = || Ok(workers.without(cx, workers.look(cx)?.live, &spared));
    let consumed = before.consumed(work.all_noted());
    let mut run = Run::new(Drain {
        cx,
        app: workers.app,
        live: &live,
        queues: &[],
        consumed: &consumed,
        // What is started answers for itself.
        nodes: BTreeMap::new(),
        until: Instant::now() + within,
        limit: String::new(),
        // One that has just been started does not hear what was asked before.
        answer: ANSWER,
    });
    let mut deaths = Deaths::default();
    let until = Instant::now() + within;
    // A worker that starts answers after it has imported its tasks.
    loop {
        let all = live()?;
        if deaths.look(workers, &all) {
            return Ok(false);
        }
        let there = all.len() >= before.members.len()
            && run.look(&all, work).is_ok_and(super::counts::Counts::whole);
        if there || Instant::now() >= until {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    run.put_back(work)?;
    Ok(true)
}

/// Whether all runs as before.
pub(super) fn restored<'n>(
    cx: &Context,
    workers: &Workers<'_>,
    before: &Snapshot,
    notes: impl Iterator<Item = &'n Note> + Clone,
) -> Result<Look, Error> {
    if !before.ran() {
        return Ok(Look::done("nothing was running before"));
    }
    let wanted = Wanted::of(before, notes.clone());
    Asker::new(cx, *workers, notes).settle(&wanted, BACK)
}

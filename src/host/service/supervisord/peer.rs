//! Which supervisord a supervisorctl speaks to, once it has answered.
//!
//! The first status comes from supervisorctl, by which the operator says what is meant: as another user, on another
//! address, behind a wrapper. Where that answer shows the process of one supervisord, or where one supervisord has the
//! configuration or the socket that it names, and that one says the same of the same programs, it is asked itself from then
//! on: a start of supervisorctl takes as long as a hundred such questions, and a service is looked at several times while
//! users wait for it. The process of an attempt is told what the runner knows. Whatever is started or stopped goes through
//! supervisorctl.
//!
//! Invariant: a supervisord that does not answer, has ended, or was started again is forgotten, and supervisorctl is asked.

use super::client::Line;
use super::{daemon, rpc};
use crate::action::Context;
use crate::host::process::identity::{Ident, Stat};
use crate::host::service::by::Supervisor;
use crate::system::proc;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A supervisord, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The words of supervisorctl.
    ctl: Vec<String>,
    /// Where it is called: it looks for its configuration there.
    cwd: Option<PathBuf>,
    daemon: Ident,
}

impl Peer {
    fn is_of(&self, cx: &Context, ctl: &[String]) -> bool {
        self.ctl == ctl && self.cwd == cx.cwd
    }
}

static KNOWN: Mutex<Vec<Peer>> = Mutex::new(Vec::new());

fn with<T>(act: impl FnOnce(&mut Vec<Peer>) -> T) -> T {
    act(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// All that are known to this process, for that of an attempt.
#[must_use]
pub fn known() -> Vec<Peer> {
    with(|known| known.clone())
}

/// Takes over what the process that started this one knows.
pub fn take_over(peers: Vec<Peer>) {
    with(|known| *known = peers);
}

fn forget(cx: &Context, ctl: &[String]) {
    with(|known| known.retain(|peer| !peer.is_of(cx, ctl)));
}

/// Asks the supervisord of that supervisorctl; none where it is not known which one that is.
fn ask<T>(cx: &Context, ctl: &[String], of: impl FnOnce(&Ident) -> Option<T>) -> Option<T> {
    let peer = with(|known| known.iter().find(|peer| peer.is_of(cx, ctl)).cloned())?;
    let answer = match peer.daemon.alive() {
        true => of(&peer.daemon),
        false => None,
    };
    if answer.is_none() {
        forget(cx, ctl);
    }
    answer
}

/// What it says of all of its programs.
pub(super) fn status(cx: &Context, ctl: &[String]) -> Option<Vec<Line>> {
    ask(cx, ctl, rpc::status)
}

/// The end of its own log.
pub(super) fn log(cx: &Context, ctl: &[String]) -> Option<String> {
    ask(cx, ctl, rpc::log)
}

/// Learns from what supervisorctl has printed.
pub(super) fn learn(cx: &Context, of: &Supervisor, printed: &[Line]) {
    let parent = |line: &Line| Some(Stat::of(line.pid?)?.parent);
    let parent = printed.iter().find_map(parent);
    let daemon = match parent.filter(|p| daemon::is_supervisord(&proc::words(*p))) {
        Some(parent) => Ident::of(parent),
        // Nothing of it runs.
        None => match daemon::living(of).map(|l| l.same).as_deref() {
            Ok([one]) if printed.iter().all(|line| line.pid.is_none()) => Some(one.clone()),
            Ok(_) | Err(_) => None,
        },
    };
    let Some(daemon) = daemon.filter(|_| !printed.is_empty()) else {
        return;
    };
    let says = rpc::status(&daemon).unwrap_or_default();
    let same = |line: &Line| {
        let mut says = says.iter();
        says.any(|s| (&s.name, &s.state, s.pid) == (&line.name, &line.state, line.pid))
    };
    if printed.iter().all(same) {
        forget(cx, &of.ctl);
        let (ctl, cwd) = (of.ctl.clone(), cx.cwd.clone());
        with(|known| known.push(Peer { ctl, cwd, daemon }));
    }
}

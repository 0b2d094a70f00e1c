//! Which supervisord a supervisorctl speaks to, once it has answered.
//!
//! The first status comes from supervisorctl, by which the operator says what is meant: as another user, on another
//! address, behind a wrapper. Where that answer shows the process of one supervisord, and that one says the same of the same
//! programs, it is asked itself from then on: a start of supervisorctl takes as long as a hundred such questions, and a
//! service is looked at several times while users wait for it. Whatever is started or stopped goes through supervisorctl.
//!
//! Invariant: a supervisord that does not answer, has ended, or was started again is forgotten, and supervisorctl is asked.

use super::client::Line;
use super::{daemon, rpc};
use crate::host::process::identity::{Ident, Stat};
use crate::system::proc;
use std::sync::{Mutex, PoisonError};

/// By the words of supervisorctl.
static KNOWN: Mutex<Vec<(Vec<String>, Ident)>> = Mutex::new(Vec::new());

fn with<T>(act: impl FnOnce(&mut Vec<(Vec<String>, Ident)>) -> T) -> T {
    act(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn forget(ctl: &[String]) {
    with(|known| known.retain(|(words, _)| words != ctl));
}

/// What the supervisord of that supervisorctl says of all of its programs; none where it is not known which one that is.
pub(super) fn status(ctl: &[String]) -> Option<Vec<Line>> {
    let found = |known: &mut Vec<(Vec<String>, Ident)>| {
        let mut known = known.iter();
        known
            .find(|(words, _)| words == ctl)
            .map(|(_, i)| i.clone())
    };
    let daemon = with(found)?;
    let lines = match daemon.alive() {
        true => rpc::status(&daemon),
        false => None,
    };
    if lines.is_none() {
        forget(ctl);
    }
    lines
}

/// Learns from what supervisorctl has printed.
pub(super) fn learn(ctl: &[String], printed: &[Line]) {
    let parent = |line: &Line| Some(Stat::of(line.pid?)?.parent);
    let Some(parent) = printed.iter().find_map(parent) else {
        return;
    };
    if !daemon::is_supervisord(&proc::words(parent)) {
        return;
    }
    let Some(ident) = Ident::of(parent) else {
        return;
    };
    let says = rpc::status(&ident).unwrap_or_default();
    let same = |line: &Line| {
        let mut says = says.iter();
        says.any(|s| (&s.name, &s.state, s.pid) == (&line.name, &line.state, line.pid))
    };
    if printed.iter().all(same) {
        forget(ctl);
        with(|known| known.push((ctl.to_vec(), ident)));
    }
}

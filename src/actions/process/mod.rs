//! `process.start` and `process.stop`: daemons that outlive the step, known by a pidfile of ours.
//!
//! Invariants: at most one process runs per pidfile, whoever dies when; no signal reaches a process that is not the one
//! of the pidfile; a daemon leads a session of its own and holds nothing of the step that started it, so that the
//! session is the whole service and the step can end.
//!
//! Left out: services of systemd or supervisor, log rotation, and restarting what dies later.

pub mod start;
pub mod stop;

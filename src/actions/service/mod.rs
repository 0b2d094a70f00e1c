//! Services that others keep: how they are found, stopped and started again.
//!
//! A `Keeper` knows by whom a service is started and stopped (`By`: supervisord, a pidfile, a daemon of
//! `process.start`, or nobody but a command line) and what its processes look like (`Kind`). `Halt` and `Lift`
//! are the whole of a stop and of a start on top of it; `service.*`, `nginx.*` and `gunicorn.*` only choose their
//! settings.
//!
//! Invariants: a service that supervisord keeps is stopped and started by supervisord alone; a process is known by its
//! number, start time and boot; no signal reaches a process of ours; after an undo a service is kept by the same keeper
//! as before, as the same user.
//!
//! Left out: systemd, and services of other machines.

pub(crate) mod by;
pub(crate) mod found;
pub(crate) mod halt;
pub(crate) mod keeper;
pub(crate) mod launch;
pub(crate) mod lift;
pub(crate) mod pidfile;
pub(crate) mod ports;
pub(crate) mod renew;
pub mod start;
pub mod stop;
pub(crate) mod supervisor;
pub(crate) mod tree;

pub use by::By;
pub(crate) use found::{Found, Master};
pub(crate) use halt::Halt;
pub(crate) use keeper::{Keeper, Kind, Role};
pub(crate) use lift::Lift;
pub(crate) use renew::Renew;

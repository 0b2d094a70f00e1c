//! Services and who manages them: how they are found, stopped, started and reloaded.
//!
//! A `ManagedService` is a kind of service, which says what its processes look like (`kind`), and its manager
//! (`manager`): supervisord, systemd, a pidfile, a daemon of `process.start`, or nobody but a command line. A stop, a
//! start and a reload are written once on top of both; `service.*`, `nginx.*`, `gunicorn.*` and `process.*` only choose
//! their settings.
//!
//! Invariants: a service that a manager runs is stopped and started by that manager alone; a process is known by its
//! number, start time and boot; no signal reaches a process of ours; after an undo a service is run by the same manager
//! as before, as the same user.
//!
//! Left out: services of other machines.

pub mod by;
mod claim;
pub(crate) mod cmdline;
pub(crate) mod daemon;
pub(crate) mod found;
pub(crate) mod kind;
pub(crate) mod launch;
pub(crate) mod manager;
pub(crate) mod names;
pub(crate) mod pidfile;
pub mod ready;
mod release;
pub(crate) mod reload;
pub(crate) mod set;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod stored;
pub(crate) mod supervisord;
pub(crate) mod systemd;

pub use by::By;
pub(crate) use found::{Found, Master};
pub(crate) use kind::{Kind, Role};
pub(crate) use manager::{Manager, manager_of};
pub use ready::Ready;
pub(crate) use reload::ReloadService;
pub(crate) use start::StartService;
pub(crate) use stop::StopService;
pub use stop::Stopped;
pub use stored::Before;
/// What one process of ours knows of the supervisords of this machine, and tells another.
pub use supervisord::peer::{Peer, known as known_peers, take_over as take_over_peers};

use crate::action::{Context, Error};

/// A kind of service and its manager.
#[derive(Clone, Copy)]
pub(crate) struct ManagedService<'a> {
    pub(crate) manager: &'a dyn Manager,
    pub(crate) kind: &'a dyn Kind,
}

impl ManagedService<'_> {
    /// What of it is there now.
    ///
    /// # Errors
    /// [`Error`] when it cannot be seen, or what is seen must not be handled by this manager.
    pub(crate) fn find(&self, cx: &Context) -> Result<Found, Error> {
        self.manager.find(cx, self.kind)
    }
}

//! Where a kind of action stands in an upgrade, so that `check` can refuse a plan whose steps stand in a wrong order.
//!
//! An action says it itself, with [`Properties::stages`](super::Properties::stages); the rules are in `src/plan/order.rs`. An
//! action whose place nobody can know (`run`, `shell`, a daemon of any kind) says nothing, and no rule speaks of it.

/// The place of a step in an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A service is stopped. The front end that shows a maintenance page is stopped in this sense.
    Stop(Service),
    /// It is confirmed that nothing runs any more: `expect.stopped`.
    Confirm,
    /// The code changes: `git.deploy`.
    Code,
    /// What the code needs is installed: `pip.install`.
    Dependencies,
    /// Files for the front end are collected: `django.collectstatic`.
    Static,
    /// Links are switched to what was built aside: `release.switch`.
    Switch,
    /// Data is copied, so that it can be brought back: `mysql.backup`.
    Backup,
    /// The schema of a database changes: `django.migrate`.
    Migrate,
    /// A command of the application changes data, behind its migrations: `django.command`.
    Command,
    /// Configuration changes that services read when they start: `config.set`.
    Configure,
    /// A service is started again; the maintenance page is taken away, a schedule is switched on.
    Start(Service),
}

/// What an action means beside a living service: in a phase with `live: true`, before anything is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// It only looks, or builds something that nobody uses yet.
    Harmless,
    /// Nobody can know: the author says `why:`.
    Unknown,
    /// It changes what serves.
    Refused,
}

/// What is stopped and started around an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// What lets users in: Nginx.
    Front,
    /// What starts jobs by the clock: cron, timers. Beat is a service of its own.
    Schedule,
    /// What puts periodic tasks into the queues: Celery beat.
    Beat,
    /// What works on the queues: Celery workers.
    Workers,
    /// What answers requests: Gunicorn.
    Web,
}

//! What a test asks of its platform.

/// What a test asks of its platform; `Options::default()` is the common case.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Who keeps the application's processes.
    pub(crate) keeping: Keeping,
    /// What carries the tasks.
    pub(crate) broker: Broker,
    /// A table of a million rows, so that a dump and a restore take their time.
    pub(crate) rows: bool,
    /// `code`, `venv` and `static` are links into `releases`, `venvs` and `statics`.
    pub(crate) releases: bool,
    /// A directory for `bklog`, the platform, and `upledger`, the world, where their places are to be shown to people.
    pub(crate) place: Option<&'static str>,
}

/// Who keeps the application's processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nobody: daemons with pidfiles, as started by hand.
    #[default]
    Plain,
    /// A private supervisord.
    Supervisor,
    /// Nothing of the application is started; only the servers that it needs are up.
    Down,
}

/// What carries the tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Broker {
    /// Redis.
    #[default]
    Redis,
    /// RabbitMQ, which takes some seconds to start.
    Rabbit,
}

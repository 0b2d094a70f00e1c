//! What the processes of a kind of service look like.

use super::found::Master;
use crate::host::process::list::Other;
use crate::text::actions as phrases;
use rustix::process::Signal;
use std::path::PathBuf;

/// What a process is to its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first process.
    Master,
    /// One that a first process has started. Without its master it is an orphan.
    Worker,
}

/// What the processes of a kind of service look like.
pub(crate) trait Kind: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Its name in the language of the reader.
    fn localized(&self) -> String {
        self.name().to_owned()
    }

    /// What that process is to a service of this kind; none when it belongs to none.
    fn role(&self, process: &Other) -> Option<Role>;

    /// The signal that lets it finish its work and end.
    fn gentle(&self) -> Signal {
        Signal::TERM
    }

    /// More than one service of this kind may run, and all of them are meant.
    fn many(&self) -> bool {
        false
    }

    /// The command that starts it, where the settings say it.
    fn command(&self) -> Option<Vec<String>> {
        None
    }

    /// The command that starts that one again, where its command line is not it.
    fn again(&self, _master: &Master) -> Option<Vec<String>> {
        None
    }

    /// Its workers run as somebody else than its master, which is ours to start.
    fn drops(&self, _worker: &Master) -> bool {
        false
    }

    /// That first process is one of those that the settings mean.
    fn wanted(&self, _process: &Other) -> bool {
        true
    }

    /// A worker without its master does not show whether it is one of those that the settings mean.
    fn placeless(&self) -> bool {
        false
    }

    /// Every process is of this kind, so that only the settings tell one service from another.
    fn any(&self) -> bool {
        false
    }

    /// A first process may start its successor below itself, which then is a first process, too: USR2.
    fn nests(&self) -> bool {
        false
    }

    /// The pidfile that it writes, as its command line or its configuration says; none where neither does.
    fn pidfile(&self, _process: &Other) -> Option<PathBuf> {
        None
    }

    /// The directory that it was started in, where it has left that one.
    ///
    /// # Errors
    /// Why it cannot be told, in words.
    fn started_in(&self, _master: &Master) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// The settings name the signal that lets it end.
    fn named_signal(&self) -> bool {
        true
    }
}

/// Any process: the settings say which.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AnyProcess {
    /// The signal that lets it end, where the settings name one.
    pub(crate) gentle: Option<Signal>,
}

impl Kind for AnyProcess {
    fn name(&self) -> &'static str {
        "the service"
    }

    fn localized(&self) -> String {
        phrases::the_service()
    }

    fn role(&self, _: &Other) -> Option<Role> {
        Some(Role::Master)
    }

    fn gentle(&self) -> Signal {
        self.gentle.unwrap_or(Signal::TERM)
    }

    fn named_signal(&self) -> bool {
        self.gentle.is_some()
    }

    fn many(&self) -> bool {
        true
    }

    fn any(&self) -> bool {
        true
    }
}

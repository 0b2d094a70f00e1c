//! What the processes of a kind of service look like.

use super::found::Master;
use crate::host::process::list::Other;
use crate::text::actions as phrases;
use rustix::process::Signal;

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

    /// What its command line shows is a title that it gave itself, not how it was started.
    fn titled(&self, _words: &[String]) -> bool {
        false
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
}

/// Any process: the settings say which.
pub(crate) struct AnyProcess;

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

    fn many(&self) -> bool {
        true
    }

    fn any(&self) -> bool {
        true
    }
}

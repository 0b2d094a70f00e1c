//! Parts of a machine that steps read and change: a preview trusts a look only where no earlier step changes what it
//! reads, and says which step does.

use super::{Properties, Service, Stage};
use std::path::{Path, PathBuf};

/// A part of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file or a directory, with all that lies below it.
    Path(PathBuf),
    /// Files that cannot be named beforehand: a release, a virtualenv, the settings of an application.
    Files,
    /// Files that processes write and take away: logs, pidfiles, what a look waits for.
    Written,
    /// The processes of a service, and where they listen.
    Service(Service),
    /// Processes of any kind, and where they listen.
    Processes,
    /// What databases and other stores of data hold.
    Data,
}

impl Place {
    /// A file or a directory.
    pub(crate) fn path(path: impl AsRef<Path>) -> Self {
        Self::Path(path.as_ref().to_path_buf())
    }

    /// They are about the same thing, and not about what cannot be named beforehand.
    fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(_), Self::Path(_))
            | (Self::Service(_) | Self::Processes, Self::Service(_) | Self::Processes)
            | (Self::Data, Self::Data) => self.meets(other),
            _ => false,
        }
    }

    /// A change of one may be seen in the other.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a.starts_with(b) || b.starts_with(a),
            (Self::Path(_) | Self::Files, Self::Path(_) | Self::Files)
            | (Self::Written, Self::Written)
            | (Self::Data, Self::Data)
            | (Self::Processes, Self::Processes | Self::Service(_))
            | (Self::Service(_), Self::Processes) => true,
            (Self::Service(a), Self::Service(b)) => a == b,
            _ => false,
        }
    }
}

/// A file that a step writes: a preview looks whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// It is opened, and made where it is not there.
    Append(String),
    /// It is replaced as a whole, and keeps its owner.
    Replace(String),
}

/// What is read or changed; none where nobody can say, which may be anything.
pub type Places = Option<Vec<Place>>;

/// A change of some may be seen in the others.
#[must_use]
pub fn meet(read: &Places, touched: &Places) -> bool {
    match (read, touched) {
        (Some(none), _) | (_, Some(none)) if none.is_empty() => false,
        (Some(read), Some(touched)) => read.iter().any(|r| touched.iter().any(|t| r.meets(t))),
        (None, _) | (_, None) => true,
    }
}

/// Some that are changed are among those that are read, by their names.
#[must_use]
pub fn about(read: &Places, touched: &Places) -> bool {
    let (Some(read), Some(touched)) = (read, touched) else {
        return false;
    };
    read.iter().any(|r| touched.iter().any(|t| r.is_about(t)))
}

impl Properties {
    /// These paths are among what it changes.
    #[must_use]
    pub(crate) fn writing<'p>(mut self, paths: impl IntoIterator<Item = &'p String>) -> Self {
        let paths = paths.into_iter().map(Place::path);
        self.touches = self.touches.map(|t| paths.chain(t).collect());
        self
    }

    /// It may change what people have written: files, or data.
    #[must_use]
    pub(crate) fn touches_content(&self) -> bool {
        let holds = |place: &Place| match place {
            Place::Path(_) | Place::Files | Place::Data => true,
            Place::Written | Place::Service(_) | Place::Processes => false,
        };
        self.touches
            .as_ref()
            .is_none_or(|places| places.iter().any(holds))
    }

    /// It reads and changes this alone.
    #[must_use]
    pub(crate) fn on(self, place: Place) -> Self {
        Self {
            reads: Some(vec![place.clone()]),
            touches: Some(vec![place]),
            ..self
        }
    }

    /// It starts or stops processes that nobody can name beforehand.
    #[must_use]
    pub(crate) fn processes(self) -> Self {
        Self {
            reads: Some(vec![Place::Processes]),
            touches: Some(vec![Place::Processes, Place::Written]),
            ..self
        }
    }

    /// The same with a place in the upgrade, which says what it reads and changes.
    #[must_use]
    pub fn at(self, stage: Stage) -> Self {
        let (reads, touches) = match stage {
            Stage::Stop(service) => (
                vec![Place::Service(service)],
                vec![Place::Service(service), Place::Written],
            ),
            // Its program and its configuration, too.
            Stage::Start(service) => (
                vec![Place::Service(service), Place::Files],
                vec![Place::Service(service), Place::Written],
            ),
            Stage::Confirm => (vec![Place::Processes], Vec::new()),
            Stage::Code
            | Stage::Dependencies
            | Stage::Static
            | Stage::Switch
            | Stage::Configure => (vec![Place::Files], vec![Place::Files]),
            // The copy is a file that nobody else has a name for.
            Stage::Backup => (vec![Place::Data], Vec::new()),
            Stage::Migrate => (vec![Place::Data, Place::Files], vec![Place::Data]),
            Stage::Command => {
                let all = vec![Place::Data, Place::Files];
                (all.clone(), all)
            }
        };
        Self {
            stages: vec![stage],
            reads: Some(reads),
            touches: Some(touches),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_in_what_lies_above_and_below_it_and_nowhere_else() {
        let path = |p: &str| Some(vec![Place::path(p)]);
        assert!(meet(&path("/srv/app/x"), &path("/srv/app")));
        assert!(meet(&path("/srv/app"), &path("/srv/app/x")));
        assert!(!meet(&path("/srv/app"), &path("/srv/app2")));
        assert!(meet(&path("/x"), &Some(vec![Place::Files])));
        let service = |s| Some(vec![Place::Service(s)]);
        assert!(!meet(&service(Service::Web), &service(Service::Workers)));
        assert!(meet(&service(Service::Web), &Some(vec![Place::Processes])));
        assert!(!meet(&path("/x"), &Some(vec![Place::Processes])));
        let started = Properties::reversible().at(Stage::Start(Service::Web));
        assert!(!meet(&path("/x"), &started.touches));
        let looks = Some(vec![Place::path("/x"), Place::Written]);
        assert!(meet(&looks, &started.touches), "a service writes files");
        // Those that are known by name are told from those that may be anything.
        assert!(about(&path("/srv/app/x"), &path("/srv/app")));
        assert!(!about(&path("/x"), &Some(vec![Place::Files])) && !about(&path("/x"), &None));
        // Whoever says nothing may touch anything, and whoever touches nothing is seen nowhere.
        assert!(meet(&None, &path("/x")) && meet(&path("/x"), &None));
        assert!(!meet(&None, &Some(Vec::new())) && !meet(&Some(Vec::new()), &None));
    }
}

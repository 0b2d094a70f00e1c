//! `service.*`: services of any kind, whoever manages them; and what every kind that stops or starts a service has in
//! common with them.

pub mod start;
pub mod stop;

use super::Do;
use crate::action::Context;
use crate::host::service::start::Judged;
use crate::host::service::{Before, By, Found};
use serde::Deserialize;
use serde_json::Value;

/// The manager of the service that an action is about, where its settings name it.
fn by(action: &Do) -> Option<&By> {
    match action {
        Do::ServiceStop(stop) => Some(&stop.by),
        Do::ServiceStart(start) => Some(&start.by),
        Do::GunicornStop(stop) => stop.by.as_ref(),
        Do::GunicornStart(start) => Some(&start.by),
        Do::NginxStop(stop) => stop.by.as_ref(),
        Do::NginxStart(start) => start.by.as_ref(),
        Do::CeleryStop(stop) => stop.by.as_ref(),
        Do::CeleryStart(start) => Some(&start.by),
        _ => None,
    }
}

/// A service that a step stops or starts, as its settings tell it. Celery and Nginx are told by their places in an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) starts: bool,
    /// Its manager; none for the only one of its kind.
    by: Option<By>,
    /// It is Gunicorn.
    pub(crate) is_web: bool,
    /// The step knows that it answers: it is Gunicorn, or a port or a page is named.
    pub(crate) answers: bool,
}

impl Serving {
    pub(crate) fn of(action: &Do) -> Option<Self> {
        let daemon = |pidfile: &str| Some(By::of_daemon(pidfile));
        let (starts, by, answers) = match action {
            Do::GunicornStop(stop) => (false, stop.by.clone(), true),
            Do::GunicornStart(start) => (true, start.by().cloned(), true),
            Do::ServiceStop(stop) => {
                let answers = stop.port.is_some() || stop.ready.is_some();
                (false, Some(stop.by.clone()), answers)
            }
            Do::ServiceStart(start) => (true, Some(start.by.clone()), start.ready.is_some()),
            Do::ProcessStop(stop) => (false, daemon(&stop.pidfile), stop.port.is_some()),
            Do::ProcessStart(start) => (true, daemon(&start.pidfile), start.ready.is_some()),
            _ => return None,
        };
        Some(Self {
            starts,
            by,
            is_web: matches!(action, Do::GunicornStop(_) | Do::GunicornStart(_)),
            answers,
        })
    }

    /// Both name the same service.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        let both = self.by.as_ref().zip(other.by.as_ref());
        both.is_some_and(|(one, other)| one.is_same(other))
    }
}

/// What a stop has found.
fn found(stop: &Do, before: &Value) -> Option<Found> {
    let before = match stop {
        Do::ServiceStop(_) | Do::GunicornStop(_) | Do::NginxStop(_) => before,
        Do::CeleryStop(_) => before.get("service")?,
        _ => return None,
    };
    // What another version has recorded tells nothing, and then all is demanded.
    Before::deserialize(before).ok().map(|before| before.0)
}

/// The programs that did not run when these steps stopped others of the same manager: what did not run before is not
/// demanded after. The first stop of each counts. Where nothing of a set ran, all of it is demanded.
pub(crate) fn was_down<'v>(
    start: &Do,
    stops: impl Iterator<Item = (Do, &'v Value)>,
) -> Vec<String> {
    let Some(own) = by(start) else {
        return Vec::new();
    };
    let (mut seen, mut down) = (Vec::new(), Vec::new());
    for (stop, before) in stops {
        let same = by(&stop).is_some_and(|by| by.is_managed_as(own));
        let Some(found) = found(&stop, before).filter(|found| same && found.runs()) else {
            continue;
        };
        for program in found.programs {
            if seen.contains(&program.name) {
                continue;
            }
            if !program.is_running() && !program.is_finished() {
                down.push(program.name.clone());
            }
            seen.push(program.name);
        }
    }
    down
}

/// By what a stop names its service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// Its manager; none for the only one of its kind.
    By(Option<&'a By>),
    /// The pidfile of a daemon.
    Pidfile(&'a str),
}

impl Named<'_> {
    /// That manager manages it.
    fn is_by(self, by: Option<&By>) -> bool {
        match (self, by) {
            (Self::By(Some(own)), Some(by)) => own.is_same(by),
            (Self::By(None), _) => true,
            (Self::By(Some(_)), None) | (Self::Pidfile(_), _) => false,
        }
    }
}

/// How the plan's own start of what a stop has stopped is judged: the undo of the stop is judged so, too.
pub(crate) fn judged(cx: &Context, named: Named<'_>) -> Option<Judged> {
    cx.family.iter().find_map(|kin| match &kin.action {
        Do::ServiceStart(start) if named.is_by(Some(&start.by)) => Some(start.with(|s| s.judged())),
        Do::GunicornStart(start) if named.is_by(start.by()) => Some(start.with(|s| s.judged())),
        Do::NginxStart(start) if named.is_by(start.by()) => Some(start.with(|s| s.judged())),
        Do::ProcessStart(start)
            if matches!(named, Named::Pidfile(pidfile) if pidfile == start.pidfile) =>
        {
            Some(start.with(|s| s.judged()))
        }
        _ => None,
    })
}

/// The calls of a stop whose settings make a `StopService`: its `with` hands that out.
macro_rules! stops {
    () => {
        type Before = $crate::host::service::Before;
        type Note = $crate::host::process::note::Note;
        type Output = $crate::host::service::Stopped;

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<Self::Output>), $crate::action::Error> {
            self.with(|stop| stop.probe(cx, &past.before.0, past.noted()))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<Self::Output, $crate::action::Error> {
            self.with(|stop| stop.perform(work, &past.before.0))
        }

        fn consequences(
            &self,
            _cx: &$crate::action::Context,
            _past: &$crate::action::Past<Self>,
        ) -> Result<$crate::action::Consequences, $crate::action::Error> {
            // A service is started; no data is overwritten.
            Ok($crate::action::Consequences::none())
        }

        $crate::actions::service::undoes!(|own, stop, cx| {
            let judged = $crate::actions::service::judged(cx, own.named());
            let stop = stop.judged_as(judged.as_ref());
        });
    };
}
pub(crate) use stops;

/// The calls of a start whose settings make a `StartService`.
macro_rules! starts {
    () => {
        type Before = $crate::host::service::Before;
        type Note = $crate::host::process::note::Note;
        type Output = ();

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<()>), $crate::action::Error> {
            self.with(|start| start.probe(cx, past.noted()))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            self.with(|start| start.perform(work, &past.before.0))
        }

        fn consequences(
            &self,
            _cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<$crate::action::Consequences, $crate::action::Error> {
            // A service is stopped; no data is overwritten.
            Ok($crate::action::Consequences {
                finds: self.with(|start| start.finds(past.noted())),
                ..$crate::action::Consequences::none()
            })
        }

        $crate::actions::service::undoes!(|_own, start, _cx| {});
    };
}
pub(crate) use starts;

/// What a stop and a start have in common.
macro_rules! undoes {
    (|$own:ident, $it:ident, $cx:ident| { $($first:stmt;)* }) => {
        fn undo(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            let ($own, $cx) = (self, work.cx());
            self.with(|$it| {
                $($first)*
                $it.undo(work, &past.before.0)
            })
        }

        fn undone(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<$crate::action::Look, $crate::action::Error> {
            let ($own, $cx) = (self, cx);
            self.with(|$it| {
                $($first)*
                $it.undone(cx, &past.before.0, past.noted())
            })
        }
    };
}
pub(crate) use undoes;

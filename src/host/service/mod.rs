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
pub(crate) mod daemon;
pub(crate) mod found;
pub(crate) mod keeper;
pub(crate) mod launch;
pub(crate) mod pidfile;
pub mod ready;
pub(crate) mod reload;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod supervisord;

pub use by::By;
pub(crate) use found::{Found, Master};
pub(crate) use keeper::{Keeper, Kind, Role};
pub use ready::Ready;
pub(crate) use reload::Renew;
pub(crate) use start::Lift;
pub(crate) use stop::Halt;

/// The calls of a stop whose settings make a `Halt`: its `with` hands that out.
macro_rules! stops {
    () => {
        type Before = $crate::host::service::stop::Before;
        type Note = $crate::host::process::note::Note;
        type Output = $crate::actions::process::stop::Stopped;

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<Self::Output>), $crate::action::Error> {
            self.with(|halt| halt.probe(cx, past))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<Self::Output, $crate::action::Error> {
            self.with(|halt| halt.perform(work, past))
        }

        $crate::host::service::undoes!();
    };
}
pub(crate) use stops;

/// The calls of a start whose settings make a `Lift`.
macro_rules! starts {
    () => {
        type Before = $crate::host::service::start::Before;
        type Note = $crate::host::process::note::Note;
        type Output = ();

        fn probe(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<($crate::action::Look, Option<()>), $crate::action::Error> {
            self.with(|lift| lift.probe(cx, past))
        }

        fn perform(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            self.with(|lift| lift.perform(work, past))
        }

        $crate::host::service::undoes!();
    };
}
pub(crate) use starts;

/// What a stop and a start have in common.
macro_rules! undoes {
    () => {
        fn undo(
            &self,
            work: &mut $crate::action::Work<'_, Self::Note>,
            past: &$crate::action::Past<Self>,
        ) -> Result<(), $crate::action::Error> {
            self.with(|it| it.undo(work, past))
        }

        fn undone(
            &self,
            cx: &$crate::action::Context,
            past: &$crate::action::Past<Self>,
        ) -> Result<$crate::action::Look, $crate::action::Error> {
            self.with(|it| it.undone(cx, past))
        }
    };
}
pub(crate) use undoes;

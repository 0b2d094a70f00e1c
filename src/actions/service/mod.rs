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

/// The part of an action that is a [`Halt`] or a [`Lift`] through and through: its `with` hands out which.
macro_rules! forwarded {
    () => {
        fn effect(&self) -> upledger_replay::plan::Effect {
            upledger_replay::plan::Effect::Probed
        }

        fn has_probe(&self) -> bool {
            true
        }

        fn has_undo(&self) -> bool {
            true
        }

        fn probe(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Trouble> {
            self.with(|it| it.probe(cx, observed))
        }

        fn perform(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
            log: &mut dyn std::io::Write,
        ) -> Result<(), $crate::actions::Trouble> {
            self.with(|it| it.perform(cx, observed, log))
        }

        fn verify(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Trouble> {
            self.with(|it| it.probe(cx, observed))
        }

        fn undo(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
            log: &mut dyn std::io::Write,
        ) -> Result<(), $crate::actions::Trouble> {
            self.with(|it| it.undo(cx, observed, log))
        }

        fn undone(
            &self,
            cx: &$crate::actions::Context,
            observed: &serde_json::Value,
        ) -> Result<$crate::actions::Look, $crate::actions::Trouble> {
            self.with(|it| it.undone(cx, observed))
        }
    };
}
pub(crate) use forwarded;

pub use by::By;
pub(crate) use found::{Found, Master};
pub(crate) use halt::Halt;
pub(crate) use keeper::{Keeper, Kind, Role};
pub(crate) use lift::Lift;
pub(crate) use renew::Renew;

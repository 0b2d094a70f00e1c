//! `gunicorn.reload`: HUP, and new workers that answer; the master stays, and so does its port.
//!
//! A master that preloads the application gives its new workers the old code: it is refused. A reload has no undo of its
//! own, because a rollback puts the code back only after it; the plan says how it is reversed.

use super::{Gunicorn, preloads};
use crate::actions::process::Ready;
use crate::actions::service::by::By;
use crate::actions::service::renew::before;
use crate::actions::service::stop::half_a_minute;
use crate::actions::service::{Keeper, Renew};
use crate::actions::{Action, Context, Error, Look};
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use upledger_replay::plan::Effect;

/// Gives a running Gunicorn new workers, which load the code that is there now. Refused where it preloads: stop and
/// start that one. It has no undo of its own, because a rollback puts the code back only afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// By whom it is kept. Default: the one Gunicorn that runs on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// How the new code is known: a page and a text in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// How long it may take until only new workers serve. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

impl Reload {
    fn renew(&self) -> Renew<'_> {
        Renew {
            keeper: Keeper {
                by: self.by.as_ref(),
                kind: &Gunicorn,
            },
            ready: self.ready.as_ref(),
            within: self.within,
        }
    }
}

impl Action for Reload {
    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn has_probe(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.ready.iter().flat_map(Ready::problems));
        problems
    }

    fn observe(&self, cx: &Context) -> Result<Value, Error> {
        let found = self.renew().observe(cx)?;
        if let Some((master, why)) = found.masters.iter().find_map(|m| Some((m, preloads(m)?))) {
            return Err(Error::new(format!(
                "{} preloads the application ({why}), so a reload would not load new code; stop it and start it",
                master.shown()
            )));
        }
        found.value()
    }

    fn commands(&self, cx: &Context) -> Vec<String> {
        self.renew().commands(cx)
    }

    fn probe(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.renew().probe(cx, &before(observed)?)
    }

    fn perform(&self, cx: &Context, observed: &Value, log: &mut dyn Write) -> Result<(), Error> {
        self.renew().perform(cx, &before(observed)?, log)
    }

    fn verify(&self, cx: &Context, observed: &Value) -> Result<Look, Error> {
        self.renew().probe(cx, &before(observed)?)
    }
}

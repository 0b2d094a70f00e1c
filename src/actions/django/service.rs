//! Compares the databases that an application has in the environment of a step and in that of its running service. A shell
//! that lacks one variable of the unit leads the same code to another database, where every command ends well.
//!
//! No database is asked, and the environment of the service is neither shown nor recorded.
//! Left out: the account, which may be another one for migrations, and whatever else differs.

use super::App;
use crate::action::{Context, Error};
use crate::host::service::By;
use crate::host::service::kind::AnyProcess;
use crate::host::service::{ManagedService, manager_of};
use crate::system::proc;
use crate::text::actions as phrases;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Databases by their aliases: what of the settings says where each is.
type Databases = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Deserialize)]
struct Answered {
    databases: Databases,
}

/// What came out.
pub(super) enum Compared {
    /// The same databases, or a reason why it was not compared.
    Fine(String),
    /// Other databases.
    Other(String),
}

fn shown(place: &BTreeMap<String, String>) -> String {
    let known = place.iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<String> = known.map(|(key, value)| format!("{key}={value}")).collect();
    parts.join(" ")
}

/// A variable by which the loader, Python or a shell chooses the code that runs.
fn chooses_code(name: &str) -> bool {
    let begins = ["LD_", "PYTHON", "GLIBC_", "GCONV_", "BASH_"];
    begins.iter().any(|b| name.starts_with(b)) || ["PATH", "ENV", "IFS"].contains(&name)
}

/// Compares the databases of this step with those of the service.
///
/// # Errors
/// [`Error`] when the service cannot be looked for, or the application cannot be set up for the step.
pub(super) fn compare(app: &App<'_>, cx: &Context, by: &By) -> Result<Compared, Error> {
    let manager = manager_of(Some(by));
    let service = ManagedService {
        manager: &*manager,
        kind: &AnyProcess { gentle: None },
    };
    let found = service.find(cx)?;
    let Some(ident) = found.roots().find(|m| !m.orphan).map(|m| m.ident.clone()) else {
        return Ok(Compared::Fine(phrases::service_down()));
    };
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let environ = proc::environ(ident.pid).into_iter();
    let environ = environ.filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let mut env: Vec<(String, String)> = environ.collect();
    if env.is_empty() {
        return Ok(Compared::Fine(phrases::service_unreadable(ident.pid)));
    }
    // The service's user has a say in its environment, and must have none in what code runs here.
    env.retain(|(name, _)| !chooses_code(name));
    let ours = cx.env.iter().filter(|(name, _)| chooses_code(name));
    env.extend(ours.cloned());
    let theirs = Context { env, ..cx.clone() };
    let ask = |cx: &Context| app.ask::<Answered>(cx, "databases", &json!({}));
    let ours = ask(cx)?.databases;
    let Ok(Answered { databases: theirs }) = ask(&theirs) else {
        return Ok(Compared::Fine(phrases::service_not_set_up(ident.pid)));
    };
    // What only the new release has is not the service's.
    let other = theirs
        .iter()
        .filter_map(|(alias, theirs)| Some((alias, theirs, ours.get(alias)?)))
        .find(|(_, theirs, ours)| theirs != ours);
    Ok(match other {
        Some((alias, theirs, ours)) => Compared::Other(format!(
            "the database {alias} of this step is not that of the running service: {}, and process {} has {}; give the step the \
             `env` or `env_file` that the service has",
            shown(ours),
            ident.pid,
            shown(theirs)
        )),
        None => Compared::Fine(phrases::service_same(ident.pid)),
    })
}

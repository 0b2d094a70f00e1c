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

/// A variable by which the loader, an interpreter, git or a library of TLS or of a database chooses the code that runs.
/// Python takes packages from below `HOME`, and clients of databases name plugins in files there.
fn chooses_code(name: &str) -> bool {
    let begins = [
        "LD_",
        "PYTHON",
        "GLIBC_",
        "GCONV_",
        "BASH_",
        "PERL",
        "GIT_",
        "OPENSSL_",
        "LIBMYSQL_",
        "MARIADB_",
    ];
    begins.iter().any(|b| name.starts_with(b)) || ["PATH", "HOME", "ENV", "IFS"].contains(&name)
}

/// The environment of the service, as far as it only configures: its user has a say in it, and must have none in what code
/// runs here. What chooses code is the step's.
fn for_the_comparison(
    service: Vec<(String, String)>,
    step: &[(String, String)],
) -> Vec<(String, String)> {
    let configures = service.into_iter().filter(|(name, _)| !chooses_code(name));
    let ours = step.iter().filter(|(name, _)| chooses_code(name)).cloned();
    configures.chain(ours).collect()
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
    let env: Vec<(String, String)> = environ.collect();
    if env.is_empty() {
        return Ok(Compared::Fine(phrases::service_unreadable(ident.pid)));
    }
    let theirs = Context {
        env: for_the_comparison(env, &cx.env),
        ..cx.clone()
    };
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

#[cfg(test)]
mod tests {
    use super::for_the_comparison;

    fn env(of: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = of.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        owned.collect()
    }

    #[test]
    fn what_configures_is_the_services_and_what_chooses_code_is_the_steps() {
        let service = env(&[
            ("DB_HOST", "10.0.0.1"),
            ("LD_PRELOAD", "/tmp/theirs.so"),
            ("PYTHONPATH", "/tmp"),
            ("PYTHONUSERBASE", "/tmp"),
            ("OPENSSL_CONF", "/tmp/theirs.cnf"),
            ("HOME", "/home/app"),
            ("PATH", "/tmp"),
            ("DJANGO_SETTINGS_MODULE", "settings"),
        ]);
        let step = env(&[
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/root"),
            ("DB_HOST", ""),
        ]);
        assert_eq!(
            for_the_comparison(service, &step),
            env(&[
                ("DB_HOST", "10.0.0.1"),
                ("DJANGO_SETTINGS_MODULE", "settings"),
                ("PATH", "/usr/bin:/bin"),
                ("HOME", "/root"),
            ])
        );
    }
}

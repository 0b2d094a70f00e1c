//! Secrets: read from their sources when they are needed, kept in memory only.

use std::os::unix::fs::PermissionsExt;
use upledger_replay::plan::{Secret, SecretSource};

/// A secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret {name} cannot be read: {why}")]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why not; never a part of its value.
    pub why: String,
}

/// Reads every secret of a plan.
///
/// # Errors
/// [`Missing`] names the first that cannot be had.
pub fn read(secrets: &[Secret]) -> Result<Vec<(String, String)>, Missing> {
    secrets.iter().map(one).collect()
}

/// Those secrets that can be read here, and the names of the others.
#[must_use]
pub fn readable(secrets: &[Secret]) -> (Vec<(String, String)>, Vec<String>) {
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    for secret in secrets {
        match one(secret) {
            Ok(pair) => known.push(pair),
            Err(e) => missing.push(e.name),
        }
    }
    (known, missing)
}

fn one(s: &Secret) -> Result<(String, String), Missing> {
    let value = source(&s.source).map_err(|why| Missing {
        name: s.name.clone(),
        why,
    })?;
    let value = value.strip_suffix('\n').map(str::to_owned).unwrap_or(value);
    if value.is_empty() {
        return Err(Missing {
            name: s.name.clone(),
            why: "it is empty".into(),
        });
    }
    Ok((s.name.clone(), value))
}

fn source(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Env(name) => {
            std::env::var(name).map_err(|_| format!("the environment has no {name}"))
        }
        SecretSource::File(path) => {
            let meta = std::fs::metadata(path).map_err(|e| format!("{path}: {e}"))?;
            if meta.permissions().mode() & 0o077 != 0 {
                return Err(format!("{path} can be read by others; chmod 600 it"));
            }
            std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
        }
        SecretSource::Command(argv) => {
            let (program, args) = argv.split_first().ok_or("its command is empty")?;
            let out = std::process::Command::new(program)
                .args(args)
                .stdin(std::process::Stdio::null())
                .output()
                .map_err(|e| format!("{program}: {e}"))?;
            if !out.status.success() {
                return Err(format!("{program}: {}", out.status));
            }
            String::from_utf8(out.stdout)
                .map_err(|_| format!("{program} printed something that is not text"))
        }
    }
}

//! The rules for the environment that a plan gives: names, values and files.

use super::file;
use super::outline::Node;
use super::problem::Fault;
use crate::action::values::absolute;
use crate::text::plan as say;
use std::collections::BTreeMap;
use upledger_replay::plan::{EnvFile, EnvVar, Input};

pub(super) fn env_names<'k>(
    keys: impl Iterator<Item = &'k String>,
    env: Option<&Node>,
    of: &Node,
    faults: &mut Vec<Fault>,
) {
    for key in keys.filter(|key| !is_env_name(key)) {
        let span = env.map_or(of.span, |n| n.key_span(key));
        faults.push(Fault::new(span, say::no_env_name(key)));
    }
}

pub(super) fn env_vars(env: BTreeMap<String, Input>) -> Vec<EnvVar> {
    let pair = |(key, value)| EnvVar { key, value };
    env.into_iter().map(pair).collect()
}

/// The file of environment variables that stands there.
pub(super) fn env_file(
    file: Option<&file::EnvFile>,
    of: &Node,
    faults: &mut Vec<Fault>,
) -> Option<EnvFile> {
    let file = file?.resolved();
    let at = of.key_span("env_file");
    faults.extend(absolute("env_file", &file.path).map(|problem| Fault::new(at, problem)));
    let wrong = file.secrets.iter().filter(|name| !is_env_name(name));
    faults.extend(wrong.map(|name| Fault::new(at, say::no_env_name(name))));
    Some(file)
}

/// Whether this may name an environment variable.
pub(crate) fn is_env_name(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn input(value: &file::EnvValue) -> Input {
    match value {
        file::EnvValue::Text(t) => Input::Text(t.clone()),
        file::EnvValue::Secret { secret } => Input::Secret(secret.clone()),
        file::EnvValue::From { from } => Input::From(from.clone()),
    }
}

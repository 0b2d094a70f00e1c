//! Who reads a configuration file: what a value is, is for the reader to say and not for the text.
//!
//! Invariants: a reader is asked with the text that is to be, before anything is written; values reach it on its standard
//! input and come back on its standard output, never in an argument; of what is not asked for only salted digests come back.

use super::document::Format;
use super::python::DEFAULT;
use super::tree::{Kind, Scalar, shown};
use crate::action::values::absolute;
use crate::action::{Context, Error};
use crate::encoding;
use crate::host::exec::capture_with;
use crate::host::read_only::READ_ONLY;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

const PROGRAM: &str = include_str!("reader.py");
/// How many lines of a reader that failed are shown.
const SHOWN: usize = 3;
/// How many keys an error names.
const NAMED: usize = 5;

/// A program that reads the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// Which it is.
    pub by: By,
    /// The Python that has it, as an absolute path. Default: `python3` of the step's PATH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// With `by: settings`, the module whose names in capitals are the settings, such as `config.prod`. It is imported in the
    /// step's `cwd`, once as it is and once as it will be; no application is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

/// A known reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// python-dotenv, with its interpolation.
    PythonDotenv,
    /// django-environ.
    DjangoEnviron,
    /// A shell that sources the file; systemd's `EnvironmentFile=` is read by `systemd-run`, and is not this.
    Shell,
    /// PyYAML, `safe_load`: YAML 1.1.
    Pyyaml,
    /// ruamel.yaml: YAML 1.2.
    Ruamel,
    /// Python's json.
    Json,
    /// Python's tomllib, or tomli.
    Tomllib,
    /// Python's ConfigParser, which interpolates `%`.
    Configparser,
    /// Python's RawConfigParser, to which `%` is a character.
    RawConfigparser,
    /// A Python module of settings, such as Django's.
    Settings,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::PythonDotenv => "python_dotenv",
            Self::DjangoEnviron => "django_environ",
            Self::Shell => "shell",
            Self::Pyyaml => "pyyaml",
            Self::Ruamel => "ruamel",
            Self::Json => "json",
            Self::Tomllib => "tomllib",
            Self::Configparser => "configparser",
            Self::RawConfigparser => "raw_configparser",
            Self::Settings => "settings",
        }
    }

    fn format(self) -> Format {
        match self {
            Self::PythonDotenv | Self::DjangoEnviron | Self::Shell => Format::Dotenv,
            Self::Pyyaml | Self::Ruamel => Format::Yaml,
            Self::Json => Format::Json,
            Self::Tomllib => Format::Toml,
            Self::Configparser | Self::RawConfigparser => Format::Ini,
            Self::Settings => Format::Python,
        }
    }
}

/// What a reader is asked.
pub(super) struct Question<'a> {
    /// The file.
    pub(super) path: &'a str,
    /// The byte order mark that it begins with.
    pub(super) mark: &'a str,
    /// The keys whose values are wanted.
    pub(super) keys: &'a [Vec<String>],
    /// Former values, of which the keys are named that still hold one.
    pub(super) former: &'a [String],
    /// For the digests of all other values.
    pub(super) salt: &'a str,
}

/// What a reader made of a text.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Readout {
    /// Why it refused it.
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    asked: BTreeMap<String, (String, String)>,
    /// Every other key with a digest.
    #[serde(default)]
    pub(super) others: BTreeMap<String, String>,
    /// Other keys whose values hold a former value.
    #[serde(default)]
    pub(super) holding: Vec<String>,
}

impl Readout {
    /// What it reads for that key; none when it has no such key.
    pub(super) fn value(&self, path: &[String]) -> Option<Scalar> {
        let key = python_json(path);
        let (kind, text) = self.asked.get(&key)?;
        let kind = match kind.as_str() {
            "text" => Kind::Text,
            "number" => Kind::Number,
            "bool" => Kind::Bool,
            "null" => Kind::Null,
            _ => Kind::Other,
        };
        Some(Scalar {
            kind,
            text: text.clone(),
        })
    }
}

/// A list as Python's json writes it.
fn python_json(path: &[String]) -> String {
    let quoted: Vec<String> = path
        .iter()
        .map(|p| {
            let json = serde_json::Value::from(p.as_str()).to_string();
            let mut out = String::new();
            for c in json.chars() {
                match c.is_ascii() {
                    true => out.push(c),
                    false => {
                        let mut units = [0; 2];
                        for unit in c.encode_utf16(&mut units) {
                            out.push_str(&format!("\\u{unit:04x}"));
                        }
                    }
                }
            }
            out
        })
        .collect();
    format!("[{}]", quoted.join(", "))
}

impl Reader {
    pub(super) fn problems(&self, format: Option<Format>) -> Vec<String> {
        let python = self.python.as_deref();
        let mut wrong: Vec<String> = python
            .and_then(|p| absolute("python", p))
            .into_iter()
            .collect();
        if format.is_some_and(|f| f != self.by.format()) {
            wrong.push(text::no_reader_of(self.by.name()));
        }
        match (self.by, &self.module) {
            (By::Settings, None) => wrong.push(text::needs("by: settings", "module")),
            (By::Settings, Some(_)) | (_, None) => {}
            (_, Some(_)) => wrong.push(text::needs("module", "by: settings")),
        }
        wrong
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match (&self.module, &self.python) {
            (Some(module), _) => format!("the module {module}"),
            (None, Some(python)) => format!("{} of {python}", self.by.name()),
            (None, None) => self.by.name().into(),
        }
    }

    fn python(&self) -> String {
        self.python.clone().unwrap_or_else(|| DEFAULT.into())
    }

    /// What it makes of these texts.
    pub(super) fn read(
        &self,
        cx: &Context,
        of: &Question<'_>,
        texts: &[Option<&str>],
    ) -> Result<Vec<Readout>, Error> {
        let texts: Vec<Option<String>> = texts
            .iter()
            .map(|text| text.map(|t| format!("{}{t}", of.mark)))
            .collect();
        if self.by == By::Shell {
            let texts = texts.into_iter().map(Option::unwrap_or_default);
            return texts.map(|t| self.sourced(cx, t, of)).collect();
        }
        let request = |texts: &[Option<String>]| {
            serde_json::json!({
                "kind": self.by.name(), "path": of.path, "module": self.module, "texts": texts, "keys": of.keys,
                "former": of.former, "salt": of.salt,
            })
        };
        // A module of settings is the application's own code.
        let program = format!("{READ_ONLY}{PROGRAM}");
        if self.by != By::Settings {
            return ask(cx, &self.python(), &program, &request(&texts));
        }
        // A module is imported once in a process.
        let mut found = Vec::new();
        for text in texts {
            let answer: Vec<Readout> = ask(cx, &self.python(), &program, &request(&[text]))?;
            found.extend(answer);
        }
        Ok(found)
    }

    /// What a shell has after it has sourced the text.
    fn sourced(&self, cx: &Context, text: String, of: &Question<'_>) -> Result<Readout, Error> {
        let mut clean = cx.clone();
        clean.env.retain(|(k, _)| k == "PATH" || k == "LANG");
        let script = "set -a; . /dev/stdin >/dev/null 2>&1; exec env -0".to_owned();
        let argv = ["sh".to_owned(), "-c".into(), script];
        let ran = capture_with(&clean, &argv, Some(text.into_bytes()), cx.patience())?;
        if ran.code != Some(0) {
            return Ok(Readout {
                error: Some(format!("a shell that sources it: {}", ran.ended)),
                ..Readout::default()
            });
        }
        let mut found = Readout::default();
        let all = encoding::text(&ran.stdout);
        for (key, value) in all.split('\0').filter_map(|v| v.split_once('=')) {
            if of
                .keys
                .iter()
                .any(|k| matches!(k.as_slice(), [one] if one == key))
            {
                let pair = ("text".to_owned(), value.to_owned());
                found.asked.insert(python_json(&[key.to_owned()]), pair);
            } else if !["PWD", "OLDPWD", "SHLVL", "_", "PATH", "LANG"].contains(&key) {
                let digest = crate::action::digest(of.salt.as_bytes(), value.as_bytes());
                found.others.insert(key.to_owned(), digest);
            }
        }
        Ok(found)
    }

    /// Why the text is not read as it is wanted, beside the one before; none when it is.
    pub(super) fn wrong(
        &self,
        before: Option<&Readout>,
        after: &Readout,
        wanted: &[(Vec<String>, Option<Scalar>)],
        format: Format,
    ) -> Option<Error> {
        let name = self.shown();
        if let Some(why) = &after.error {
            return Some(Error::certain(format!(
                "{name} refuses the file as it would be: {why}"
            )));
        }
        for (path, wanted) in wanted {
            let found = after.value(path);
            let same = match (&found, wanted) {
                (None, None) => true,
                (Some(found), Some(wanted)) => {
                    let number = wanted.kind == Kind::Number && found.kind == Kind::Number;
                    let equal = found.text == wanted.text
                        || number
                            && found.text.parse::<f64>().ok() == wanted.text.parse::<f64>().ok();
                    equal && (format.is_untyped() || found.kind == wanted.kind)
                }
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                let (is, not) = (described(found.as_ref()), described(wanted.as_ref()));
                let path = shown(path);
                return Some(Error::certain(match is == not {
                    true => format!("{name} would read another value for {path}: {is}, too"),
                    false => format!("{name} would read {is} for {path}, and {not} is wanted"),
                }));
            }
        }
        // The values that a settings module derives are told by themselves.
        let before = before.filter(|b| b.error.is_none() && format != Format::Python)?;
        let keys: std::collections::BTreeSet<&String> =
            before.others.keys().chain(after.others.keys()).collect();
        let changed: Vec<&str> = keys
            .into_iter()
            .filter(|k| before.others.get(*k) != after.others.get(*k))
            .map(String::as_str)
            .take(NAMED)
            .collect();
        (!changed.is_empty()).then(|| {
            let changed = changed.join(", ");
            Error::certain(format!("{name} would read other values for {changed}, too"))
        })
    }
}

/// A value, without its text.
pub(super) fn described(value: Option<&Scalar>) -> String {
    match value {
        None => "nothing".into(),
        Some(value) => {
            let length = value.text.chars().count();
            let s = if length == 1 { "" } else { "s" };
            format!("{} of {length} character{s}", value.kind.word())
        }
    }
}

pub(super) fn random() -> String {
    let hash = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", hash(), hash())
}

/// Asks a program of ours, run by that Python, for one marked line.
pub(super) fn ask<T: serde::de::DeserializeOwned>(
    cx: &Context,
    python: &str,
    program: &str,
    request: &serde_json::Value,
) -> Result<T, Error> {
    let marker = format!("@upledger-{}:", random());
    let argv = [python, "-c", program, &marker].map(str::to_owned);
    let ran = capture_with(
        cx,
        &argv,
        Some(request.to_string().into_bytes()),
        cx.patience(),
    )?;
    let mut lines = ran.stdout.split(|b| *b == b'\n');
    let answer = lines.find_map(|line| line.strip_prefix(marker.as_bytes()));
    let Some(answer) = answer else {
        let mut said = vec![format!("{python} returned no answer: {}", ran.ended)];
        let stderr: Vec<&str> = ran.stderr.lines().collect();
        said.extend(
            stderr[stderr.len().saturating_sub(SHOWN)..]
                .iter()
                .map(ToString::to_string),
        );
        return Err(Error::new(said.join("\n")));
    };
    serde_json::from_slice(answer)
        .map_err(|e| Error::io(format!("the answer of {python} cannot be read"), &e))
}

//! Which language: `--lang`, else `UPLEDGER_LANG`, else the configuration file, else the locale, else English.

use super::Lang;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The configuration file: `lang: en` or `lang: zh`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    lang: Option<Lang>,
}

/// What a language is chosen from.
#[derive(Debug, Default, Clone)]
pub struct Choice {
    /// `--lang`.
    pub flag: Option<Lang>,
    /// `UPLEDGER_LANG`.
    pub variable: Option<String>,
    /// The configuration files, the first that exists counts.
    pub config: Vec<PathBuf>,
    /// `LC_ALL`, `LC_MESSAGES`, `LANG`; the first that is set counts.
    pub locale: Option<String>,
}

/// A language cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The variable.
    #[error("UPLEDGER_LANG is {0:?}; it can be en or zh")]
    Variable(String),
    /// The file.
    #[error("cannot read the configuration {path}: {why}")]
    Config {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

impl Choice {
    /// From this process's environment.
    #[must_use]
    pub fn here(flag: Option<Lang>) -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let user = var("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| var("HOME").map(|home| Path::new(&home).join(".config")));
        Self {
            flag,
            variable: var("UPLEDGER_LANG"),
            config: user
                .map(|dir| dir.join("upledger/config.yaml"))
                .into_iter()
                .chain([PathBuf::from("/etc/upledger/config.yaml")])
                .collect(),
            locale: ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(var),
        }
    }
}

/// Chooses.
///
/// # Errors
/// [`ChoiceError`] when the variable or the file says something else than a language.
pub fn choose(choice: &Choice) -> Result<Lang, ChoiceError> {
    if let Some(lang) = choice.flag {
        return Ok(lang);
    }
    match choice.variable.as_deref() {
        Some("en") => return Ok(Lang::En),
        Some("zh") => return Ok(Lang::Zh),
        Some(other) => return Err(ChoiceError::Variable(other.into())),
        None => {}
    }
    for path in &choice.config {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                return Err(ChoiceError::Config {
                    path: path.clone(),
                    why: e.to_string(),
                });
            }
        };
        let config: Config = serde_saphyr::from_str(&text).map_err(|e| ChoiceError::Config {
            path: path.clone(),
            why: e.to_string(),
        })?;
        if let Some(lang) = config.lang {
            return Ok(lang);
        }
        break;
    }
    let chinese = choice
        .locale
        .as_deref()
        .is_some_and(|l| l.starts_with("zh"));
    Ok(if chinese { Lang::Zh } else { Lang::En })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.yaml");
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    #[test]
    fn the_flag_beats_the_variable_beats_the_file_beats_the_locale() {
        let (_dir, path) = file("lang: zh\n");
        let mut choice = Choice {
            locale: Some("de_DE.UTF-8".into()),
            ..Choice::default()
        };
        assert_eq!(choose(&choice).expect("chosen"), Lang::En);
        choice.locale = Some("zh_CN.UTF-8".into());
        assert_eq!(choose(&choice).expect("chosen"), Lang::Zh);
        choice.locale = None;
        choice.config = vec!["/nonexistent/config.yaml".into(), path];
        assert_eq!(choose(&choice).expect("chosen"), Lang::Zh);
        choice.variable = Some("en".into());
        assert_eq!(choose(&choice).expect("chosen"), Lang::En);
        choice.flag = Some(Lang::Zh);
        assert_eq!(choose(&choice).expect("chosen"), Lang::Zh);
    }

    #[test]
    fn another_word_is_an_error_and_never_a_guess() {
        let (_dir, path) = file("lang: latin\n");
        let choice = Choice {
            config: vec![path],
            ..Choice::default()
        };
        assert!(choose(&choice).is_err());
        let choice = Choice {
            variable: Some("cn".into()),
            ..Choice::default()
        };
        assert!(choose(&choice).is_err());
    }
}

//! `django.command`: a command of `manage.py`, judged by all that the plan declares.
//!
//! Exit codes of custom commands lie, and so do their last words: rows are skipped and the text is "finished
//! successfully"; the text comes first and the failure behind it. So every declared condition has to hold: the exit
//! code, each text of success, no text of failure, and what the database says afterwards. Texts are looked for line by
//! line in what was printed, standard output and standard error apart, without colours, and there is no shell and no pipe
//! that could hide an exit code. Whether it was done before only the plan's own `probe` can tell.
//! Left out: input; a command that asks gets the end of its input.

use super::App;
use crate::action::{Action, Context, Direction, Error, Look, Past, Properties, Stage, Work};
use crate::host::exec::{KEPT, PrintedOn, stream_apart};
use crate::text::actions as phrases;
use crate::text::settings as text;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::LazyLock;

/// Runs a command of `manage.py`; all declared conditions must hold together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The interpreter of the release's virtualenv, as an absolute path.
    pub python: String,
    /// `manage.py`, or an entry point of another name, as an absolute path. Default: the one in the step's `cwd`; where
    /// there is none, the module of `settings` is used (`python -m django`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<String>,
    /// `dev`, `stag` or `prod` of BlueKing (`BKPAAS_ENVIRONMENT`, `BK_ENV`), or a module for `DJANGO_SETTINGS_MODULE`.
    /// Default: from the environment of the step and `manage.py`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The name of the command, such as `iam_upgrade_action_v2`.
    pub name: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The exit code that it must have. Default: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exit: u8,
    /// Texts that a line of its output must contain, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<String>,
    /// Texts that no line of its output and of its standard error may contain, such as `Sorry, maybe something wrong`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<String>,
    /// What the databases of the application must say afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Rows>,
}

/// What a table must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// A query of one value, asked over the application's own connection in a read-only session, such as
    /// `SELECT COUNT(*) FROM mapping WHERE status = 'fail'`.
    pub query: String,
    /// The value, as text.
    pub is: String,
    /// The alias of the database. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(code: &u8) -> bool {
    *code == 0
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its exit code.
    exit: i64,
    /// The last line that it printed on standard output.
    last_line: String,
}

#[derive(Debug, Deserialize)]
struct Values {
    values: Vec<Option<String>>,
}

/// Sequences that set colours and move the cursor.
static COLOURS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("\u{1b}(\\[[0-9;?]*[ -/]*[@-~]|[@-_])").ok());

/// Without colours.
fn plain(line: &str) -> String {
    match COLOURS.as_ref() {
        Some(colours) => colours.replace_all(line, "").into_owned(),
        None => line.to_owned(),
    }
}

/// What it printed.
#[derive(Debug, Default)]
struct Printed {
    out: Vec<String>,
    err: Vec<String>,
}

impl Command {
    fn app(&self) -> App<'_> {
        App {
            python: &self.python,
            manage: self.manage.as_ref(),
            settings: self.settings.as_ref(),
        }
    }

    fn words(&self) -> Vec<&str> {
        let args = self.args.iter().map(String::as_str);
        std::iter::once(self.name.as_str()).chain(args).collect()
    }

    /// The conditions that do not hold.
    fn broken(&self, code: Option<i32>, ended: &str, printed: &Printed) -> Vec<String> {
        let mut broken = Vec::new();
        if code != Some(i32::from(self.exit)) {
            broken.push(format!("it ended with {ended}, not exit {}", self.exit));
        }
        for wanted in &self.success {
            if !printed.out.iter().any(|line| line.contains(wanted)) {
                let beside = match printed.err.iter().any(|line| line.contains(wanted)) {
                    true => " (it is on standard error)",
                    false => "",
                };
                broken.push(format!("its output has no line with '{wanted}'{beside}"));
            }
        }
        for unwanted in &self.failure {
            for (name, lines) in [("output", &printed.out), ("standard error", &printed.err)] {
                if let Some(line) = lines.iter().find(|line| line.contains(unwanted)) {
                    broken.push(format!("its {name} has '{unwanted}': {line}"));
                }
            }
        }
        broken
    }

    /// What of the tables is not as declared, and what is.
    fn tables(&self, cx: &Context) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut wrong, mut right) = (Vec::new(), Vec::new());
        if self.rows.is_empty() {
            return Ok((wrong, right));
        }
        let queries: Vec<_> = self
            .rows
            .iter()
            .map(|r| json!({"query": r.query, "alias": r.database.as_deref().unwrap_or("default")}))
            .collect();
        let arguments = json!({"queries": queries});
        let more = include_str!("queries.py");
        let seen: Values = self.app().ask_with(cx, more, "queries", &arguments)?;
        let redactor = cx.redactor()?;
        for (rows, value) in self.rows.iter().zip(seen.values) {
            let value = redactor.text(value.as_deref().unwrap_or("NULL"));
            let line = format!("{}: {value}", rows.query);
            if value == rows.is {
                right.push(line);
            } else {
                wrong.push(format!("{line}, not {}", rows.is));
            }
        }
        Ok((wrong, right))
    }
}

impl Action for Command {
    type Before = ();
    type Note = ();
    type Output = Output;

    fn properties(&self) -> Properties {
        Properties {
            below_cwd: self.app().below_cwd(),
            stages: vec![Stage::Command],
            ..Properties::command()
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = self.app().problems();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.starts_with('-') || !self.name.chars().all(plain) {
            wrong.push(text::no_command_name(&self.name));
        }
        for (setting, texts) in [("success", &self.success), ("failure", &self.failure)] {
            if texts.iter().any(|t| t.trim().is_empty()) {
                wrong.push(text::every_line(setting));
            }
        }
        if self.success.is_empty() && self.failure.is_empty() && self.rows.is_empty() {
            wrong.push(text::missing_all("`success`, `failure`, `rows`"));
        }
        if self.rows.iter().any(|r| r.query.trim().is_empty()) {
            wrong.push(text::empty("rows"));
        }
        wrong
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        let mut lines = vec![self.app().shown(&self.words(), false)];
        lines.push(phrases::expect(format!("exit {}", self.exit)));
        lines.extend(self.success.iter().map(phrases::expect_text));
        lines.extend(self.failure.iter().map(phrases::expect_no_text));
        let rows = self.rows.iter();
        lines.extend(rows.map(|r| phrases::expect(format!("{} = {}", r.query, r.is))));
        lines
    }

    fn observe(&self, cx: &Context) -> Result<(), Error> {
        self.app().manage(cx).map(|_| ())
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<Output, Error> {
        let cx = work.cx();
        let words = self.app().words(cx, &self.words())?;
        let mut inner = self.app().context(cx)?;
        for (key, value) in [("NO_COLOR", "1"), ("DJANGO_COLORS", "nocolor")] {
            inner.env.retain(|(k, _)| k != key);
            inner.env.push((key.into(), value.into()));
        }
        inner
            .env
            .retain(|(k, _)| k != "FORCE_COLOR" && k != "CLICOLOR_FORCE");
        let (mut printed, mut kept) = (Printed::default(), 0);
        let ran = stream_apart(&inner, &words, work.log(), &mut |from, line| {
            kept += line.len();
            // Beyond that a condition on its text cannot be told.
            if kept > KEPT {
                return;
            }
            match from {
                PrintedOn::Error => printed.err.push(plain(line)),
                PrintedOn::Output => printed.out.push(plain(line)),
            }
        })?;
        let mut broken = self.broken(ran.code, &ran.ended, &printed);
        if kept > KEPT && !self.failure.is_empty() {
            broken.push(
                "it printed more than 1 MiB, so that the texts of failure cannot be ruled out"
                    .into(),
            );
        }
        let redactor = cx.redactor()?;
        let broken: Vec<String> = broken.iter().map(|b| redactor.text(b)).collect();
        let last = printed.out.iter().rev().find(|l| !l.trim().is_empty());
        let last_line: String = redactor
            .text(last.map_or("", |l| l))
            .chars()
            .take(200)
            .collect();
        if broken.is_empty() {
            let exit = ran.code.map_or(-1, i64::from);
            return Ok(Output { exit, last_line });
        }
        broken.iter().for_each(|b| work.log_line(b));
        let why = format!("{}: {}", self.name, broken.join("; "));
        Err(Error::new(why)
            .remedy("what it did before that stays: look at its output (log --output)"))
    }

    fn verify(&self, cx: &Context, _past: &Past<Self>) -> Result<Look, Error> {
        let (wrong, right) = self.tables(cx)?;
        if wrong.is_empty() {
            let mut look = Look::silent();
            look.evidence = right;
            return Ok(look);
        }
        Ok(Look::nothing(wrong.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(more: &str) -> Command {
        let text = format!(r#"{{"python": "/venv/bin/python", "name": "sync"{more}}}"#);
        serde_json::from_str(&text).expect("settings")
    }

    fn printed(out: &[&str], err: &[&str]) -> Printed {
        let lines = |all: &[&str]| all.iter().map(|l| plain(l)).collect();
        Printed {
            out: lines(out),
            err: lines(err),
        }
    }

    #[test]
    fn every_condition_has_to_hold_and_colours_hide_nothing() {
        let of = command(r#", "success": ["finished"], "failure": ["skipped"]"#);
        let good = printed(&["sync \u{1b}[32;1mfini\u{1b}[0mshed"], &[]);
        assert_eq!(of.broken(Some(0), "exit 0", &good), Vec::<String>::new());
        for (code, ended, out, err, why) in [
            (
                Some(3),
                "exit 3",
                &["finished"][..],
                &[][..],
                "it ended with exit 3",
            ),
            (
                None,
                "signal 9",
                &["finished"],
                &[],
                "it ended with signal 9",
            ),
            (
                Some(0),
                "exit 0",
                &["finish"],
                &[],
                "no line with 'finished'",
            ),
            (
                Some(0),
                "exit 0",
                &[],
                &["finished"],
                "it is on standard error",
            ),
            (
                Some(0),
                "exit 0",
                &["finished"],
                &["row skipped: x"],
                "its standard error has 'skipped': row skipped: x",
            ),
            (
                Some(0),
                "exit 0",
                &["finished", "skipped"],
                &[],
                "its output has 'skipped'",
            ),
        ] {
            let broken = of.broken(code, ended, &printed(out, err)).join("; ");
            assert!(broken.contains(why), "{why}: {broken}");
        }
    }

    #[test]
    fn a_command_without_a_condition_is_refused() {
        for (more, why) in [
            ("", "one of `success`, `failure`, `rows`"),
            (r#", "success": [" "]"#, "`success`"),
            (r#", "name": "-x""#, "name"),
        ] {
            let text = format!(
                r#"{{"python": "/p"{}{more}}}"#,
                if more.contains("name") {
                    ""
                } else {
                    r#", "name": "x""#
                }
            );
            let of: Command = serde_json::from_str(&text).expect("settings");
            let problems = of.problems().join("; ");
            assert!(problems.contains(why), "{why}: {problems}");
        }
    }

    #[test]
    fn what_is_stored_stays_readable() {
        crate::action::stays::<Command>("null", "null", r#"{"exit": 0, "last_line": "done"}"#);
    }
}

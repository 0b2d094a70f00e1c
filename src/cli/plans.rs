//! Commands about plans: init, check, plan, schema.

use super::cause;
use super::code;
use super::fail::{Failure, unread};
use super::literal;
use super::new_file::write_new;
use super::out::Out;
use super::output_stream::Stream;
use super::system;
use crate::action::values::holds_secret;
use crate::forecast;
use crate::home::Home;
use crate::host::exec::quoted;
use crate::journal::{Journal, JournalError};
use crate::plan::{Checked, Given, Warning, load, resolved, schema as plan_schema, templates};
use crate::redact::Redactor;
use crate::report::paint::Tone;
use crate::report::safe;
use crate::runner::secrets;
use crate::site::Interruptible;
use crate::site::env_file;
use crate::text::{commands as text, forecast as forecast_text, help, lang};
use clap::Args;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use upledger_ledger::OpenError;
use upledger_replay::state::Run;

/// Plans are for others to read, as far as the umask lets them.
const PLAN_MODE: u32 = 0o666;

/// A new plan.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[arg(default_value = "plan.yaml", help = help::init_file())]
    file: PathBuf,
    #[arg(long, value_enum, default_value = "blank", help = help::init_template())]
    template: Template,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Template {
    #[value(help = help::template_blank())]
    Blank,
    #[value(help = help::template_django())]
    Django,
}

/// A plan to check.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[arg(help = help::the_plan())]
    plan: PathBuf,
    #[command(flatten)]
    vars: Vars,
}

/// Variables that are given for a plan.
#[derive(Debug, Args)]
pub(crate) struct Vars {
    #[arg(long = "var", value_name = "NAME=VALUE", help = help::var())]
    arguments: Vec<String>,
    #[arg(long = "vars", value_name = "FILE", help = help::vars())]
    file: Option<PathBuf>,
}

impl Vars {
    /// Reads a plan with them.
    pub(crate) fn load(&self, out: &mut Out, plan: &Path) -> Result<Checked, Failure> {
        Given::read(self.file.as_deref(), &self.arguments)
            .and_then(|given| load::load(plan, &given))
            .map_err(|e| refused(out, &e))
    }

    /// Reads a plan that takes the place of a run's own, whose variables count where nothing is given now.
    pub(crate) fn load_for(
        &self,
        out: &mut Out,
        plan: &Path,
        run: &Run,
    ) -> Result<Checked, Failure> {
        Given::read(self.file.as_deref(), &self.arguments)
            .and_then(|given| load::load(plan, &given.or_of_run(run)))
            .map_err(|e| refused(out, &e))
    }

    /// A command with the same plan and the same variables, to be typed.
    pub(crate) fn command(&self, command: &str, plan: &Path) -> String {
        let mut words = vec![plan.display().to_string()];
        if let Some(file) = &self.file {
            words.extend(["--vars".to_owned(), file.display().to_string()]);
        }
        let given = self.arguments.iter();
        words.extend(given.flat_map(|a| ["--var".to_owned(), a.clone()]));
        format!("upledger {command} {}", quoted(&words))
    }
}

/// A plan to show.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[arg(help = help::the_plan())]
    plan: PathBuf,
    #[arg(long, value_name = "FILE", help = help::plan_out())]
    out: Option<PathBuf>,
    #[arg(long, help = help::plan_details())]
    details: bool,
    #[command(flatten)]
    vars: Vars,
}

/// A plan that was refused: its problems are printed here, each with its place.
pub(crate) fn refused(out: &mut Out, refusal: &crate::plan::Refusal) -> Failure {
    if refusal.unreadable {
        let why = refusal.problems.first().map_or("", |p| p.message.as_str());
        return Failure::usage(why);
    }
    if out.json {
        for problem in refusal.to_json() {
            out.value(&problem);
        }
    } else {
        let columns = out.error_columns();
        let shown = refusal.fitted(out.colours(Stream::Err), columns);
        for line in shown.lines() {
            // Lines of the plan, and the marks below them, stay as they are.
            let words = line.trim_start();
            match words.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '|' | '-' | '.')) {
                true => out.source(line),
                false => out.error(line),
            }
        }
    }
    Failure::new(
        code::REFUSED,
        "plan_refused",
        match refusal.problems.len() {
            1 => text::refused_one(),
            n => text::refused(n),
        },
    )
}

pub(crate) fn init(out: &mut Out, args: &Init) -> Result<u8, Failure> {
    let text = match args.template {
        Template::Blank => templates::blank(lang()),
        Template::Django => templates::django(lang()),
    };
    write_new(&args.file, PLAN_MODE, |file| {
        file.write_all(text.as_bytes())
    })?;
    let schema = args.file.with_file_name("upledger-plan.schema.json");
    if !schema.exists() {
        let text = format!("{:#}\n", plan_schema::json_schema());
        write_new(&schema, PLAN_MODE, |file| file.write_all(text.as_bytes()))?;
    }
    let check = format!(
        "upledger check {}",
        quoted(&[args.file.display().to_string()])
    );
    out.progress(&text::wrote_plan(args.file.display()));
    out.progress(&text::next(&check));
    if out.json {
        let (file, schema) = (
            args.file.display().to_string(),
            schema.display().to_string(),
        );
        let result = json!({"file": file, "schema": schema, "next": [check]});
        out.result(result, code::DONE);
    }
    Ok(code::DONE)
}

/// A warning with its place, as an editor reads it.
pub(crate) fn warning(plan: &Path, warning: &Warning) -> String {
    let what = safe(&warning.shown);
    let place = match warning.line {
        Some(line) => text::at_line(plan.display(), line, what),
        None => what,
    };
    Tone::Asks.lead(&crate::text::screen::warning(place))
}

/// Files of environment variables that cannot be read on this machine, which need not be the one that the plan is for, and
/// variables of them that seem to be secrets.
fn unreadable_files(plan: &upledger_replay::plan::Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for file in env_file::files(plan) {
        match env_file::read(file) {
            Err(why) => warnings.push(Warning::anywhere(|| text::no_env_file(why.to_string()))),
            Ok(content) => {
                let secret = |name: &String| file.secrets.contains(name) || !holds_secret(name);
                let names = content.variables.into_iter().map(|(name, _)| name);
                let names: Vec<String> = names.filter(|name| !secret(name)).collect();
                if !names.is_empty() {
                    let say = || text::secrets_in_env_file(crate::text::list(&names), &file.path);
                    warnings.push(Warning::anywhere(say));
                }
            }
        }
    }
    warnings
}

fn recorded(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|w| w.recorded.as_str()).collect()
}

pub(crate) fn check(out: &mut Out, args: &Check) -> Result<u8, Failure> {
    let mut checked = args.vars.load(out, &args.plan)?;
    checked.warnings.extend(unreadable_files(&checked.plan));
    let steps = checked.plan.steps().count();
    if out.json {
        let result = json!({
            "plan": checked.plan.name, "steps": steps, "digest": checked.digest,
            "warnings": recorded(&checked.warnings),
        });
        out.result(result, code::DONE);
    } else {
        for warning in &checked.warnings {
            out.progress(&self::warning(&args.plan, warning));
        }
        let path = args.plan.display();
        out.line(&match steps {
            1 => text::checked_one(path, &checked.digest),
            _ => text::checked(path, steps, &checked.digest),
        });
        out.progress(&text::next(args.vars.command("plan", &args.plan)));
    }
    Ok(code::DONE)
}

pub(crate) fn plan(out: &mut Out, home: &Home, args: &Plan) -> Result<u8, Failure> {
    let mut checked = args.vars.load(out, &args.plan)?;
    let (mut known, missing) = secrets::readable(&checked.plan.secrets);
    known.extend(env_file::secrets(&checked.plan));
    // On another machine there are no earlier runs to estimate durations from.
    let past = Journal::read(home);
    let mut against = Vec::new();
    if let Err(why) = &past {
        against.extend(not_here(home, why));
    }
    let copied_from = past.as_ref().ok().and_then(|p| p.ledger().copied_from());
    against.extend(copied_from.map(|kept| text::is_a_copy(&kept.path)));
    let doubt = past.as_ref().ok().and_then(|p| p.ledger().unread_memory());
    against.extend(doubt.map(|why| crate::text::causes(&cause::words(why))));
    if let Err(why) = system::check_jobs(home) {
        against.push(why.words());
    }
    let past = past.ok();
    let book = past.as_ref().map(Journal::book);
    let redactor = Redactor::new(&known).map_err(|e| Failure::of(code::REFUSED, "secret", &e))?;
    let literal = literal::find(&checked.plan, &known);
    if let Some((name, at)) = literal.map_err(|e| Failure::of(code::REFUSED, "secret", &e))? {
        against.push(text::literal_secret(safe(&name), safe(&at)));
    }
    let looks = Interruptible::new().map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    let mut tell = |steps: &[String]| out.still_checks(steps);
    let steps = forecast::forecast(&checked.plan, &known, book, &mut tell)
        .map_err(|e| Failure::of(code::USAGE, "system", &e))?;
    drop(looks);
    let failing = forecast::failing(&steps);
    let refused = failing > 0 || !missing.is_empty() || !against.is_empty();
    if let Some(path) = args.out.as_ref().filter(|_| !refused) {
        checked.plan = forecast::resolved(&checked.plan, &steps);
        checked.digest = load::digest(&checked.plan);
        let text = format!("{}\n", resolved::write(&checked).trim_end());
        write_new(path, PLAN_MODE, |file| file.write_all(text.as_bytes()))?;
    }
    let ended = if refused { code::REFUSED } else { code::DONE };
    if out.json {
        let result = json!({
            "plan": checked.plan, "digest": checked.digest, "warnings": recorded(&checked.warnings),
            "secrets_missing": missing.iter().map(|m| &m.name).collect::<Vec<_>>(), "refusals": against, "steps": forecast::value(&steps),
        });
        out.result(redacted(result, &redactor), ended);
        return Ok(ended);
    }
    let shown = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| redactor.text(line)).collect()
    };
    for warning in &checked.warnings {
        out.progress(&self::warning(&args.plan, warning));
    }
    out.lines(&shown(forecast::lines(&checked.plan, &steps)));
    for secret in &missing {
        out.line(&forecast_text::secret_unknown(
            &secret.name,
            safe(&unread(&secret.why)),
        ));
    }
    for why in &against {
        out.line(&Tone::Failed.lead(&forecast_text::run_would_refuse(safe(why))));
    }
    if args.details {
        out.lines(&shown(forecast::details(&checked.plan)));
    }
    if refused {
        let what = match failing {
            0 => forecast_text::run_is_refused(),
            n => forecast::failing_words(n),
        };
        let mut failure = Failure::new(code::REFUSED, "would_fail", what);
        if args.out.is_some() {
            failure = failure.hint(forecast_text::not_written());
        }
        return Err(failure);
    }
    if let Some(path) = &args.out {
        let path = path.display().to_string();
        out.progress("");
        out.progress(&forecast_text::written(&path));
        out.progress(&format!("  upledger run {}", quoted(&[path])));
    } else {
        out.progress("");
        out.progress(&text::next(args.vars.command("run", &args.plan)));
    }
    Ok(code::DONE)
}

/// The value with no secret in its texts; its keys are structure.
fn redacted(value: Value, redactor: &Redactor) -> Value {
    match value {
        Value::String(text) => Value::String(redactor.text(&text)),
        Value::Array(items) => items.into_iter().map(|v| redacted(v, redactor)).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, v)| (key, redacted(v, redactor)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Why a run would refuse the file at the path of its ledger. A missing ledger is not a reason.
fn not_here(home: &Home, why: &JournalError) -> Option<String> {
    let refused = match why {
        JournalError::Place(_) | JournalError::Memory(_) => home.state.exists(),
        JournalError::Open(open) => !matches!(
            **open,
            OpenError::NoLedger { .. } | OpenError::Busy { .. } | OpenError::Identity(_)
        ),
        JournalError::Unknown { .. } | JournalError::Impossible { .. } => true,
        JournalError::Read(_) | JournalError::Append(_) => false,
        JournalError::NotHeld(_) | JournalError::Refused(_) | JournalError::Short => false,
    };
    refused.then(|| crate::text::causes(&cause::words(why)))
}

pub(crate) fn schema(out: &mut Out) -> Result<u8, Failure> {
    let schema = plan_schema::json_schema();
    if out.json {
        out.result(json!({ "schema": schema }), code::DONE);
    } else {
        out.raw(format!("{schema:#}\n").as_bytes());
    }
    Ok(code::DONE)
}

//! The command report: what an auditor asks of a run, or the runs of a period.

use super::code;
use super::evidence::{self, finding_words, level_words};
use super::fail::Failure;
use super::new_file::{format_of, write_new};
use super::out::Out;
use super::show::{self, RunArg, pick};
use super::verdict;
use crate::compliance::{self, Evidence, LedgerFile, Machine, Range, Verification};
use crate::home::{Home, hex, program_digest};
use crate::text::{commands as text, english, help};
use chrono::{Local, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use upledger_ledger::{Finding, Level};

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A self-contained HTML page.
    Html,
    /// Markdown.
    Md,
    /// For programs.
    Json,
}

/// What the name of a file ends with, for each format.
const ENDINGS: &[(&str, Format)] = &[
    ("html", Format::Html),
    ("md", Format::Md),
    ("json", Format::Json),
];

/// The report of a run, or of a period.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    run: RunArg,
    #[arg(long, value_name = "SINCE..UNTIL", conflicts_with = "run", help = help::report_runs())]
    runs: Option<Range>,
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help = help::report_format())]
    format: Option<Format>,
    #[arg(long, value_name = "FILE", help = help::report_out())]
    out: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = help::report_checkpoint())]
    checkpoint: Vec<PathBuf>,
}

pub(crate) fn report(out: &mut Out, home: &Home, args: &ReportArgs) -> Result<u8, Failure> {
    let format = format_of(args.format, args.out.as_deref(), ENDINGS)?.unwrap_or(Format::Html);
    let given = args
        .checkpoint
        .iter()
        .map(|path| evidence::checkpoint(path));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let (journal, live) = show::read_with_runner(out, home)?;
    // Later than what was read, so that all of it is verified.
    let found = evidence::verified(home, None, &given)?;
    let verification = match format {
        // What programs read is English.
        Format::Json => english(|| verification(&found, &given)),
        Format::Html | Format::Md => verification(&found, &given),
    };
    let template = |e: minijinja::Error| Failure::of(code::USAGE, "report", &e);
    let (about, rendered) = match args.runs {
        Some(range) => {
            let entries = journal.entries(None)?;
            let runs = journal.book().runs.iter();
            let made = || compliance::period(range, runs, entries, &verification, &now());
            let rendered = match format {
                Format::Html => compliance::period_html(&made()).map_err(template)?,
                Format::Md => compliance::period_markdown(&made()),
                Format::Json => lines(&english(made)),
            };
            (json!({}), rendered)
        }
        None => {
            let run = pick(journal.book(), args.run.name())?;
            let entries = journal.entries_around(&run.name)?;
            let of = Evidence {
                run,
                entries: &entries,
                verification: &verification,
                machine: &machine(home, live),
            };
            let made = match format {
                Format::Json => english(|| compliance::fold(&of)),
                Format::Html | Format::Md => compliance::fold(&of),
            };
            let Some(made) = made else {
                let what = text::run_has_no_events(&run.name);
                return Err(Failure::new(code::NOT_NOW, "no_events", what));
            };
            let rendered = match format {
                Format::Html => compliance::html(&made).map_err(template)?,
                Format::Md => compliance::markdown(&made),
                Format::Json => lines(&made),
            };
            (json!({"run": run.name}), rendered)
        }
    };
    written(out, format, args.out.as_deref(), about, &rendered)
}

/// Writes it to a new file, or to standard output.
fn written(
    out: &mut Out,
    format: Format,
    path: Option<&Path>,
    mut about: Value,
    rendered: &str,
) -> Result<u8, Failure> {
    let Some(path) = path else {
        if out.document(|| io::stdout().lock().write_all(rendered.as_bytes())) {
            out.result_beside(about, code::DONE);
        }
        return Ok(code::DONE);
    };
    write_new(path, 0o600, |file| file.write_all(rendered.as_bytes()))?;
    out.progress(&match format {
        Format::Html => text::page_written(path.display()),
        Format::Md | Format::Json => text::file_written(path.display()),
    });
    if out.json {
        about["file"] = json!(path);
        out.result(about, code::DONE);
    }
    Ok(code::DONE)
}

fn lines(of: &impl Serialize) -> String {
    // Its parts are texts and numbers, which have a form.
    let text = serde_json::to_string_pretty(of).unwrap_or_default();
    format!("{text}\n")
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What the verification says, without the terms of the ledger.
fn verification(
    of: &upledger_ledger::Report,
    given: &[upledger_ledger::Checkpoint],
) -> Verification {
    let found = |f: &&Finding| !matches!(f, Finding::BlobAbsent { .. });
    let failures = verdict::words(of, given)
        .into_iter()
        .filter(|_| !of.is_sound());
    let findings = of.findings.iter().filter(found).map(finding_words);
    Verification {
        ledger: of.ledger.clone(),
        sound: of.is_sound(),
        level: level_words(of),
        remembered: of.level >= Level::Remembered,
        verified: of.verified,
        head: of.head.as_ref().map(|h| (h.seq, h.hash.to_string())),
        root: of.root.to_string(),
        anchored: verdict::covered(of),
        unanchored: verdict::unanchored(of),
        stored_checkpoints: u64::try_from(of.stored_checkpoints.len()).unwrap_or(u64::MAX),
        contents_checked: of.blobs_checked,
        contents_absent: of.blobs_absent,
        findings: findings.chain(failures.filter(|l| !l.is_empty())).collect(),
        checkpoint: verdict::note(of),
    }
}

/// Where the report is written, and by what.
fn machine(home: &Home, live: bool) -> Machine {
    let digest = |text: &[u8]| hex(&Sha256::digest(text));
    let path = home.state.join("ledger.db");
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    let file = path.metadata().ok().zip(home.state.metadata().ok());
    let file = file.map(|(file, dir)| LedgerFile {
        mode: file.mode() & 0o7777,
        uid: file.uid(),
        gid: file.gid(),
        // What nobody else can reach, nobody else can read.
        private: dir.mode() & 0o077 == 0 && file.mode() & 0o022 == 0,
    });
    Machine {
        now: now(),
        zone: Local::now().format("%:z").to_string(),
        program_sha256: program_digest(&home.state),
        template_sha256: digest(compliance::templates().as_bytes()),
        path_sha256: digest(real.as_os_str().as_encoded_bytes()),
        runner: live,
        ledger_file: file,
    }
}

//! Commands about the ledger: verify, verifier, export, ledger.

use super::cause::{add, localized};
use super::code;
use super::fail::{Failure, memory, no_ledger};
use super::new_file::write_new;
use super::out::Out;
use super::verdict;
use crate::home::{Home, hex, identity};
use crate::journal::JournalError;
use crate::report::paint::Tone;
use crate::report::{aligned, fit, safe};
use crate::text::commands as text;
use crate::text::{Lang, help, lang, screen, verify as words};
use clap::{Args, Subcommand};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use upledger_ledger::{
    Bad, Checkpoint, ExportError, Finding, Ledger, Memory, OpenError, Place, Report, VerifyError,
    VerifyOptions, export_jsonl, verify_jsonl,
};

/// The auditor's script, to be trusted without this program.
const VERIFIER: &str = include_str!("../../ledger/verifier.py");

/// A ledger without events is not larger than this.
const UNMADE: u64 = 64 << 10;
/// A checkpoint is shorter.
const LONGEST: u64 = 64 << 10;
/// Failures that are shown.
const SHOWN: usize = 20;

/// A whole ledger, checked.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[arg(help = help::verify_file())]
    file: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = help::verify_checkpoint())]
    checkpoint: Vec<PathBuf>,
}

/// The ledger as text.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[arg(long, help = help::export_jsonl())]
    jsonl: bool,
    #[arg(long, short, value_name = "FILE", help = help::export_out())]
    out: Option<PathBuf>,
}

/// Decisions about the ledger itself.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    #[command(about = help::ledger_restored())]
    Restored {
        #[arg(long, value_name = "TEXT", value_parser = super::said, help = help::reason())]
        reason: String,
    },
}

pub(crate) fn verify(out: &mut Out, home: &Home, args: &Verify) -> Result<u8, Failure> {
    let given = args
        .checkpoint
        .iter()
        .map(|p| checkpoint(p))
        .collect::<Result<Vec<_>, _>>()?;
    let file = args
        .file
        .clone()
        .unwrap_or_else(|| home.state.join("ledger.db"));
    let report = if file.extension().is_some_and(|e| e == "jsonl") {
        let text = open_unhung(&file)
            .map_err(|e| Failure::new(code::USAGE, "file", text::cannot_read(file.display(), e)))?;
        verify_jsonl(&mut BufReader::new(text), &given)
            .map_err(|e| Failure::of(code::UNWRITABLE, "verify", &e))?
    } else {
        verified(home, args.file.as_deref(), &given)?
    };
    let code = if report.is_sound() {
        code::DONE
    } else {
        code::DAMAGED
    };
    if out.json {
        out.result(value(&report, &given), code);
    } else {
        show(out, &file, &report, &given);
    }
    Ok(code)
}

/// Verifies a file, or the ledger of this installation, against what is remembered and against checkpoints.
pub(super) fn verified(
    home: &Home,
    named: Option<&Path>,
    given: &[Checkpoint],
) -> Result<Report, Failure> {
    let own = home.state.join("ledger.db");
    let file = named.unwrap_or(&own);
    let memory = Memory::at(&home.memory).map_err(|e| memory(&e, &e))?;
    if file == own && never_made(home, &memory)? {
        return Err(no_ledger(home));
    }
    let options = VerifyOptions {
        memory: Some(memory),
        checkpoints: given.to_vec(),
        ..VerifyOptions::default()
    };
    upledger_ledger::verify(file, &options).map_err(|e| match e {
        VerifyError::NoFile { .. } if named.is_none() => no_ledger(home),
        e => unverified(&e),
    })
}

/// There is no report: nothing is said about the content but where it is missing.
pub(super) fn unverified(e: &VerifyError) -> Failure {
    let code = match e {
        VerifyError::Missing(_) => code::DAMAGED,
        VerifyError::NoFile { .. } | VerifyError::NotAFile { .. } => code::USAGE,
        VerifyError::Disk { .. } => code::UNWRITABLE,
        VerifyError::Busy { .. } | VerifyError::HotJournal { .. } => code::HELD,
        VerifyError::Copy { .. } | VerifyError::Connect { .. } | VerifyError::Sqlite { .. } => {
            if e.is_denied() {
                code::USAGE
            } else {
                code::UNWRITABLE
            }
        }
    };
    let failure = Failure::of(code, "verify", e);
    match code {
        code::UNWRITABLE => failure.hint(text::look_at_the_disk()),
        _ => failure,
    }
}

/// Its creation was interrupted before the first event, and nothing is remembered of it: there is nothing to verify.
fn never_made(home: &Home, memory: &Memory) -> Result<bool, Failure> {
    let small = std::fs::metadata(home.state.join("ledger.db")).is_ok_and(|m| m.len() <= UNMADE);
    let Ok(place) = Place::open(&home.state) else {
        return Ok(false);
    };
    let opened = small.then(|| Ledger::open_read(place, Some(memory.clone())));
    match opened.and_then(Result::err) {
        Some(OpenError::NoLedger { .. }) => Ok(true),
        Some(disk @ (OpenError::Sqlite { .. } | OpenError::Disk { .. })) => {
            Err(JournalError::from(disk).into())
        }
        _ => Ok(false),
    }
}

/// A file to be read, or a pipe that somebody writes to (`<(...)`): one without a writer is empty and not waited for.
pub(super) fn open_unhung(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(file)
}

pub(super) fn checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let mut text = String::new();
    open_unhung(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|e| Failure::usage(text::cannot_read(path.display(), e)))?;
    // As copied from a terminal, a ticket or a mail: possibly indented, with other line endings.
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let text: String = lines.map(|l| format!("{l}\n")).collect();
    text.parse().map_err(|e| {
        let mut failure = Failure::of(code::USAGE, "checkpoint", &e);
        failure = failure.hint(text::in_file(path.display()));
        failure
    })
}

fn chain(error: &dyn Error) -> String {
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(c) = cause {
        add(&mut words, c.to_string());
        cause = c.source();
    }
    words.join(": ")
}

pub(super) fn bad_words(bad: &Bad) -> String {
    let what = localized(&bad.what).unwrap_or_else(|| chain(&bad.what));
    match bad.seq {
        Some(seq) => words::of_event(seq, what),
        None => what,
    }
}

pub(super) fn finding_words(finding: &Finding) -> String {
    match finding {
        Finding::ClockStep { seq, micros } => words::clock_step(micros / 1000, seq),
        Finding::Journal => words::journal(),
        Finding::HotJournal => words::hot_journal(),
        Finding::MemoryBehind { remembered } => words::memory_behind(remembered),
        Finding::MemoryUnreadable { what } => what.clone(),
        Finding::Copied { path, remembered } => words::copied(path, remembered),
        Finding::Forgotten => words::forgotten(),
        Finding::BlobAbsent { sha256 } => words::blob_absent(sha256),
    }
}

/// How far the proof reaches, in a few words.
pub(super) fn level_words(report: &Report) -> String {
    let words = verdict::level(report.level);
    match lang() {
        Lang::En => report.level.to_string(),
        Lang::Zh => words.split(['；', ';']).next().unwrap_or(&words).to_owned(),
    }
}

fn show(out: &mut Out, file: &Path, report: &Report, given: &[Checkpoint]) {
    let (tone, sound) = if report.is_sound() {
        (Tone::Good, text::sound())
    } else if verdict::only_given(report) {
        (Tone::Failed, text::not_as_given())
    } else {
        let word = match verdict::remembered_otherwise(report) {
            Some(true) => text::outdated(),
            Some(false) => text::not_as_remembered(),
            None => text::damaged(),
        };
        (Tone::Failed, word)
    };
    let path = safe(&file.display().to_string());
    let mut shown = vec![(text::ledger(), format!("{path}  {}", tone.paint(&sound)))];
    shown.extend(report.ledger.clone().map(|id| (text::id(), id)));
    shown.push((
        text::events(),
        text::events_are(report.verified, report.events, report.runs),
    ));
    let head = report.head.as_ref();
    shown.extend(head.map(|h| (text::head(), format!("{} {}", h.seq, h.hash))));
    shown.push((text::root(), report.root.to_string()));
    // The verdict below explains it, in the language of the screen.
    shown.push((text::level(), level_words(report)));
    shown.push((
        text::unanchored(),
        text::unanchored_are(verdict::unanchored(report), report.events),
    ));
    shown.push((
        text::checks(),
        text::checks_are(
            report.stored_checkpoints.len(),
            if report.checkpoints.len() == given.len() {
                text::given(given.len())
            } else {
                text::given_and_hold(given.len(), report.checkpoints.len())
            },
            report.blobs_checked,
            report.blobs_absent,
        ),
    ));
    // Content beside the ledger is counted above: each file that a step has kept would have a line.
    let noted = |finding: &&Finding| !matches!(finding, Finding::BlobAbsent { .. });
    for finding in report.findings.iter().filter(noted) {
        shown.push((text::note(), safe(&finding_words(finding))));
    }
    if let Some(bad) = report.first_bad() {
        let words = Tone::Failed.paint(&safe(&bad_words(bad)));
        shown.push((text::first_bad(), words));
    }
    let (others, following) = verdict::others(report);
    for bad in others.iter().take(SHOWN) {
        shown.push((text::bad(), safe(&bad_words(bad))));
    }
    if others.len() > SHOWN {
        shown.push((text::bad(), text::and_more(others.len() - SHOWN)));
    }
    if following > 0 {
        shown.push((
            text::bad(),
            if following == 1 {
                words::follows_one()
            } else {
                words::follows(following)
            },
        ));
    }
    out.lines(&aligned(&shown));
    let mut first = true;
    for sentence in verdict::words(report, given) {
        let set_in = sentence.starts_with(' ') || sentence.is_empty();
        if set_in {
            out.lines(&[sentence]);
            continue;
        }
        let tone = if std::mem::take(&mut first) {
            tone
        } else {
            Tone::Plain
        };
        out.lines(&fit(&tone.lead(&sentence), 79));
    }
}

fn value(report: &Report, given: &[Checkpoint]) -> serde_json::Value {
    let level = report.level.to_string();
    json!({
        "sound": report.is_sound(),
        "ledger": report.ledger,
        "events": report.events,
        "verified": report.verified,
        "runs": report.runs,
        "head": report.head.as_ref().map(|h| json!({"seq": h.seq, "hash": h.hash.to_string()})),
        "root": report.root.to_string(),
        "level": level.split(' ').next(),
        "level_text": level,
        "unanchored": verdict::unanchored(report),
        "checkpoint": verdict::note(report),
        "verdict": verdict::words(report, given).iter().filter(|l| !l.is_empty() && !l.starts_with(' ')).collect::<Vec<_>>(),
        "stored_checkpoints": report.stored_checkpoints,
        "checkpoints": report.checkpoints,
        "checkpoints_given": given.len(),
        "blobs_checked": report.blobs_checked,
        "blobs_absent": report.blobs_absent,
        "first_bad": report.first_bad().map(|b| json!({"seq": b.seq, "what": chain(&b.what)})),
        "failures": report.failures.iter().map(|b| json!({"seq": b.seq, "what": chain(&b.what)})).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(finding_words).collect::<Vec<_>>(),
    })
}

pub(crate) fn verifier(out: &mut Out) -> Result<u8, Failure> {
    if out.json {
        let sha256 = hex(&Sha256::digest(VERIFIER));
        out.result(json!({"verifier": VERIFIER, "sha256": sha256}), code::DONE);
    } else {
        out.raw(VERIFIER.as_bytes());
    }
    Ok(code::DONE)
}

pub(crate) fn export(out: &mut Out, home: &Home, args: &Export) -> Result<u8, Failure> {
    // JSONL is the only format; the flag only makes that explicit.
    let _ = args.jsonl;
    if !home.state.exists() {
        return Err(no_ledger(home));
    }
    let place =
        Place::open(&home.state).map_err(|e| Failure::of(code::USAGE, "state_directory", &e))?;
    let ledger = Ledger::open_read(place, None).map_err(JournalError::from)?;
    let memory = Memory::at(&home.memory).map_err(|e| memory(&e, &e))?;
    let other = memory.elsewhere(&ledger.place().ledger_path(), ledger.id());
    if let Ok(Some(kept)) = other.map(|other| other.kept) {
        out.error(&Tone::Asks.lead(&screen::warning(text::is_a_copy(kept.path))));
    }
    let wrote = |e: ExportError| match e {
        ExportError::Read(e) => JournalError::Read(e).into(),
        e => Failure::of(code::USAGE, "export", &e),
    };
    match &args.out {
        None => {
            let mut failure = None;
            let whole = out.document(|| {
                let mut to = std::io::stdout().lock();
                match export_jsonl(&ledger, &mut to) {
                    Ok(_) => Ok(()),
                    Err(ExportError::Io(e)) => Err(e),
                    Err(e) => {
                        failure = Some(wrote(e));
                        Ok(())
                    }
                }
            });
            if let Some(failure) = failure {
                return Err(failure);
            }
            // Standard output contains exactly the export; each of its lines is an object.
            if whole {
                out.result_beside(json!({}), code::DONE);
            }
        }
        Some(path) => {
            let (mut lines, mut failed) = (0, None);
            let made = write_new(path, 0o600, |file| match export_jsonl(&ledger, file) {
                Ok(n) => {
                    lines = n;
                    Ok(())
                }
                Err(ExportError::Io(e)) => Err(e),
                Err(e) => {
                    let why = std::io::Error::other(e.to_string());
                    failed = Some(wrote(e));
                    Err(why)
                }
            });
            made.map_err(|failure| failed.unwrap_or(failure))?;
            out.progress(&text::exported(lines, path.display()));
            if out.json {
                out.result(json!({"events": lines, "file": path}), code::DONE);
            }
        }
    }
    Ok(code::DONE)
}

pub(crate) fn ledger(out: &mut Out, home: &Home, command: &LedgerCommand) -> Result<u8, Failure> {
    let LedgerCommand::Restored { reason } = command;
    let place = Place::open_or_create(&home.state)
        .map_err(|e| Failure::of(code::USAGE, "state_directory", &e))?;
    let memory = Memory::at(&home.memory).map_err(|e| memory(&e, &e))?;
    let (ledger, _) = Ledger::restore(place, memory, identity(home), reason)?;
    let seq = ledger.head().seq;
    out.progress(&text::goes_on_from(seq));
    if out.json {
        out.result(json!({"seq": seq}), code::DONE);
    }
    Ok(code::DONE)
}

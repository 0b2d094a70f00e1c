//! `timeline --beside`: two runs compared, the second one from this ledger or from a copy of another one.

use super::code;
use super::evidence::{bad_words, open_unhung, unverified};
use super::fail::Failure;
use super::show::pick;
use super::timeline::Format;
use crate::journal::{Foreign, ForeignError, Journal};
use crate::report::safe;
use crate::text::{commands as text, english, help};
use crate::timeline::comparison::{self, Comparison};
use crate::timeline::{self, Timeline};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The run that another one is compared with.
#[derive(Debug, Args)]
pub(super) struct BesideArgs {
    #[arg(long, value_name = "RUN", help = help::timeline_beside())]
    beside: Option<String>,
    #[arg(long, value_name = "FILE", help = help::timeline_beside_ledger())]
    beside_ledger: Option<PathBuf>,
}

/// What a comparison can be written as.
const FORMATS: [Format; 4] = [Format::Html, Format::Md, Format::Csv, Format::Json];

impl BesideArgs {
    pub(super) fn asked(&self) -> bool {
        self.beside.is_some() || self.beside_ledger.is_some()
    }

    /// Refuses a format that holds one run alone.
    pub(super) fn check(&self, format: Format) -> Result<(), Failure> {
        if !self.asked() || FORMATS.contains(&format) {
            return Ok(());
        }
        let name = |format: &Format| {
            let value = format.to_possible_value();
            value.map_or_else(String::new, |v| v.get_name().to_owned())
        };
        let list: Vec<String> = FORMATS.iter().map(name).collect();
        let what = text::not_beside(name(&format), crate::text::list(&list));
        Err(Failure::usage(what))
    }

    /// The comparison of `a` with the run that is named.
    pub(super) fn rendered(
        &self,
        journal: &Journal,
        a: &Timeline,
        format: Format,
    ) -> Result<(String, Comparison), Failure> {
        let of = self.compared(journal, a, format)?;
        let written = match format {
            Format::Html => {
                comparison::html(&of).map_err(|e| Failure::of(code::USAGE, "timeline", &e))?
            }
            Format::Csv => english(|| comparison::csv(&of)),
            Format::Json => {
                let mut value = serde_json::to_value(&of).unwrap_or_default();
                value["summary"] = json!(english(|| of.summary()));
                format!("{value}\n")
            }
            _ => comparison::markdown(&of),
        };
        Ok((written, of))
    }

    fn compared(
        &self,
        journal: &Journal,
        a: &Timeline,
        format: Format,
    ) -> Result<Comparison, Failure> {
        let folded = |run: &_, entries: &[_]| match format {
            Format::Html | Format::Md => timeline::fold(run, entries),
            _ => english(|| timeline::fold(run, entries)),
        };
        let name = self.beside.as_deref();
        let (b, ledger) = match &self.beside_ledger {
            None => {
                let run = pick(journal.book(), name)?;
                if run.name == a.run {
                    return Err(Failure::usage(text::beside_itself(&run.name)));
                }
                (folded(run, &journal.entries(Some(&run.name))?), None)
            }
            Some(path) => {
                let foreign = foreign(path)?;
                let run = pick(&foreign.book, name)?;
                if run.name == a.run && foreign.id == journal.ledger().id() {
                    return Err(Failure::usage(text::beside_itself(&run.name))
                        .hint(text::same_ledger(safe(&path.display().to_string()))));
                }
                let file = path.file_name().unwrap_or(path.as_os_str());
                let file = file.to_str().map_or_else(|| "?".into(), safe);
                (folded(run, &foreign.entries), Some(file))
            }
        };
        let Some(b) = b else {
            let what = text::run_has_no_events(safe(name.unwrap_or_default()));
            return Err(Failure::new(code::NOT_NOW, "no_events", what));
        };
        Ok(comparison::compare(a, &b, ledger))
    }
}

/// A copied ledger: its file, the directory that it lies in, or exported events.
fn foreign(path: &Path) -> Result<Foreign, Failure> {
    let shown = safe(&path.display().to_string());
    let read = if path.extension().is_some_and(|e| e == "jsonl") {
        let text = open_unhung(path)
            .map_err(|e| Failure::new(code::USAGE, "file", text::cannot_read(&shown, e)))?;
        Foreign::text(&mut BufReader::new(text))
    } else if path.is_dir() {
        Foreign::file(&path.join("ledger.db"))
    } else {
        Foreign::file(path)
    };
    read.map_err(|e| match e {
        ForeignError::File(e) => unverified(&e),
        ForeignError::Text(e) => Failure::of(code::UNWRITABLE, "verify", &e),
        ForeignError::Unsound(bad) => {
            let what = text::other_ledger_damaged(&shown, safe(&bad_words(&bad)));
            Failure::new(code::DAMAGED, "ledger_damaged", what)
                .hint(text::see_what_it_holds(format!("upledger verify {shown}")))
        }
        ForeignError::Fold(e) => e.into(),
    })
}

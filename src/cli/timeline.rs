//! The command timeline: the events of a run as people and programs read them.

use super::beside::BesideArgs;
use super::code;
use super::fail::{Failure, no_ledger};
use super::new_file::{format_of, write_new};
use super::out::Out;
use super::show::{self, RunArg, pick};
use crate::home::Home;
use crate::report::now::Now;
use crate::report::status;
use crate::text::{commands as text, english, help};
use crate::timeline::{self, Timeline};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use upledger_ledger::export_jsonl;

/// What the timeline is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[value(help = help::format_html())]
    Html,
    #[value(help = help::format_md())]
    Md,
    #[value(help = help::format_csv())]
    Csv,
    #[value(help = help::format_json())]
    Json,
    #[value(help = help::format_chrome())]
    Chrome,
    #[value(help = help::format_otlp())]
    Otlp,
    #[value(help = help::format_mermaid())]
    Mermaid,
    #[value(help = help::format_grafana())]
    Grafana,
}

/// What the name of a file ends with, for each format that has an ending of its own.
const ENDINGS: &[(&str, Format)] = &[
    ("html", Format::Html),
    ("md", Format::Md),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("mmd", Format::Mermaid),
];

/// The timeline of a run.
#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    #[command(flatten)]
    run: RunArg,
    #[arg(long, value_enum, value_name = "FORMAT", help = help::timeline_format())]
    format: Option<Format>,
    #[arg(long, value_name = "FILE", help = help::timeline_out())]
    out: Option<PathBuf>,
    #[command(flatten)]
    beside: BesideArgs,
}

pub(crate) fn timeline(out: &mut Out, home: &Home, args: &TimelineArgs) -> Result<u8, Failure> {
    if !home.state.exists() {
        return Err(no_ledger(home));
    }
    let format = format_of(args.format, args.out.as_deref(), ENDINGS)?.unwrap_or(Format::Html);
    args.beside.check(format)?;
    let (journal, live) = show::read_with_runner(out, home)?;
    let run = pick(journal.book(), args.run.name())?;
    let entries = journal.entries(Some(&run.name))?;
    let folded = || timeline::fold(run, &entries);
    // What programs read is English.
    let folded = match format {
        Format::Html | Format::Md | Format::Mermaid => folded(),
        _ => english(folded),
    };
    let folded = folded.map(|of| match status::deserted(run, &Now::of_runner(live)) {
        true => of.without_runner(),
        false => of,
    });
    let Some(folded) = folded else {
        let what = text::run_has_no_events(&run.name);
        return Err(Failure::new(code::NOT_NOW, "no_events", what));
    };
    let mut result = json!({"run": run.name});
    let rendered = match format {
        _ if args.beside.asked() => {
            let (rendered, of) = args.beside.rendered(&journal, &folded, format)?;
            result["beside"] = json!(of.b.run);
            rendered
        }
        Format::Html => timeline::html(&folded, |to| {
            export_jsonl(journal.ledger(), &mut Dyn(to))
                .map(drop)
                .map_err(io::Error::other)
        })
        .map_err(|e| Failure::of(code::USAGE, "timeline", &e))?,
        _ => written(format, &folded),
    };
    let Some(path) = &args.out else {
        let whole = out.document(|| io::stdout().lock().write_all(rendered.as_bytes()));
        if whole {
            out.result_beside(result, code::DONE);
        }
        return Ok(code::DONE);
    };
    write_new(path, 0o600, |file| file.write_all(rendered.as_bytes()))?;
    out.progress(&match format {
        Format::Html => text::page_written(path.display()),
        _ => text::file_written(path.display()),
    });
    if out.json {
        result["file"] = json!(path);
        out.result(result, code::DONE);
    }
    Ok(code::DONE)
}

fn written(format: Format, of: &Timeline) -> String {
    let lines = |value: serde_json::Value| format!("{value}\n");
    match format {
        Format::Html | Format::Md => timeline::markdown(of),
        Format::Csv => timeline::csv(of),
        Format::Mermaid => timeline::mermaid(of),
        Format::Json => {
            let mut value = serde_json::to_value(of).unwrap_or_default();
            value["summary"] = json!(english(|| of.summary()));
            lines(value)
        }
        Format::Chrome => lines(timeline::chrome(of)),
        Format::Otlp => lines(timeline::otlp(of)),
        Format::Grafana => timeline::grafana(of).into_iter().map(lines).collect(),
    }
}

/// A writer behind a reference, for what wants a sized one.
struct Dyn<'a>(&'a mut dyn Write);

impl Write for Dyn<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

//! `demo`: runs the demo and prints where its files are.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::demo::{Story, play};
use crate::host::exec::quoted;
use crate::report::paint::Tone;
use crate::report::{aligned, rows, safe};
use crate::text::{commands, demo as text, help};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// A demonstration.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[arg(long, conflicts_with = "fail", help = help::demo_kill())]
    kill: bool,
    #[arg(long, help = help::demo_fail())]
    fail: bool,
    #[arg(long, value_name = "DIR", help = help::demo_dir())]
    dir: Option<PathBuf>,
}

pub(crate) fn demo(out: &mut Out, args: &Demo) -> Result<u8, Failure> {
    let story = match (args.kill, args.fail) {
        (true, _) => Story::Kill,
        (_, true) => Story::Fail,
        _ => Story::Plain,
    };
    let dir = place(args)?;
    let kept = text::kept(dir.display());
    let summary = play(story, dir, &mut |line| out.progress(line))
        .map_err(|e| Failure::of(code::FAILED, "demo", &e).hint(kept))?;
    let ledger = summary.state.join("ledger.db");
    if out.json {
        let result = json!({
            "dir": summary.dir, "state": summary.state, "memory": summary.memory,
            "ledger": ledger, "seen": summary.seen, "timeline": summary.timeline, "report": summary.report,
        });
        out.result(result, code::DONE);
        return Ok(code::DONE);
    }
    let mut shown: Vec<(String, String)> = summary
        .seen
        .iter()
        .map(|s| (Tone::Good.paint(&text::seen()), safe(s)))
        .collect();
    let files = [
        (text::ledger(), &ledger),
        (text::timeline(), &summary.timeline),
        (text::report(), &summary.report),
    ];
    let files = files.map(|(name, path)| (name, safe(&path.display().to_string())));
    let [ledger, timeline, report] = files;
    let opened = |(name, path)| (name, text::open_page(path));
    shown.extend([ledger, opened(timeline), opened(report)]);
    out.lines(&aligned(&shown));
    out.progress(&text::look_around());
    // One line each, so that both can be copied from a narrow terminal.
    for (name, dir) in [
        ("UPLEDGER_STATE", &summary.state),
        ("UPLEDGER_MEMORY", &summary.memory),
    ] {
        let dir = quoted(&[dir.display().to_string()]);
        out.progress(&format!("  export {name}={dir}"));
    }
    let program =
        std::env::current_exe().map_or_else(|_| "upledger".into(), |p| p.display().to_string());
    let commands = [
        ("status", text::status()),
        ("log", text::log()),
        ("log --output migrate", text::output()),
    ];
    let commands = commands.map(|(command, what)| (format!("  {program} {command}"), what));
    for line in rows(&commands) {
        out.progress(&line);
    }
    Ok(code::DONE)
}

fn place(args: &Demo) -> Result<PathBuf, Failure> {
    let Some(dir) = &args.dir else {
        let made = tempfile::Builder::new()
            .prefix("upledger-demo-")
            .tempdir()
            .map_err(|e| {
                Failure::usage(commands::cannot_make(std::env::temp_dir().display(), e))
            })?;
        return Ok(made.keep());
    };
    let cannot = |e: std::io::Error| Failure::usage(commands::cannot_make(dir.display(), e));
    std::fs::create_dir_all(dir).map_err(cannot)?;
    if std::fs::read_dir(dir).map_err(cannot)?.next().is_some() {
        return Err(Failure::usage(text::not_empty(dir.display())).hint(text::name_empty()));
    }
    std::path::absolute(dir).map_err(cannot)
}

//! `man`: a page for each command, and what stands in the first beside the options: exit status, files, environment and
//! examples.

use super::code;
use super::complete;
use super::fail::Failure;
use super::out::Out;
use crate::text::{commands, explain, help};
use clap::{Args, Command};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Manual pages.
#[derive(Debug, Args)]
pub(crate) struct Man {
    #[arg(long, value_name = "DIR", help = help::man_dir())]
    dir: Option<PathBuf>,
}

pub(crate) fn man(out: &mut Out, args: &Man, command: Command) -> Result<u8, Failure> {
    let cannot = |e: &(dyn std::error::Error + 'static)| Failure::of(code::USAGE, "system", e);
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .and_then(|()| pages(command, dir))
                .map_err(|e| Failure::usage(commands::cannot_make(dir.display(), e)))?;
        }
        None => {
            let page = page(&clap_mangen::Man::new(command), true).map_err(|e| cannot(&e))?;
            complete::text(out, "man", page.as_bytes());
        }
    }
    Ok(code::DONE)
}

/// A page for a command and for each one below it.
fn pages(mut command: Command, dir: &Path) -> std::io::Result<()> {
    command.build();
    let mut open = vec![command];
    let mut first = true;
    while let Some(command) = open.pop() {
        open.extend(
            command
                .get_subcommands()
                .filter(|c| !c.is_hide_set())
                .cloned(),
        );
        let man = clap_mangen::Man::new(command);
        std::fs::write(dir.join(man.get_filename()), page(&man, first)?)?;
        first = false;
    }
    Ok(())
}

/// A page with its headings in the language of the process: clap knows only English ones. The first one has all that is
/// the same for every command; the others name it.
fn page(man: &clap_mangen::Man, first: bool) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    man.render(&mut bytes)?;
    let mut out = String::new();
    let mut version = String::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let heading = line.strip_prefix(".SH ").map(|h| h.trim_matches('"'));
        let ours = heading.and_then(|h| {
            Some(match h {
                "NAME" => help::man_name(),
                "SYNOPSIS" => help::man_synopsis(),
                "DESCRIPTION" => help::man_description(),
                "OPTIONS" => help::man_options(),
                "SUBCOMMANDS" => help::man_commands(),
                "VERSION" => help::man_version(),
                _ => return None,
            })
        });
        // The version is the last section of a page that has one.
        let into = if version.is_empty() && heading != Some("VERSION") {
            &mut out
        } else {
            &mut version
        };
        match ours {
            Some(heading) => into.push_str(&format!(".SH {heading}")),
            None => into.push_str(line),
        }
        into.push('\n');
    }
    if first {
        section(&mut out, &help::man_exit_status(), &exit_status());
        section(&mut out, &help::man_files(), &files());
        section(&mut out, &help::man_environment(), &environment());
        section(&mut out, &help::man_examples(), &examples());
    } else {
        let _ = writeln!(out, ".SH \"{}\"\nupledger(1)", help::man_see_also());
    }
    Ok(out + &version)
}

/// A section of terms and what each means.
fn section(out: &mut String, heading: &str, terms: &[(String, String)]) {
    let _ = writeln!(out, ".SH \"{heading}\"");
    for (term, meaning) in terms {
        let _ = writeln!(out, ".TP\n\\fB{}\\fR\n{}", roff(term), roff(meaning));
    }
}

/// Text that stands for itself in a page.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

fn exit_status() -> Vec<(String, String)> {
    let codes = explain::codes().map(|code| code.to_string());
    codes
        .filter_map(|code| Some((code.clone(), explain::meaning(&code)?)))
        .collect()
}

fn files() -> Vec<(String, String)> {
    let pair = |path: &str, meaning| (path.to_owned(), meaning);
    vec![
        pair("/var/lib/upledger", help::file_state()),
        pair("/var/lib/upledger/ledger.db", help::file_ledger()),
        pair("/var/lib/upledger/jobs/", help::file_jobs()),
        pair("/var/lib/upledger/undo/", help::file_undo()),
        pair("/var/lib/upledger-memory", help::file_memory()),
        pair("~/.config/upledger/config.yaml", help::file_config()),
    ]
}

fn environment() -> Vec<(String, String)> {
    let pair = |name: &str, meaning| (name.to_owned(), meaning);
    vec![
        pair("UPLEDGER_STATE", help::env_state()),
        pair("UPLEDGER_MEMORY", help::env_memory()),
        pair("UPLEDGER_LANG", help::env_lang()),
        pair("UPLEDGER_LOG", help::env_log()),
        pair("NO_COLOR", help::env_no_color()),
    ]
}

fn examples() -> Vec<(String, String)> {
    let pair = |command: &str, meaning| (command.to_owned(), meaning);
    vec![
        pair(
            "upledger init plan.yaml --template django",
            help::example_init(),
        ),
        pair(
            "upledger plan plan.yaml --out plan.json",
            help::example_plan(),
        ),
        pair("upledger run plan.json", help::example_run()),
        pair("upledger status", help::example_status()),
        pair(
            "upledger decide migrate retry --reason '...'",
            help::example_decide(),
        ),
        pair("upledger rollback --plan", help::example_rollback()),
        pair("upledger verify --checkpoint FILE", help::example_verify()),
    ]
}

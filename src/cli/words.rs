//! Translates the texts of clap: the headings of help, and the errors about options.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::report::paint::Tone;
use crate::report::{columns, fit, pad};
use crate::text::{Lang, help, lang, usage};
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, Command, Error};
use serde_json::json;
use std::error::Error as _;

/// Help is not wider than this.
const WIDTH: usize = 80;

/// Options of all commands come after those of one.
const GLOBAL: usize = 100;
/// Help and version come last.
const LAST: usize = 200;

/// Puts headings and the help option into the language of the process, for a command and all below it.
pub(super) fn localized(command: Command) -> Command {
    let commands = match command.get_name() {
        "upledger" => grouped(&command),
        _ => String::new(),
    };
    let (usage, rest) = match commands.is_empty() {
        true => (help::usage_is("{usage}"), "{all-args}"),
        false => (help::usage_is("{usage}"), "{options}"),
    };
    let options_heading = match commands.is_empty() {
        true => String::new(),
        false => format!("{}\n", help::heading(help::options())),
    };
    let template = format!("{{about-with-newline}}\n{usage}\n\n{commands}{options_heading}{rest}");
    let (options, arguments) = (help::options(), help::arguments());
    let version = command.get_version().is_some();
    let mut command = command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .help_template(template)
        .subcommand_help_heading(help::commands())
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help(help::opt_help()),
        );
    if version {
        command = command.arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help(help::opt_version()),
        );
    }
    if lang() == Lang::Zh {
        // It would break lines by its own rules first, and ours would break what is left of them.
        command = command.term_width(0);
    }
    let mut order = 0;
    command
        .mut_args(|arg| {
            order += 1;
            // With custom headings, clap does not keep the order of the source.
            let place = if arg.is_global_set() {
                GLOBAL + order
            } else {
                order
            };
            let (heading, place) = match arg.get_id().as_str() {
                "help" | "version" => (options.clone(), LAST + order),
                _ if arg.is_positional() => (arguments.clone(), place),
                _ => (options.clone(), place),
            };
            translated(arg).help_heading(heading).display_order(place)
        })
        .mut_subcommands(localized)
}

/// A heading, and the commands below it.
type Duty = (fn() -> String, &'static [&'static str]);

/// The commands by what they are for: clap knows one list only.
const DUTIES: [Duty; 6] = [
    (help::duty_plans, &["init", "check", "plan", "schema"]),
    (
        help::duty_runs,
        &["run", "status", "watch", "runs", "resume", "log"],
    ),
    (
        help::duty_steering,
        &["decide", "pause", "kill-step", "amend", "abort", "note"],
    ),
    (help::duty_rollback, &["rollback"]),
    (
        help::duty_audit,
        &[
            "replay", "timeline", "report", "verify", "verifier", "export", "ledger",
        ],
    ),
    (
        help::duty_help,
        &["demo", "explain", "help", "completion", "man"],
    ),
];

/// The commands of the program, a heading for each duty; one that has no duty comes last.
fn grouped(command: &Command) -> String {
    let all: Vec<(String, String)> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .map(|c| {
            let about = c.get_about().map(ToString::to_string).unwrap_or_default();
            (c.get_name().to_owned(), about)
        })
        .collect();
    let wide = all.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let listed = |names: &mut dyn Iterator<Item = &(String, String)>| -> String {
        names
            .flat_map(|(name, about)| fit(&format!("  {}  {about}", pad(name, wide)), WIDTH))
            .map(|line| line + "\n")
            .collect()
    };
    let duties = DUTIES.iter().map(|(heading, names)| {
        let mut of_it = names
            .iter()
            .filter_map(|name| all.iter().find(|(known, _)| known == name));
        format!("{}\n{}\n", help::heading(heading()), listed(&mut of_it))
    });
    let known = |name: &str| DUTIES.iter().any(|(_, names)| names.contains(&name));
    let mut others = all.iter().filter(|(name, _)| !known(name)).peekable();
    let mut out: String = duties.collect();
    if others.peek().is_some() {
        let heading = help::heading(help::commands());
        out.push_str(&format!("{heading}\n{}\n", listed(&mut others)));
    }
    out
}

/// The parser words the values and the default of an option in English only: elsewhere they become a part of its help.
fn translated(arg: Arg) -> Arg {
    if lang() == Lang::En || !arg.get_action().takes_values() {
        return arg;
    }
    let mut words = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut below = String::new();
    if !arg.is_hide_possible_values_set() {
        let values = arg.get_possible_values();
        let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        let wide = names.iter().map(|name| columns(name)).max().unwrap_or(0);
        let explained: Vec<String> = values
            .iter()
            .filter_map(|value| {
                let meaning = value.get_help()?;
                Some(format!(
                    "\n{VALUE}{}  {meaning}",
                    pad(value.get_name(), wide)
                ))
            })
            .collect();
        if !explained.is_empty() {
            below = explained.concat();
        } else if !names.is_empty() {
            words = help::and_more(words, help::values(crate::text::list(&names)));
        }
    }
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .filter(|_| !arg.is_hide_default_value_set())
        .map(|value| crate::report::localized::reason(&value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() {
        words = help::and_more(words, help::default_is(defaults.join(" ")));
    }
    arg.help(words + &below)
        .hide_possible_values(true)
        .hide_default_value(true)
}

/// Stands before a value of an option in its help, each of which has a line.
const VALUE: &str = "- ";

/// The help of a command, by another name.
#[derive(Debug, Args)]
pub(super) struct Help {
    #[arg(help = help::help_command())]
    command: Vec<String>,
}

/// `help COMMAND` is `COMMAND --help`.
pub(super) fn help(out: &mut Out, args: &Help, command: Command) -> u8 {
    let words = args.command.iter().map(String::as_str);
    let line = ["upledger"].into_iter().chain(words).chain(["--help"]);
    match localized(command).try_get_matches_from(line) {
        Err(e) => show(out, &e),
        // clap reports help as an error.
        Ok(_) => code::DONE,
    }
}

/// Prints help, or what is wrong with the arguments, and returns the exit code.
pub(super) fn show(out: &mut Out, error: &Error) -> u8 {
    let code = if error.use_stderr() {
        code::USAGE
    } else {
        code::DONE
    };
    if out.json {
        let text = error.render().to_string();
        if code == code::DONE {
            out.result(json!({"text": text}), code);
            return code;
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Failure::usage(usage::missing_command())
                .hint(usage::more())
                .show(out);
        }
        let first = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = first.split_whitespace().collect();
        let words = words.join(" ");
        let shown = words.strip_prefix("error: ").unwrap_or(&words).to_owned();
        return Failure::usage(reason(error).unwrap_or(shown))
            .hint(usage::more())
            .show(out);
    }
    match (lang(), reason(error)) {
        (Lang::Zh, Some(reason)) => {
            out.error(&Tone::Failed.lead(&crate::text::commands::error(reason)));
            for meant in meant(error) {
                out.error(&format!("  {}", crate::text::plan::did_you_mean(meant)));
            }
            if let Some(usage) = error.get(ContextKind::Usage).map(ToString::to_string) {
                let line = usage.trim().trim_start_matches("Usage: ");
                out.error(&format!("  {}", help::usage_is(line)));
            }
            out.error(&format!("  {}", usage::more()));
        }
        (Lang::En | Lang::Zh, _) if error.use_stderr() => {
            // A write error is ignored: there is no reader.
            let _ = error.print();
        }
        (Lang::En | Lang::Zh, _) => {
            // clap counts characters, but a Chinese character is two columns wide.
            let text = error.render().to_string();
            if lang() == Lang::Zh || text.lines().any(|line| columns(line) > WIDTH) {
                for line in text.lines().flat_map(|line| fit(&heading(line), WIDTH)) {
                    out.line(&line);
                }
                return code;
            }
            out.document(|| error.print());
        }
    }
    code
}

/// A line of help; behind a heading, clap has put a colon of its own.
fn heading(line: &str) -> String {
    match line.strip_suffix(':').filter(|l| !l.starts_with(' ')) {
        Some(words) => help::heading(words),
        None => line.to_owned(),
    }
}

/// The colours of the parser's own messages: those of every screen (`report::paint`).
pub(super) fn styles() -> Styles {
    Styles::plain()
        .error(AnsiColor::Red.on_default())
        .invalid(AnsiColor::Yellow.on_default())
}

/// What resembles the word that is not known.
fn meant(error: &Error) -> Vec<String> {
    [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ]
    .into_iter()
    .filter_map(|kind| error.get(kind))
    .flat_map(|value| match value {
        ContextValue::String(word) => vec![word.clone()],
        ContextValue::Strings(words) => words.clone(),
        _ => Vec::new(),
    })
    .collect()
}

/// The values that an option takes.
fn valid(error: &Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) => crate::text::list(words),
        other => other.map(ToString::to_string).unwrap_or_default(),
    }
}

/// What is wrong, where we have words of our own for it.
fn reason(error: &Error) -> Option<String> {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    Some(match error.kind() {
        ErrorKind::UnknownArgument => usage::unknown_argument(argument),
        ErrorKind::InvalidSubcommand => {
            usage::unknown_command(context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => usage::missing_command(),
        ErrorKind::MissingRequiredArgument => usage::missing_argument(argument),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
            if context(ContextKind::InvalidValue).trim().is_empty() =>
        {
            usage::missing_value(argument)
        }
        // A value that has a form, of which there is no list: its parser says what is wrong.
        ErrorKind::ValueValidation => usage::wrong_value_because(
            context(ContextKind::InvalidValue),
            argument,
            error.source().map(ToString::to_string).unwrap_or_default(),
        ),
        ErrorKind::InvalidValue => {
            usage::wrong_value(context(ContextKind::InvalidValue), argument, valid(error))
        }
        ErrorKind::ArgumentConflict => usage::conflict(argument, context(ContextKind::PriorArg)),
        _ => return None,
    })
}

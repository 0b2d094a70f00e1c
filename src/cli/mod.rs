//! The command line: arguments in, exit code out. Each command parses, calls and renders; it contains no rules about runs.

mod amend;
mod ask;
mod beside;
mod cause;
mod complete;
mod demo;
mod drive;
mod evidence;
mod explain;
mod fail;
mod former;
mod line_buffer;
mod literal;
mod live;
mod live_state;
mod man;
mod new_file;
mod out;
mod output_stream;
mod plans;
mod printer;
mod report;
mod rollback;
mod show;
mod system;
mod timeline;
mod verdict;
mod watch;
mod words;

use crate::home::Home;
use crate::text::help;
use crate::text::{Choice, Lang, choose, commands, speak, usage};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use fail::Failure;
use out::{Colour, Out};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Exit codes, as `docs/exit-codes.md` explains them.
pub mod code {
    /// Done.
    pub const DONE: u8 = 0;
    /// A step failed and the run stopped.
    pub const FAILED: u8 = 1;
    /// Usage, or no access.
    pub const USAGE: u8 = 2;
    /// The plan is refused.
    pub const REFUSED: u8 = 3;
    /// Waiting for an operator.
    pub const WAITING: u8 = 4;
    /// Rolled back.
    pub const ROLLED_BACK: u8 = 5;
    /// The rollback is stuck.
    pub const STUCK: u8 = 6;
    /// The ledger is damaged, or older than remembered.
    pub const DAMAGED: u8 = 7;
    /// The ledger cannot be written.
    pub const UNWRITABLE: u8 = 8;
    /// Another runner is active.
    pub const HELD: u8 = 9;
    /// Detached; a step goes on.
    pub const DETACHED: u8 = 11;
    /// Aborted.
    pub const ABORTED: u8 = 12;
    /// Not possible in this state.
    pub const NOT_NOW: u8 = 13;
}

/// The command line. Its words are in `text::help`.
#[derive(Debug, Parser)]
#[command(name = "upledger", version, max_term_width = 80, about = help::about())]
struct Cli {
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = help::opt_state()
    )]
    state: Option<PathBuf>,
    #[arg(long, global = true, help = help::opt_json())]
    json: bool,
    #[arg(long, short, global = true, help = help::opt_quiet())]
    quiet: bool,
    #[arg(long, global = true, value_enum, hide_possible_values = true, help = help::opt_lang())]
    lang: Option<Lang>,
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true, hide_default_value = true, help = help::opt_color())]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = help::cmd_demo())]
    Demo(demo::Demo),
    #[command(about = help::cmd_init())]
    Init(plans::Init),
    #[command(about = help::cmd_check())]
    Check(plans::Check),
    #[command(about = help::cmd_plan())]
    Plan(plans::Plan),
    #[command(about = help::cmd_schema())]
    Schema,
    #[command(about = help::cmd_run())]
    Run(drive::Run),
    #[command(about = help::cmd_status())]
    Status(show::RunArg),
    #[command(about = help::cmd_watch())]
    Watch(show::RunArg),
    #[command(about = help::cmd_runs())]
    Runs,
    #[command(about = help::cmd_resume())]
    Resume(show::RunArg),
    #[command(about = help::cmd_decide())]
    Decide(ask::Decide),
    #[command(about = help::cmd_pause())]
    Pause(ask::Because),
    #[command(about = help::cmd_abort())]
    Abort(ask::Because),
    #[command(about = help::cmd_kill_step())]
    KillStep(ask::Because),
    #[command(about = help::cmd_amend())]
    Amend(amend::Amend),
    #[command(about = help::cmd_rollback())]
    Rollback(rollback::Rollback),
    #[command(about = help::cmd_note())]
    Note(ask::Note),
    #[command(about = help::cmd_log())]
    Log(show::Log),
    #[command(about = help::cmd_replay())]
    Replay(show::Replay),
    #[command(about = help::cmd_timeline())]
    Timeline(timeline::TimelineArgs),
    #[command(about = help::cmd_report())]
    Report(report::ReportArgs),
    #[command(about = help::cmd_verify())]
    Verify(evidence::Verify),
    #[command(about = help::cmd_verifier())]
    Verifier,
    #[command(about = help::cmd_export())]
    Export(evidence::Export),
    #[command(about = help::cmd_explain())]
    Explain(explain::Explain),
    #[command(about = help::cmd_help())]
    Help(words::Help),
    #[command(about = help::cmd_completion())]
    Completion(complete::Completion),
    #[command(about = help::cmd_man())]
    Man(man::Man),
    #[command(about = help::cmd_ledger())]
    #[command(subcommand)]
    Ledger(evidence::LedgerCommand),
}

impl Command {
    /// The command has an effect whose result the exit code reports, even if its output is lost.
    fn acts(&self) -> bool {
        match self {
            Self::Demo(_) | Self::Init(_) | Self::Run(_) | Self::Resume(_) | Self::Rollback(_) => {
                true
            }
            Self::Decide(_) | Self::Pause(_) | Self::Abort(_) | Self::KillStep(_) => true,
            Self::Amend(_) | Self::Note(_) | Self::Ledger(_) => true,
            Self::Check(_) | Self::Plan(_) | Self::Schema | Self::Status(_) | Self::Watch(_) => {
                false
            }
            Self::Runs | Self::Log(_) | Self::Replay(_) | Self::Verify(_) | Self::Verifier => false,
            Self::Export(_) | Self::Timeline(_) | Self::Report(_) => false,
            Self::Explain(_) | Self::Help(_) => false,
            Self::Completion(_) | Self::Man(_) => false,
        }
    }
}

/// Diagnostics on standard error: `UPLEDGER_LOG=debug`. They contain no text from a plan or a command.
fn diagnostics() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("UPLEDGER_LOG") {
        // The subscriber can be set only once, and this is the only place.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
}

/// `--lang` or `--color`, found before the arguments are parsed. A wrong value is left to the parser.
fn flag<T: ValueEnum>(name: &str) -> Option<T> {
    let args = arguments();
    args.iter().enumerate().find_map(|(n, arg)| {
        let value = match arg.strip_prefix(name) {
            Some("") => args.get(n + 1).map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        T::from_str(value?, false).ok()
    })
}

/// The arguments as text; what is no text is left to the parser.
fn arguments() -> Vec<String> {
    std::env::args_os()
        .map(|a| a.into_string().unwrap_or_default())
        .collect()
}

/// A reason for the record.
fn said(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(usage::empty());
    }
    Ok(text.to_owned())
}

/// Parses the arguments, runs the command, and returns the exit code.
pub fn main() -> u8 {
    // Exceeding a file size limit (SIGXFSZ) must be a write error and must not kill the runner. The signal is handled, not
    // ignored, because a handler is reset in the commands of steps. If it cannot be handled, the limit kills this process.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
    // Most commands read secrets. Where the kernel refuses, they are as safe as those of the shell.
    let _ = crate::system::proc::forbid_core_dump();
    let mut out = Out::new(arguments().iter().any(|a| a == "--json"), false);
    let code = command(&mut out);
    out.finish(code)
}

fn command(out: &mut Out) -> u8 {
    // Before anything is printed, because help and errors are translated and coloured, too.
    out.colour = flag("--color").unwrap_or_default();
    match choose(&Choice::here(flag("--lang"))) {
        // JSON output is always English.
        Ok(_) if out.json => speak(Lang::En),
        Ok(lang) => speak(lang),
        Err(e) => {
            return Failure::of(code::USAGE, "language", &e).show(out);
        }
    }
    match complete::asked(|| words::localized(Cli::command())) {
        Ok(false) => {}
        Ok(true) => {
            // The shell expects candidates, whatever the command line contains.
            out.json = false;
            return code::DONE;
        }
        Err(e) => return words::show(out, &e),
    }
    diagnostics();
    let parsed = words::localized(Cli::command())
        .color(out.colour.into())
        .styles(words::styles())
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => return words::show(out, &e),
    };
    (out.json, out.quiet, out.colour) = (cli.json, cli.quiet, cli.color);
    let home = Home::find(cli.state.as_deref());
    for path in [&home.state, &home.memory] {
        // It is used in records and frames, which are text.
        if path.to_str().is_none() {
            return Failure::usage(commands::not_text(path.display()))
                .hint(commands::name_other("--state", "UPLEDGER_MEMORY"))
                .show(out);
        }
    }
    out.acts = cli.command.acts();
    if let Command::Run(_) | Command::Resume(_) | Command::Rollback(_) = cli.command {
        // A runner lives for hours; a command that only reads is quicker without.
        crate::system::memory::give_large_pieces_back();
    }
    let done = match cli.command {
        Command::Demo(args) => demo::demo(out, &args),
        Command::Init(args) => plans::init(out, &args),
        Command::Check(args) => plans::check(out, &args),
        Command::Plan(args) => plans::plan(out, &home, &args),
        Command::Schema => plans::schema(out),
        Command::Run(args) => drive::run(out, &home, &args),
        Command::Status(args) => show::status(out, &home, &args),
        Command::Watch(args) => watch::watch(out, &home, &args),
        Command::Runs => show::runs(out, &home),
        Command::Resume(args) => drive::resume(out, &home, &args),
        Command::Decide(args) => ask::decide(out, &home, &args),
        Command::Pause(args) => ask::pause(out, &home, &args),
        Command::Abort(args) => ask::abort(out, &home, &args),
        Command::KillStep(args) => ask::kill_step(out, &home, &args),
        Command::Rollback(args) => rollback::rollback(out, &home, &args),
        Command::Amend(args) => amend::amend(out, &home, &args),
        Command::Note(args) => ask::note(out, &home, &args),
        Command::Log(args) => show::log(out, &home, &args),
        Command::Replay(args) => show::replay(out, &home, &args),
        Command::Timeline(args) => timeline::timeline(out, &home, &args),
        Command::Report(args) => report::report(out, &home, &args),
        Command::Verify(args) => evidence::verify(out, &home, &args),
        Command::Verifier => evidence::verifier(out),
        Command::Export(args) => evidence::export(out, &home, &args),
        Command::Help(args) => Ok(words::help(out, &args, Cli::command())),
        Command::Completion(args) => complete::completion(out, &args),
        Command::Man(args) => man::man(out, &args, words::localized(Cli::command())),
        Command::Explain(args) => explain::explain(out, &args),
        Command::Ledger(args) => evidence::ledger(out, &home, &args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.show(out),
    }
}

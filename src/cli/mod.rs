//! The command line: arguments in, exit code out. Each command parses, calls and renders; no rule of a run is here.

mod ask;
mod drive;
mod evidence;
mod fail;
mod out;
mod plans;
mod show;

use crate::text::{Choice, Lang, choose, speak};
use clap::{Parser, Subcommand, ValueEnum};
use fail::Failure;
use out::Out;
use std::path::PathBuf;

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
    /// A person is waited for.
    pub const WAITING: u8 = 4;
    /// Rolled back.
    pub const ROLLED_BACK: u8 = 5;
    /// The rollback is stuck.
    pub const STUCK: u8 = 6;
    /// The ledger is damaged, or older than remembered.
    pub const DAMAGED: u8 = 7;
    /// The ledger cannot be written.
    pub const UNWRITABLE: u8 = 8;
    /// Somebody else drives the run.
    pub const HELD: u8 = 9;
    /// Detached; a step goes on.
    pub const DETACHED: u8 = 11;
    /// Aborted.
    pub const ABORTED: u8 = 12;
    /// Not possible in this state.
    pub const NOT_NOW: u8 = 13;
}

/// Runs a production upgrade; the record of what it did is the program's only state.
#[derive(Debug, Parser)]
#[command(name = "upledger", version, max_term_width = 100)]
struct Cli {
    /// Where the ledger and its job directories are.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "UPLEDGER_STATE",
        hide_env_values = true
    )]
    state: Option<PathBuf>,
    /// One JSON object per line, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// The language of screens: en or zh; else from UPLEDGER_LANG, the configuration, the locale.
    #[arg(long, global = true, value_enum)]
    lang: Option<Lang>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented plan to start from.
    Init(plans::Init),
    /// Check a plan; errors point at the line.
    Check(plans::Check),
    /// Show what a plan would run, and how it would be rolled back. Changes nothing.
    Plan(plans::Plan),
    /// Print the JSON Schema of plans, for editors.
    Schema,
    /// Run a plan.
    Run(drive::Run),
    /// Show where a run stands, and what is asked.
    Status(show::RunArg),
    /// List all runs.
    Runs,
    /// Take a run over, after a crash, a pause or a decision.
    Resume(show::RunArg),
    /// Settle a doubt or a failure.
    Decide(ask::Decide),
    /// Stop before the next step.
    Pause(ask::Because),
    /// End the run before the next step; what was done stays done.
    Abort(ask::Because),
    /// Have the running command killed.
    KillStep(ask::Because),
    /// Reverse what was done.
    Rollback(drive::Rollback),
    /// Add a remark to the timeline.
    Note(ask::Note),
    /// Show events, or what a step printed.
    Log(show::Log),
    /// Show the state as it was at some event.
    Replay(show::Replay),
    /// Check the whole ledger.
    Verify(evidence::Verify),
    /// Print the auditor's script: a verifier in standard Python.
    Verifier,
    /// Write the ledger's events, one a line.
    Export(evidence::Export),
    /// Decisions about the ledger itself.
    #[command(subcommand)]
    Ledger(evidence::LedgerCommand),
}

/// `--lang`, found before the arguments are parsed. A wrong value is left to the parser.
fn flag() -> Option<Lang> {
    let args: Vec<String> = std::env::args().collect();
    args.iter().enumerate().find_map(|(n, arg)| {
        let value = match arg.strip_prefix("--lang") {
            Some("") => args.get(n + 1).map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        Lang::from_str(value?, false).ok()
    })
}

/// Parses the arguments, runs the command, and returns the exit code.
pub fn main() -> u8 {
    // Before anything is printed: help and errors have a language, too.
    match choose(&Choice::here(flag())) {
        Ok(lang) => speak(lang),
        Err(e) => {
            return Failure::of(code::USAGE, "language", &e).show(&mut Out::new(false, false));
        }
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let failed = e.use_stderr();
            // Nobody reads it: then nobody misses it.
            let _ = e.print();
            return if failed { code::USAGE } else { code::DONE };
        }
    };
    let home = crate::home::Home::find(cli.state.as_deref());
    let mut out = Out::new(cli.json, cli.quiet);
    let done = match cli.command {
        Command::Init(args) => plans::init(&mut out, &args),
        Command::Check(args) => plans::check(&mut out, &args),
        Command::Plan(args) => plans::plan(&mut out, &home, &args),
        Command::Schema => plans::schema(&mut out),
        Command::Run(args) => drive::run(&mut out, &home, &args),
        Command::Status(args) => show::status(&mut out, &home, &args),
        Command::Runs => show::runs(&mut out, &home),
        Command::Resume(args) => drive::resume(&mut out, &home, &args),
        Command::Decide(args) => ask::decide(&mut out, &home, &args),
        Command::Pause(args) => ask::pause(&mut out, &home, &args),
        Command::Abort(args) => ask::abort(&mut out, &home, &args),
        Command::KillStep(args) => ask::kill_step(&mut out, &home, &args),
        Command::Rollback(args) => drive::rollback(&mut out, &home, &args),
        Command::Note(args) => ask::note(&mut out, &home, &args),
        Command::Log(args) => show::log(&mut out, &home, &args),
        Command::Replay(args) => show::replay(&mut out, &home, &args),
        Command::Verify(args) => evidence::verify(&mut out, &home, &args),
        Command::Verifier => evidence::verifier(&mut out),
        Command::Export(args) => evidence::export(&mut out, &home, &args),
        Command::Ledger(args) => evidence::ledger(&mut out, &home, &args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.show(&mut out),
    }
}

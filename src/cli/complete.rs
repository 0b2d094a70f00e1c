//! `completion`, and the completion candidates for a shell: commands, options, runs and steps.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::clock;
use crate::home::Home;
use crate::journal::Journal;
use crate::report::status;
use crate::text::help;
use clap::builder::StyledStr;
use clap::{Args, Command, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use serde_json::json;

/// Set by the shell code that `completion` prints: the shell that requests completion.
const VARIABLE: &str = "UPLEDGER_COMPLETE";

/// Bash takes candidates as they are, and the names of files may hold anything: each is quoted as bash quotes its own.
/// Within a quote that was typed, what would end the quote or be expanded in it is no candidate.
const QUOTED: &str = r#"
_upledger_quoted() {
    local upledger_flags=$- upledger_i
    set -f
    _clap_complete_upledger "$@"
    [[ $upledger_flags == *f* ]] || set +f
    for upledger_i in "${!COMPREPLY[@]}"; do
        case "${COMP_WORDS[COMP_CWORD]}" in
            [\'\"]*)
                case "${COMPREPLY[upledger_i]}" in
                    *[\'\"\$\`\\!]*) unset "COMPREPLY[upledger_i]" ;;
                esac ;;
            *) printf -v "COMPREPLY[upledger_i]" '%q' "${COMPREPLY[upledger_i]}" ;;
        esac
    done
}
"#;

/// A shell's code.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    #[arg(value_enum, help = help::completion_shell())]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    #[value(help = help::shell("~/.bashrc"))]
    Bash,
    #[value(help = help::shell("~/.zshrc"))]
    Zsh,
    #[value(help = help::shell("~/.config/fish/completions/upledger.fish"))]
    Fish,
}

pub(crate) fn completion(out: &mut Out, args: &Completion) -> Result<u8, Failure> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = shells.completer(name).map(|shell| {
        shell.write_registration(VARIABLE, "upledger", "upledger", "upledger", &mut script)
    });
    if let Some(Err(e)) = written {
        return Err(Failure::of(code::USAGE, "system", &e));
    }
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if let Shell::Bash = args.shell {
        script = script.replace("-F _clap_complete_upledger", "-F _upledger_quoted");
        script.push_str(QUOTED);
    }
    text(out, "script", script.as_bytes());
    Ok(code::DONE)
}

/// A document of the program itself.
pub(super) fn text(out: &mut Out, name: &str, bytes: &[u8]) {
    if out.json {
        let text = String::from_utf8_lossy(bytes);
        out.result(json!({ name: text }), code::DONE);
    } else {
        out.raw(bytes);
    }
}

/// Answers a shell that asks what may come next; `false` when none asks.
pub(super) fn asked(command: impl Fn() -> Command) -> Result<bool, clap::Error> {
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
}

fn journal() -> Option<Journal> {
    Journal::read(&Home::find(None)).ok()
}

/// The runs of this machine's ledger, newest first.
pub(super) fn runs() -> Vec<CompletionCandidate> {
    let Some(journal) = journal() else {
        return Vec::new();
    };
    let newest_first = journal.book().runs.iter().rev().enumerate();
    newest_first
        .map(|(order, run)| {
            let state = StyledStr::from(status::word(run, &clock::now()).shown);
            CompletionCandidate::new(&run.name)
                .help(Some(state))
                .display_order(Some(order))
        })
        .collect()
}

/// The steps of the run that a command without a name means.
pub(super) fn steps() -> Vec<CompletionCandidate> {
    let Some(journal) = journal() else {
        return Vec::new();
    };
    let run = journal.book().default_run();
    let units = run.map_or(&[][..], |run| run.units());
    let in_order = units.iter().enumerate();
    in_order
        .map(|(order, unit)| {
            let state = StyledStr::from(status::status_word(unit.forward.status).shown);
            CompletionCandidate::new(&unit.step)
                .help(Some(state))
                .display_order(Some(order))
        })
        .collect()
}

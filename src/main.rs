//! Arguments in, exit code out; nothing else.

use std::process::ExitCode;
use upledger::{action, actions, attempt, cli};

fn main() -> ExitCode {
    // The hidden processes come first: they read no configuration and print nothing.
    let first = std::env::args_os().nth(1);
    let code = match first.as_deref().and_then(|a| a.to_str()) {
        Some(attempt::launch::STAGE_1) => attempt::supervisor::detach(),
        Some(attempt::launch::STAGE_2) => attempt::supervisor::main(),
        Some(attempt::launch::ACT) => action::process::main(),
        Some(actions::LEASH) => actions::leash(std::env::args_os().skip(2)),
        Some(actions::process::daemon::STAGE) => actions::process::daemon::main(),
        _ => cli::main(),
    };
    ExitCode::from(code)
}

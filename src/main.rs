//! Arguments in, exit code out; nothing else.

use std::process::ExitCode;
use upledger::{action, attempt, cli, host};

fn main() -> ExitCode {
    // The hidden processes come first: they read no configuration and print nothing.
    let first = std::env::args_os().nth(1);
    let code = match first.as_deref().and_then(|a| a.to_str()) {
        Some(attempt::launch::STAGE_1) => attempt::supervisor::detach(),
        Some(attempt::launch::STAGE_2) => attempt::supervisor::main(),
        Some(attempt::launch::ACT) => action::process::main(),
        Some(host::exec::LEASH) => host::exec::leash(std::env::args_os().skip(2)),
        Some(host::process::daemon::STAGE) => host::process::daemon::main(),
        _ => cli::main(),
    };
    ExitCode::from(code)
}

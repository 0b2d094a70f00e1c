//! `explain`: what an exit code or a kind of error means.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::report::{fit, safe};
use crate::text::explain as text;
use crate::text::help;
use clap::Args;
use serde_json::json;

/// A code to explain.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[arg(help = help::explain_code())]
    code: Option<String>,
}

pub(crate) fn explain(out: &mut Out, args: &Explain) -> Result<u8, Failure> {
    let all = || {
        text::codes()
            .map(|n| n.to_string())
            .chain(text::kinds().map(str::to_owned))
    };
    let asked: Vec<String> = args
        .code
        .clone()
        .map_or_else(|| all().collect(), |one| vec![one]);
    let wide = asked.iter().map(String::len).max().unwrap_or(0);
    for what in asked {
        let Some(meaning) = text::meaning(&what) else {
            return Err(Failure::usage(text::unknown(safe(&what)))
                .hint(text::list())
                .hint(text::kinds().collect::<Vec<_>>().join(" ")));
        };
        if out.json {
            out.value(&json!({"code": what, "meaning": meaning}));
        } else {
            for line in fit(&format!("{what:<wide$}  {meaning}"), 80) {
                out.line(&line);
            }
        }
    }
    Ok(code::DONE)
}

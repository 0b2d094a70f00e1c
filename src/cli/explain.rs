//! `explain`: what an exit code, a kind of error or a word of the screens means.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::report::{columns, fit, pad, safe};
use crate::text::explain as text;
use crate::text::glossary;
use crate::text::help;
use clap::Args;
use serde_json::json;

/// What to explain.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[arg(help = help::explain_code())]
    code: Vec<String>,
}

pub(crate) fn explain(out: &mut Out, args: &Explain) -> Result<u8, Failure> {
    let all = || {
        text::codes()
            .map(|n| n.to_string())
            .chain(text::kinds().map(str::to_owned))
            .chain(glossary::words())
    };
    let asked: Vec<String> = if args.code.is_empty() {
        all().collect()
    } else {
        // A word of the screen may be two: `in doubt`.
        vec![args.code.join(" ")]
    };
    let wide = asked.iter().map(|word| columns(word)).max().unwrap_or(0);
    for what in asked {
        let Some(meaning) = glossary::meaning(&what) else {
            return Err(Failure::usage(text::unknown(safe(&what)))
                .hint(text::list())
                .hint(text::kinds().collect::<Vec<_>>().join(" ")));
        };
        if out.json {
            out.value(&json!({"code": what, "meaning": meaning}));
        } else {
            for line in fit(&format!("{}  {meaning}", pad(&what, wide)), 80) {
                out.line(&line);
            }
        }
    }
    Ok(code::DONE)
}

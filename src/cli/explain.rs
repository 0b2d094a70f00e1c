//! `explain`: what an exit code, a kind of error or a word of the screens means.

use super::code;
use super::fail::Failure;
use super::out::Out;
use crate::plan::did_you_mean;
use crate::report::{columns, fit, pad, rows, safe};
use crate::text::explain as text;
use crate::text::glossary;
use crate::text::help;
use clap::Args;
use serde_json::json;

/// Lists what can be explained.
const WORDS: &str = "words";

/// Columns of an explanation where no terminal shows it.
const WIDTH: usize = 80;

/// What to explain.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[arg(help = help::explain_code())]
    code: Vec<String>,
}

pub(crate) fn explain(out: &mut Out, args: &Explain) -> Result<u8, Failure> {
    // A word of the screen may be two: `in doubt`.
    let asked = args.code.join(" ");
    if asked == WORDS {
        list(out);
        return Ok(code::DONE);
    }
    let asked: Vec<String> = match args.code.is_empty() {
        true => codes()
            .chain(text::kinds().map(str::to_owned))
            .chain(glossary::words())
            .collect(),
        false => vec![asked],
    };
    let wide = asked.iter().map(|word| columns(word)).max().unwrap_or(0);
    for what in asked {
        let Some(meaning) = glossary::meaning(&what) else {
            return Err(unknown(&what));
        };
        if out.json {
            out.value(&json!({"code": what, "meaning": meaning}));
        } else {
            let width = Out::columns().unwrap_or(WIDTH);
            out.lines(&fit(&format!("{}  {meaning}", pad(&what, wide)), width));
        }
    }
    Ok(code::DONE)
}

fn codes() -> impl Iterator<Item = String> {
    text::codes().map(|n| n.to_string())
}

/// Nothing of that name, but perhaps one like it.
fn unknown(what: &str) -> Failure {
    let known: Vec<String> = text::kinds()
        .map(str::to_owned)
        .chain(glossary::words())
        .chain(glossary::english_words())
        .collect();
    let failure = Failure::usage(text::unknown(safe(what)));
    let near = did_you_mean(&what.to_lowercase(), known.iter().map(String::as_str));
    near.into_iter()
        .fold(failure, Failure::hint)
        .hint(text::list("upledger explain words"))
}

/// All names, without their meanings.
fn list(out: &mut Out) {
    let codes: Vec<String> = codes().collect();
    let kinds: Vec<&str> = text::kinds().collect();
    let words: Vec<String> = glossary::words().collect();
    if out.json {
        let value = json!({"codes": codes, "kinds": kinds, "words": words});
        out.result(value, code::DONE);
        return;
    }
    out.lines(&rows(&[
        (text::exit_codes(), codes.join(" ")),
        (text::error_kinds(), kinds.join(" ")),
        (text::screen_words(), crate::text::clauses(&words)),
    ]));
}

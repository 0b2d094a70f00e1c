//! What every page has in common: one template with the palette, the type scale, the rules for print and the content security
//! policy, and the engine that escapes whatever is put into it.
//!
//! Invariants: a page holds no script and requests nothing; what is put into it is text, unless its maker has shown that it
//! needs no escape.

use crate::text::{Lang, lang};
use minijinja::{AutoEscape, Environment, Error, Value};

/// What every page extends.
const BASE: &str = include_str!("base.html");

/// The language of a page, as HTML names it.
#[must_use]
pub(crate) fn language() -> &'static str {
    match lang() {
        Lang::En => "en",
        Lang::Zh => "zh-CN",
    }
}

/// Renders a page.
///
/// # Errors
/// What is wrong with the template.
pub(crate) fn render(template: &str, page: Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("base.html", BASE)?;
    environment.add_template("page.html", template)?;
    environment.get_template("page.html")?.render(page)
}

/// How a run ended, as a colour.
#[must_use]
pub(crate) fn state_class(state: &str) -> &'static str {
    match state {
        "completed" => "good",
        "rolled back" | "rolled back in part" | "aborted" => "back",
        _ => "bad",
    }
}

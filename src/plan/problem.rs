//! Problems of a plan with position and remedy; shown with the source line, or as JSON.
//!
//! No secret is shown: the bytes of a literal secret are masked in every printed line.

use super::outline::Span;
use crate::action::values::distance;
use crate::text::{Lang, lang, plan as say};
use annotate_snippets::renderer::AnsiColor;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt;

/// How many problems are listed.
const LISTED: usize = 100;

/// A problem before its line is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) span: Option<Span>,
    pub(crate) hint: Option<String>,
    /// What it is about.
    pub(crate) about: About,
}

/// What a fault is about, where others follow from it, or it follows from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum About {
    /// Anything.
    #[default]
    Any,
    /// A key that its type does not know: it can be taken out, and the rest read on.
    UnknownKey,
    /// A key of that name is missing in a map.
    Missing(&'static str),
    /// A map should have one key and has another number of them.
    OneKey,
    /// A sign of a Chinese input method.
    Sign,
    /// The variables of the plan cannot be read.
    Variables,
    /// There is no such variable.
    NoVariable,
}

/// Leaves out what follows from another fault: what signs of Chinese input methods have torn apart, the second sign of a
/// pair, and variables that are missing because none of them could be read.
fn causes(text: &str, faults: &mut Vec<Fault>) {
    let signs = faults.iter().filter(|f| f.about == About::Sign);
    let signs: Vec<Span> = signs.filter_map(|f| f.span).collect();
    let line = |at: usize| place(text, at).0;
    let variables = |f: &Fault| {
        let hint = f.hint.as_deref().unwrap_or_default();
        f.about == About::Variables || f.about == About::UnknownKey && hint.contains("`vars`")
    };
    let unread = faults.iter().any(variables);
    faults.retain(|fault| {
        let Some(span) = fault.span else {
            return true;
        };
        match fault.about {
            About::OneKey => !signs
                .iter()
                .any(|s| span.start <= s.start && s.end <= span.end),
            About::Sign => !signs
                .iter()
                .any(|s| s.start < span.start && line(s.start) == line(span.start)),
            About::NoVariable => !unread,
            About::Any | About::UnknownKey | About::Missing(_) | About::Variables => true,
        }
    });
}

impl Fault {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: Some(span),
            hint: None,
            about: About::Any,
        }
    }

    pub(crate) fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn or_at(mut self, span: Span) -> Self {
        self.span = self.span.or(Some(span));
        self
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What, in one lower-case fragment.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes of the text that it is about; none where it is about the file as a whole.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why a plan was not accepted: all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file, as it was named.
    pub name: String,
    /// In the order of the text; never empty.
    pub problems: Vec<Problem>,
    /// The file could not be read at all: a question of access, not of the plan.
    pub unreadable: bool,
    text: String,
}

impl Refusal {
    /// A refusal of the whole file.
    pub(crate) fn whole(name: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        let problem = Problem {
            message: message.into(),
            line: 1,
            column: 1,
            span: None,
            hint,
        };
        Self {
            name: name.into(),
            problems: vec![problem],
            unreadable: false,
            text: String::new(),
        }
    }

    pub(crate) fn new(name: &str, text: &str, faults: Vec<Fault>, masked: &[Span]) -> Self {
        let mut faults = faults;
        faults.sort_by_key(|f| f.span.map_or((0, 0), |s| (s.start, s.end)));
        faults.dedup();
        causes(text, &mut faults);
        let more = faults.len().saturating_sub(LISTED);
        faults.truncate(LISTED);
        let mut problems: Vec<Problem> = faults
            .into_iter()
            .map(|f| {
                let span = f.span.map(|s| first_line(text, s));
                let (line, column) = span.map_or((1, 1), |s| place(text, s.start));
                Problem {
                    message: f.message,
                    line,
                    column,
                    span,
                    hint: f.hint,
                }
            })
            .collect();
        // An action's message about its settings may quote text that is masked.
        for secret in masked.iter().filter_map(|s| text.get(s.start..s.end)) {
            let secret = secret.trim_matches(['"', '\'']);
            if secret.len() > 2 {
                for p in &mut problems {
                    p.message = p.message.replace(secret, "***");
                }
            }
        }
        if more > 0
            && let Some(last) = problems.last_mut()
        {
            last.hint = Some(say::more_problems(more));
        }
        Self {
            name: name.into(),
            problems,
            unreadable: false,
            text: mask(text, masked),
        }
    }

    /// A file that is too large.
    pub(crate) fn too_large(name: &str, size: impl fmt::Display, limit: usize) -> Self {
        Self::whole(name, say::too_large(size, limit), Some(say::right_file()))
    }

    /// How many problems, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.problems.len() {
            1 => say::one_problem(),
            n => say::problems(n),
        }
    }

    /// As people read it: message, place, source line, remedy.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        self.fitted(styled, None)
    }

    /// The same for a terminal of so many columns, in which a long line of the plan is cut.
    #[must_use]
    pub fn fitted(&self, styled: bool, columns: Option<usize>) -> String {
        let renderer = if styled {
            // The colour of what failed, as on every screen (`report::paint`).
            Renderer::plain().error(AnsiColor::Red.on_default())
        } else {
            Renderer::plain()
        };
        let renderer = columns.map_or(renderer.clone(), |columns| renderer.term_width(columns));
        let name = self.name.escape_debug().to_string();
        let shown: Vec<String> = self
            .problems
            .iter()
            .map(|p| self.one(p, &renderer, &name))
            .collect();
        shown.join("\n\n")
    }

    fn one(&self, problem: &Problem, renderer: &Renderer, name: &str) -> String {
        let title = Level::ERROR
            .with_name(say::error())
            .primary_title(problem.message.as_str());
        let group = match problem.span {
            None => Group::with_title(title).element(annotate_snippets::Origin::path(name)),
            Some(span) => {
                let from = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
                let to = self.text[span.start..]
                    .find('\n')
                    .map_or(self.text.len(), |at| span.start + at);
                let line = self.text[from..to].trim_end_matches('\r');
                let start = (span.start - from).min(line.len());
                let end = (span.end - from).clamp(start, line.len());
                title.element(
                    Snippet::source(line)
                        .line_start(problem.line)
                        .path(name)
                        .annotation(AnnotationKind::Primary.span(start..end)),
                )
            }
        };
        let group = match &problem.hint {
            None => group,
            Some(hint) => group.element(Level::HELP.with_name(say::help()).message(hint.as_str())),
        };
        let shown = renderer.render(&[group]);
        if lang() == Lang::En {
            return shown;
        }
        // The renderer puts an ASCII colon behind the words that begin a message.
        let names = [say::error(), say::help()];
        let begins = |line: &str| {
            let words = line.trim_start_matches(['\u{1b}', ' ', '=', '[', '3', '1', 'm']);
            names.iter().any(|name| words.starts_with(name))
        };
        let lines = shown.lines().map(|line| match begins(line) {
            true => line.replacen(": ", "：", 1),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// One object for each problem: `file`, `line`, `column`, `message`, `hint`.
    #[must_use]
    pub fn to_json(&self) -> Vec<Value> {
        self.problems
            .iter()
            .map(|p| {
                json!({"file": self.name, "line": p.line, "column": p.column, "message": p.message, "hint": p.hint})
            })
            .collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, p) in self.problems.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(
                f,
                "{end}{}:{}:{}: {}",
                self.name, p.line, p.column, p.message
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// What the author may have meant.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, k)| say::did_you_mean(k))
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let from = before.rfind('\n').map_or(0, |n| n + 1);
    (
        before.bytes().filter(|b| *b == b'\n').count() + 1,
        before[from..].chars().count() + 1,
    )
}

/// The span on its first line, on character boundaries, never empty where there is something to point at.
fn first_line(text: &str, span: Span) -> Span {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let line_end = text[start..]
        .find(['\n', '\r'])
        .map_or(text.len(), |n| start + n);
    let mut end = floor(span.end).clamp(start, line_end);
    if end == start
        && let Some(c) = text[start..line_end].chars().next()
    {
        end = start + c.len_utf8();
    }
    Span { start, end }
}

/// Puts one `*` for each byte, so that every place stays where it is. Line ends stay too.
fn mask(text: &str, spans: &[Span]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        let end = span.end.min(bytes.len());
        for byte in bytes.get_mut(span.start.min(end)..end).unwrap_or_default() {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

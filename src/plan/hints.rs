//! Remedies for common mistakes: what the author most likely meant.
//!
//! Nothing here decides whether a plan is accepted, with one exception: [`wide`] refuses Chinese punctuation where only
//! ASCII punctuation can have been meant, because YAML would silently read it as text.

use super::flow;
use super::outline::{Kind, Node, Span, Style};
use super::problem::{About, Fault, did_you_mean};
use super::warning::Warning;
use crate::text::plan as say;
use std::collections::BTreeMap;

/// Names that other tools have for our keys.
const SYNONYMS: [(&str, &str); 22] = [
    ("action", "do"),
    ("chdir", "cwd"),
    ("check", "verify"),
    ("cmd", "do"),
    ("command", "do"),
    ("description", "why"),
    ("environment", "env"),
    ("if", "when"),
    ("name", "id"),
    ("name", "phase"),
    ("retries", "retry"),
    ("rollback", "undo"),
    ("shell", "do"),
    ("run", "do"),
    ("stages", "phases"),
    ("tasks", "steps"),
    ("tasks", "phases"),
    ("title", "name"),
    ("variables", "vars"),
    ("version", "upledger"),
    ("workdir", "cwd"),
    ("stage", "phase"),
];

/// Punctuation of Chinese input methods, and what YAML wants in its place.
const WIDE: [(char, &str); 18] = [
    ('\u{ff1a}', ":"),
    ('\u{ff0c}', ","),
    ('\u{3001}', ","),
    ('\u{201c}', "\""),
    ('\u{201d}', "\""),
    ('\u{2018}', "'"),
    ('\u{2019}', "'"),
    ('\u{300c}', "\""),
    ('\u{300d}', "\""),
    ('\u{3010}', "["),
    ('\u{3011}', "]"),
    ('\u{ff3b}', "["),
    ('\u{ff3d}', "]"),
    ('\u{ff5b}', "{"),
    ('\u{ff5d}', "}"),
    ('\u{ff0d}', "-"),
    ('\u{2013}', "-"),
    ('\u{2014}', "-"),
];

pub(super) fn narrow(c: char) -> Option<&'static str> {
    WIDE.iter().find(|(w, _)| *w == c).map(|(_, n)| *n)
}

/// The ASCII digit of a full-width one; anything else as it is.
fn ascii_digit(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' => char::from_u32(u32::from(c) - 0xff10 + 0x30).unwrap_or(c),
        _ => c,
    }
}

fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{3000}' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{200b}'
    )
}

fn wide_fault(start: usize, c: char) -> Fault {
    let span = Span {
        start,
        end: start + c.len_utf8(),
    };
    // Our texts contain no character whose width depends on the terminal; the source line shows it.
    let code = format!("U+{:04X}", u32::from(c));
    let fault = match narrow(c) {
        Some(n) => Fault::new(span, say::wide_sign()).hint(say::narrow_sign(code, n)),
        None => Fault::new(span, say::wide_blank()).hint(say::narrow_blank(code)),
    };
    Fault {
        about: About::Sign,
        ..fault
    }
}

/// A sign in a line that can only have been meant as YAML's own: its byte in the line.
fn wide_in_line(line: &str) -> Option<(usize, char)> {
    let indent = line.find(|c: char| !c.is_whitespace() && !is_blank(c))?;
    if let Some((at, c)) = line[..indent].char_indices().find(|(_, c)| is_blank(*c)) {
        return Some((at, c));
    }
    let mut body = indent;
    let first = line[body..].chars().next()?;
    if narrow(first) == Some("-") {
        return Some((body, first));
    }
    while let Some(rest) = line[body..].strip_prefix("- ") {
        body += 2 + (rest.len() - rest.trim_start_matches(' ').len());
    }
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '{' | ' ');
    let end = line[body..].find(|c: char| !is_key(c))?;
    let at = body + end;
    let sign = line[at..].chars().next()?;
    if end > 0 && narrow(sign) == Some(":") {
        return Some((at, sign));
    }
    let after = line[at..].strip_prefix(':')?.chars().next()?;
    is_blank(after).then_some((at + 1, after))
}

/// A helpful message for an error of the YAML parser at a byte of the text.
pub(super) fn yaml(text: &str, at: usize, info: &str) -> Fault {
    let from = text[..at].rfind('\n').map_or(0, |n| n + 1);
    // The parser often detects an error only on the following line.
    let before = text[..from.saturating_sub(1)]
        .rfind('\n')
        .map_or(0, |n| n + 1);
    for start in [from, before] {
        let line = text[start..].lines().next().unwrap_or_default();
        if let Some((place, c)) = wide_in_line(line).or_else(|| flow::wide(line)) {
            return wide_fault(start + place, c);
        }
    }
    // After an unclosed bracket the parser continues and fails at what follows.
    if let Some((open, c)) = flow::unclosed(text, at) {
        let span = Span {
            start: open,
            end: open,
        };
        return Fault::new(span, say::no_yaml(say::yaml_unclosed(c))).hint(say::close_brackets());
    }
    let fault = Fault::new(Span { start: at, end: at }, say::no_yaml(parsers(info)));
    let line = text[from..].lines().next().unwrap_or_default();
    let hint = if info.contains("mapping values") || info.contains("flow mapping") {
        let second = line[..at - from].contains(": ");
        if second {
            say::quote_colon()
        } else {
            say::indent_alike()
        }
    } else if info.contains("simple key") || info.contains("':'") {
        say::key_colon()
    } else if info.contains("expected key") || info.contains("'-' indicator") {
        say::indent_alike()
    } else if info.contains("trailing content after") {
        say::comma_or_quote()
    } else if info.contains("quote") {
        say::close_quote()
    } else if info.contains("bracket") || info.contains("flow") {
        say::close_brackets()
    } else if info.contains("unexpected character") || info.contains("anchor") {
        say::quote_sign()
    } else {
        return fault;
    };
    fault.hint(hint)
}

/// The parser's own words; behind words of the language, where it is a common one.
fn parsers(info: &str) -> String {
    if info.contains("mapping values") {
        say::yaml_mapping(info)
    } else if info.contains("simple key") || info.contains("':'") {
        say::yaml_key(info)
    } else if info.contains("expected ','") || info.contains("bracket") {
        say::yaml_flow(info)
    } else if info.contains("quote") || info.contains("scalar") {
        say::yaml_quote(info)
    } else if info.contains("expected key") || info.contains("'-'") {
        say::yaml_indent(info)
    } else if info.contains("character") || info.contains("tab") {
        say::yaml_sign(info)
    } else if info.contains("anchor") || info.contains("alias") {
        say::yaml_anchor(info)
    } else {
        info.to_owned()
    }
}

/// Examples of required settings.
const EXAMPLES: [(&str, &str); 18] = [
    ("argv", "[/srv/app/bin/worker, --quiet]"),
    ("by", "{supervisor: {program: web}}"),
    ("file", "/srv/app/www/maintenance.html"),
    ("is", "open"),
    ("json", ".rows"),
    ("log", "/srv/app/log/worker.log"),
    ("match", "bk-monitor"),
    ("path", "/srv/app/settings.py"),
    ("pidfile", "/srv/app/run/worker.pid"),
    ("port", "8000"),
    ("program", "web"),
    ("python", "/usr/bin/python3"),
    ("ref", "app/2.0"),
    ("repo", "/srv/app.git"),
    ("requirements", "[requirements.txt]"),
    ("url", "http://127.0.0.1:8000/healthz/"),
    ("var", "region"),
    ("venv", "/srv/app/venvs/2.0"),
];

/// What stands where a key is missing.
pub(super) fn missing(key: &str) -> Option<String> {
    Some(match key {
        "upledger" => say::add_version(),
        "name" => say::add_name(),
        "phases" | "steps" => say::add_phases(),
        "phase" => say::begin_phases(),
        "id" => say::add_id(),
        "do" => say::add_do(),
        _ => {
            let (_, value) = EXAMPLES.iter().find(|(name, _)| *name == key)?;
            say::such_as(format!("{key}: {value}"))
        }
    })
}

/// The remedy for a key that its type does not know.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> Option<String> {
    if known.contains(&"phases") && matches!(key, "steps" | "step" | "tasks") {
        return Some(say::add_phases());
    }
    did_you_mean(key, known.iter().copied()).or_else(|| {
        SYNONYMS
            .iter()
            .find(|(word, ours)| *word == key && known.contains(ours))
            .map(|(_, ours)| say::did_you_mean(ours))
    })
}

/// The remedy for the name of an action that does not exist; none where something else is named.
pub(super) fn unknown_action(word: &str, known: &[&str]) -> Option<String> {
    if !known.contains(&"shell") {
        return None;
    }
    if let Some((family, "restart")) = word.split_once('.') {
        let has = |what: &str| known.contains(&format!("{family}.{what}").as_str());
        if has("reload") {
            return Some(say::no_restart(family));
        }
        if has("start") && has("stop") {
            return Some(say::no_restart_at_all(family));
        }
    }
    let family = word.split_once('.').map(|(family, _)| format!("{family}."));
    let ours: Vec<String> = known
        .iter()
        .filter(|k| family.as_ref().is_none_or(|f| k.starts_with(f)))
        .map(|k| format!("`{k}`"))
        .collect();
    let listed = if ours.is_empty() {
        known.iter().map(|k| format!("`{k}`")).collect()
    } else {
        ours
    };
    Some(say::no_such_action(crate::text::list(&listed)))
}

/// How the value under a step's key is written.
pub(super) fn shape(key: &str) -> Option<String> {
    Some(match key {
        "do" | "probe" | "verify" => say::write_action(key),
        "undo" => say::write_undo(),
        "retry" => say::write_retry(),
        "when" => say::write_when(),
        "env" => say::write_env(),
        "facts" => say::write_facts(),
        _ => return None,
    })
}

/// Settings that are maps, by examples.
const MAPS: [(&str, &str); 5] = [
    ("app", "{cwd: /srv/app/current}"),
    ("by", "{supervisor: {program: web}}"),
    (
        "process",
        "{pidfile: /srv/app/run/web.pid, argv: [...], log: /srv/app/log/web.log}",
    ),
    ("ready", "{port: 8000}"),
    ("supervisor", "{program: web}"),
];

/// The remedy for text where the map of a setting is wanted.
pub(super) fn wants_map(key: &str, value: &Node, fault: Fault) -> Fault {
    let here = fault.span.is_none_or(|s| s == value.span);
    let example = MAPS.iter().find(|(name, _)| *name == key);
    let found = example.filter(|_| {
        here && fault.hint.is_none()
            && value.text().is_some()
            && fault.message == say::expected_found(say::map(), say::text())
    });
    match found {
        Some((_, map)) => fault.hint(say::such_as(format!("{key}: {map}"))),
        None => fault,
    }
}

/// Gives the faults of a step that stand at the value of one of its keys the remedy for that key.
pub(super) fn shapes(step: &Node, faults: &mut [Fault]) {
    for (key, value) in step.entries() {
        for fault in faults
            .iter_mut()
            .filter(|f| f.hint.is_none() && f.span == Some(value.span))
        {
            let map = matches!(value.kind, Kind::Map(_));
            fault.hint = shape(&key.text).filter(|_| !map);
        }
    }
}

/// A Chinese quote or bracket at one end of an item that has no other at its end: the comma between them was taken for
/// YAML's own. Its byte.
fn torn(text: &str) -> Option<usize> {
    let pair = |c: char| narrow(c).is_some_and(|n| !matches!(n, "-" | ":" | ","));
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    match (pair(first), pair(last)) {
        (true, false) => Some(0),
        (false, true) => Some(text.len() - last.len_utf8()),
        _ => None,
    }
}

/// Refuses Chinese quotes, brackets and commas that YAML takes as a part of the text. Text for people (`name`, `why`,
/// `change`, phases) may hold them.
pub(super) fn wide(node: &Node, faults: &mut Vec<Fault>) {
    match &node.kind {
        Kind::Scalar(text, Style::Plain) => {
            let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
                return;
            };
            let plain: String = text.chars().map(ascii_digit).collect();
            if plain.is_ascii() && plain != *text {
                let fault = Fault::new(node.span, say::wide_digits());
                faults.push(fault.hint(say::narrow_digits(plain)));
                return;
            }
            if narrow(first).is_some_and(|n| n != "-" && narrow(last).is_some()) && text.len() > 3 {
                faults.push(wide_fault(node.span.start, first));
            }
        }
        Kind::Scalar(..) => {}
        Kind::List(items) => {
            for item in items {
                if let (Kind::Scalar(text, Style::Plain), Some(at)) =
                    (&item.kind, item.text().and_then(torn))
                    && let Some(c) = text[at..].chars().next()
                {
                    faults.push(wide_fault(item.span.start + at, c));
                    continue;
                }
                let comma = item.text().and_then(|t| t.find('\u{ff0c}'));
                match (&item.kind, comma) {
                    (Kind::Scalar(_, Style::Plain), Some(at)) => {
                        faults.push(wide_fault(item.span.start + at, '\u{ff0c}'));
                    }
                    _ => wide(item, faults),
                }
            }
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                if let Some(at) = key
                    .text
                    .find(|c| matches!(c, '\u{ff1a}' | '\u{ff0c}') || is_blank(c))
                    .or_else(|| torn(&key.text))
                    && let Some(c) = key.text[at..].chars().next()
                {
                    faults.push(wide_fault(key.span.start + at, c));
                }
                wide(value, faults);
            }
        }
    }
}

/// Words of a command that only a shell understands, and variables in the manner of other tools.
pub(super) fn doubtful(
    text: &str,
    step: &Node,
    vars: &BTreeMap<String, String>,
    warnings: &mut Vec<Warning>,
) {
    let id = step.get("id").and_then(Node::text).unwrap_or("?");
    let undo = step.get("undo");
    for action in [step.get("do"), step.get("probe"), step.get("verify"), undo]
        .into_iter()
        .flatten()
    {
        for word in action.get("run").map_or(&[][..], Node::items) {
            if let Some(sign @ ("|" | "||" | "&&" | "&" | ">" | ">>" | "<" | "2>&1")) = word.text()
            {
                let say = || say::shell_word(id, sign);
                warnings.push(Warning::new(text, word.span, say));
            }
        }
        foreign(text, id, action, vars, warnings);
    }
}

fn foreign(
    text: &str,
    id: &str,
    node: &Node,
    vars: &BTreeMap<String, String>,
    warnings: &mut Vec<Warning>,
) {
    match &node.kind {
        Kind::Scalar(value, _) => {
            for name in vars.keys() {
                let jinja = [format!("{{{{ {name} }}}}"), format!("{{{{{name}}}}}")];
                if let Some(found) = jinja.iter().find(|j| value.contains(*j)) {
                    let say = || say::foreign_variable(id, found, name);
                    warnings.push(Warning::new(text, node.span, say));
                }
            }
        }
        Kind::List(items) => items
            .iter()
            .for_each(|n| foreign(text, id, n, vars, warnings)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|(_, n)| foreign(text, id, n, vars, warnings)),
    }
}

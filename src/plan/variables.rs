//! Variables: `${name}` is replaced by a value inside one string, once. Substituted text is not expanded again, `$${` is a
//! literal `${`, and secrets have no value here, so they cannot be substituted.

use super::code;
use super::given::Given;
use super::outline::{Key, Kind, Node, Span, Style};
use super::problem::{About, Fault, did_you_mean};
use crate::text::plan as say;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The longest string after variables were put in, in bytes.
const LONGEST: usize = 64 << 10;
/// All of them together.
const TOGETHER: usize = 4 << 20;

/// The name of the run, which is known only when the plan runs: it stays in the resolved plan, and is put in at each step.
const RUN: &str = "run";
/// As it stands there.
pub(super) const THE_RUN: &str = "${run}";

/// Settings that are regular expressions, in every kind. A value in one of them is text all the same: it is escaped.
const PATTERNS: [&str; 3] = ["match", "processes", "stdout_matches"];

/// Puts the name of a run into the settings of an action. The script of a shell has it in `UPLEDGER_RUN`.
pub(crate) fn put_in_run(value: &Value, run: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(THE_RUN, run)),
        Value::Array(items) => {
            let words: Vec<Option<&str>> = items.iter().map(Value::as_str).collect();
            let code = code::places(&words);
            let put = |(at, item): (usize, &Value)| match code.contains(&at) {
                true => item.clone(),
                false => put_in_run(item, run),
            };
            items.iter().enumerate().map(put).collect()
        }
        Value::Object(map) => {
            let put = |(key, value): (&String, &Value)| {
                let script = key == "shell" && value.is_string();
                let value = if script {
                    value.clone()
                } else {
                    put_in_run(value, run)
                };
                (key.clone(), value)
            };
            Value::Object(map.iter().map(put).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A piece of a string.
enum Piece<'t> {
    Text(&'t str),
    /// A name, with `${` and `}` in the text.
    Variable(&'t str),
}

/// Whether this may name a variable or a secret.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest
        .get(from..)
        .and_then(|r| r.find("${"))
        .map(|n| n + from)
    {
        if at > 0 && rest.as_bytes().get(at - 1) == Some(&b'$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            from = 0;
            continue;
        }
        let name = &rest[at + 2..];
        let end = name.find('}').ok_or_else(say::open_variable)?;
        pieces.push(Piece::Text(&rest[..at]));
        pieces.push(Piece::Variable(&name[..end]));
        rest = &name[end + 1..];
        from = 0;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The variables of a plan.
pub(crate) struct Variables<'t> {
    source: &'t str,
    values: BTreeMap<String, String>,
    /// Defined, but without a usable value; what is wrong has been said.
    broken: BTreeSet<String>,
    secrets: BTreeSet<String>,
    pub(crate) used: BTreeSet<String>,
    /// Those that have the value of the run that is amended.
    pub(crate) kept: BTreeSet<String>,
    together: usize,
    /// Texts into which a variable could not be put: what else is wrong with them follows from that.
    pub(crate) unset: Vec<Span>,
}

impl<'t> Variables<'t> {
    /// From the `vars` of a plan, in whatever order they stand, and from what is given in their place.
    pub(crate) fn new(
        source: &'t str,
        vars: Option<&Node>,
        given: &Given,
        secrets: BTreeSet<String>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut this = Self {
            source,
            values: given
                .values()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            broken: BTreeSet::new(),
            secrets,
            used: BTreeSet::new(),
            kept: BTreeSet::new(),
            together: 0,
            unset: Vec::new(),
        };
        let mut open: BTreeMap<String, (&str, Span)> = BTreeMap::new();
        for (key, node) in vars.map_or(&[][..], Node::entries) {
            if !is_name(&key.text) {
                faults.push(
                    Fault::new(key.span, say::no_variable_name(&key.text)).hint(say::name_rule()),
                );
            } else if this.secrets.contains(&key.text) {
                faults.push(Fault::new(key.span, say::variable_and_secret(&key.text)));
                this.broken.insert(key.text.clone());
            } else if this.values.contains_key(&key.text) {
                // What is given takes its place.
            } else if let Some(value) = given.former(&key.text, !node.is_null()) {
                this.values.insert(key.text.clone(), value.to_owned());
                this.kept.insert(key.text.clone());
            } else if let Some(text) = node.text() {
                open.insert(key.text.clone(), (text, node.span));
            } else {
                this.broken.insert(key.text.clone());
                faults.push(if node.is_null() {
                    Fault::new(key.span, say::variable_not_given(&key.text))
                        .hint(say::give_variable(&key.text))
                } else {
                    Fault::new(key.span, say::no_single_value(&key.text))
                });
            }
        }
        // A plan may use what it does not define.
        for (name, value) in given.former_given() {
            let used = || source.contains(&format!("${{{name}}}"));
            if !this.has(name) && !open.contains_key(name) && used() {
                this.values.insert(name.to_owned(), value.to_owned());
                this.kept.insert(name.to_owned());
            }
        }
        this.settle(&open, faults);
        this
    }

    /// Resolves every variable in dependency order.
    fn settle(&mut self, open: &BTreeMap<String, (&str, Span)>, faults: &mut Vec<Fault>) {
        // Kahn's algorithm; what remains at the end is on a cycle or depends on one.
        let needs = |text: &str| -> BTreeSet<String> {
            let names = pieces(text).unwrap_or_default();
            names
                .into_iter()
                .filter_map(|p| {
                    if let Piece::Variable(n) = p {
                        Some(n.to_owned())
                    } else {
                        None
                    }
                })
                .collect()
        };
        let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut ready: Vec<&str> = Vec::new();
        for (name, (text, _)) in open {
            let needed: BTreeSet<String> = needs(text)
                .into_iter()
                .filter(|n| open.contains_key(n))
                .collect();
            for n in &needed {
                users.entry(n.clone()).or_default().push(name);
            }
            if needed.is_empty() {
                ready.push(name);
            } else {
                waiting.insert(name, needed);
            }
        }
        while let Some(name) = ready.pop() {
            let Some((text, span)) = open.get(name) else {
                continue;
            };
            match self.text(text, *span, false, faults) {
                Some(value) => {
                    self.values.insert(name.to_owned(), value);
                }
                None => {
                    self.broken.insert(name.to_owned());
                }
            }
            for user in users.remove(name).unwrap_or_default() {
                if let Some(needed) = waiting.get_mut(user) {
                    needed.remove(name);
                    if needed.is_empty() {
                        waiting.remove(user);
                        ready.push(user);
                    }
                }
            }
        }
        self.broken.extend(waiting.keys().map(|n| (*n).to_owned()));
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for start in waiting.keys() {
            let mut path: Vec<&str> = Vec::new();
            let mut at = *start;
            while !told.contains(at) && !path.contains(&at) {
                path.push(at);
                // Every remaining variable depends on another remaining one.
                let Some(next) = waiting.get(at).and_then(BTreeSet::first) else {
                    break;
                };
                let Some((next, _)) = waiting.get_key_value(next.as_str()) else {
                    break;
                };
                at = next;
            }
            if let Some(first) = path.iter().position(|n| *n == at) {
                let cycle = &path[first..];
                let span = open
                    .get(cycle[0])
                    .map_or(Span::default(), |(_, span)| *span);
                let names = format!("{} -> {}", cycle.join(" -> "), cycle[0]);
                faults.push(Fault::new(span, say::cycle(names)).hint(say::break_the_cycle()));
            }
            told.extend(path);
        }
    }

    /// The value of a variable; none when there is none or what is wrong with it has been said.
    pub(crate) fn value(&mut self, name: &str) -> Option<&str> {
        self.used.insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// The variable is known, be it with or without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.broken.contains(name)
    }

    /// What may have been meant.
    pub(crate) fn meant(&self, name: &str) -> Option<String> {
        did_you_mean(name, self.values.keys().map(String::as_str))
    }

    /// All that have a value, in the order of their names.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// One string with its variables put in, as text where it is a `pattern`; none when that is not possible.
    fn text(
        &mut self,
        text: &str,
        span: Span,
        pattern: bool,
        faults: &mut Vec<Fault>,
    ) -> Option<String> {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(e) => {
                faults.push(Fault::new(span, e).hint(say::literal_dollar()));
                return None;
            }
        };
        let (mut out, mut good, mut runs) = (String::new(), true, 0);
        for piece in pieces {
            let name = match piece {
                Piece::Text(t) => {
                    out.push_str(t);
                    continue;
                }
                Piece::Variable(name) => name,
            };
            self.used.insert(name.to_owned());
            if let Some(value) = self.values.get(name) {
                let value = match pattern {
                    true => &escaped(value),
                    false => value,
                };
                if out.len().saturating_add(value.len()) > LONGEST {
                    faults.push(Fault::new(span, say::too_long(LONGEST)));
                    return None;
                }
                runs += value.matches(THE_RUN).count();
                out.push_str(value);
                continue;
            }
            if name == RUN && !self.broken.contains(name) && !self.secrets.contains(name) {
                runs += 1;
                out.push_str(THE_RUN);
                continue;
            }
            good = false;
            if self.broken.contains(name) {
                continue;
            }
            let at = self.within(span, name);
            faults.push(if self.secrets.contains(name) {
                secret(at, name)
            } else if is_name(name) {
                let mut f = Fault::new(at, say::no_variable(name)).about(About::NoVariable);
                f.hint = self
                    .meant(name)
                    .or_else(|| Some(say::define_or_literal(name)));
                f
            } else {
                Fault::new(at, say::names_no_variable(name)).hint(say::name_or_literal())
            });
        }
        if out.matches(THE_RUN).count() != runs {
            // It would be taken for the name of the run.
            faults.push(Fault::new(span, say::literal_run()));
            return None;
        }
        self.together = self.together.saturating_add(out.len());
        if self.together > TOGETHER {
            if self.together - out.len() <= TOGETHER {
                faults.push(Fault::new(span, say::too_much(TOGETHER)));
            }
            return None;
        }
        good.then_some(out)
    }

    /// Where `${name}` stands in a string.
    fn within(&self, span: Span, name: &str) -> Span {
        let word = format!("${{{name}}}");
        match self
            .source
            .get(span.start..span.end)
            .and_then(|s| s.find(&word))
        {
            Some(at) => Span {
                start: span.start + at,
                end: span.start + at + word.len(),
            },
            None => span,
        }
    }

    /// Substitutes variables in every string of a value. A string that cannot be substituted is unchanged, and is a fault.
    pub(crate) fn put_in(&mut self, node: &Node, faults: &mut Vec<Fault>) -> Node {
        self.put(node, false, faults)
    }

    fn put(&mut self, node: &Node, pattern: bool, faults: &mut Vec<Fault>) -> Node {
        let kind = match &node.kind {
            Kind::Scalar(text, _) if text.contains("${") => {
                match self.text(text, node.span, pattern, faults) {
                    Some(text) => Kind::Scalar(text, Style::PutIn),
                    None => {
                        self.unset.push(node.span);
                        node.kind.clone()
                    }
                }
            }
            Kind::Scalar(..) => node.kind.clone(),
            Kind::List(items) => Kind::List(self.words(items, pattern, faults)),
            Kind::Map(entries) => {
                self.refuse_in_reference(entries, faults);
                let put = |(key, value): &(Key, Node)| {
                    let pattern = PATTERNS.contains(&key.text.as_str());
                    (key.clone(), self.put(value, pattern, faults))
                };
                Kind::Map(entries.iter().map(put).collect())
            }
        };
        Node {
            span: node.span,
            kind,
        }
    }

    /// Refuses a variable in `{secret: name}` and `{from: step.fact}`, which are structure: a value would choose which secret
    /// or fact is meant.
    fn refuse_in_reference(&self, entries: &[(Key, Node)], faults: &mut Vec<Fault>) {
        let [(key, value)] = entries else { return };
        let text = value.text().unwrap_or_default();
        let is_fact = || {
            let step = text.split('/').count() == 1;
            key.text == "from" && step && text.contains('.')
        };
        if text.contains("${") && (key.text == "secret" || is_fact()) {
            let message = say::no_variables_in(&key.text);
            faults.push(Fault::new(value.span, message).hint(say::write_reference_out()));
        }
    }

    /// A list, which may be the words of a command: what an interpreter executes takes neither variables nor facts.
    fn words(&mut self, items: &[Node], pattern: bool, faults: &mut Vec<Fault>) -> Vec<Node> {
        let (together, unset) = (self.together, self.unset.len());
        let mut said = Vec::new();
        let seen: Vec<Node> = items
            .iter()
            .map(|n| self.put(n, pattern, &mut said))
            .collect();
        let words: Vec<Option<&str>> = seen.iter().map(Node::text).collect();
        let code = code::places(&words);
        if code.is_empty() {
            faults.append(&mut said);
            return seen;
        }
        self.together = together;
        self.unset.truncate(unset);
        let word = |(at, item): (usize, &Node)| {
            if !code.contains(&at) {
                return self.put_in(item, faults);
            }
            if let Kind::Map(_) = item.kind {
                faults.push(Fault::new(item.span, say::fact_as_code()).hint(say::pass_fact()));
            }
            self.script(item, faults)
        };
        items.iter().enumerate().map(word).collect()
    }

    /// A script: only `$${` is unescaped, and a variable is refused.
    pub(crate) fn script(&self, node: &Node, faults: &mut Vec<Fault>) -> Node {
        let Kind::Scalar(text, style) = &node.kind else {
            return node.clone();
        };
        if !text.contains("${") {
            return node.clone();
        }
        let mut out = String::new();
        match pieces(text) {
            Err(e) => faults.push(Fault::new(node.span, e).hint(say::literal_dollar())),
            Ok(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(t) => out.push_str(t),
                        Piece::Variable(name) if self.secrets.contains(name) => {
                            faults.push(secret(self.within(node.span, name), name));
                        }
                        Piece::Variable(name) => faults.push(
                            Fault::new(self.within(node.span, name), say::variable_in_script(name))
                                .hint(say::pass_variable(name)),
                        ),
                    }
                }
            }
        }
        Node {
            span: node.span,
            kind: Kind::Scalar(out, *style),
        }
    }

    /// Refuses the name of the run where it is not known yet.
    pub(crate) fn refuse_run(&self, node: &Node, faults: &mut Vec<Fault>) {
        match &node.kind {
            Kind::Scalar(text, _) if text.contains(THE_RUN) => {
                faults.push(Fault::new(node.span, say::no_run_name_yet()));
            }
            Kind::Scalar(..) => {}
            Kind::List(items) => items.iter().for_each(|n| self.refuse_run(n, faults)),
            Kind::Map(entries) => entries.iter().for_each(|(_, n)| self.refuse_run(n, faults)),
        }
    }

    /// Refuses variables where they are not substituted, with that message.
    pub(crate) fn refuse(&self, node: &Node, message: &str, faults: &mut Vec<Fault>) {
        match &node.kind {
            Kind::Scalar(text, _) if text.contains("${") => {
                faults.push(Fault::new(node.span, message).hint(say::write_it_out()));
            }
            Kind::Scalar(..) => {}
            Kind::List(items) => items.iter().for_each(|n| self.refuse(n, message, faults)),
            Kind::Map(entries) => entries
                .iter()
                .for_each(|(_, n)| self.refuse(n, message, faults)),
        }
    }
}

/// A value as a part of a regular expression that matches it alone. The name of the run is put in later.
fn escaped(value: &str) -> String {
    let parts: Vec<String> = value.split(THE_RUN).map(regex::escape).collect();
    parts.join(THE_RUN)
}

fn secret(at: Span, name: &str) -> Fault {
    Fault::new(at, say::secret_in_text(name)).hint(say::pass_secret(name))
}

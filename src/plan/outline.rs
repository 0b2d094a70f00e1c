//! The YAML of a plan as a tree with the position of every value, so that every rule can report a position.
//!
//! Stricter than YAML where YAML surprises: one document, no duplicate keys, no tags, no merge keys, keys are plain words.
//! Aliases are expanded here, and the limits for nodes and text apply to the expanded tree.

use super::hints;
use super::problem::Fault;
use crate::text::plan as say;
use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span as Marked};
use std::collections::{BTreeMap, BTreeSet};

/// How deep values may be nested.
pub const DEPTH: usize = 64;
/// How many values a plan may hold, aliases put in.
pub const NODES: usize = 500_000;
/// How much text its values may hold, aliases put in.
pub const TEXT: usize = 8 << 20;

/// Bytes of the source text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: it may be a number, a boolean or nothing.
    Plain,
    /// In quotes or as a block: always text.
    Quoted,
    /// Variables were put in: text, which a type that wants a number or a boolean may still read as one.
    PutIn,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is written.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A scalar: its text as it was written, without quotes.
    Scalar(String, Style),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

impl Node {
    /// The entries of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(..) | Kind::List(_) => &[],
        }
    }

    /// The items of a sequence; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(..) | Kind::Map(_) => &[],
        }
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(_, v)| v)
    }

    /// The place of a key, or of the whole where it has no such key.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Span {
        self.entries()
            .iter()
            .find(|(k, _)| k.text == key)
            .map_or(self.span, |(k, _)| k.span)
    }

    /// The place at the end of a path of keys, as far as it goes.
    #[must_use]
    pub fn span_at(&self, path: &[&str]) -> Span {
        let mut at = self;
        for key in path {
            match at.get(key) {
                Some(next) => at = next,
                None => break,
            }
        }
        at.span
    }

    /// The text of a scalar that is not nothing.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text, _) if !self.is_null() => Some(text),
            Kind::Scalar(..) | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Nothing was written.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(text, Style::Plain) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The map at that place.
    pub(crate) fn map_at(&self, at: Span) -> Option<&Node> {
        match &self.kind {
            Kind::Scalar(..) => None,
            Kind::List(items) => items.iter().find_map(|n| n.map_at(at)),
            Kind::Map(_) if self.span == at => Some(self),
            Kind::Map(entries) => entries.iter().find_map(|(_, n)| n.map_at(at)),
        }
    }

    /// Takes out the entry whose key stands at that place.
    pub(crate) fn take_out(&mut self, at: Span) {
        match &mut self.kind {
            Kind::Scalar(..) => {}
            Kind::List(items) => items.iter_mut().for_each(|n| n.take_out(at)),
            Kind::Map(entries) => {
                entries.retain(|(k, _)| k.span != at);
                entries.iter_mut().for_each(|(_, n)| n.take_out(at));
            }
        }
    }

    /// The same mapping with another value under a key that it has.
    pub(crate) fn with(mut self, key: &str, value: Kind) -> Self {
        if let Kind::Map(entries) = &mut self.kind
            && let Some((_, node)) = entries.iter_mut().find(|(k, _)| k.text == key)
        {
            node.kind = value;
        }
        self
    }

    /// Takes the value under a key out, and leaves an empty list in its place.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node> {
        let Kind::Map(entries) = &mut self.kind else {
            return None;
        };
        let (_, node) = entries.iter_mut().find(|(k, _)| k.text == key)?;
        let span = node.span;
        let kind = std::mem::replace(&mut node.kind, Kind::List(Vec::new()));
        Some(Node { span, kind })
    }
}

/// A collection that is not complete yet.
struct Open {
    anchor: usize,
    span: Span,
    pending: Option<Key>,
    keys: BTreeSet<String>,
    kind: Kind,
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, Size)>,
    root: Option<Node>,
    size: Size,
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

/// The tree of a text, and what is wrong with it. A tree with faults is still good enough to look for more.
///
/// # Errors
/// What makes the rest unreadable.
pub(crate) fn outline(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = false;
    let mut builder = Builder {
        text,
        open: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
        size: Size::default(),
        faults: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| scan_error(text, &e))?;
        builder.event(event, span)?;
    }
    let Builder { root, faults, .. } = builder;
    match root {
        Some(root) => Ok((root, faults)),
        None => Err(Fault::new(Span::default(), say::empty()).hint(say::init_writes_one())),
    }
}

fn scan_error(text: &str, error: &serde_saphyr::granit_parser::ScanError) -> Fault {
    let at = byte(text, error.marker());
    let mut start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    // The parser reports the end of the previous line, or the line itself.
    for line in text[start..].split_inclusive('\n').take(2) {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent]
            .find('\t')
            .filter(|_| !line.trim().is_empty())
        {
            let span = Span {
                start: start + tab,
                end: start + tab + 1,
            };
            return Fault::new(span, say::tab()).hint(say::indent_with_spaces());
        }
        start += line.len();
    }
    hints::yaml(text, at, &error.info().to_string())
}

/// The byte that a marker points at, always on a character boundary.
fn byte(text: &str, marker: &Marker) -> usize {
    let at = marker
        .byte_offset()
        .or_else(|| text.char_indices().nth(marker.index()).map(|(at, _)| at))
        .unwrap_or(text.len());
    (0..=at.min(text.len()))
        .rev()
        .find(|n| text.is_char_boundary(*n))
        .unwrap_or(0)
}

impl Builder<'_> {
    fn span(&self, marked: &Marked) -> Span {
        let start = byte(self.text, &marked.start);
        Span {
            start,
            end: byte(self.text, &marked.end).max(start),
        }
    }

    fn event(&mut self, event: Event<'_>, marked: Marked) -> Result<(), Fault> {
        let span = self.span(&marked);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(Fault::new(span, say::second_document()).hint(say::one_document()));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                if text.contains('\0') {
                    self.faults.push(Fault::new(span, say::nul()));
                }
                let style = if style == ScalarStyle::Plain {
                    Style::Plain
                } else {
                    Style::Quoted
                };
                self.count(
                    Size {
                        nodes: 1,
                        text: text.len(),
                    },
                    span,
                )?;
                let node = Node {
                    span,
                    kind: Kind::Scalar(text.into_owned(), style),
                };
                self.done(node, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                self.start(anchor, span, Kind::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                self.start(anchor, span, Kind::Map(Vec::new()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut open) = self.open.pop() {
                    // A plan has tens of thousands of these, of an entry or two each.
                    match &mut open.kind {
                        Kind::List(items) => items.shrink_to_fit(),
                        Kind::Map(entries) => entries.shrink_to_fit(),
                        Kind::Scalar(..) => {}
                    }
                    let span = Span {
                        start: open.span.start,
                        end: span.end.max(open.span.end),
                    };
                    self.done(
                        Node {
                            span,
                            kind: open.kind,
                        },
                        open.anchor,
                    )?;
                }
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault::new(span, say::alias_in_itself()));
                };
                self.count(size, span)?;
                self.done(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn no_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.faults
                .push(Fault::new(span, say::tag()).hint(say::no_tags()));
        }
    }

    fn count(&mut self, more: Size, span: Span) -> Result<(), Fault> {
        self.size.nodes = self.size.nodes.saturating_add(more.nodes);
        self.size.text = self.size.text.saturating_add(more.text);
        if self.size.nodes > NODES || self.size.text > TEXT {
            return Err(Fault::new(span, say::bomb(NODES, TEXT)).hint(say::no_bombs()));
        }
        Ok(())
    }

    fn start(&mut self, anchor: usize, span: Span, kind: Kind) -> Result<(), Fault> {
        self.count(Size { nodes: 1, text: 0 }, span)?;
        if self.open.len() >= DEPTH {
            return Err(Fault::new(span, say::too_deep(DEPTH)));
        }
        if let Some(Open {
            kind: Kind::Map(_),
            pending: None,
            ..
        }) = self.open.last()
        {
            return Err(Fault::new(span, say::key_is_a_word()).hint(say::quote_variable()));
        }
        self.open.push(Open {
            anchor,
            span,
            pending: None,
            keys: BTreeSet::new(),
            kind,
        });
        Ok(())
    }

    /// A complete value: the root, an item, a key or what stands under one.
    fn done(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            // The stored copy counts too: nested anchors store many copies.
            let size = measure(&node);
            self.count(size, node.span)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.kind, open.pending.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(entries), Some(key)) => {
                if open.keys.insert(key.text.clone()) {
                    entries.push((key, node));
                } else {
                    let first = entries.iter().find(|(k, _)| k.text == key.text);
                    let line = first.map_or(0, |(k, _)| super::warning::line(self.text, k.span));
                    let message = say::twice(&key.text, line);
                    self.faults
                        .push(Fault::new(key.span, message).hint(say::one_is_lost()));
                }
            }
            (Kind::Map(_), None) => match node.kind {
                Kind::Scalar(text, Style::Plain) if text == "<<" => {
                    self.faults
                        .push(Fault::new(node.span, say::merge()).hint(say::no_merge()));
                    open.pending = Some(Key {
                        text,
                        span: node.span,
                    });
                }
                Kind::Scalar(text, _) => {
                    open.pending = Some(Key {
                        text,
                        span: node.span,
                    })
                }
                Kind::List(_) | Kind::Map(_) => {
                    return Err(
                        Fault::new(node.span, say::key_is_a_word()).hint(say::quote_variable())
                    );
                }
            },
            (Kind::Scalar(..), _) => {}
        }
        Ok(())
    }
}

fn measure(node: &Node) -> Size {
    let mut sum = Size { nodes: 1, text: 0 };
    let mut add = |n: &Node, key: usize| {
        let size = measure(n);
        sum.nodes = sum
            .nodes
            .saturating_add(size.nodes)
            .saturating_add(usize::from(key > 0));
        sum.text = sum.text.saturating_add(size.text).saturating_add(key);
    };
    match &node.kind {
        Kind::Scalar(text, _) => sum.text = text.len(),
        Kind::List(items) => items.iter().for_each(|n| add(n, 0)),
        Kind::Map(entries) => entries.iter().for_each(|(k, n)| add(n, k.text.len())),
    }
    sum
}

//! One change of one key in a text, and the proof that it changed nothing else.
//!
//! Invariant: the text is changed where the value stands and nowhere else; the result is parsed again, and every single value
//! of the document but those that were asked for is as before, or the change is refused.

use super::tree::{
    Content, Found, Kind, Member, Node, Scalar, line_end, line_start, shown, spliced, twice,
    with_line,
};
use super::value::{Change, Duplicates, Key};
use super::{dotenv, ini, json, toml, yaml};
use crate::action::Error;
use crate::action::values::distance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// How many paths an error names.
const NAMED: usize = 5;

/// How a configuration file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A `.env` file.
    Dotenv,
    /// YAML, one document.
    Yaml,
    /// TOML.
    Toml,
    /// JSON; comments and trailing commas stay where the file has them.
    Json,
    /// An INI file, as Python's configparser reads it.
    Ini,
    /// A Python module whose names are assigned, such as Django's settings.
    Python,
}

impl Format {
    /// By the name of a file; none where it does not say.
    pub(super) fn of(path: &str) -> Option<Self> {
        let name = Path::new(path).file_name()?.to_str()?.to_ascii_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
        match extension {
            "yml" | "yaml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" | "jsonc" => Some(Self::Json),
            "ini" | "cfg" => Some(Self::Ini),
            "py" => Some(Self::Python),
            "env" => Some(Self::Dotenv),
            _ => name.starts_with(".env").then_some(Self::Dotenv),
        }
    }

    /// The parts of a key.
    pub(super) fn path(self, key: &Key) -> Result<Vec<String>, Error> {
        let parts: Vec<String> = match (self, key) {
            (_, Key::Parts(parts)) => parts.clone(),
            (Self::Dotenv, Key::Text(text)) => vec![text.clone()],
            (_, Key::Text(text)) => text.split('.').map(str::to_owned).collect(),
        };
        match (self, parts.len()) {
            (Self::Dotenv, 1) | (Self::Ini, 2) => Ok(parts),
            (Self::Dotenv, _) => Err(Error::certain(format!(
                "{} is no name of a .env file, which has no nested keys",
                key.shown()
            ))),
            (Self::Ini, _) => Err(Error::certain(format!(
                "{} is no section and name",
                key.shown()
            ))
            .remedy("write the key as the list [section, name]")),
            _ => Ok(parts),
        }
    }

    /// All values are text.
    pub(super) fn is_untyped(self) -> bool {
        matches!(self, Self::Dotenv | Self::Ini)
    }

    /// The document of a text.
    ///
    /// # Errors
    /// [`Error`] when the text is not of this format. A Python module is not parsed here.
    pub(super) fn parse(self, text: &str) -> Result<Node, Error> {
        match self {
            Self::Dotenv => dotenv::parse(text),
            Self::Yaml => yaml::parse(text),
            Self::Toml => toml::parse(text),
            Self::Json => json::parse(text),
            Self::Ini => ini::parse(text),
            Self::Python => Err(Error::new("a Python module is parsed by Python")),
        }
    }
}

/// How values are written, where a format leaves a choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) format: Format,
    /// The style of a value in a `.env` file.
    pub(super) style: dotenv::Style,
    /// `%` is doubled, because the reader of the INI file interpolates.
    pub(super) doubled: bool,
    /// What aliases of YAML refer to may change with it.
    pub(super) aliases: bool,
}

impl Manner {
    /// The text with the change; `wanted` is none where the key is removed.
    pub(super) fn apply(
        self,
        text: &str,
        change: &Change,
        wanted: Option<&Scalar>,
    ) -> Result<String, Error> {
        let tree = self.format.parse(text)?;
        let mut path = self.format.path(&change.key)?;
        if self.format == Format::Ini {
            path = ini::as_written(&tree, path);
        }
        let after = match tree.find(text, &path)? {
            Found::Values(members) => {
                let members = chosen(text, &path, members, change)?;
                let parent = self.parent(&tree, text, &path)?;
                let mut after = text.to_owned();
                // From the end, so that the places before it stay.
                for member in members.into_iter().rev() {
                    after = match wanted {
                        None => self.removed(&after, parent, member)?,
                        Some(wanted) => self.replaced(
                            &after,
                            &path,
                            Some(member),
                            &member.value,
                            change,
                            wanted,
                        )?,
                    };
                }
                after
            }
            Found::Item(item) => match wanted {
                None => {
                    return Err(Error::certain(format!(
                        "{} is an item of a list, and only keys can be removed",
                        shown(&path)
                    )));
                }
                Some(wanted) => self.replaced(text, &path, None, item, change, wanted)?,
            },
            Found::Missing(map, depth) => match wanted {
                None => text.to_owned(),
                Some(_) if change.absent != Some(super::value::Absent::Create) => {
                    return Err(missing(map, &path, depth));
                }
                Some(wanted) => match change.neighbour() {
                    None => self.inserted(text, &tree, map, &path, depth, wanted)?,
                    Some(neighbour) => self.beside(text, map, &path[depth..], neighbour, wanted)?,
                },
            },
        };
        self.prove(&tree, &after, (&path, change), wanted)?;
        Ok(after)
    }

    /// The map that the last key belongs to.
    fn parent<'t>(self, tree: &'t Node, text: &str, path: &[String]) -> Result<&'t Node, Error> {
        match path.split_last() {
            Some((_, [])) | None => Ok(tree),
            Some((_, above)) => match tree.find(text, above)? {
                Found::Values(members) => Ok(members.last().map_or(tree, |m| &m.value)),
                Found::Item(item) => Ok(item),
                Found::Missing(map, _) => Ok(map),
            },
        }
    }

    fn literal(
        self,
        wanted: &Scalar,
        former: Option<&Node>,
        text: &str,
        flow: bool,
    ) -> Result<String, Error> {
        let written = former.map(|node| &text[node.span.clone()]);
        match self.format {
            Format::Dotenv => dotenv::literal(&wanted.text, self.style).ok_or_else(|| {
                Error::certain("the value cannot be written in a .env file in this way")
            }),
            Format::Yaml => yaml::literal(wanted, written, flow),
            Format::Toml => toml::literal(wanted, written),
            Format::Json => json::literal(wanted),
            Format::Ini => ini::literal(&wanted.text, self.doubled, former),
            Format::Python => Err(Error::new("a Python module is changed by Python")),
        }
    }

    fn replaced(
        self,
        text: &str,
        path: &[String],
        member: Option<&Member>,
        node: &Node,
        change: &Change,
        wanted: &Scalar,
    ) -> Result<String, Error> {
        match &node.content {
            Content::Map(_) | Content::List(_) => {
                return Err(Error::certain(format!(
                    "{} holds other values, which a single one would replace",
                    shown(path)
                ))
                .remedy("name one of its keys"));
            }
            Content::Scalar(now) if now == wanted => return Ok(text.to_owned()),
            Content::Scalar(now) => {
                let free = matches!(now.kind, Kind::Other | Kind::Null) || self.format.is_untyped();
                if change.as_type.is_none() && !free && now.kind != wanted.kind {
                    return Err(Error::certain(format!(
                        "{} is {} now, and would become {}",
                        shown(path),
                        now.kind.word(),
                        wanted.kind.word()
                    ))
                    .remedy("say which it is to be with `type`, or write the value in the plan as the file does"));
                }
            }
            Content::Alias(_) => {}
        }
        let literal = self.literal(wanted, Some(node), text, node.flow)?;
        let unwritten = node.span.is_empty() && self.format == Format::Yaml;
        match member.filter(|_| unwritten) {
            Some(member) => {
                let place = yaml::empty_place(text, member);
                Ok(spliced(text, &place, &format!(" {literal}")))
            }
            None => Ok(spliced(text, &node.span, &literal)),
        }
    }

    fn removed(self, text: &str, parent: &Node, member: &Member) -> Result<String, Error> {
        match self.format {
            Format::Dotenv => Ok(dotenv::remove(text, member)),
            Format::Yaml => yaml::remove(text, parent, member),
            Format::Toml => toml::remove(text, parent, member),
            Format::Json => Ok(json::remove(text, parent, member)),
            Format::Ini => Ok(ini::remove(text, member)),
            Format::Python => Err(Error::new("a Python module is changed by Python")),
        }
    }

    fn inserted(
        self,
        text: &str,
        tree: &Node,
        map: &Node,
        path: &[String],
        depth: usize,
        wanted: &Scalar,
    ) -> Result<String, Error> {
        let keys = &path[depth..];
        let literal = self.literal(wanted, None, text, map.flow)?;
        Ok(match (self.format, path) {
            (Format::Dotenv, [key, ..]) => dotenv::insert(text, key, &literal),
            (Format::Yaml, _) => yaml::insert(text, map, keys, &literal),
            (Format::Toml, _) => toml::insert(text, map, depth == 0, keys, &literal),
            (Format::Json, _) => json::insert(text, map, keys, &literal),
            (Format::Ini, [section, name]) => ini::insert(text, tree, section, name, &literal),
            _ => return Err(Error::new("a Python module is changed by Python")),
        })
    }

    /// The text with one more key beside a neighbour in the same map.
    fn beside(
        self,
        text: &str,
        map: &Node,
        keys: &[String],
        (neighbour, behind): (&str, bool),
        wanted: &Scalar,
    ) -> Result<String, Error> {
        let mut members = map.members().iter();
        let member = members.rfind(|m| m.key == neighbour).ok_or_else(|| {
            Error::certain(format!(
                "there is no key {neighbour} beside {}",
                shown(keys)
            ))
        })?;
        let [key] = keys else {
            return Err(Error::certain(format!(
                "{} needs a table of its own, which has no neighbour",
                shown(keys)
            )));
        };
        let literal = self.literal(wanted, None, text, map.flow)?;
        if self.format == Format::Json {
            return Ok(json::beside(text, map, member, behind, key, &literal));
        }
        let start = line_start(text, member.start);
        let indent = &text[start..member.start];
        if map.flow || !indent.trim().is_empty() {
            return Err(Error::certain(format!(
                "{neighbour} does not stand in a line of its own"
            )));
        }
        let line = match self.format {
            Format::Dotenv => format!("{indent}{key}={literal}"),
            Format::Yaml => format!("{indent}{}: {literal}", yaml::key(key)),
            Format::Toml => format!("{indent}{} = {literal}", toml::key(key)),
            Format::Ini | Format::Json | Format::Python => format!("{indent}{key} = {literal}"),
        };
        let end = member.value.span.end.max(member.start + 1) - 1;
        let at = if behind { line_end(text, end) } else { start };
        Ok(with_line(text, at, &line))
    }

    /// Nothing but what was asked for has changed, and that is as it is wanted.
    fn prove(
        self,
        before: &Node,
        after: &str,
        (path, change): (&[String], &Change),
        wanted: Option<&Scalar>,
    ) -> Result<(), Error> {
        let after = self
            .format
            .parse(after)
            .map_err(|e| Error::certain(format!("{} cannot be written there: {e}", shown(path))))?;
        let (before, after) = (before.leaves()?, after.leaves()?);
        let own = |at: &[String]| {
            let same = |(a, b): (&String, &String)| {
                a.split_once('#').map_or(a == b, |(a, _)| a == b) || a == b
            };
            at.len() >= path.len() && at.iter().zip(path).all(same)
        };
        let parent = |at: &Vec<String>| {
            path.starts_with(at) && before.get(at).is_some_and(|v| v.kind == Kind::Other)
        };
        let former = before.get(path);
        let paths: BTreeSet<&Vec<String>> = before.keys().chain(after.keys()).collect();
        let mut others = paths.into_iter().filter(|at| {
            let (was, is) = (before.get(*at), after.get(*at));
            let shared = self.aliases && was == former && is == wanted;
            was != is && !own(at) && !parent(at) && !shared
        });
        let first: Vec<String> = others.by_ref().take(NAMED).map(|p| shown(p)).collect();
        if !first.is_empty() {
            let more = others.count();
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            return Err(Error::certain(format!(
                "to change {} would change {}{more}, too",
                shown(path),
                first.join(", ")
            ))
            .remedy(
                "change each of them by itself; where aliases refer to it, say `aliases: true`",
            ));
        }
        let doubled = |w: &Scalar| Scalar {
            text: match self.doubled {
                true => w.text.replace('%', "%%"),
                false => w.text.clone(),
            },
            kind: w.kind,
        };
        let wanted = wanted.map(doubled);
        let found: Vec<&Scalar> = after
            .iter()
            .filter(|(at, _)| at.len() == path.len() && own(at))
            .map(|(_, value)| value)
            .collect();
        let last = change.duplicates == Some(Duplicates::Last);
        let right = match &wanted {
            None => last || found.is_empty(),
            Some(wanted) if last => found.contains(&wanted),
            Some(wanted) => !found.is_empty() && found.iter().all(|f| *f == wanted),
        };
        if !right {
            let is = found.last().map_or_else(
                || "it would not be there".into(),
                |f| format!("it would be {}", f.kind.word()),
            );
            return Err(Error::certain(format!(
                "{} would not be read as it is wanted: {is}",
                shown(path)
            )));
        }
        Ok(())
    }
}

/// Those that are changed of a key that may stand more than once.
fn chosen<'t>(
    text: &str,
    path: &[String],
    mut members: Vec<&'t Member>,
    change: &Change,
) -> Result<Vec<&'t Member>, Error> {
    match change.duplicates {
        None if members.len() > 1 => Err(twice(text, path, &members)),
        Some(Duplicates::Last) => Ok(members.split_off(members.len() - 1)),
        None | Some(Duplicates::All) => Ok(members),
    }
}

fn missing(map: &Node, path: &[String], depth: usize) -> Error {
    let key = &path[depth];
    let near = map
        .members()
        .iter()
        .map(|m| m.key.as_str())
        .min_by_key(|known| distance(key, known))
        .filter(|known| distance(key, known) <= 2);
    let error = Error::certain(format!(
        "there is no key {} in the file",
        shown(&path[..=depth])
    ));
    match near {
        Some(known) => error.remedy(format!("there is a {known}; `absent: create` adds the key")),
        None => error.remedy("`absent: create` adds the key"),
    }
}

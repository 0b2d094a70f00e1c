//! The facts that a kind hands on, known before it runs: the properties of its output's type.

use schemars::JsonSchema;
use serde_json::Value;

/// What kind of value a fact is, so that `check` can tell where it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// Any text.
    Text,
    /// An absolute path.
    Path,
    /// A SHA-256 digest, lower-case hex.
    Digest,
    /// A commit, in full.
    Commit,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

impl FactKind {
    fn of(schema: &Value) -> Option<Self> {
        Some(match (named(schema, "type")?, schema["format"].as_str()) {
            ("string", Some("path")) => Self::Path,
            ("string", Some("sha256")) => Self::Digest,
            ("string", Some("commit")) => Self::Commit,
            ("string", _) => Self::Text,
            ("integer" | "number", _) => Self::Number,
            ("boolean", _) => Self::Boolean,
            _ => return None,
        })
    }

    /// The word for it in the plan reference and the JSON Schema.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Digest => "digest",
            Self::Commit => "commit",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Values of this kind for the fact `step.name`, to see whether a setting takes one before there is one. Rules about
    /// numbers and texts differ, so a fact fits where one of them does.
    #[must_use]
    pub fn samples(self, fact: &str) -> Vec<String> {
        let texts: &[&str] = match self {
            Self::Text => {
                return vec![
                    format!("{{from: {fact}}}"),
                    "fact".into(),
                    "http://127.0.0.1/fact".into(),
                ];
            }
            Self::Path => return vec![format!("/{}", fact.replace('.', "/"))],
            Self::Digest => return vec!["0".repeat(64)],
            Self::Commit => return vec!["0".repeat(40)],
            Self::Number => &["8000", "200", "2", "1", "0"],
            Self::Boolean => &["true", "false"],
        };
        texts.iter().map(ToString::to_string).collect()
    }
}

/// The type of a property, which may be absent.
fn named<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    match &schema[key] {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|n| *n != "null"),
        _ => None,
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its name; later steps say `{from: step.name}`.
    pub name: String,
    /// What kind of value it is.
    pub kind: FactKind,
    /// What it tells, from the property's documentation.
    pub description: String,
}

/// The facts of an output: its properties that are single values.
#[must_use]
pub fn facts_of<O: JsonSchema>() -> Vec<Fact> {
    let schema = schemars::schema_for!(O).to_value();
    let properties = schema["properties"].as_object().cloned();
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, property)| {
            Some(Fact {
                kind: FactKind::of(&property)?,
                description: property["description"].as_str().unwrap_or_default().into(),
                name,
            })
        })
        .collect()
}

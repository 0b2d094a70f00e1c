//! Deserializes types from the tree of a plan; an error has the position of its value.
//!
//! Text accepts numbers and booleans as written, so `version: 4.10` keeps its zero. Numbers and booleans are never read
//! from quoted text, except from a variable. No error contains a value, because it may be a secret.

use super::hints;
use super::outline::{Kind, Node, Span, Style};
use super::problem::{About, Fault, did_you_mean};
use crate::action::values::Port;
use crate::actions::http::Header;
use crate::host::files::mode::NotAMode;
use crate::host::service::names::Names;
use crate::text::plan as say;
use crate::time::NotALength;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::fmt::Display;

/// Reads a type; the fault has a place.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Fault> {
    T::deserialize(Reader(node)).map_err(|f| f.or_at(node.span))
}

/// Reads a type and takes out keys that it does not know, one fault each.
pub(crate) fn read_leniently<T: DeserializeOwned>(
    node: &Node,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let (whole, from) = (node, faults.len());
    let mut node = node.clone();
    loop {
        match read(&node) {
            Ok(value) => return Some(value),
            Err(fault) => {
                if let About::Missing(key) = fault.about
                    && meant(whole, fault.span, key, &mut faults[from..])
                {
                    return None;
                }
                let unknown = fault.span.filter(|_| fault.about == About::UnknownKey);
                faults.push(fault);
                let before = node.clone();
                node.take_out(unknown?);
                if node == before {
                    return None;
                }
            }
        }
    }
}

/// Whether the key that is missing in a map stands there under a name that is not known; that fault then says so.
fn meant(whole: &Node, at: Option<Span>, key: &str, faults: &mut [Fault]) -> bool {
    let Some(map) = at.and_then(|at| whole.map_at(at)) else {
        return false;
    };
    let here = |fault: &Fault| {
        let known = |(k, _): &(super::outline::Key, Node)| Some(k.span) == fault.span;
        fault.about == About::UnknownKey && map.entries().iter().any(known)
    };
    let quoted = format!("`{key}`");
    let remedy = hints::missing(key);
    let says = |fault: &&mut Fault| {
        let hint = fault.hint.as_deref();
        hint.is_none_or(|h| h.contains(&quoted)) || (hint == remedy.as_deref())
    };
    let Some(fault) = faults.iter_mut().filter(|f| here(f)).find(says) else {
        return false;
    };
    // One of many that are known.
    let lists = |hint: &String| hint.matches('`').count() > 2 && Some(hint) != remedy.as_ref();
    if fault.hint.as_ref().is_none_or(lists) {
        fault.hint = Some(say::perhaps_meant(key));
    }
    true
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

fn fault(message: impl Into<String>) -> Fault {
    Fault {
        message: message.into(),
        span: None,
        hint: None,
        about: About::Any,
    }
}

fn one_of(known: &[&str]) -> Option<String> {
    let words: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
    (!words.is_empty()).then(|| say::one_of(crate::text::list(&words)))
}

/// What a type says it wants, in the language of the process. Types of actions say it in English, because a runner that
/// cannot read one records their words. Whatever is not known here stays as it is.
fn spoken(english: String) -> String {
    if english.starts_with("struct ") {
        return say::map();
    }
    // The only untagged type of actions: a command argument.
    if english.ends_with("untagged enum Arg") {
        return say::not_a_word();
    }
    if english == NotALength.to_string() {
        return say::not_a_length();
    }
    if english == NotAMode.to_string() {
        return say::not_a_mode();
    }
    match english.as_str() {
        "a map" => say::map(),
        "a sequence" => say::sequence(),
        "a string" => say::string(),
        "a boolean" => say::boolean(),
        "u8" | "u16" | "u32" | "u64" | "i32" | "i64" => say::number_of(english),
        Port::WANTED => say::port(),
        Port::REFUSED => say::not_a_port(),
        Header::WANTED => say::header(),
        Names::WANTED => say::names(),
        _ => english,
    }
}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        fault(spoken(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(_) => say::text(),
            Unexpected::Bool(_) => say::true_or_false(),
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => say::number(),
            Unexpected::Float(_) => say::fraction(),
            Unexpected::Unit | Unexpected::Option => say::nothing(),
            Unexpected::Seq => say::list(),
            Unexpected::Map => say::map(),
            _ => say::other(),
        };
        fault(say::expected_found(spoken(expected.to_string()), found))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        fault(say::expected(spoken(expected.to_string())))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let hint = hints::unknown_key(field, known).or_else(|| one_of(known));
        Fault {
            hint,
            about: About::UnknownKey,
            ..fault(say::unknown_key(field))
        }
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        let action = hints::unknown_action(word, known);
        if action.is_some() && word.contains(' ') {
            // A command in one string.
            return fault(say::expected_found(say::action(), say::text()));
        }
        // A similar word would start what should be restarted.
        let restart = action.clone().filter(|_| word.ends_with(".restart"));
        let hint = restart
            .or_else(|| did_you_mean(word, known.iter().copied()))
            .or(action)
            .or_else(|| one_of(known));
        Fault {
            hint,
            ..fault(say::unknown_word(word))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Fault {
            hint: hints::missing(field),
            about: About::Missing(field),
            ..fault(say::missing(field))
        }
    }
}

struct Reader<'n>(&'n Node);

fn number<T>(node: &Node, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    match &node.kind {
        Kind::Scalar(text, Style::Plain | Style::PutIn) => {
            let digits = text.trim_start_matches(['-', '+']);
            // Some readers parse 010 as eight, others as ten.
            let ambiguous = digits.len() > 1
                && digits.starts_with('0')
                && digits.bytes().all(|b| b.is_ascii_digit());
            if ambiguous { None } else { parse(text) }
        }
        Kind::Scalar(..) | Kind::List(_) | Kind::Map(_) => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $kind:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match number(self.0, |t| t.parse::<$kind>().ok()) {
                Some(n) => visitor.$visit(n),
                None if self.0.text().is_some() => {
                    let wanted = say::in_range(<$kind>::MIN, <$kind>::MAX);
                    let wrong = fault(say::expected(wanted)).or_at(self.0.span);
                    // Digits alone are too many of them.
                    let digits = number(self.0, |t| t.parse::<i128>().ok()).is_some();
                    Err(if digits { wrong } else { wrong.hint(say::plain_digits()) })
                }
                None => self.deserialize_any(visitor),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        let value = match &node.kind {
            Kind::Scalar(text, Style::Plain) => {
                if node.is_null() {
                    visitor.visit_unit()
                } else if let Some(b) = boolean(text) {
                    visitor.visit_bool(b)
                } else if let Some(n) = number(node, |t| t.parse::<u64>().ok()) {
                    visitor.visit_u64(n)
                } else if let Some(n) = number(node, |t| t.parse::<i64>().ok()) {
                    visitor.visit_i64(n)
                } else {
                    visitor.visit_str(text)
                }
            }
            Kind::Scalar(text, Style::Quoted | Style::PutIn) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        };
        value.map_err(|f| f.or_at(node.span))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.text() {
            Some(text) => visitor
                .visit_str(text)
                .map_err(|f: Fault| f.or_at(self.0.span)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Scalar(text, Style::Plain | Style::PutIn) => match boolean(text) {
                Some(b) => visitor.visit_bool(b),
                None => Err(fault(say::expected(say::true_or_false())).or_at(self.0.span)),
            },
            Kind::Scalar(..) | Kind::List(_) | Kind::Map(_) => self.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let node = self.0;
        let chosen = match (&node.kind, node.text()) {
            (Kind::Scalar(..), Some(word)) => Chosen {
                word,
                at: node.span,
                value: None,
            },
            (Kind::Map(entries), _) if entries.len() == 1 => {
                let (key, value) = &entries[0];
                Chosen {
                    word: &key.text,
                    at: key.span,
                    value: Some(value),
                }
            }
            (Kind::Scalar(..) | Kind::List(_) | Kind::Map(_), _) => {
                let mut f = fault(say::one_key()).or_at(node.span);
                f.about = About::OneKey;
                f.hint = if variants.contains(&"shell") {
                    Some(say::one_action_each())
                } else {
                    one_of(variants)
                };
                return Err(f);
            }
        };
        visitor.visit_enum(chosen).map_err(|f| f.or_at(node.span))
    }

    /// A map only: serde would also take a list, by the order of the fields.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if matches!(self.0.kind, Kind::List(_)) {
            let f: Fault = de::Error::invalid_type(Unexpected::Seq, &"a map");
            return Err(f.or_at(self.0.span));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple tuple_struct map
    }
}

struct Items<'n>(std::slice::Iter<'n, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.0
            .next()
            .map(|node| {
                seed.deserialize(Reader(node))
                    .map_err(|f| f.or_at(node.span))
            })
            .transpose()
    }
}

struct Entries<'n> {
    rest: std::slice::Iter<'n, (super::outline::Key, Node)>,
    value: Option<(&'n str, &'n Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((&key.text, value));
        let text: StrDeserializer<'_, Fault> = key.text.as_str().into_deserializer();
        seed.deserialize(text)
            .map(Some)
            .map_err(|f| f.or_at(key.span))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let (key, node) = self.value.take().ok_or_else(|| fault(say::no_key()))?;
        seed.deserialize(Reader(node))
            .map_err(|f| hints::wants_map(key, node, f.or_at(node.span)))
    }
}

/// One word out of a few, with what stands under it.
struct Chosen<'n> {
    word: &'n str,
    at: Span,
    value: Option<&'n Node>,
}

impl<'de, 'n> EnumAccess<'de> for Chosen<'n> {
    type Error = Fault;
    type Variant = Under<'n>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Under<'n>), Fault> {
        let word: StrDeserializer<'_, Fault> = self.word.into_deserializer();
        let value = seed.deserialize(word).map_err(|f| f.or_at(self.at))?;
        Ok((
            value,
            Under {
                word: self.word,
                at: self.at,
                value: self.value,
            },
        ))
    }
}

struct Under<'n> {
    word: &'n str,
    at: Span,
    value: Option<&'n Node>,
}

impl<'n> Under<'n> {
    fn value(&self) -> Result<&'n Node, Fault> {
        self.value
            .ok_or_else(|| fault(say::needs_settings(self.word)).or_at(self.at))
    }
}

impl<'de> VariantAccess<'de> for Under<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            Some(node) if !node.is_null() => {
                Err(fault(say::takes_nothing(self.word)).or_at(node.span))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let node = self.value()?;
        seed.deserialize(Reader(node)).map_err(|f: Fault| {
            let f = f.or_at(node.span);
            let command = self.word == "run" && node.text().is_some() && f.hint.is_none();
            if command { f.hint(say::write_run()) } else { f }
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Reader(self.value()?).deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        Reader(self.value()?).deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Arg;
    use crate::host::files::mode::Mode;
    use crate::text::plan as say;
    use crate::time::Length;
    use serde_json::{Value, json};

    /// What types of actions say, as a runner would record it, is found again and said in both languages.
    #[test]
    fn the_words_of_types_are_known() {
        fn said<T: DeserializeOwned>(value: Value) -> String {
            let words = serde_json::from_value::<T>(value)
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default();
            words
                .rsplit_once(", expected ")
                .map_or(words.clone(), |(_, wanted)| wanted.to_owned())
        }
        for (said, known) in [
            (said::<Length>(json!("soon")), say::not_a_length()),
            (said::<Length>(json!([])), say::string()),
            (said::<Mode>(json!("rw")), say::not_a_mode()),
            (said::<Port>(json!(0)), say::not_a_port()),
            (said::<Port>(json!("x")), say::not_a_port()),
            (said::<Port>(json!([])), say::port()),
            (said::<Header>(json!([])), say::header()),
            (said::<Names>(json!(7)), say::names()),
            (said::<bool>(json!(1)), say::boolean()),
            (said::<u16>(json!("x")), say::number_of("u16")),
            (
                said::<std::collections::BTreeMap<String, u8>>(json!(1)),
                say::map(),
            ),
        ] {
            assert_eq!(said, known);
            assert_eq!(spoken(said), known);
        }
        assert_eq!(spoken(said::<Vec<u8>>(json!(1))), say::sequence());
        assert_eq!(spoken(said::<Arg>(json!([]))), say::not_a_word());
        assert_eq!(spoken(said::<crate::action::From>(json!(1))), say::map());
    }
}

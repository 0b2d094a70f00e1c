//! The writing half of canonical JSON: any serializable value to its only text, without a tree of it in between.
//!
//! Invariants: the text is the one that the value's `serde_json::Value` would have; of a value that has none, nothing is
//! returned. Types name their fields in any order: each object is put in order when it is complete, in the text itself.
//! Left out: reading (`canonical`).

use crate::canonical::{MAX_DEPTH, MAX_INTEGER, NotCanonical};
use crate::head::to_hex;
use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::ops::Range;

/// The canonical text of `value`.
///
/// # Errors
/// [`NotCanonical`] if the value holds a number, key or nesting that the format excludes, or has no JSON form.
pub fn to_canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, NotCanonical> {
    let mut writer = Writer {
        out: String::new(),
        depth: 0,
    };
    value.serialize(&mut writer).map_err(|Failed(why)| why)?;
    Ok(writer.out)
}

/// Writes `text` as a JSON string with the escapes of RFC 8785 and no other.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            other => {
                out.push_str("\\u00");
                out.push_str(&to_hex(&[other]));
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// [`NotCanonical`], as serde wants its errors.
#[derive(Debug)]
struct Failed(NotCanonical);

impl Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, out)
    }
}

impl std::error::Error for Failed {}

impl ser::Error for Failed {
    fn custom<T: Display>(_: T) -> Self {
        form("a value that has a JSON form")
    }
}

fn form(what: &'static str) -> Failed {
    Failed(NotCanonical::Form { at: 0, what })
}

struct Writer {
    out: String,
    /// How many arrays and objects are open.
    depth: usize,
}

impl Writer {
    fn literal(&mut self, text: &str) -> Result<(), Failed> {
        self.deep_enough()?;
        self.out.push_str(text);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Failed> {
        self.deep_enough()?;
        write_string(&mut self.out, text);
        Ok(())
    }

    fn integer(&mut self, magnitude: u64, number: impl Display) -> Result<(), Failed> {
        self.deep_enough()?;
        if magnitude > MAX_INTEGER {
            return Err(Failed(NotCanonical::Number(number.to_string())));
        }
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{number}");
        Ok(())
    }

    fn deep_enough(&self) -> Result<(), Failed> {
        if self.depth > MAX_DEPTH {
            return Err(Failed(NotCanonical::Depth));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<List<'_>, Failed> {
        self.literal("[")?;
        self.depth += 1;
        Ok(List {
            writer: self,
            empty: true,
            close: "]",
        })
    }

    fn object(&mut self) -> Result<Object<'_>, Failed> {
        self.literal("{")?;
        self.depth += 1;
        Ok(Object {
            start: self.out.len(),
            writer: self,
            entries: Vec::new(),
            ordered: true,
            in_variant: false,
        })
    }

    /// An object of one key, whose value follows; the caller closes it.
    fn variant(&mut self, variant: &str) -> Result<(), Failed> {
        self.literal("{")?;
        self.depth += 1;
        self.key(variant)
    }

    fn key(&mut self, key: &str) -> Result<(), Failed> {
        if !key.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err(Failed(NotCanonical::Key(key.to_owned())));
        }
        write_string(&mut self.out, key);
        self.out.push(':');
        Ok(())
    }

    fn close(&mut self, close: &str) {
        self.depth -= 1;
        self.out.push_str(close);
    }
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Failed> {
        self.literal(if value { "true" } else { "false" })
    }

    fn serialize_i8(self, value: i8) -> Result<(), Failed> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Failed> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Failed> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Failed> {
        self.integer(value.unsigned_abs(), value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Failed> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Failed> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Failed> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Failed> {
        self.integer(value, value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Failed> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Failed> {
        self.deep_enough()?;
        let said = Number::from_f64(value).map_or_else(|| value.to_string(), |n| n.to_string());
        Err(Failed(NotCanonical::Number(said)))
    }

    fn serialize_char(self, value: char) -> Result<(), Failed> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Failed> {
        self.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failed> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Failed> {
        self.literal("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failed> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Failed> {
        self.literal("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Failed> {
        self.literal("null")
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Failed> {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.close("}");
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Failed> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, Failed> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, Failed> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, Failed> {
        self.variant(variant)?;
        Ok(List {
            close: "]}",
            ..self.list()?
        })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>, Failed> {
        self.object()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'a>, Failed> {
        self.object()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Object<'a>, Failed> {
        self.variant(variant)?;
        Ok(Object {
            in_variant: true,
            ..self.object()?
        })
    }
}

/// An array that is not complete yet.
struct List<'a> {
    writer: &'a mut Writer,
    empty: bool,
    /// `]`, and `}` behind it in the object of a variant.
    close: &'static str,
}

impl List<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        if !self.empty {
            self.writer.out.push(',');
        }
        self.empty = false;
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<(), Failed> {
        self.writer.depth -= self.close.len() - 1;
        self.writer.close(self.close);
        Ok(())
    }
}

/// An object that is not complete yet, its entries as they came.
struct Object<'a> {
    writer: &'a mut Writer,
    /// Where its first entry begins.
    start: usize,
    /// Each key, and where its entry stands.
    entries: Vec<(Cow<'static, str>, Range<usize>)>,
    /// The keys came in order.
    ordered: bool,
    /// It stands in the object of a variant.
    in_variant: bool,
}

impl Object<'_> {
    fn begin(&mut self, key: Cow<'static, str>) -> Result<(), Failed> {
        if let Some((last, _)) = self.entries.last() {
            self.ordered &= last.as_bytes() < key.as_bytes();
            self.writer.out.push(',');
        }
        let at = self.writer.out.len();
        self.writer.key(&key)?;
        self.entries.push((key, at..at));
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        value.serialize(&mut *self.writer)?;
        if let Some((_, entry)) = self.entries.last_mut() {
            entry.end = self.writer.out.len();
        }
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Failed> {
        self.begin(Cow::Borrowed(key))?;
        self.value(value)
    }

    fn finish(mut self) -> Result<(), Failed> {
        if !self.ordered {
            self.put_in_order()?;
        }
        self.writer.close("}");
        if self.in_variant {
            self.writer.close("}");
        }
        Ok(())
    }

    fn put_in_order(&mut self) -> Result<(), Failed> {
        self.entries
            .sort_unstable_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        if self.entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(form("each key once"));
        }
        let out = &mut self.writer.out;
        let mut sorted = String::with_capacity(out.len() - self.start);
        for (_, entry) in &self.entries {
            if !sorted.is_empty() {
                sorted.push(',');
            }
            sorted.push_str(&out[entry.clone()]);
        }
        out.truncate(self.start);
        out.push_str(&sorted);
        Ok(())
    }
}

/// What a key stands as: text, or a number or a boolean in its words.
fn key_of<T: Serialize + ?Sized>(key: &T) -> Result<String, Failed> {
    match serde_json::to_value(key) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Bool(value)) => Ok(value.to_string()),
        Ok(Value::Number(number)) => Ok(number.to_string()),
        Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => {
            Err(form("a key that is text"))
        }
    }
}

impl SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.item(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeTuple for List<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.item(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.item(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeTupleVariant for List<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.item(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.begin(Cow::Owned(key_of(key)?))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.value(value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

impl SerializeStructVariant for Object<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Failed> {
        self.finish()
    }
}

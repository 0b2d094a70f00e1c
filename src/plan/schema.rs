//! The JSON Schema of plan files, for editors. It is made from the types that read them, so the two cannot differ.

use super::file::File;
use serde_json::{Value, json};

/// The schema.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    loosen(&mut schema);
    schema
}

/// Text may be written without quotes even where it looks like a number, as in `[sleep, 5]`.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let free = !map.contains_key("const")
                && !map.contains_key("enum")
                && !map.contains_key("pattern");
            if let Some(kind) = map.get_mut("type").filter(|_| free) {
                if *kind == json!("string") {
                    *kind = json!(["string", "number", "boolean"]);
                } else if *kind == json!(["string", "null"]) {
                    *kind = json!(["string", "number", "boolean", "null"]);
                }
            }
            map.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

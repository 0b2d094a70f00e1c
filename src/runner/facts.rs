//! Facts: single values read from the output of a step, for later steps.
//!
//! The output contains both standard output and standard error, so warnings may precede, interrupt and follow the JSON that
//! contains the facts. The last document counts: it starts at the start of a line and ends at the end of one.
//!
//! Invariants: a fact is read only from a complete document. If the last document is incomplete, neither an earlier one nor
//! a part of it is used. No fact contains a secret or a redaction.

use crate::encoding;
use crate::redact::{Redactor, marker};
use serde_json::Value;
use upledger_replay::plan::{Fact, Pair, Secret};

/// Fractions are exact below 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The longest fact, in bytes: it is recorded, and put into commands.
const LONGEST: usize = 4096;

/// All facts that a step's plan names.
///
/// # Errors
/// Which fact cannot be had, and why.
pub(super) fn read(
    output: &[u8],
    wanted: &[Fact],
    secrets: &[Secret],
    redactor: &Redactor,
) -> Result<Vec<Pair>, String> {
    // Values are text; bytes that are none may stand around them.
    let output = encoding::text(output);
    let document = document(&output);
    wanted
        .iter()
        .map(|fact| {
            let name = &fact.name;
            let value = document
                .as_ref()
                .map_err(|e| *e)
                .map_err(str::to_owned)
                .and_then(|d| at(d, &fact.json))
                .map_err(|e| format!("the fact {name}: {e}"))?;
            let hidden = |s: &Secret| value.contains(&marker(&s.name));
            // The output is redacted, but JSON can encode a text in more ways than the redactor searches for.
            if redactor.found_in(&value).is_some() || secrets.iter().any(hidden) {
                return Err(format!("the fact {name} holds the value of a secret"));
            }
            if encoding::is_escaped(&value) {
                return Err(format!(
                    "the fact {name} holds bytes that are not text in UTF-8 or GB18030"
                ));
            }
            if value.len() > LONGEST {
                return Err(format!("the fact {name} is longer than {LONGEST} bytes"));
            }
            Ok(Pair {
                key: name.clone(),
                value,
            })
        })
        .collect()
}

/// The last JSON object or list of an output.
fn document(output: &str) -> Result<Value, &'static str> {
    // Alone in the output it may also be indented.
    if let Ok(whole) = serde_json::from_str::<Value>(output.trim()) {
        return Ok(whole);
    }
    let (mut found, mut broken, mut rest) = (None, false, output);
    while !rest.is_empty() {
        let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
        if !rest.starts_with(['{', '[']) {
            // A closing bracket without an opening one encloses what was found so far.
            broken |= rest.starts_with([']', '}']);
            rest = &rest[line..];
            continue;
        }
        let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let read = documents.next().and_then(Result::ok);
        let behind = &rest[documents.byte_offset().min(rest.len())..];
        match read {
            Some(value) if ends(behind) => {
                (found, broken) = (Some(value), false);
                rest = behind;
            }
            Some(_) | None => {
                // Log lines may start with a bracket, but rarely with a brace.
                broken |= rest.starts_with('{');
                rest = &rest[line..];
            }
        }
    }
    match found {
        Some(_) if broken => Err("the last JSON document of the output is incomplete"),
        Some(value) => Ok(value),
        None => Err("the output holds no JSON document"),
    }
}

/// Whether a document ends here: the line ends, and the rest is not part of a larger document.
fn ends(behind: &str) -> bool {
    let line = behind.split('\n').next().unwrap_or_default();
    line.trim().is_empty() && !behind.trim_start().starts_with([',', ']', '}'])
}

/// The value at a path such as `.rows` or `.hosts[0].id`.
fn at(document: &Value, path: &str) -> Result<String, String> {
    let mut at = document;
    for key in path.split(['.', '[', ']']).filter(|k| !k.is_empty()) {
        at = match key.parse::<usize>() {
            Ok(index) if at.is_array() => at.get(index),
            Ok(_) | Err(_) => at.get(key),
        }
        .ok_or_else(|| format!("the output has nothing at {path}"))?;
    }
    match at {
        Value::String(s) => Ok(s.clone()),
        // Parsed as a float, a number of this size has lost digits.
        Value::Number(n) if n.as_f64().is_some_and(|f| n.is_f64() && f.abs() >= EXACT) => Err(
            format!("the number at {path} in the output is too large to be represented exactly"),
        ),
        Value::Number(_) | Value::Bool(_) => Ok(at.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!(
            "the value at {path} in the output is not a single value"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upledger_replay::plan::SecretSource;

    fn rows(output: &[u8]) -> Result<String, String> {
        let wanted = [Fact {
            name: "rows".into(),
            json: ".rows".into(),
        }];
        let secrets = [Secret {
            name: "db".into(),
            source: SecretSource::Env("DB".into()),
        }];
        let redactor = Redactor::new(&[("db".into(), "s3cret".into())]).unwrap();
        read(output, &wanted, &secrets, &redactor).map(|f| f[0].value.clone())
    }

    #[test]
    fn the_last_document_counts_whatever_stands_around_it() {
        for output in [
            &b"{\"rows\": 3}"[..],
            b"{\"rows\": 3}\nwarning: deprecated\n",
            b"[WARN] begin\n{\"rows\": 1}\n[INFO] on\r\n{\"rows\": 3}\r\n[WARN] end\n",
            b"  {\n  \"rows\": 3\n  }\n",
            b"start\n{\n  \"list\": [\n    {\"rows\": 1}\n  ],\n  \"rows\": 3\n}\nend\n",
            b"start\n{\n\"inner\":\n{\n\"rows\": 1\n},\n\"rows\": 3\n}\nend\n",
            b"\xff\xfe\n{\"rows\": 3}\n\xff\n",
            b"\xd6\xd0\xce\xc4\n{\"rows\": 3}\n",
        ] {
            assert_eq!(
                rows(output).as_deref(),
                Ok("3"),
                "{}",
                String::from_utf8_lossy(output)
            );
        }
    }

    #[test]
    fn a_broken_document_is_not_replaced_by_an_earlier_one_or_by_a_part_of_it() {
        for (output, why) in [
            ("", "holds no JSON"),
            ("rows: 3", "holds no JSON"),
            (
                "{\"rows\": 1}\n{\"rows\": [redacted:db]}\n",
                "is incomplete",
            ),
            ("{\"rows\": 1}\n{\"rows\": 2", "is incomplete"),
            ("x\n[\n{\"rows\": 1}\nwarning\n]", "is incomplete"),
            ("x\n[\n{\"rows\": 1},\n{\"rows\": 2}\n,]", "holds no JSON"),
            ("{\"row\": 1}", "nothing at .rows"),
            ("{\"rows\": [1]}", "not a single value"),
        ] {
            let said = rows(output.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{output}: {said}");
        }
    }

    #[test]
    fn a_fact_is_no_secret_and_not_long() {
        for output in [
            r#"{"rows": "s3cret"}"#,
            r#"{"rows": "\u0073\u0033cret"}"#,
            r#"{"rows": "x [redacted:db] y"}"#,
        ] {
            assert_eq!(
                rows(output.as_bytes()).unwrap_err(),
                "the fact rows holds the value of a secret"
            );
        }
        let long = format!("{{\"rows\": \"{}\"}}", "x".repeat(LONGEST + 1));
        assert!(rows(long.as_bytes()).unwrap_err().contains("longer than"));
    }
}

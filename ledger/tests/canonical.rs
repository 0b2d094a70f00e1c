//! Proves that the canonical form is the one of RFC 8785 wherever the format allows a value, by comparison with an
//! independent implementation, and that the one-pass reader accepts a text exactly if writing its value gives it back.

use proptest::prelude::*;
use serde_json::{Map, Value};
use upledger_ledger::{check_canonical, to_canonical};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[\\x00-\\x7f]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec(("[ -~]{0,6}", inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// JSON-like text, near enough to the canonical form to be interesting.
fn text() -> impl Strategy<Value = String> {
    let mutated = (
        value(),
        any::<prop::sample::Index>(),
        "[ \\x00\\t{}\\[\\],:\"\\\\a-z0-9.eE+-]{0,2}",
        0_usize..3,
    )
        .prop_map(|(value, at, insert, remove)| {
            let mut characters: Vec<char> = to_canonical(&value).unwrap().chars().collect();
            let at = at.index(characters.len() + 1);
            let end = (at + remove).min(characters.len());
            characters.splice(at..end, insert.chars());
            characters.into_iter().collect::<String>()
        });
    prop_oneof![4 => mutated, 1 => "[{}\\[\\],:\"\\\\untrfasle0-9.-]{0,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_writer_agrees_with_another_implementation(value in value()) {
        let ours = to_canonical(&value).unwrap();
        prop_assert_eq!(&ours, &serde_json_canonicalizer::to_string(&value).unwrap());
        prop_assert_eq!(check_canonical(&ours).unwrap(), value);
    }

    #[test]
    fn the_reader_accepts_exactly_what_the_writer_writes(text in text()) {
        let round = serde_json::from_str::<Value>(&text).ok().and_then(|value| to_canonical(&value).ok());
        prop_assert_eq!(check_canonical(&text).is_ok(), round.as_deref() == Some(&*text), "{}", text);
    }
}

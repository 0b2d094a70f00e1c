//! Proves that the canonical form is the one of RFC 8785 wherever the format allows a value, by comparison with an
//! independent implementation; that a type is written as its value would be; and that the one-pass reader accepts a text exactly if writing its value gives it back.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use upledger_ledger::{NotCanonical, check_canonical, to_canonical};

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

/// A type of every shape that serde knows, its fields in no order.
#[derive(Debug, Clone, serde::Serialize)]
struct Shapes {
    zebra: u64,
    apple: Option<Box<Shapes>>,
    many: Vec<Shape>,
    map: BTreeMap<String, i32>,
    numbered: BTreeMap<u8, bool>,
    tuple: (i8, char, ()),
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<bool>,
    #[serde(flatten)]
    rest: Option<Rest>,
}

#[derive(Debug, Clone, serde::Serialize)]
struct Rest {
    umbrella: Value,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, serde::Serialize)]
struct Unit;

#[derive(Debug, Clone, serde::Serialize)]
struct Pair(String, i64);

#[derive(Debug, Clone, serde::Serialize)]
enum Shape {
    Alone,
    Of(String),
    Two(Unit, i64),
    Named { size: u32, of: Pair },
}

/// As the events of a run are.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "kind", content = "data")]
enum Tagged {
    Shapes(Shapes),
    Shape { shape: Shape },
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Alone),
        ".*".prop_map(Shape::Of),
        any::<i64>().prop_map(|n| Shape::Two(Unit, n >> 11)),
        (any::<u32>(), ".*", any::<i32>()).prop_map(|(size, text, n)| Shape::Named {
            size,
            of: Pair(text, n.into())
        }),
    ]
}

fn shapes() -> impl Strategy<Value = Shapes> {
    let flat = (
        0_u64..1 << 53,
        prop::collection::vec(shape(), 0..4),
        prop::collection::btree_map("[ -~]{0,4}", any::<i32>(), 0..4),
        prop::collection::btree_map(any::<u8>(), any::<bool>(), 0..4),
        any::<(i8, char, ())>(),
        any::<Option<bool>>(),
        prop::option::of((value(), any::<Vec<u8>>())),
    )
        .prop_map(|(zebra, many, map, numbered, tuple, absent, rest)| Shapes {
            zebra,
            apple: None,
            many,
            map,
            numbered,
            tuple,
            absent,
            rest: rest.map(|(umbrella, bytes)| Rest { umbrella, bytes }),
        });
    flat.prop_recursive(4, 16, 1, |inner| {
        (inner.clone(), inner).prop_map(|(outer, inner)| Shapes {
            apple: Some(Box::new(inner)),
            ..outer
        })
    })
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

    #[test]
    fn a_type_is_written_as_its_value(shapes in shapes(), shape in shape()) {
        for tagged in [Tagged::Shapes(shapes.clone()), Tagged::Shape { shape: shape.clone() }] {
            let value = serde_json::to_value(&tagged).unwrap();
            let ours = to_canonical(&tagged).unwrap();
            prop_assert_eq!(&ours, &to_canonical(&value).unwrap());
            prop_assert_eq!(check_canonical(&ours).unwrap(), value);
        }
    }
}

/// Whatever cannot be a value is an error, and no text.
#[test]
fn what_has_no_canonical_form_is_refused_at_any_depth() {
    let refused = |value: &dyn Fn() -> Result<String, NotCanonical>| value().unwrap_err();
    let number = refused(&|| to_canonical(&[(1, Some(0.5_f32))]));
    assert_eq!(number, NotCanonical::Number("0.5".into()));
    let number = refused(&|| to_canonical(&json!([{"a": u64::MAX}])));
    assert_eq!(number, NotCanonical::Number(u64::MAX.to_string()));
    let number = refused(&|| to_canonical(&f64::NAN));
    assert!(matches!(number, NotCanonical::Number(_)));
    let key = refused(&|| to_canonical(&BTreeMap::from([("é", 1)])));
    assert_eq!(key, NotCanonical::Key("é".into()));
    let key = refused(&|| to_canonical(&BTreeMap::from([((1, 2), 1)])));
    assert!(matches!(key, NotCanonical::Form { .. }));
    // Two keys that are written alike.
    struct Twice;
    impl serde::Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_map([("a", 1), ("a", 2)])
        }
    }
    assert!(matches!(
        refused(&|| to_canonical(&Twice)),
        NotCanonical::Form { .. }
    ));
}

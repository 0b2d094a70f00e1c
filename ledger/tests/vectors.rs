//! Proves that this crate computes what the golden vectors say: hashes, roots after each event, the checkpoint; and that
//! the vectors' bodies are a ledger to it, whole or cut off at any event.

use serde_json::Value;
use upledger_ledger::{
    Bad, BadWhat, Checkpoint, CheckpointBad, Digest, Fault, Level, check_canonical, to_canonical,
    tree, verify_jsonl,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/ledger-v1.json")).unwrap()
}

fn digest(value: &Value) -> Digest {
    value.as_str().unwrap().parse().unwrap()
}

fn bodies(vectors: &Value) -> Vec<String> {
    vectors["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["body"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn hashes_and_roots_are_the_golden_ones() {
    let vectors = vectors();
    let mut tree = tree::Frontier::new();
    assert_eq!(tree.root(), digest(&vectors["root_0"]));
    let events = vectors["events"].as_array().unwrap();
    assert_eq!(events.len(), 10);
    for event in events {
        let hash = tree::leaf_hash(event["body"].as_str().unwrap().as_bytes());
        assert_eq!(hash, digest(&event["hash"]));
        tree.push(hash);
        assert_eq!(tree.root(), digest(&event["root_after"]));
    }
}

#[test]
fn bodies_are_their_own_canonical_form() {
    for body in bodies(&vectors()) {
        assert_eq!(
            to_canonical(&check_canonical(&body).unwrap()).unwrap(),
            body
        );
    }
}

#[test]
fn the_lines_verify_and_so_does_the_checkpoint() {
    let vectors = vectors();
    let text = vectors["checkpoint"].as_str().unwrap();
    let checkpoint: Checkpoint = text.parse().unwrap();
    assert_eq!(checkpoint.to_string(), text);
    let lines = bodies(&vectors).join("\n") + "\n";
    let report = verify_jsonl(&mut lines.as_bytes(), std::slice::from_ref(&checkpoint)).unwrap();
    assert_eq!(report.failures, []);
    assert_eq!(
        (report.events, report.runs, report.level, report.unanchored),
        (10, 1, Level::Anchored, 10)
    );
    assert_eq!(report.checkpoints, [10]);
    assert_eq!(report.ledger.as_deref(), vectors["ledger"].as_str());
    assert_eq!(report.root, checkpoint.root);
}

#[test]
fn a_shorter_text_is_a_shorter_ledger_that_only_the_checkpoint_notices() {
    let vectors = vectors();
    let checkpoint: Checkpoint = vectors["checkpoint"].as_str().unwrap().parse().unwrap();
    let bodies = bodies(&vectors);
    for have in 1..10 {
        let lines = bodies[..have].join("\n") + "\n";
        assert!(verify_jsonl(&mut lines.as_bytes(), &[]).unwrap().is_sound());
        let report =
            verify_jsonl(&mut lines.as_bytes(), std::slice::from_ref(&checkpoint)).unwrap();
        let why = CheckpointBad::Truncated {
            have: u64::try_from(have).unwrap(),
        };
        assert_eq!(
            report.failures,
            [Bad {
                seq: None,
                what: BadWhat::Checkpoint { size: 10, why }
            }]
        );
    }
}

#[test]
fn every_byte_of_every_line_counts() {
    let text = bodies(&vectors()).join("\n") + "\n";
    let checkpoint: Checkpoint = vectors()["checkpoint"].as_str().unwrap().parse().unwrap();
    let mut bytes = text.clone().into_bytes();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let report =
            verify_jsonl(&mut bytes.as_slice(), std::slice::from_ref(&checkpoint)).unwrap();
        assert!(!report.is_sound(), "byte {at} does not count");
        bytes[at] ^= 1;
    }
    let cut = verify_jsonl(&mut &bytes[..bytes.len() - 1], &[]).unwrap();
    assert_eq!(cut.first_bad().unwrap().seq, Some(9));
    let empty = verify_jsonl(&mut &b""[..], &[]).unwrap();
    assert_eq!(
        empty.failures,
        [Bad {
            seq: Some(0),
            what: BadWhat::Event(Fault::Ends)
        }]
    );
}

//! Proves that the incremental tree has the roots of RFC 6962, by comparison with an independent implementation at every
//! size up to one beyond a power of two, and that a root at a smaller size can be had later.

use crate::support::{Home, append, draft};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;
use upledger_ledger::tree::{Frontier, leaf_hash, root};

#[test]
fn roots_agree_with_another_implementation() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut ours = Frontier::new();
    let mut leaves = Vec::new();
    for number in 0..=257_u32 {
        assert_eq!(
            ours.root().as_bytes().as_slice(),
            theirs.root().as_bytes().as_slice(),
            "at size {number}"
        );
        assert_eq!(ours.root(), root(&leaves));
        let body = format!("{{\"n\":{number}}}");
        leaves.push(leaf_hash(body.as_bytes()));
        ours.push(leaf_hash(body.as_bytes()));
        theirs.push(body.into_bytes());
    }
    assert_eq!(ours.size(), 258);
}

#[test]
fn a_ledger_knows_its_earlier_roots() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let mut roots = vec![(ledger.size(), ledger.root())];
    for number in 0..9 {
        append(&mut ledger, &[draft(number)]);
        roots.push((ledger.size(), ledger.root()));
    }
    let reader = upledger_ledger::Ledger::open_read(home.place(), None).unwrap();
    for (size, root) in roots {
        assert_eq!(reader.root_at(size), Some(root));
    }
    assert_eq!(reader.root_at(reader.size() + 1), None);
    assert_eq!(reader.root_at(0), Some(Frontier::new().root()));
}

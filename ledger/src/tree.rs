//! The RFC 6962 tree over the hashes of events: leaf, node, root, and a frontier that grows by one leaf at a time.
//!
//! Invariant: [`Frontier::root`] after n pushes is `root(n)` of the format, and a push or a root costs O(log n).
//! Left out: inclusion and consistency proofs.

use crate::head::Digest;
use sha2::{Digest as _, Sha256};

/// The hash of an event: `SHA-256(0x00 || body)`, which is the RFC 6962 leaf hash.
#[must_use]
pub fn leaf_hash(body: &[u8]) -> Digest {
    Digest::from_bytes(
        Sha256::new()
            .chain_update([0])
            .chain_update(body)
            .finalize()
            .into(),
    )
}

/// An inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1_u8; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The root over these leaf hashes; of none, SHA-256 of nothing.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// The roots of the complete subtrees that a tree of `size` leaves is made of, largest first.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Digest>,
}

impl Frontier {
    /// The tree with no leaf.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf on the right.
    pub fn push(&mut self, leaf: Digest) {
        let mut carried = leaf;
        // Each trailing one bit of the old size is a complete subtree as large as what is carried.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                carried = node_hash(&left, &carried);
            }
        }
        self.subtrees.push(carried);
        self.size += 1;
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut from_right = self.subtrees.iter().rev();
        let Some(last) = from_right.next() else {
            return Digest::from_bytes(Sha256::digest([]).into());
        };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }
}

//! What stands in a key for an argument that has no text of its own: `{req:hash}`.

use serde::Serialize;

use crate::digest::{self, Hash, Unwritable};

/// BLAKE3 of all that the argument's `Serialize` impl writes. Arguments that differ in anything of it
/// have different hashes; what it does not write (`serde(skip)`) does not count.
///
/// The order of a sequence counts, since `[1, 2]` and `[2, 1]` are different arguments; that of a map
/// does not. A `HashSet` is a sequence to serde: where it iterates in another order, it misses. Floats
/// go by their bits.
pub(crate) fn key_hash<T: Serialize + ?Sized>(value: &T) -> Result<[u8; 32], Unwritable> {
    let mut hash = Blake3::new();
    digest::walk(&value, &mut hash)?;
    Ok(hash.0.finalize().into())
}

/// Boxed: of two thousand bytes, and one is needed for each level of nested maps.
struct Blake3(Box<blake3::Hasher>);

impl Hash for Blake3 {
    /// To be sorted, not added up: sums of chosen parts can be made to collide.
    type Sum = Vec<[u8; 32]>;
    const SEQUENCES_IN_ORDER: bool = true;

    fn new() -> Self {
        Blake3(Box::default())
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn sum() -> Self::Sum {
        Vec::new()
    }

    fn add_to(&mut self, parts: &mut Self::Sum) {
        parts.push(self.0.finalize().into());
        self.0.reset();
    }

    fn absorb_sum(&mut self, mut parts: Self::Sum) {
        parts.sort_unstable();
        self.absorb(&(parts.len() as u64).to_le_bytes());
        for part in parts {
            self.absorb(&part);
        }
    }
}

#[cfg(test)]
#[path = "key_hash_tests.rs"]
mod tests;

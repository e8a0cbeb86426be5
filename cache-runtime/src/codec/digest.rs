//! Whether a value that was read back is the one that was written.
//!
//! The order of maps and sequences does not count: a `HashMap` and a `HashSet` come back in another
//! order.

use erased_serde::Serialize as AnySerialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::digest::{self, Hash, Top, Unwritable};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest {
    hash: u64,
    pub(super) top: Top,
}

pub(super) fn of(value: &dyn AnySerialize) -> Result<Digest, Unwritable> {
    let mut hash = Xxh3(0);
    let top = digest::walk(value, &mut hash)?;
    Ok(Digest { hash: hash.0, top })
}

struct Xxh3(u64);

/// How many, and the sum of their hashes. Not xor: two equal parts would cancel each other out.
struct Sum(u64, u64);

impl Hash for Xxh3 {
    type Sum = Sum;
    const SEQUENCES_IN_ORDER: bool = false;

    fn new() -> Self {
        Xxh3(0)
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn sum() -> Sum {
        Sum(0, 0)
    }

    fn add_to(&mut self, Sum(count, sum): &mut Sum) {
        *count += 1;
        *sum = sum.wrapping_add(self.0);
        self.0 = 0;
    }

    fn absorb_sum(&mut self, Sum(count, sum): Sum) {
        self.absorb(&count.to_le_bytes());
        self.absorb(&sum.to_le_bytes());
    }
}

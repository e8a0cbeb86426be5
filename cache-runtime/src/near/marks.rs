//! What has been touched since when: the placeholder of a fill and the tombstone of a copy in one.
//!
//! A name has a counter, which it shares with names of the same hash. Whatever touches the name counts it up. Whoever is
//! about to read it notes the count *before* the request is sent; what was read is good for as long as the count
//! is still that one. So an invalidation that overtakes the reply voids what is made of it, whether that has been kept
//! by then or not, and nobody has to find the copies that a name stands in.

use std::hash::Hasher as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher13;

use super::place::Secret;

/// Names share a counter only by chance, which costs a copy too many. Half a MiB, where there are copies at all.
const COUNTERS: usize = 1 << 16;

/// Counters of names, and one of everything.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Not there until somebody notes a count: what was touched before is nothing to anybody.
    counters: OnceLock<Box<[AtomicU64]>>,
    all: AtomicU64,
    secret: Secret,
}

/// The counts of some names at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    all: u64,
    counts: Box<[(usize, u64)]>,
}

impl Marks {
    /// To be asked for before what is stored under these names is.
    pub(crate) fn note<'n>(&self, names: impl Iterator<Item = &'n str>) -> Marked {
        let counters =
            self.counters.get_or_init(|| (0..COUNTERS).map(|_| AtomicU64::new(0)).collect());
        let count = |name: &str| {
            let at = self.counter_of(name.as_bytes());
            (at, counters[at].load(Ordering::Acquire))
        };
        Marked { all: self.all.load(Ordering::Acquire), counts: names.map(count).collect() }
    }

    /// Whether none of these names was touched since.
    pub(crate) fn are_still(&self, marked: &Marked) -> bool {
        let Some(counters) = self.counters.get() else { return false };
        self.all.load(Ordering::Acquire) == marked.all
            && marked
                .counts
                .iter()
                .all(|&(at, count)| counters[at].load(Ordering::Acquire) == count)
    }

    /// Something was done to this name, or may have been.
    pub(crate) fn touch(&self, name: &[u8]) {
        if let Some(counters) = self.counters.get() {
            counters[self.counter_of(name)].fetch_add(1, Ordering::Release);
        }
    }

    /// The same for every name.
    pub(crate) fn touch_all(&self) {
        self.all.fetch_add(1, Ordering::Release);
    }

    /// Touches these names when it is dropped: whatever becomes of what this process does to them, and before anybody is
    /// told.
    pub(crate) fn touching<'n>(&self, names: impl Iterator<Item = &'n str>) -> Touching<'_> {
        // Also where nobody has noted a count yet: somebody may do so before this is dropped.
        let counters = names.map(|name| self.counter_of(name.as_bytes())).collect();
        Touching { marks: self, counters }
    }

    fn counter_of(&self, name: &[u8]) -> usize {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(name);
        usize::try_from(hasher.finish() % COUNTERS as u64).expect("there are fewer counters")
    }
}

/// See [`Marks::touching`].
#[derive(Debug)]
pub(crate) struct Touching<'m> {
    marks: &'m Marks,
    counters: Vec<usize>,
}

impl Drop for Touching<'_> {
    fn drop(&mut self) {
        let Some(counters) = self.marks.counters.get() else { return };
        for &at in &self.counters {
            counters[at].fetch_add(1, Ordering::Release);
        }
    }
}

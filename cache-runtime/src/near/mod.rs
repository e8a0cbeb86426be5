//! The near cache: decoded values in this process, in front of Redis.
//!
//! A copy is made of what a tracked read has found, and of nothing else: the server tells by the same connection when
//! that changes. Before the read is sent, the counts of its names are noted ([`marks`]); what is invalidated from then on
//! voids the copy, whether it is there by then or not. It is served only while a ping has been answered on its
//! connection that was sent less than the bound ago ([`channel`]), so what a silent connection keeps to itself is not
//! waited for.

mod channel;
mod copy;
mod marks;
mod place;
mod serving;

use std::hash::BuildHasherDefault;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quick_cache::sync::Cache as Copies;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use tokio::time::Instant;

pub(crate) use channel::{Channel, Told};
pub(crate) use copy::{Copy, Value};
pub(crate) use marks::{Marks, Touching};
pub(crate) use place::{Place, Secret};
pub(crate) use serving::{keep, serve};

use place::AsItIs;

/// Of a copy, besides what its entry has: what it is found by, its life, its names.
const OVERHEAD: u64 = 256;

type Shelf = Copies<Place, Arc<Copy>, Weighed, BuildHasherDefault<AsItIs>, DroppedBehind>;

/// The copies of one cache.
pub(crate) struct Near {
    /// Not there until a function wants it.
    shelf: OnceLock<Shelf>,
    secret: Secret,
    capacity: usize,
    bound: Duration,
}

#[derive(Clone, std::marker::Copy, Debug)]
struct Weighed;

impl Weighter<Place, Arc<Copy>> for Weighed {
    fn weight(&self, _: &Place, copy: &Arc<Copy>) -> u64 {
        copy.weight
    }
}

/// What has to make room is dropped when the lock is given back: it is a user's value.
#[derive(Clone, std::marker::Copy, Debug)]
struct DroppedBehind;

impl Lifecycle<Place, Arc<Copy>> for DroppedBehind {
    type RequestState = Vec<Arc<Copy>>;

    fn on_evict(&self, evicted: &mut Self::RequestState, _: Place, copy: Arc<Copy>) {
        evicted.push(copy);
    }
}

impl Near {
    pub(crate) fn new(capacity: usize, bound: Duration) -> Self {
        Self { shelf: OnceLock::new(), secret: Secret::default(), capacity, bound }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    /// How old the news of an invalidation may be.
    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// The copy that may be served now.
    pub(crate) fn find(&self, place: Place, now: Instant) -> Option<Arc<Copy>> {
        let copies = self.shelf.get()?;
        let copy = copies.get(&place)?;
        if copy.may_be_served(now, self.bound) {
            return Some(copy);
        }
        if copy.is_void(now) {
            // Dropped here, and not under the lock: it is a user's value.
            drop(copies.remove_if(&place, |there| Arc::ptr_eq(there, &copy)));
        }
        None
    }

    /// Keeps a copy, unless something has voided it meanwhile.
    pub(crate) fn keep(&self, place: Place, copy: Copy, now: Instant) {
        if !copy.is_void(now) {
            self.shelf().insert(place, Arc::new(copy));
        }
    }

    /// What an entry of so many bytes weighs.
    pub(crate) fn weight(bytes: usize) -> u64 {
        bytes as u64 + OVERHEAD
    }

    fn shelf(&self) -> &Shelf {
        self.shelf.get_or_init(|| {
            // Of 1 KiB each: a guess, by which the tables begin.
            let options = OptionsBuilder::new()
                .estimated_items_capacity((self.capacity / 1024).max(16))
                .weight_capacity(self.capacity as u64)
                .build()
                .expect("both capacities are given");
            Shelf::with_options(options, Weighed, BuildHasherDefault::default(), DroppedBehind)
        })
    }
}

#[cfg(test)]
mod tests;

//! Where a task is: inside which bodies, and the tags that each of them gathers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::by_hand::AtHand;
use crate::cache::Inner;
use crate::priming;
use crate::request::{FlightKey, Request};
use crate::site::{Site, Warning};
use crate::sync::lock;
use crate::tags::{self, Nonce, Stamp};
use crate::telemetry;

/// What a task is inside of: a body, or something else around which tags are gathered.
pub(crate) struct Frame {
    /// That of the innermost body.
    cache: Option<Arc<Inner>>,
    body: Option<(&'static Site, FlightKey)>,
    /// The other keys of a batch.
    others: HashSet<FlightKey>,
    gathered: Mutex<Gathered>,
    primed: Mutex<Primed>,
    around: Option<Arc<Frame>>,
}

tokio::task_local! {
    static INSIDE: Arc<Frame>;
    static BYPASSING: Bypassing;
}

/// Why what was computed is not to be stored, whatever became of its lease. All but the first two will be the same the
/// next time; with the last two not all tags are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Spoiled {
    #[error("a value past its ttl was used")]
    Past,
    #[error("values of two states of one tag were used")]
    Torn,
    #[error(
        "its body calls a tagged function of another cache, and what is invalidated there is not invalidated here; use \
         one cache for both, or call that function's `_uncached`"
    )]
    Foreign,
    #[error(
        "it has more than 32 tags, with those of cached functions that its body calls; tag what is invalidated \
         together with one tag"
    )]
    TooMany,
    #[error("the `Display` of something in a tag has failed; make it write a text for every value")]
    Unwritten,
}

/// The tags that were touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// Names of tags of what was read from its origin.
    pub(crate) read: BTreeSet<Box<str>>,
    /// What stored values that were used carry. The value outside carries it on, and no newer one.
    pub(crate) inherited: BTreeMap<Box<str>, Nonce>,
    pub(crate) spoiled: Option<Spoiled>,
    /// When the oldest of the stored values was born that were used, by the server's clock.
    oldest: Option<u64>,
    most: usize,
    /// The body has ended: what is added now is added to nothing.
    closed: bool,
}

impl Gathered {
    fn of_most(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// One more than an entry can carry, so that it shows.
    pub(crate) fn for_entry() -> Self {
        Self::of_most(tags::MOST + 1)
    }

    pub(crate) fn of_texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let mut gathered = Self::for_entry();
        texts.into_iter().for_each(|text| gathered.add(&tags::name(text.as_ref())));
        gathered
    }

    /// Whether there are no tags.
    pub(crate) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.inherited.is_empty() && self.spoiled.is_none()
    }

    /// Whether there is anything of tags.
    fn is_tagged(&self) -> bool {
        self.spoiled.is_some_and(|why| why != Spoiled::Past)
            || !self.read.is_empty()
            || !self.inherited.is_empty()
    }

    pub(crate) fn spoil(&mut self, why: Spoiled) {
        self.spoiled = self.spoiled.max(Some(why));
    }

    pub(crate) fn add(&mut self, name: &str) {
        if !self.read.contains(name) && self.has_room_for(name) {
            self.read.insert(name.into());
        }
    }

    fn inherit(&mut self, name: &str, nonce: &Nonce) {
        if !self.has_room_for(name) {
            return;
        }
        let older = match self.inherited.get(name) {
            Some(known) => known.older(nonce),
            None => Some(nonce),
        };
        match older.cloned() {
            Some(older) => {
                self.inherited.insert(name.into(), older);
            }
            None => self.spoil(Spoiled::Torn),
        }
    }

    fn has_room_for(&mut self, name: &str) -> bool {
        let known = self.read.contains(name) || self.inherited.contains_key(name);
        let room = known || self.read.len() + self.inherited.len() < self.most;
        if !room {
            self.spoil(Spoiled::TooMany);
        }
        room
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        for name in &other.read {
            self.add(name);
        }
        for (name, nonce) in &other.inherited {
            self.inherit(name, nonce);
        }
        self.spoiled = self.spoiled.max(other.spoiled);
        self.uses(other.oldest);
    }

    fn uses(&mut self, born_at: Option<u64>) {
        self.oldest = [self.oldest, born_at].into_iter().flatten().min();
    }

    /// Every name, each once.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.read.iter().chain(self.inherited.keys()).map(|name| &**name).collect()
    }
}

/// What a body has at hand for other entries.
#[derive(Default)]
pub(crate) struct Primed {
    pub(crate) values: HashMap<FlightKey, AtHand>,
    bytes: usize,
    /// Whether there was anything, also where it is not kept.
    pub(crate) any: bool,
    /// When the body began, where what it has can be stored when it has ended.
    kept: Option<u64>,
}

impl Frame {
    /// The frame of a body that starts now; and since when, where what it has at hand for other entries can be stored.
    pub(crate) fn of_body(request: &Request, takes_primes: Option<u64>) -> Arc<Self> {
        Self::of_batch(request, HashSet::new(), takes_primes)
    }

    /// The same, of a body that computes for others besides.
    pub(crate) fn of_batch(
        request: &Request,
        others: HashSet<FlightKey>,
        takes_primes: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache: Some(Arc::clone(&request.cache)),
            body: Some((request.site, request.flight_key())),
            others,
            gathered: Mutex::new(Gathered::for_entry()),
            primed: Mutex::new(Primed { kept: takes_primes, ..Primed::default() }),
            around: current(),
        })
    }

    /// The frame of what is no body, and gathers so many tags.
    pub(crate) fn of_most(most: usize) -> Arc<Self> {
        let around = current();
        Arc::new(Self {
            cache: around.as_ref().and_then(|around| around.cache.clone()),
            body: None,
            others: HashSet::new(),
            gathered: Mutex::new(Gathered::of_most(most)),
            primed: Mutex::default(),
            around,
        })
    }

    /// Runs something inside this frame.
    pub(crate) fn within<R>(self: &Arc<Self>, run: impl FnOnce() -> R) -> R {
        INSIDE.sync_scope(Arc::clone(self), run)
    }

    /// What was gathered. From now on nothing is added.
    pub(crate) fn close(&self) -> Gathered {
        let mut gathered = lock(&self.gathered);
        gathered.closed = true;
        gathered.clone()
    }

    /// What there is for other entries, once this is closed.
    pub(crate) fn primed(&self) -> Primed {
        std::mem::take(&mut *lock(&self.primed))
    }

    /// When the oldest stored value was born that was used between this one and the body around it.
    fn oldest_within(self: &Arc<Self>, body: &Arc<Self>) -> u64 {
        let mut oldest = u64::MAX;
        let mut next = Some(self);
        while let Some(frame) = next {
            oldest = oldest.min(lock(&frame.gathered).oldest.unwrap_or(u64::MAX));
            next = frame.around.as_ref().filter(|_| !Arc::ptr_eq(frame, body));
        }
        oldest
    }

    /// That of the innermost body.
    fn of_innermost_body(self: &Arc<Self>) -> Option<Arc<Self>> {
        let mut next = Some(self);
        while let Some(frame) = next {
            if frame.body.is_some() {
                return Some(Arc::clone(frame));
            }
            next = frame.around.as_ref();
        }
        None
    }

    /// `false` where it is closed.
    fn gather(&self, gather: impl FnOnce(&mut Gathered)) -> bool {
        let mut gathered = lock(&self.gathered);
        if !gathered.closed {
            gather(&mut gathered);
        }
        !gathered.closed
    }
}

pub(crate) fn current() -> Option<Arc<Frame>> {
    INSIDE.try_with(Arc::clone).ok()
}

/// Runs a body for which nothing is gathered, since its call has no cache: it is the one around that does, if any.
pub(crate) fn bypass<R>(run: impl FnOnce() -> R) -> R {
    BYPASSING.sync_scope(Bypassing { inside: current() }, run)
}

/// The body of a call without a cache, and what it runs inside of.
#[derive(Clone)]
struct Bypassing {
    inside: Option<Arc<Frame>>,
}

fn bypassing() -> Option<Bypassing> {
    BYPASSING.try_with(Clone::clone).ok()
}

/// Whether this task is inside the body of the very computation that it asks for.
pub(crate) fn inside_itself(request: &Request) -> bool {
    inside_one(|frame| {
        let of_cache = frame.cache.as_ref().is_some_and(|cache| Arc::ptr_eq(cache, &request.cache));
        let key = request.flight_key();
        let of_key = frame.body.as_ref().is_some_and(|(_, flight)| *flight == key);
        of_cache && (of_key || frame.others.contains(&key))
    })
}

/// Whether this task is inside a body of this function, with whatever key.
pub(crate) fn inside_function(site: &'static Site) -> bool {
    inside_one(|frame| frame.body.as_ref().is_some_and(|(of, _)| std::ptr::eq(*of, site)))
}

/// Whether this task is inside any body.
pub(crate) fn inside_body() -> bool {
    // That of a frame is the innermost body's.
    INSIDE.try_with(|frame| frame.cache.is_some()).unwrap_or(false)
}

/// Whether anybody gathers the tags that this task touches.
pub(crate) fn gathers() -> bool {
    INSIDE.try_with(|_| ()).is_ok()
}

fn inside_one(is_it: impl Fn(&Frame) -> bool) -> bool {
    let innermost = current();
    let mut next = innermost.as_ref();
    while let Some(frame) = next {
        if is_it(frame) {
            return true;
        }
        next = frame.around.as_ref();
    }
    false
}

/// Adds a tag to what is being computed.
pub(crate) fn add(name: &str) {
    let added = INSIDE.try_with(|frame| frame.gather(|gathered| gathered.add(name)));
    let is_lost = match added {
        Ok(added) => !added,
        Err(_) => bypassing().is_none(),
    };
    if is_lost {
        lost(added.is_err());
    }
}

/// Keeps a value that the body has at hand for another entry, which is encoded only if it can be stored. Of one that is not
/// to be, its entry is to be given: what was kept for that before is older.
pub(crate) fn prime(
    cache: Option<&Arc<Inner>>,
    site: &'static Site,
    encode: impl FnOnce() -> Result<AtHand, Option<FlightKey>>,
) {
    let lost = |why| telemetry::warn_once(site, Warning::Primed, why);
    let innermost = current();
    let Some(frame) = innermost.as_ref().and_then(Frame::of_innermost_body) else {
        if bypassing().is_some() {
            return;
        }
        return lost("it was called outside of any cached function's body; `set` is for that");
    };
    // What a call reads that bypasses the cache may never be committed, and is nothing to the body around it either.
    let bypassed = bypassing().and_then(|bypassing| bypassing.inside?.of_innermost_body());
    if bypassed.is_some_and(|bypassed| Arc::ptr_eq(&bypassed, &frame)) {
        return;
    }
    if lock(&frame.gathered).closed {
        return lost("the body had ended; have it wait for the tasks that it spawns");
    }
    // That there is none is said by its `cache` expression.
    let Some(cache) = cache else { return };
    lock(&frame.primed).any = true;
    if frame.cache.as_ref().is_some_and(|of_body| !Arc::ptr_eq(of_body, cache)) {
        return lost(
            "its entry is of another cache than that of the body, which has not said there that it has begun",
        );
    }
    let Some(since) = lock(&frame.primed).kept else { return };
    // What it was served may be from before an invalidation that the body, and the journal, know nothing of.
    if innermost.is_some_and(|innermost| innermost.oldest_within(&frame) <= since) {
        return lost(
            "the body has used a stored value that is older than itself; prime where the rows are read from their origin",
        );
    }
    // Code of a user, and so not under the lock.
    let encoded = encode();
    let entry = match &encoded {
        Ok(at_hand) => Some(at_hand.request.flight_key()),
        Err(entry) => entry.clone(),
    };
    let Some(entry) = entry else { return };
    let mut primed = lock(&frame.primed);
    // Of one entry the last one counts.
    primed.bytes -= primed.values.remove(&entry).map_or(0, |known| known.len());
    let Ok(at_hand) = encoded else { return };
    let bytes = primed.bytes + at_hand.len();
    if primed.values.len() >= priming::MOST || bytes > priming::MOST_BYTES {
        drop(primed);
        return lost(
            "of one body 1,000 are kept, and together 16 MiB; leave the others to their own function",
        );
    }
    primed.bytes = bytes;
    primed.values.insert(entry, at_hand);
}

/// Hands on what a call that has been answered depends on.
pub(crate) fn hand_on(cache: Option<&Arc<Inner>>, touched: &Gathered) {
    if touched.is_empty() && touched.oldest.is_none() {
        return;
    }
    let _ = INSIDE.try_with(|frame| {
        let foreign = match (cache, &frame.cache) {
            (Some(cache), Some(of_body)) => !Arc::ptr_eq(cache, of_body),
            _ => false,
        };
        frame.gather(|gathered| {
            gathered.absorb(touched);
            if foreign && touched.is_tagged() {
                gathered.spoil(Spoiled::Foreign);
            }
            let one_clock = cache.is_none_or(|cache| cache.store.has_one_clock());
            if (foreign || !one_clock) && touched.oldest.is_some() {
                // By another server's clock.
                gathered.uses(Some(0));
            }
        })
    });
}

/// Hands on what a stored value carries.
pub(crate) fn hand_on_stamps<'s>(
    cache: &Arc<Inner>,
    stamps: impl Iterator<Item = Stamp<'s>>,
    born_at: u64,
) {
    if gathers() {
        hand_on(Some(cache), &inherited(stamps, born_at));
    }
}

/// What a stored value carries, and how old it is.
pub(crate) fn inherited<'s>(stamps: impl Iterator<Item = Stamp<'s>>, born_at: u64) -> Gathered {
    let mut gathered = Gathered { oldest: Some(born_at), ..Gathered::for_entry() };
    for stamp in stamps {
        match (std::str::from_utf8(stamp.name), Nonce::new(stamp.nonce.to_vec())) {
            (Ok(name), Some(nonce)) => gathered.inherit(name, &nonce),
            _ => gathered.spoil(Spoiled::Torn),
        }
    }
    gathered
}

fn lost(outside: bool) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    if outside {
        tracing::warn!(
            target: "redis_cached",
            "`tag(..)` was called outside of any cached function's body, and tags nothing; in a task that a body \
             spawns, run what it does inside `TagScope::current()`"
        );
    } else {
        tracing::warn!(
            target: "redis_cached",
            "`tag(..)` was called when the body of its cached function had ended, and tags nothing; have the \
             body wait for the tasks that it spawns"
        );
    }
}

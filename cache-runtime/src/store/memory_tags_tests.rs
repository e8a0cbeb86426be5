//! Tags: their steps, and that in whatever order the steps of all parties come, C1 holds.

use fastrand::Rng;

use super::*;
use crate::codec;
use crate::codec::compression::Compressed;
use crate::entry::{Found, Label, Life};
use crate::key::{Piece, Segment};
use crate::tags;

const LOCK: Duration = Duration::from_secs(5);
const LIFE: Duration = Duration::from_secs(180);
const MINE: u64 = 1;

fn key() -> Key {
    Key::render("ns", &[]).unwrap()
}

fn tag(name: &'static str) -> Tag {
    Tag::render("ns", &[Segment(Piece::Literal(name))]).unwrap()
}

fn one(store: &Memory, tag: &Tag, random: &str) -> Nonce {
    store.capture(std::slice::from_ref(tag), random, LIFE).remove(0)
}

fn read(store: &Memory, tag: &Tag) -> Option<Nonce> {
    store.read(&key(), std::slice::from_ref(tag)).1.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_capture_makes_what_is_missing_and_keeps_what_is_there() {
    let (store, a, b) = (Memory::new(1 << 20), tag("a"), tag("b"));
    assert_eq!(read(&store, &a), None);
    let first = one(&store, &a, "one");
    assert_eq!(read(&store, &a), Some(first.clone()));
    // Another's, and the same sent again.
    for random in ["two", "one"] {
        let both = store.capture(&[b.clone(), a.clone()], random, LIFE);
        assert_eq!(both[1], first);
        assert_eq!(read(&store, &b), Some(both[0].clone()));
    }
    assert!(store.capture(&[], "one", LIFE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn c1_a_nonce_never_comes_back() {
    let (store, a) = (Memory::new(1 << 20), tag("a"));
    let first = one(&store, &a, "one");
    store.invalidate_tag(&a);
    assert_eq!(read(&store, &a), None);
    // The very request that made it arrives once more, in the same microsecond.
    assert_ne!(one(&store, &a, "one"), first);
}

#[tokio::test(start_paused = true)]
async fn a_tag_lives_as_long_as_the_longest_that_was_asked_for() {
    let (store, a) = (Memory::new(1 << 20), tag("a"));
    let first = one(&store, &a, "one");
    tokio::time::advance(LIFE / 2).await;
    assert_eq!(one(&store, &a, "two"), first, "extended");
    store.capture(std::slice::from_ref(&a), "three", LIFE / 10);
    tokio::time::advance(Duration::from_millis(179_999)).await;
    assert_eq!(read(&store, &a), Some(first), "and not shortened");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(read(&store, &a), None);
}

/// The protocol, or one of the rules that somebody would honestly have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Kept,
    CaptureBehindTheBody,
    MissingNonceMatches,
    /// An invalidation counts up; an evicted counter starts again.
    Counters,
    StampsUnread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Begin,
    Read,
    Take,
    Capture,
    Body,
    CaptureLate,
    Commit,
    End,
}

#[derive(Debug)]
struct Caller {
    at: At,
    /// As `set` and a forced refresh: the lease is taken by force, and nothing is read.
    forced: bool,
    /// A hit is stale: it is served, and refreshed.
    refreshes: bool,
    /// What was acknowledged before the call.
    must: u64,
    judged: Judged,
    content: String,
    captured: Vec<Nonce>,
    value: u64,
    random: String,
}

#[derive(Debug)]
struct Writer {
    /// A tag, or the key.
    tag: Option<usize>,
    /// What it has written to the origin.
    version: u64,
    step: u8,
}

struct World {
    rule: Rule,
    rng: Rng,
    store: Memory,
    tags: Vec<Tag>,
    origin: u64,
    acknowledged: u64,
    evictions: u32,
    /// Captures that have been sent, and may arrive once more.
    sent: Vec<String>,
    trace: Vec<String>,
}

impl World {
    fn new(rule: Rule, seed: u64) -> Self {
        Self {
            rule,
            rng: Rng::with_seed(seed),
            store: Memory::new(1 << 20),
            tags: vec![tag("a"), tag("b")],
            origin: 1,
            acknowledged: 0,
            evictions: 2,
            sent: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let caller = |number: usize, forced, refreshes| Caller {
            at: At::Begin,
            forced,
            refreshes,
            must: 0,
            judged: Judged::ABSENT,
            content: String::new(),
            captured: Vec::new(),
            value: 0,
            random: format!("caller{number}"),
        };
        let mut callers: Vec<Caller> =
            (0..4).map(|number| caller(number, number == 3, self.rng.bool())).collect();
        let writer = |tag| Writer { tag, version: 0, step: 0 };
        let mut writers = vec![writer(Some(0)), writer(Some(self.rng.usize(..2)))];
        if self.rng.bool() {
            writers.push(writer(None));
        }
        let mut calls = 0;
        for _ in 0..120 {
            match self.rng.usize(..20) {
                0 => self.evict(),
                1 => self.arrive_again(),
                2..6 => {
                    let at = self.rng.usize(..writers.len());
                    self.write(&mut writers[at], at);
                }
                _ => {
                    let at = self.rng.usize(..callers.len());
                    if callers[at].at == At::End && calls < 8 {
                        calls += 1;
                        callers[at] = caller(4 + calls, calls == 5, self.rng.bool());
                    }
                    self.call(&mut callers[at])?;
                }
            }
        }
        self.call(&mut Caller { must: self.acknowledged, at: At::Read, ..caller(0, false, false) })
    }

    fn told(&mut self, what: String) {
        self.trace.push(what);
    }

    fn seen(&self, what: &str, value: u64, must: u64) -> Result<(), String> {
        if value >= must {
            return Ok(());
        }
        Err(format!("{what} {value} after {must} was acknowledged: {}", self.trace.join(" > ")))
    }

    fn capture(&mut self, random: &str) -> Vec<Nonce> {
        if self.rule != Rule::Counters {
            return self.store.capture(&self.tags, random, LIFE);
        }
        let nonces = self.store.read(&key(), &self.tags).1;
        nonces.into_iter().map(|count| count.unwrap_or_else(|| counter(0))).collect()
    }

    fn hold(&self, stored: &entry::Entry<'_>, nonces: Vec<Option<Nonce>>) -> bool {
        let stamped = |tag: &Tag| stored.stamps.clone().find(|stamp| stamp.name == tag.name());
        let missing = |tag: &Tag| match self.rule {
            Rule::Counters => Some(counter(0)),
            Rule::MissingNonceMatches => Nonce::new(stamped(tag)?.nonce.to_vec()),
            _ => None,
        };
        let nonces: Vec<Option<Nonce>> = nonces
            .into_iter()
            .zip(&self.tags)
            .map(|(nonce, tag)| nonce.or_else(|| missing(tag)))
            .collect();
        self.rule == Rule::StampsUnread || tags::hold(&stored.stamps, &self.tags, &nonces)
    }

    /// One step of one caller: at most one operation on the store.
    fn call(&mut self, caller: &mut Caller) -> Result<(), String> {
        let was = caller.at;
        caller.at = match was {
            At::Begin => {
                caller.must = self.acknowledged;
                if caller.forced { At::Take } else { At::Read }
            }
            At::Read => {
                let (stored, nonces) = self.store.read(&key(), &self.tags);
                caller.judged = Judged::of(&stored);
                match entry::find(&stored, MINE, key().digest()) {
                    Found::Usable(found) if self.hold(&found, nonces) => {
                        let value = u64::from_le_bytes(found.payload.try_into().unwrap());
                        self.seen("hit", value, caller.must)?;
                        if caller.refreshes { At::Take } else { At::End }
                    }
                    _ => At::Take,
                }
            }
            At::Take if caller.forced => {
                caller.content = self.store.seize(&key(), &caller.random, LOCK).content;
                At::Capture
            }
            At::Take => match self.store.take(&key(), &caller.judged, &caller.random, LOCK) {
                Take::Granted(granted) => {
                    caller.content = granted.content;
                    if self.rule == Rule::CaptureBehindTheBody { At::Body } else { At::Capture }
                }
                Take::Changed => At::Read,
                Take::Held(_) | Take::Pass => At::End,
            },
            At::Capture | At::CaptureLate => {
                caller.captured = self.capture(&caller.random);
                self.sent.push(caller.random.clone());
                if was == At::Capture { At::Body } else { At::Commit }
            }
            At::Body => {
                caller.value = self.origin;
                self.seen("computed", caller.value, caller.must)?;
                if self.rule == Rule::CaptureBehindTheBody { At::CaptureLate } else { At::Commit }
            }
            At::Commit => {
                let (bytes, ends_at) = self.sealed(caller);
                self.store.commit(&key(), &caller.content, &bytes, ends_at);
                At::End
            }
            At::End => At::End,
        };
        if was != At::End {
            self.told(format!("{} {was:?} v{}", caller.random, caller.value));
        }
        Ok(())
    }

    fn sealed(&self, caller: &Caller) -> (Vec<u8>, u64) {
        let now = self.store.now();
        let life = Life { born_at: now, due_at: now + 60_000, ttl_end: now + 60_000 };
        let stamps = tags::stamps(&self.tags, &caller.captured);
        let label = Label {
            life,
            fingerprint: MINE,
            key_digest: key().digest(),
            codec: codec::Id::Bincode,
            compressed: Compressed::Not,
            none: false,
            stamps: &stamps,
        };
        (entry::seal(&label, &caller.value.to_le_bytes()), life.ttl_end)
    }

    fn write(&mut self, writer: &mut Writer, number: usize) {
        match writer.step {
            0 => {
                self.origin += 1;
                writer.version = self.origin;
            }
            1 => match writer.tag {
                None => self.store.invalidate(&key()),
                Some(at) if self.rule == Rule::Counters => self.count_up(at),
                Some(at) => self.store.invalidate_tag(&self.tags[at]),
            },
            // The same request once more, before its acknowledgement or behind it.
            2 | 4 => {
                if let Some(at) = writer.tag
                    && self.rng.bool()
                    && self.rule != Rule::Counters
                {
                    self.store.invalidate_tag(&self.tags[at]);
                }
            }
            3 => self.acknowledged = self.acknowledged.max(writer.version),
            _ => return,
        }
        self.told(format!("writer{number} {:?} {} v{}", writer.tag, writer.step, writer.version));
        writer.step += 1;
    }

    fn count_up(&mut self, at: usize) {
        let now = self.store.now();
        let name = self.tags[at].key().to_owned();
        let mut contents = lock(&self.store.contents);
        let count = contents.value(&name, now).map_or(0, |stored| stored.bytes[0]);
        contents.insert(&name, vec![count + 1], now + 1_000_000, 1 << 20);
    }

    fn evict(&mut self) {
        if self.evictions == 0 {
            return;
        }
        self.evictions -= 1;
        let what = self.rng.usize(..4);
        let name = key().name().to_owned();
        let mut contents = lock(&self.store.contents);
        match what {
            0 => contents.remove(&name),
            1 => drop(contents.leases.remove(&name)),
            tag => contents.remove(self.tags[tag - 2].key()),
        }
        drop(contents);
        self.told(format!("evict {what}"));
    }

    fn arrive_again(&mut self) {
        if self.sent.is_empty() || self.rule == Rule::Counters {
            return;
        }
        let random = self.sent[self.rng.usize(..self.sent.len())].clone();
        self.store.capture(&self.tags, &random, LIFE);
        self.told(format!("the capture of {random} arrives again"));
    }
}

fn counter(count: u8) -> Nonce {
    Nonce::new(vec![count]).unwrap()
}

fn runs(rule: Rule, seeds: std::ops::Range<u64>) -> Result<(), String> {
    for seed in seeds {
        World::new(rule, seed).run().map_err(|broken| format!("seed {seed}: {broken}"))?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn c1_in_whatever_order_the_steps_come() {
    if let Err(broken) = runs(Rule::Kept, 0..5_000) {
        panic!("{broken}");
    }
}

/// Else the test above might prove nothing.
#[tokio::test(start_paused = true)]
async fn c1_is_broken_by_each_rule_that_leaves_something_out() {
    for rule in
        [Rule::CaptureBehindTheBody, Rule::MissingNonceMatches, Rule::Counters, Rule::StampsUnread]
    {
        assert!(runs(rule, 0..5_000).is_err(), "{rule:?} was not caught");
    }
}

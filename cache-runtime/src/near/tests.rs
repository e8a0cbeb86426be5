//! Many orders of reads, replies, pushes, pings and writes, against C2; and rules left out, which must be noticed.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::entry::{Judged, Life};
use crate::key::{Piece, Segment};
use crate::policy::Policy;
use crate::site::Site;
use crate::tags::Standing;

const BOUND: Duration = Duration::from_secs(1);
const NAME: &str = "ns:{user:1}";
const FOREVER: u64 = u64::MAX / 2;

static POLICY: Policy = Policy::new(1000);
static SITE: Site = Site::new("app", "load", || "app::load", "key", &POLICY);

fn place(number: u64) -> Place {
    let secret = Secret(7, 9);
    secret.place(&SITE, "", &[Segment(Piece::Value(&number))]).expect("a number has a text")
}

/// A rule that somebody would honestly have written.
#[derive(Clone, std::marker::Copy, Debug, PartialEq, Eq)]
enum Rule {
    AllHold,
    /// The counts are noted when the reply is here.
    NotedBehind,
    /// Freshness counts from the pong.
    ProvenByPong,
    /// Pushes go through a channel that a reply can overtake.
    PushesBehind,
    /// What was written by oneself stays until it is told.
    OwnStays,
    /// A connection that has ended takes nothing with it.
    EndStays,
}

enum Sent {
    Value { version: u64, marked: Option<marks::Marked> },
    Push,
    Pong { sent: Instant },
}

/// One key, one process with a near cache, one writer elsewhere.
struct World {
    rule: Rule,
    near: Near,
    marks: Arc<Marks>,
    ended: Arc<AtomicBool>,
    channel: Arc<Channel>,
    now: Instant,
    version: u64,
    is_tracked: bool,
    stream: VecDeque<Sent>,
    behind: usize,
    noted: Option<marks::Marked>,
    arrived: Option<(u64, marks::Marked, Arc<Channel>)>,
    /// Versions, and when nothing older may be served any more.
    acknowledged: Vec<(Instant, u64)>,
    hits: usize,
}

impl World {
    fn new(rule: Rule) -> Self {
        let (marks, ended): (Arc<Marks>, Arc<AtomicBool>) = Default::default();
        let channel = Arc::new(Channel::new(Arc::clone(&marks), Arc::clone(&ended), || true));
        Self {
            rule,
            near: Near::new(1 << 20, BOUND),
            marks,
            ended,
            channel,
            now: Instant::now(),
            version: 0,
            is_tracked: false,
            stream: VecDeque::new(),
            behind: 0,
            noted: None,
            arrived: None,
            acknowledged: Vec::new(),
            hits: 0,
        }
    }

    fn note(&self) -> marks::Marked {
        self.marks.note(std::iter::once(NAME))
    }

    fn write(&mut self) {
        self.version += 1;
        if std::mem::take(&mut self.is_tracked) {
            self.stream.push_back(Sent::Push);
        }
    }

    fn receive(&mut self) {
        match self.stream.pop_front() {
            Some(Sent::Push) if self.rule == Rule::PushesBehind => self.behind += 1,
            Some(Sent::Push) => self.marks.touch(NAME.as_bytes()),
            Some(Sent::Pong { sent }) => {
                let proves = if self.rule == Rule::ProvenByPong { self.now } else { sent };
                self.channel.prove(proves);
            }
            Some(Sent::Value { version, marked }) => {
                let marked = marked.unwrap_or_else(|| self.note());
                self.arrived = Some((version, marked, Arc::clone(&self.channel)));
            }
            None => {}
        }
    }

    /// The caller, which is a task of its own, goes on.
    fn fill(&mut self) {
        let Some((version, marked, channel)) = self.arrived.take() else { return };
        let life = Life { born_at: 0, due_at: FOREVER, ttl_end: FOREVER, end: FOREVER };
        let found = (life, Standing::Current, Judged::ABSENT);
        let near = Duration::from_secs(3600);
        let told = Told { channel, marked };
        let copy = Copy::new(Arc::new(version), 1, found, near, (self.now, 0), told);
        self.near.keep(place(1), copy, self.now);
    }

    fn disconnect(&mut self) {
        self.stream.clear();
        self.behind = 0;
        (self.is_tracked, self.noted) = (false, None);
        if self.rule == Rule::EndStays {
            return;
        }
        self.ended.store(true, std::sync::atomic::Ordering::Release);
        self.ended = Arc::default();
        self.channel =
            Arc::new(Channel::new(Arc::clone(&self.marks), Arc::clone(&self.ended), || true));
    }

    /// One step; whether what is served is as new as is promised.
    fn step(&mut self, random: &mut fastrand::Rng) -> bool {
        match random.u32(..12) {
            0 if self.noted.is_none() => self.noted = Some(self.note()),
            1 => {
                if let Some(noted) = self.noted.take() {
                    self.is_tracked = true;
                    let marked = (self.rule != Rule::NotedBehind).then_some(noted);
                    self.stream.push_back(Sent::Value { version: self.version, marked });
                }
            }
            2..=4 => self.receive(),
            5 if self.behind > 0 => {
                self.behind -= 1;
                self.marks.touch(NAME.as_bytes());
            }
            6 => self.fill(),
            7 => self.stream.push_back(Sent::Pong { sent: self.now }),
            8 if random.u32(..3) == 0 => {
                self.write();
                self.acknowledged.push((self.now + BOUND, self.version));
            }
            9 if random.u32(..3) == 0 => {
                let marks = Arc::clone(&self.marks);
                let touching = marks.touching(std::iter::once(NAME));
                self.write();
                if self.rule == Rule::OwnStays {
                    std::mem::forget(touching);
                }
                self.acknowledged.push((self.now, self.version));
            }
            10 if random.u32(..20) == 0 => self.disconnect(),
            _ => self.now += Duration::from_millis(random.u64(..150)),
        }
        self.holds()
    }

    fn holds(&mut self) -> bool {
        let Some(copy) = self.near.find(place(1), self.now) else { return true };
        self.hits += 1;
        let served = *copy.value.downcast_ref::<u64>().expect("it is one");
        let due = self.acknowledged.iter().filter(|(when, _)| *when <= self.now);
        due.map(|(_, version)| *version).max().is_none_or(|version| served >= version)
    }
}

/// The seed in which a promise is broken, and how many hits there were until then.
fn broken(rule: Rule) -> (Option<u64>, usize) {
    let mut hits = 0;
    for seed in 0..2000 {
        let (mut world, mut random) = (World::new(rule), fastrand::Rng::with_seed(seed));
        for _ in 0..150 {
            if !world.step(&mut random) {
                return (Some(seed), hits);
            }
        }
        hits += world.hits;
    }
    (None, hits)
}

#[test]
fn c2_in_whatever_order_things_come_nothing_old_is_served() {
    let (seed, hits) = broken(Rule::AllHold);
    assert_eq!(seed, None, "the seed of a run that breaks the promise");
    assert!(hits > 10_000, "only {hits} hits");
}

#[test]
fn c2_each_rule_is_needed() {
    for rule in
        [Rule::NotedBehind, Rule::ProvenByPong, Rule::PushesBehind, Rule::OwnStays, Rule::EndStays]
    {
        assert!(broken(rule).0.is_some(), "nobody notices {rule:?}");
    }
}

fn kept(world: &World, at: u64, weight: u64, near: Duration, life: Life) {
    let told = Told { channel: Arc::clone(&world.channel), marked: world.note() };
    let found = (life, Standing::Current, Judged::ABSENT);
    let copy = Copy::new(Arc::new(at), weight, found, near, (world.now, 1_000), told);
    world.near.keep(place(at), copy, world.now);
}

const LONG: Life = Life { born_at: 0, due_at: FOREVER, ttl_end: FOREVER, end: FOREVER };

#[test]
fn a_copy_ends_with_near_and_with_its_entry_and_where_time_is_in_doubt() {
    let mut world = World::new(Rule::AllHold);
    kept(&world, 1, 1, Duration::from_millis(500), LONG);
    let short = Life { ttl_end: 1_400, end: 1_400, ..LONG };
    kept(&world, 2, 1, Duration::from_secs(3600), short);
    kept(&world, 3, 1, Duration::from_secs(3600), LONG);
    let found = |after: u64| {
        let now = world.now + Duration::from_millis(after);
        world.channel.prove(now);
        [1, 2, 3].map(|at| world.near.find(place(at), now).is_some())
    };
    assert_eq!(found(398), [true, true, true]);
    // What is 400 ms here may be a moment more there.
    assert_eq!(found(399), [true, false, true]);
    assert_eq!(found(500), [false, false, true]);
    world.now += Duration::from_millis(500);
    assert!(world.near.find(place(3), world.now + BOUND - Duration::from_millis(1)).is_some());
    assert!(world.near.find(place(3), world.now + BOUND).is_none());
}

#[test]
fn what_empties_the_server_voids_every_copy() {
    let world = World::new(Rule::AllHold);
    world.channel.prove(world.now);
    kept(&world, 1, 1, BOUND, LONG);
    assert!(world.near.find(place(1), world.now).is_some());
    world.marks.touch_all();
    assert!(world.near.find(place(1), world.now).is_none());
    // It makes room at once.
    assert_eq!(world.near.shelf().len(), 0);
}

#[test]
fn who_has_learned_of_another_master_serves_nothing_of_the_old_one() {
    let mut world = World::new(Rule::AllHold);
    let present = Arc::new(AtomicBool::new(true));
    let (is_present, ended) = (Arc::clone(&present), Arc::clone(&world.ended));
    let leads = move || is_present.load(std::sync::atomic::Ordering::Acquire);
    world.channel = Arc::new(Channel::new(Arc::clone(&world.marks), ended, leads));
    world.channel.prove(world.now);
    kept(&world, 1, 1, BOUND, LONG);
    assert!(world.near.find(place(1), world.now).is_some());
    present.store(false, std::sync::atomic::Ordering::Release);
    assert!(world.near.find(place(1), world.now).is_none());
}

#[test]
fn what_is_too_much_makes_room() {
    let world = World::new(Rule::AllHold);
    world.channel.prove(world.now);
    for at in 0..4096 {
        kept(&world, at, 1 << 10, BOUND, LONG);
    }
    assert!(world.near.shelf().weight() <= 1 << 20);
    let found = (0..4096).filter(|&at| world.near.find(place(at), world.now).is_some()).count();
    assert!((512..=1024).contains(&found), "{found} copies of 1 KiB in 1 MiB");
}

#[test]
fn a_channel_is_attended_once_and_for_as_long_as_there_is_a_copy() {
    let world = World::new(Rule::AllHold);
    let (channel, now, second) = (&world.channel, world.now, Duration::from_secs(1));
    assert!(channel.need(now + second));
    assert!(!channel.need(now + 3 * second), "it is attended");
    assert!(!channel.is_needless(now + 2 * second));
    assert!(channel.is_needless(now + 3 * second));
    assert!(channel.need(now + 4 * second), "it is not attended any more");
}

#[test]
fn a_copy_that_is_due_asks_once_a_second() {
    let world = World::new(Rule::AllHold);
    world.channel.prove(world.now);
    kept(&world, 1, 1, BOUND, LONG);
    let copy = world.near.find(place(1), world.now).expect("it is there");
    let asks = |ms| copy.asks_for_refresh(world.now + Duration::from_millis(ms));
    assert_eq!([0, 1, 999, 1000, 1001].map(asks), [true, false, false, true, false]);
}

#[test]
fn different_arguments_are_found_in_different_places() {
    let secret = Secret(3, 4);
    let of = |segments: &[Segment<'_>], owner| secret.place(&SITE, owner, segments);
    let (a, b, ab, empty) = (&"a", &"b", &"ab", &"");
    let value = |text| Segment(Piece::Value(text));
    let absent = Segment(Piece::Absent);
    let lists: [&[Segment<'_>]; 7] = [
        &[value(a), value(b)],
        &[value(ab), value(empty)],
        &[value(empty), value(ab)],
        &[value(ab)],
        &[absent, value(ab)],
        &[value(empty)],
        &[absent],
    ];
    let mut places = Vec::new();
    for list in lists {
        for owner in ["", "A"] {
            let plain = of(list, owner).unwrap();
            places.extend([
                plain,
                secret.tagged(plain, &[list]).unwrap(),
                secret.tagged(plain, &[]).unwrap(),
            ]);
        }
    }
    let hashes: std::collections::HashSet<String> =
        places.iter().map(|place| format!("{place:?}")).collect();
    assert_eq!(hashes.len(), places.len());
    assert_ne!(Secret(3, 5).place(&SITE, "", lists[0]), of(lists[0], ""));
}

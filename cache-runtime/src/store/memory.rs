//! The embedded store: one process, no server. Also where timing is tested, on a paused clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{
    Claim, Commit, FIRST_PASS, Granted, Old, Polling, Seize, Take, Touch, ValueAndNonces, Waited,
    lease_text,
};
use crate::entry::{self, Judged};
use crate::faults::{self, Fault};
use crate::freshness::millis;
use crate::journal::{Journal, Of, Position};
use crate::key::Key;
use crate::sync::lock;
use crate::tags::{self, Nonce, Tag};

/// Keeps at most `capacity` bytes of values; what ends soonest goes first.
pub(crate) struct Memory {
    epoch_micros: u64,
    started: Instant,
    capacity: usize,
    contents: Mutex<Contents>,
    /// Woken whenever any lease ends. Only the leader of a flight waits here, so few do.
    lease_ended: Notify,
    #[cfg(test)]
    late: Mutex<Vec<loss::Late>>,
}

#[derive(Default)]
struct Contents {
    /// Entries and nonces alike, so that nonces count, and are evicted, as on a server.
    values: HashMap<String, Stored>,
    by_end: BTreeSet<(u64, String)>,
    bytes: usize,
    leases: HashMap<String, Lease>,
    journal_of_tags: Option<Journal>,
    journal_of_keys: Option<Journal>,
    /// Makes two leases, or two nonces, of one microsecond differ.
    last_micros: u64,
}

struct Stored {
    bytes: Vec<u8>,
    ends_at: u64,
}

struct Lease {
    content: String,
    ends_at: u64,
}

impl Contents {
    fn value(&mut self, name: &str, now: u64) -> Option<&mut Stored> {
        if self.values.get(name).is_some_and(|stored| stored.ends_at <= now) {
            self.remove(name);
        }
        self.values.get_mut(name)
    }

    fn remove(&mut self, name: &str) {
        if let Some(stored) = self.values.remove(name) {
            self.bytes -= stored.bytes.len();
            self.by_end.remove(&(stored.ends_at, name.to_owned()));
        }
    }

    fn insert(&mut self, name: &str, bytes: Vec<u8>, ends_at: u64, capacity: usize) {
        self.remove(name);
        if bytes.len() > capacity {
            return;
        }
        self.bytes += bytes.len();
        self.by_end.insert((ends_at, name.to_owned()));
        self.values.insert(name.to_owned(), Stored { bytes, ends_at });
        while self.bytes > capacity {
            let Some((_, soonest)) = self.by_end.first().cloned() else { break };
            self.remove(&soonest);
        }
    }

    fn lease(&mut self, name: &str, now: u64) -> Option<&str> {
        if self.leases.get(name).is_some_and(|lease| lease.ends_at <= now) {
            self.leases.remove(name);
        }
        self.leases.get(name).map(|lease| lease.content.as_str())
    }

    fn journal(&mut self, of: Of) -> &mut Option<Journal> {
        match of {
            Of::Tags => &mut self.journal_of_tags,
            Of::Keys => &mut self.journal_of_keys,
        }
    }

    fn note<'t>(&mut self, of: Of, names: impl Iterator<Item = &'t str>) {
        if let Some(journal) = self.journal(of) {
            journal.add(names);
        }
    }

    fn unique(&mut self, micros: u64) -> u64 {
        self.last_micros = micros.max(self.last_micros + 1);
        self.last_micros
    }

    fn grant(
        &mut self,
        key: &Key,
        token: &str,
        failures: u32,
        micros: u64,
        lock_ttl: Duration,
    ) -> Granted {
        // Leases that nobody asked for again would pile up.
        let now = micros / 1000;
        if self.leases.len() > 1024 && self.leases.len().is_power_of_two() {
            self.leases.retain(|_, lease| lease.ends_at > now);
        }
        let unique = if faults::on(Fault::LeaseNotUnique) { 0 } else { self.unique(micros) };
        let content = lease_text::granted(token, unique, failures);
        let lease = Lease { content: content.clone(), ends_at: now + millis(lock_ttl) };
        self.leases.insert(key.name().to_owned(), lease);
        Granted { content, server_ms: now }
    }
}

/// Whether a lease is exactly the one that was given.
fn holds(lease: Option<&str>, content: &str) -> bool {
    if faults::on(Fault::CommitWithoutLease) || (faults::on(Fault::SetUnfenced) && content == "*") {
        return true;
    }
    if faults::on(Fault::AbsentLeaseHolds) && lease.is_none() {
        return true;
    }
    if faults::on(Fault::CommitByToken) {
        let token = |content: &str| content.split('.').next().map(str::to_owned);
        return lease.and_then(token) == token(content);
    }
    lease == Some(content)
}

fn matches(stored: Option<&mut Stored>, judged: &Judged) -> bool {
    stored.map_or(Judged::ABSENT, |stored| Judged::of(&stored.bytes)) == *judged
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            epoch_micros: u64::try_from(epoch.as_micros()).unwrap_or(0),
            started: Instant::now(),
            capacity,
            contents: Mutex::default(),
            lease_ended: Notify::new(),
            #[cfg(test)]
            late: Mutex::default(),
        }
    }

    fn micros(&self) -> u64 {
        let since = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX / 2);
        self.epoch_micros + since
    }

    pub(crate) fn now(&self) -> u64 {
        self.micros() / 1000
    }

    pub(crate) fn read(&self, key: &Key, tags: &[Tag]) -> ValueAndNonces {
        let now = self.now();
        let mut contents = lock(&self.contents);
        let mut get = |name: &str| contents.value(name, now).map(|stored| stored.bytes.clone());
        let value = get(key.name()).unwrap_or_default();
        let nonces = tags.iter().map(|tag| get(tag.key()).and_then(Nonce::new)).collect();
        (value.into(), nonces)
    }

    pub(crate) fn capture(&self, tags: &[Tag], random: &str, life: Duration) -> Vec<Nonce> {
        #[cfg(test)]
        self.sent({
            let (tags, random) = (tags.to_vec(), random.to_owned());
            move |store| drop(store.capture(&tags, &random, life))
        });
        let micros = self.micros();
        let now = micros / 1000;
        let mut contents = lock(&self.contents);
        let fresh = match contents.unique(micros) {
            _ if faults::on(Fault::NonceNotUnique) => random.to_owned(),
            _ if faults::on(Fault::Counters) => "0".to_owned(),
            unique => format!("{random}.{unique}"),
        };
        let fresh = fresh.into_bytes();
        let capture = |tag: &Tag| {
            let (nonce, ends_at) = contents
                .value(tag.key(), now)
                .map_or((fresh.clone(), 0), |stored| (stored.bytes.clone(), stored.ends_at));
            let ends_at = ends_at.max(now.saturating_add(millis(life)));
            contents.insert(tag.key(), nonce.clone(), ends_at, self.capacity);
            Nonce::new(nonce)
        };
        tags.iter().filter_map(capture).collect()
    }

    pub(crate) fn nonces(&self, tags: &[Tag]) -> Vec<Option<Nonce>> {
        let now = self.now();
        let mut contents = lock(&self.contents);
        let mut get = |tag: &Tag| Nonce::new(contents.value(tag.key(), now)?.bytes.clone());
        tags.iter().map(&mut get).collect()
    }

    pub(crate) fn position(&self, of: Of, random: &str) -> Position {
        let micros = self.micros();
        let mut contents = lock(&self.contents);
        let unique = contents.unique(micros);
        contents
            .journal(of)
            .get_or_insert_with(|| Journal::new(format!("{random}.{unique}")))
            .position(micros / 1000)
    }

    pub(crate) fn is_clean(&self, since: &Position, tags: &[Tag]) -> bool {
        let mut contents = lock(&self.contents);
        let names = tags.iter().map(Tag::name);
        let absent = faults::on(Fault::AbsentJournalIsClean);
        contents.journal(Of::Tags).as_ref().map_or(absent, |journal| journal.is_clean(since, names))
    }

    pub(crate) fn is_untouched(&self, since: &Position, key: &Key, then_note: bool) -> bool {
        let mut contents = lock(&self.contents);
        let absent = faults::on(Fault::AbsentJournalIsClean);
        let journal = contents.journal(Of::Keys).as_ref();
        let clean =
            journal.map_or(absent, |journal| journal.is_clean(since, [key.name()].into_iter()));
        if clean && then_note && !faults::on(Fault::PutUnnoted) {
            contents.note(Of::Keys, [key.name()].into_iter());
        }
        clean
    }

    pub(crate) fn touch_tags(&self, tags: &[Tag], touch: Touch) {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if !faults::on(Fault::JournalSkipped) && !faults::on(Fault::NonceBeforeJournal) {
            contents.note(Of::Tags, tags.iter().map(Tag::name));
        }
        for tag in tags {
            let stored = contents
                .value(tag.key(), now)
                .map(|stored| (tags::expired(&stored.bytes), stored.ends_at));
            match (touch, stored) {
                #[cfg(test)]
                _ if faults::on(Fault::Counters) && touch == Touch::Invalidate => {
                    contents.count_up(tag.key(), now);
                }
                (Touch::Expire, Some((nonce, ends_at))) => {
                    contents.insert(tag.key(), nonce, ends_at, self.capacity);
                }
                _ => contents.remove(tag.key()),
            }
        }
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        let mut contents = lock(&self.contents);
        let last_micros = contents.last_micros;
        *contents = Contents { last_micros, ..Contents::default() };
        self.lease_ended.notify_waiters();
    }

    pub(crate) fn take(&self, key: &Key, judged: &Judged, token: &str, lock_ttl: Duration) -> Take {
        #[cfg(test)]
        self.sent({
            let (key, judged, token) = (key.clone(), *judged, token.to_owned());
            move |store| drop(store.take(&key, &judged, &token, lock_ttl))
        });
        let micros = self.micros();
        let now = micros / 1000;
        let mut contents = lock(&self.contents);
        if let Some(content) = contents.lease(key.name(), now)
            && content.starts_with(token)
        {
            return Take::Granted(Granted { content: content.to_owned(), server_ms: now });
        }
        if !matches(contents.value(key.name(), now), judged) {
            return Take::Changed;
        }
        let failures = match contents.lease(key.name(), now) {
            None => 0,
            Some(content) => match lease_text::parse_pass(content) {
                None => return Take::Held(content.to_owned()),
                Some((until, _, old)) if now < until => return Take::Pass(old),
                Some((_, failures, _)) => failures,
            },
        };
        Take::Granted(contents.grant(key, token, failures, micros, lock_ttl))
    }

    pub(crate) fn seize(
        &self,
        key: &Key,
        token: &str,
        lock_ttl: Duration,
        what_for: Seize<'_>,
    ) -> Option<Granted> {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if let Seize::Newer(Some(version)) = what_for {
            let (name, text) = (&version.key, version.text());
            if contents.value(name, now).is_some_and(|newest| *newest.bytes > *text.as_bytes()) {
                return None;
            }
            let ends_at = now + millis(version.life);
            contents.insert(name, text.into_bytes(), ends_at, self.capacity);
        }
        if let Seize::Newer(_) = what_for {
            contents.note(Of::Keys, [key.name()].into_iter());
        }
        let granted = contents.grant(key, token, 0, self.micros(), lock_ttl);
        drop(contents);
        self.lease_ended.notify_waiters();
        Some(granted)
    }

    pub(crate) fn renew(&self, key: &Key, content: &str, lock_ttl: Duration) -> bool {
        let now = self.now();
        let mut contents = lock(&self.contents);
        #[cfg(test)]
        contents.revive(key, content);
        if contents.lease(key.name(), now) != Some(content) {
            return false;
        }
        if let Some(lease) = contents.leases.get_mut(key.name()) {
            lease.ends_at = now + millis(lock_ttl);
        }
        true
    }

    pub(crate) fn commit(&self, key: &Key, content: &str, sealed: &[u8], alone: bool) -> Commit {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if !holds(contents.lease(key.name(), now), content) {
            return Commit::Refused;
        }
        // What is slower than its ttl is not stored, also where it would be kept for longer.
        if now >= entry::ttl_end_of(sealed) {
            return Commit::Late;
        }
        let mut bytes = sealed.to_vec();
        let mut ends_at = entry::end_of(sealed);
        if !alone
            && let Some(stored) = contents.value(key.name(), now)
            && let Some(other) = entry::other_than(&stored.bytes, entry::fingerprint_of(sealed))
            && entry::ttl_end_of(other) > now
            // Nobody has checked it: what ends before its ttl does is damaged, and would take this one with it.
            && entry::end_of(other) >= entry::ttl_end_of(other)
        {
            bytes.extend_from_slice(other);
            ends_at = ends_at.min(entry::end_of(other));
        }
        contents.insert(key.name(), bytes, ends_at, self.capacity);
        contents.leases.remove(key.name());
        self.lease_ended.notify_waiters();
        Commit::Stored
    }

    pub(crate) fn pass(&self, key: &Key, content: &str, longest: Duration, old: Old) -> bool {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if contents.lease(key.name(), now) != Some(content) {
            return false;
        }
        let failures = lease_text::failures(content).saturating_add(1);
        let doubled = millis(FIRST_PASS).saturating_mul(1 << (failures - 1).min(20));
        let span = doubled.min(millis(longest));
        let content = lease_text::pass(now + span, failures, old);
        let marker = Lease { content, ends_at: now + span * 2 };
        contents.leases.insert(key.name().to_owned(), marker);
        if old == Old::Goes {
            contents.remove(key.name());
        }
        self.lease_ended.notify_waiters();
        true
    }

    pub(crate) fn release(&self, key: &Key, claim: &Claim) {
        let now = self.now();
        let mut contents = lock(&self.contents);
        let mine = contents.lease(key.name(), now).is_some_and(|stored| match claim {
            Claim::Content(content) => stored == content,
            Claim::Token(token) => stored.starts_with(token.as_str()),
        });
        if mine {
            contents.leases.remove(key.name());
            self.lease_ended.notify_waiters();
        }
    }

    pub(crate) fn remove(&self, key: &Key, judged: &Judged) {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if matches(contents.value(key.name(), now), judged) {
            contents.remove(key.name());
        }
    }

    pub(crate) fn invalidate(&self, keys: &[Key]) {
        let mut contents = lock(&self.contents);
        if !faults::on(Fault::KeyUnnoted) && !faults::on(Fault::KeyBeforeJournal) {
            contents.note(Of::Keys, keys.iter().map(Key::name));
        }
        for key in keys {
            contents.leases.remove(key.name());
            contents.remove(key.name());
        }
        self.lease_ended.notify_waiters();
    }

    pub(crate) fn expire(&self, key: &Key) {
        let now = self.now();
        let mut contents = lock(&self.contents);
        if !faults::on(Fault::ExpireUnnoted) {
            contents.note(Of::Keys, [key.name()].into_iter());
        }
        if !faults::on(Fault::ExpireKeepsTheLease) && !faults::on(Fault::DueBeforeLease) {
            contents.leases.remove(key.name());
        }
        if let Some(stored) = contents.value(key.name(), now) {
            for at in entry::due_offsets(&stored.bytes) {
                stored.bytes[at..at + 8].fill(0);
            }
        }
        self.lease_ended.notify_waiters();
    }

    pub(crate) fn remaining(&self, key: &Key) -> Option<Duration> {
        let now = self.now();
        let mut contents = lock(&self.contents);
        contents.value(key.name(), now).map(|stored| Duration::from_millis(stored.ends_at - now))
    }

    pub(crate) async fn wait_for_lease(&self, key: &Key, held: &str, until: Instant) -> Waited {
        let mut polling = Polling::new();
        loop {
            let ended = self.lease_ended.notified();
            tokio::pin!(ended);
            // Listening begins before looking, so that no end falls between the two.
            ended.as_mut().enable();
            let now = self.now();
            if lock(&self.contents).lease(key.name(), now) != Some(held) {
                return Waited::Ended;
            }
            if Instant::now() >= until {
                return Waited::TimedOut;
            }
            let _ = tokio::time::timeout_at(polling.next(until), ended).await;
        }
    }
}

#[cfg(test)]
#[path = "memory_loss.rs"]
pub(crate) mod loss;

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "memory_tags_tests.rs"]
mod tags_tests;

//! Invalidations left behind their callers: nobody knows whether their transaction has committed.
//!
//! One errand on each runtime sees to all that a cache has, and each is there once, however many callers have
//! left it: a server that is back after minutes finds what is left, and not a task for each write since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::after_commit::{Batch, Outcome, Subject};
use crate::cache::Inner;
use crate::metrics::Pending;
use crate::sync::lock;
use crate::tags;

/// How long it is repeated: COMMIT may still be on its way, and an invalidation that overtakes it is none.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// How long it is tried where it fails, and the pauses between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause where the server answers: so long may an old value stand after a COMMIT that arrives late.
const BETWEEN_REPEATS: Duration = Duration::from_millis(500);
/// So many keys and tags of one cache wait. Beyond that, all entries of a clearable cache are meant.
const MOST: usize = 65_536;

/// What one cache has yet to be told.
#[derive(Default)]
pub(crate) struct LeftBehind {
    waiting: Mutex<Waiting>,
    more: Notify,
    pending: Pending,
}

#[derive(Default)]
struct Waiting {
    subjects: HashMap<Subject, Turn>,
    /// How many of these no server has confirmed.
    unconfirmed: usize,
    /// How often something was left.
    count: u64,
    /// Runtimes with an errand. One alone would not do: nobody may be driving its runtime.
    attended: Vec<Id>,
}

struct Turn {
    /// What is left once more came too late for an attempt that is under way: then this differs.
    number: u64,
    since: Instant,
    due: Instant,
    pause: Duration,
    reached: bool,
}

/// Has it sent, at once and again until its COMMIT has surely arrived.
pub(crate) fn leave(cache: &Arc<Inner>, batch: Batch) {
    if batch.len() == 0 {
        return;
    }
    let runtime = Handle::try_current().map(|runtime| runtime.id()).ok();
    let (lost, unsent, begins, before, after) = {
        let mut waiting = lock(&cache.left.waiting);
        let before = waiting.unconfirmed;
        let lost = waiting.add(batch, cache.settings.clearable, Instant::now());
        let begins = runtime.filter(|id| !waiting.attended.contains(id));
        waiting.attended.extend(begins);
        (lost, waiting.unattended(), begins, before, waiting.unconfirmed)
    };
    cache.left.pending.changed(before, after);
    if lost > 0 {
        cache.left.pending.lost(lost);
        tracing::error!(
            target: "redis_cached", lost,
            "more than {MOST} invalidations wait for a server that can't be reached, and these are given up: old \
             values may be served to the end of their ttl; of a cache that is built `clearable` all would be \
             invalidated instead"
        );
    }
    tell_unattended(unsent);
    cache.left.more.notify_waiters();
    if let Some(runtime) = begins {
        let errand = Errand { cache: Arc::clone(cache), runtime };
        cache.work.spawn_errand(errand.run());
    }
}

/// Sees here to what was left where no runtime was, or on one that has ended or that nobody drives. Also where it was
/// sent: its COMMIT may come yet.
pub(crate) fn attend(cache: &Arc<Inner>) {
    let Ok(runtime) = Handle::try_current().map(|runtime| runtime.id()) else { return };
    let begins = {
        let mut waiting = lock(&cache.left.waiting);
        let begins = !waiting.subjects.is_empty() && !waiting.attended.contains(&runtime);
        if begins {
            waiting.attended.push(runtime);
        }
        begins
    };
    if begins {
        cache.work.spawn_errand(Errand { cache: Arc::clone(cache), runtime }.run());
    }
}

/// How many the server has not confirmed yet.
pub(crate) fn unconfirmed(cache: &Inner) -> usize {
    lock(&cache.left.waiting).unconfirmed
}

fn tell_unattended(unsent: usize) {
    if unsent > 0 {
        tracing::error!(
            target: "redis_cached", unsent,
            "invalidations were left to be sent behind the caller, and there is no tokio runtime to do it: unless more \
             are left where there is one, they are lost, and old values may be served to the end of their ttl"
        );
    }
}

struct Errand {
    cache: Arc<Inner>,
    runtime: Id,
}

impl Errand {
    async fn run(self) {
        let left = &self.cache.left;
        let mut stopping = false;
        loop {
            let sent_at = Instant::now();
            let due = left.due(sent_at);
            if !due.is_empty() {
                let batch: Batch = due.iter().map(|(subject, _)| subject.clone()).collect();
                let outcome = batch.send(&self.cache).await;
                left.settle(due, &outcome, sent_at, stopping);
                if !outcome.is_confirmed() {
                    // Whatever comes in meanwhile waits: each attempt is one more for a server in trouble.
                    sleep(FIRST_PAUSE).await;
                }
            }
            // Made before the look, so that nothing comes in between the two.
            let more = left.more.notified();
            let Some(next) = left.next(self.runtime) else { return };
            tokio::select! {
                () = sleep_until(next) => {}
                () = more => {}
                () = self.cache.work.stopped(), if !stopping => {
                    stopping = true;
                    left.hurry();
                }
            }
        }
    }
}

impl Drop for Errand {
    /// Also where its runtime has ended, or did before it began.
    fn drop(&mut self) {
        let unsent = {
            let mut waiting = lock(&self.cache.left.waiting);
            waiting.attended.retain(|id| *id != self.runtime);
            waiting.unattended()
        };
        tell_unattended(unsent);
    }
}

impl LeftBehind {
    fn due(&self, now: Instant) -> Vec<(Subject, u64)> {
        let mut waiting = lock(&self.waiting);
        let due = waiting.subjects.iter_mut().filter(|(_, turn)| turn.due <= now);
        due.map(|(subject, turn)| {
            // Another runtime's errand takes it up if this one stands still.
            turn.due = now + turn.pause;
            (subject.clone(), turn.number)
        })
        .collect()
    }

    fn settle(
        &self,
        due: Vec<(Subject, u64)>,
        outcome: &Outcome,
        sent_at: Instant,
        stopping: bool,
    ) {
        let now = Instant::now();
        let mut waiting = lock(&self.waiting);
        let before = waiting.unconfirmed;
        let (mut newly_confirmed, mut given_up) = (0, 0);
        let mut lost = 0_usize;
        for (subject, number) in due {
            let turn = waiting.subjects.get_mut(&subject).filter(|turn| turn.number == number);
            let Some(turn) = turn else { continue };
            let confirmed = outcome.confirms(&subject);
            newly_confirmed += usize::from(confirmed && !turn.reached);
            let age = if confirmed { sent_at - turn.since } else { now - turn.since };
            if confirmed && (stopping || age >= UNDER_WAY) {
                waiting.subjects.remove(&subject);
            } else if !confirmed && age >= LONGEST {
                given_up += usize::from(!turn.reached);
                waiting.subjects.remove(&subject);
                lost += 1;
            } else {
                turn.reached |= confirmed;
                let longest = if confirmed { BETWEEN_REPEATS } else { LONGEST_PAUSE };
                // That of an outage is too long from the moment that the server answers.
                turn.due = now + turn.pause.min(longest);
                turn.pause = (turn.pause * 2).min(longest);
            }
        }
        waiting.unconfirmed -= newly_confirmed + given_up;
        let after = waiting.unconfirmed;
        drop(waiting);
        self.pending.changed(before, after);
        if lost > 0 {
            self.pending.lost(lost);
            tracing::error!(
                target: "redis_cached", lost,
                "invalidations of transactions could not be sent for five minutes, and are given up: old values may \
                 be served to the end of their ttl"
            );
        }
    }

    /// When there is something to do again. `None`: there is nothing left, and whatever comes now needs
    /// another errand.
    fn next(&self, runtime: Id) -> Option<Instant> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.subjects.values().map(|turn| turn.due).min();
        if next.is_none() {
            waiting.attended.retain(|id| *id != runtime);
            // With the room that they have taken.
            waiting.subjects = HashMap::new();
        }
        next
    }

    fn hurry(&self) {
        let now = Instant::now();
        lock(&self.waiting).subjects.values_mut().for_each(|turn| turn.due = now);
    }
}

impl Waiting {
    /// How many found no room.
    fn add(&mut self, batch: Batch, clearable: bool, now: Instant) -> usize {
        let mut lost = 0;
        self.count += 1;
        let number = self.count;
        for subject in batch {
            let turn = Turn { number, since: now, due: now, pause: FIRST_PAUSE, reached: false };
            if self.subjects.len() < MOST || self.subjects.contains_key(&subject) {
                let before = self.subjects.insert(subject, turn);
                self.unconfirmed += usize::from(before.is_none_or(|turn| turn.reached));
            } else if clearable {
                self.subjects.clear();
                self.subjects.insert(Subject::Tag(tags::EVERYTHING.to_owned()), turn);
                self.unconfirmed = 1;
            } else {
                lost += 1;
            }
        }
        lost
    }

    /// How many nobody will send.
    fn unattended(&self) -> usize {
        if self.attended.is_empty() { self.unconfirmed } else { 0 }
    }
}

#[cfg(test)]
#[path = "left_behind_tests.rs"]
mod tests;

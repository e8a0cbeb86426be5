//! Where entries and leases live: bytes in, bytes out.
//!
//! Each method is one atomic step of the protocol. A store never sees a user's type.

pub(crate) mod memory;
pub(crate) mod redis;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::entry::Judged;
#[cfg(test)]
use crate::faults::{self, Fault};
use crate::journal::{self, Position};
use crate::key::Key;
use crate::steps::{self, step};
use crate::tags::{Nonce, Tag};
use memory::Memory;
use redis::{Redis, Tracked};

/// The failure marker's first length; it doubles up to the function's `lock_ttl`.
pub(crate) const FIRST_PASS: Duration = Duration::from_secs(1);

/// Why a store did not carry out a step.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("not connected: {0}")]
    Unconnected(String),
    #[error("not connected: the server has not answered lately, and is asked again soon")]
    LeftAlone,
    /// A part of the keys is on one node of a cluster, and a part on another.
    #[error("its keys are just moved from one node of the cluster to another")]
    Moving,
    #[error("refused by the server: {0}")]
    Server(String),
    #[error("{confirmed} and not {wanted} replicas have confirmed it within {within:?}")]
    Replicas { confirmed: usize, wanted: usize, within: Duration },
}

/// Which version of a value is being set, where that is noted, and for how long it is to be known.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) key: String,
    pub(crate) number: u64,
    pub(crate) life: Duration,
}

impl Version {
    /// Of one length, so that the texts compare as the numbers do: a script knows no integers of this size.
    fn text(&self) -> String {
        format!("{:020}", self.number)
    }
}

/// What a lease is taken away for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seize<'v> {
    /// A value that is as new as the lease. Noted in the journal of keys: what bodies have at hand that have begun
    /// before is older.
    Newer(Option<&'v Version>),
    /// A value that is as old as the body of a writer, and has to be judged yet.
    Judged,
}

/// A lease that was given, and the server's time when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The whole content of the lease key. Made unique by the server, so that a request which is
    /// sent again or arrives late cannot revive an old one.
    pub(crate) content: String,
    pub(crate) server_ms: u64,
}

/// What a request for a lease came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Granted(Granted),
    /// Something else is stored by now than what the caller judged.
    Changed,
    /// Somebody computes; the content names whose lease it is.
    Held(String),
    /// The last computation ended without a value a moment ago, which says so much of the old one.
    Pass(Old),
}

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Stored,
    /// The lease is no longer exactly the one that was given.
    Refused,
    /// The entry's life was over before it was stored.
    Late,
    /// The function says that this value is not to be stored.
    Unwanted,
}

/// What becomes of the value that is stored when a computation ends without one to take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Old {
    /// The computation has failed: until the next one the old value is served to those who have it.
    Serves,
    /// It has ended in an answer that is not stored, in place of which nothing old is served.
    Stays,
    /// It has ended with a value that is not to be stored: the old one is outdated.
    Goes,
}

impl Old {
    pub(crate) fn of_failure(failed: bool) -> Self {
        if failed { Self::Serves } else { Self::Stays }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Serves => "serves",
            Self::Stays => "stays",
            Self::Goes => "goes",
        }
    }
}

/// What is done to tags, and with them to every entry that carries one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// No entry with it is served any more.
    Invalidate,
    /// Every entry with it is stale.
    Expire,
}

/// How a caller names a lease that it wants to give back.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    Content(String),
    /// The reply to the request was never seen; the random part is the caller's own all the same.
    Token(String),
}

/// What is stored under a key, and the nonces of the tags that were asked for with it, in their order.
/// Nothing stored is an empty string: an entry never is one.
pub(crate) type ValueAndNonces = (Bytes, Vec<Option<Nonce>>);

pub(crate) enum Store {
    Memory(Arc<Memory>),
    Redis(Box<Redis>),
}

impl Store {
    /// One round trip: a `GET`, or one `MGET` where tags are read as well.
    pub(crate) async fn read(
        &self,
        key: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<ValueAndNonces, StoreError> {
        match self {
            Self::Memory(store) => step("read", || store.read(key, tags)).await,
            Self::Redis(store) => store.read(key, tags, deadline).await,
        }
    }

    /// The same of many keys, each once, and what each has come to. As few requests as there can be.
    pub(crate) async fn read_all(
        &self,
        wanted: &[(&Key, &[Tag])],
        deadline: Instant,
    ) -> Vec<Result<ValueAndNonces, StoreError>> {
        match self {
            Self::Memory(store) => {
                let read = || wanted.iter().map(|(key, tags)| store.read(key, tags)).collect();
                let read: Result<Vec<_>, _> = step("read_all", read).await;
                match read {
                    Ok(all) => all.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error); wanted.len()],
                }
            }
            Self::Redis(store) => store.read_all(wanted, deadline).await,
        }
    }

    /// As [`read`](Self::read), of what the store is to tell when it changes.
    pub(crate) async fn read_tracked(
        &self,
        key: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<(ValueAndNonces, Tracked), StoreError> {
        match self {
            Self::Memory(_) => Ok((self.read(key, tags, deadline).await?, Tracked::NotNow)),
            Self::Redis(store) => store.read_tracked(key, tags, deadline).await,
        }
    }

    /// Whether it is worth having copies of what is stored: the embedded store is near itself.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// Reads the nonces of tags before a body begins, makes those that are missing, and has all of them
    /// live for at least `life` from now.
    pub(crate) async fn capture(
        &self,
        tags: &[Tag],
        life: Duration,
        deadline: Instant,
    ) -> Result<Vec<Nonce>, StoreError> {
        let random = format!("{:032x}", fastrand::u128(..));
        match self {
            Self::Memory(store) => step("capture", || store.capture(tags, &random, life)).await,
            Self::Redis(store) => store.capture(tags, &random, life, deadline).await,
        }
    }

    /// The nonces of tags that the entry names and nobody asked for with it.
    pub(crate) async fn nonces(
        &self,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<Vec<Option<Nonce>>, StoreError> {
        match self {
            Self::Memory(store) => step("nonces", || store.nonces(tags)).await,
            Self::Redis(store) => store.nonces(tags, deadline).await,
        }
    }

    /// Where a journal is, before a body begins. Makes it if it is not there.
    pub(crate) async fn position(
        &self,
        of: journal::Of,
        namespace: &str,
        deadline: Instant,
    ) -> Result<Position, StoreError> {
        let random = format!("{:032x}", fastrand::u128(..));
        match self {
            Self::Memory(store) => step("position", || store.position(of, &random)).await,
            Self::Redis(store) => store.position(of, namespace, &random, deadline).await,
        }
    }

    /// Whether none of the tags was touched since a position of the journal. To be asked behind the
    /// capture of their nonces: what touches a tag says so in the journal first.
    pub(crate) async fn is_clean(
        &self,
        namespace: &str,
        since: &Position,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => step("is_clean", || store.is_clean(since, tags)).await,
            Self::Redis(store) => store.is_clean(namespace, since, tags, deadline).await,
        }
    }

    /// Whether a key was not touched since a position of the journal. To be asked under its lease, and before the
    /// commit: what touches a key says so in the journal, and then ends its lease. With `then_note` this touches it as
    /// well, for those that have asked for a position until now.
    pub(crate) async fn is_untouched(
        &self,
        namespace: &str,
        since: &Position,
        key: &Key,
        then_note: bool,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => {
                step("is_untouched", || store.is_untouched(since, key, then_note)).await
            }
            Self::Redis(store) => {
                store.is_untouched(namespace, since, key, then_note, deadline).await
            }
        }
    }

    /// Removes the nonces of tags, and with each every entry that carries it; or counts them up, so that those
    /// are stale. Before that it notes the tags in the journal, if there is one. Needs no memory.
    ///
    /// Requests about one tag may travel on several connections: the server puts them in an order, and
    /// whichever it is, nonces are unique. A capture that comes before this one has got a nonce that never
    /// comes back; one that comes behind it belongs to a body that has not begun yet, since bodies
    /// wait for its reply, or is checked against the journal; one that was sent again, or arrives when nobody
    /// waits for it any more, stores a nonce that no entry carries.
    pub(crate) async fn touch_tags(
        &self,
        namespace: &str,
        tags: &[Tag],
        touch: Touch,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        match self {
            #[cfg(test)]
            Self::Memory(store) if faults::on(Fault::NonceBeforeJournal) => {
                faults::nonce_before_journal(store, tags, touch).await
            }
            Self::Memory(store) => step("touch_tags", || store.touch_tags(tags, touch)).await,
            Self::Redis(store) => store.touch_tags(namespace, tags, touch, deadline).await,
        }
    }

    /// Removes everything of a namespace, by walking through the server's keys. Not for a path that a
    /// request takes.
    pub(crate) async fn clear(&self, namespace: &str) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => step("clear", || store.clear()).await,
            Self::Redis(store) => store.clear(namespace).await,
        }
    }

    /// As [`read`](Self::read), where it need not be waited for.
    pub(crate) fn read_at_once(&self, key: &Key, tags: &[Tag]) -> Option<ValueAndNonces> {
        match self {
            Self::Memory(_) if steps::are_scheduled() => None,
            Self::Memory(store) => Some(store.read(key, tags)),
            Self::Redis(_) => None,
        }
    }

    /// As [`nonces`](Self::nonces), where they need not be waited for.
    pub(crate) fn nonces_at_once(&self, tags: &[Tag]) -> Option<Vec<Option<Nonce>>> {
        match self {
            Self::Memory(store) => Some(store.nonces(tags)),
            Self::Redis(_) => None,
        }
    }

    /// Asks for the lease, provided that the value is still the one that was judged.
    pub(crate) async fn take(
        &self,
        key: &Key,
        judged: &Judged,
        token: &str,
        lock_ttl: Duration,
        deadline: Instant,
    ) -> Result<Take, StoreError> {
        match self {
            Self::Memory(store) => step("take", || store.take(key, judged, token, lock_ttl)).await,
            Self::Redis(store) => store.take(key, judged, token, lock_ttl, deadline).await,
        }
    }

    /// Takes the lease away from whoever holds it. `None`: a newer version of the value has been set.
    pub(crate) async fn seize(
        &self,
        namespace: &str,
        key: &Key,
        token: &str,
        lock_ttl: Duration,
        what_for: Seize<'_>,
        deadline: Instant,
    ) -> Result<Option<Granted>, StoreError> {
        match self {
            Self::Memory(store) => {
                step("seize", || store.seize(key, token, lock_ttl, what_for)).await
            }
            Self::Redis(store) => {
                store.seize(namespace, key, token, lock_ttl, what_for, deadline).await
            }
        }
    }

    /// Extends the lease; `false` where it is no longer the caller's.
    pub(crate) async fn renew(
        &self,
        key: &Key,
        content: &str,
        lock_ttl: Duration,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => step("renew", || store.renew(key, content, lock_ttl)).await,
            Self::Redis(store) => store.renew(key, content, lock_ttl, deadline).await,
        }
    }

    /// Stores a sealed entry and ends the lease, if it is still exactly the one given. A live entry of another
    /// fingerprint is kept behind, unless this is to stand alone.
    pub(crate) async fn commit(
        &self,
        key: &Key,
        content: &str,
        sealed: &[u8],
        alone: bool,
        deadline: Instant,
    ) -> Result<Commit, StoreError> {
        match self {
            Self::Memory(store) => {
                step("commit", || store.commit(key, content, sealed, alone)).await
            }
            Self::Redis(store) => store.commit(key, content, sealed, alone, deadline).await,
        }
    }

    /// Turns the lease into the marker that its computation ended without a value to store; `false` where
    /// it is no longer the caller's.
    pub(crate) async fn pass(
        &self,
        key: &Key,
        content: &str,
        longest: Duration,
        old: Old,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => step("pass", || store.pass(key, content, longest, old)).await,
            Self::Redis(store) => store.pass(key, content, longest, old, deadline).await,
        }
    }

    /// Gives a lease back, if it is still the caller's.
    pub(crate) async fn release(
        &self,
        key: &Key,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => step("release", || store.release(key, claim)).await,
            Self::Redis(store) => store.release(key, claim, deadline).await,
        }
    }

    /// Removes the value, if it is still the one that was judged.
    pub(crate) async fn remove(
        &self,
        key: &Key,
        judged: &Judged,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => step("remove", || store.remove(key, judged)).await,
            Self::Redis(store) => store.remove(key, judged, deadline).await,
        }
    }

    /// Removes leases and values, of each key the lease first. Before that it notes the keys in the journal, if there
    /// is one. Needs no memory.
    pub(crate) async fn invalidate(
        &self,
        namespace: &str,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        match self {
            #[cfg(test)]
            Self::Memory(store) if faults::on(Fault::ValueBeforeLease) => {
                faults::value_before_lease(store, keys).await
            }
            #[cfg(test)]
            Self::Memory(store) if faults::on(Fault::KeyBeforeJournal) => {
                faults::key_before_journal(store, keys).await
            }
            Self::Memory(store) => step("invalidate", || store.invalidate(keys)).await,
            Self::Redis(store) => store.invalidate(namespace, keys, deadline).await,
        }
    }

    /// Removes the lease and makes every entry under the key due at once. Before that it notes the key in the journal,
    /// if there is one.
    pub(crate) async fn expire(
        &self,
        namespace: &str,
        key: &Key,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        match self {
            #[cfg(test)]
            Self::Memory(store) if faults::on(Fault::ExpirePutsBack) => {
                faults::put_back_expired(store, key).await
            }
            #[cfg(test)]
            Self::Memory(store) if faults::on(Fault::DueBeforeLease) => {
                faults::due_before_lease(store, key).await
            }
            Self::Memory(store) => step("expire", || store.expire(key)).await,
            Self::Redis(store) => store.expire(namespace, key, deadline).await,
        }
    }

    /// How much longer the value will be kept; `None` where there is none.
    pub(crate) async fn remaining(
        &self,
        key: &Key,
        deadline: Instant,
    ) -> Result<Option<Duration>, StoreError> {
        match self {
            Self::Memory(store) => step("remaining", || store.remaining(key)).await,
            Self::Redis(store) => store.remaining(key, deadline).await,
        }
    }

    /// Returns when the lease no longer has this content, or at `until`.
    pub(crate) async fn wait_for_lease(
        &self,
        key: &Key,
        held: &str,
        until: Instant,
    ) -> Result<Waited, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.wait_for_lease(key, held, until).await),
            Self::Redis(store) => store.wait_for_lease(key, held, until).await,
        }
    }

    /// Whether what one key says of the time can be compared with what another says: the nodes of a cluster have clocks
    /// of their own.
    pub(crate) fn has_one_clock(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Redis(store) => store.has_one_clock(),
        }
    }

    /// The latest that the server's clock may show now.
    pub(crate) fn latest_now(&self, key: &Key) -> Option<u64> {
        match self {
            Self::Memory(store) => Some(store.now()),
            Self::Redis(store) => store.latest_now(key),
        }
    }

    /// Asks for the server's time, so that [`latest_now`](Self::latest_now) knows it.
    pub(crate) async fn learn_time(&self, key: &Key, deadline: Instant) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(store) => store.learn_time(key, deadline).await,
        }
    }

    /// Whether the server answers at all.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(store) => store.ping(deadline).await,
        }
    }
}

/// How waiting for somebody's lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Ended,
    TimedOut,
}

/// Polling stands behind every push: a push may be lost, and an expiry tells nobody at once.
pub(crate) struct Polling(Duration);

impl Polling {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// The next pause: doubling, jittered, and never past `until`.
    pub(crate) fn next(&mut self, until: Instant) -> Instant {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(Self::LONGEST);
        (Instant::now() + pause).min(until)
    }
}

/// The texts that stand in a lease key; `scripts/*.lua` write and read the same.
pub(crate) mod lease_text {
    use super::Old;

    /// `token.microseconds.failures`
    pub(crate) fn granted(token: &str, micros: u64, failures: u32) -> String {
        format!("{token}.{micros}.{failures}")
    }

    /// `pass.milliseconds.failures.old`
    pub(crate) fn pass(until_ms: u64, failures: u32, old: Old) -> String {
        format!("pass.{until_ms}.{failures}.{}", old.text())
    }

    /// Until when, after how many failures in a row, and what is said of the old value, if this is the marker.
    pub(crate) fn parse_pass(content: &str) -> Option<(u64, u32, Old)> {
        let mut parts = content.strip_prefix("pass.")?.split('.');
        let (until, failures) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let text = parts.next()?;
        let old =
            [Old::Serves, Old::Stays, Old::Goes].into_iter().find(|old| old.text() == text)?;
        Some((until, failures, old))
    }

    pub(crate) fn failures(content: &str) -> u32 {
        content.rsplit('.').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

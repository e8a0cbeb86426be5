//! The right of one process to compute and to write one key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::batch::Together;
use crate::by_hand::Boxed;
use crate::cache::Inner;
use crate::entry::Judged;
use crate::faults::{self, Fault};
use crate::freshness::millis;
use crate::journal::{Of, Position};
use crate::key::Key;
use crate::policy::Policy;
use crate::store::{Claim, Commit, Granted, Old, Seize, StoreError, Take};
use crate::tags::{Nonce, Tag};

/// A lease ends a little before its `lock_ttl`, so that another has taken over by then: an end has to
/// be noticed first.
fn life(lock_ttl: Duration) -> Duration {
    lock_ttl / 8 * 7
}

/// Pauses between two attempts to give a lease back that is not known to be.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// For how long that is tried at most: longer leases than this end by themselves.
const LONGEST_REPEATED: Duration = Duration::from_secs(60);

/// When the body of a value began, as the store knows it.
#[derive(Clone)]
pub(crate) struct Began {
    /// The server's time: what the body has read is at most this old.
    pub(crate) born_at: u64,
    /// By the clock of this process, when it had not begun yet: that tells how old it is to a server of another clock.
    before: Instant,
    /// Where the journals were, as far as that was asked.
    tags: Option<Position>,
    keys: Option<Position>,
}

impl Began {
    /// Where the journals are now, for a body that begins behind this.
    pub(crate) async fn now(cache: &Inner, deadline: Instant) -> Result<Self, StoreError> {
        let before = Instant::now();
        let position = |of| cache.store.position(of, &cache.namespace, deadline);
        let (tags, keys) = tokio::try_join!(position(Of::Tags), position(Of::Keys))?;
        Ok(Self { born_at: keys.server_ms, before, tags: Some(tags), keys: Some(keys) })
    }

    /// Whether nothing has touched a key since. To be asked under its lease.
    pub(crate) async fn is_untouched(
        &self,
        cache: &Inner,
        key: &Key,
        then_note: bool,
    ) -> Result<bool, StoreError> {
        // Nobody knows, and so nothing is written.
        let Some(since) = &self.keys else { return Ok(false) };
        let deadline = cache.deadline();
        cache.store.is_untouched(&cache.namespace, since, key, then_note, deadline).await
    }

    /// When it began by the clock of the server that has this key, as far as that is known.
    pub(crate) fn by_clock_of(&self, cache: &Inner, key: &Key) -> u64 {
        if cache.store.has_one_clock() {
            return self.born_at;
        }
        let now = cache.store.latest_now(key);
        now.map_or(self.born_at, |now| now.saturating_sub(millis(self.before.elapsed())))
    }

    /// Since when, by the server's time, the journal tells what was invalidated, where it was asked.
    pub(crate) fn keys_known_since(&self) -> Option<u64> {
        self.keys.as_ref().map(|keys| keys.server_ms)
    }
}

/// Which journals are asked for their position before a body.
#[derive(Clone, Copy)]
pub(crate) struct Journals {
    pub(crate) tags: bool,
    pub(crate) keys: bool,
}

/// A lease that is held. Dropping it gives it back behind the caller.
pub(crate) struct Lease {
    cache: Arc<Inner>,
    key: Key,
    lock_ttl: Duration,
    granted: Granted,
    /// What was stored under the entry's tags before its body began, in their order.
    nonces: Vec<Nonce>,
    began: Began,
    /// Its value is of a body that began before it was taken, so that the journal of keys has to be asked; and whether
    /// the key is then to be noted there.
    of_another: Option<bool>,
    tags_live: Duration,
    renewed_until: Instant,
    ended: bool,
}

/// What asking for a lease came to.
pub(crate) enum Taken {
    Granted(Box<Lease>),
    Changed,
    Held(String),
    Pass(Old),
    /// The store can't be asked: no lease, no write.
    Unknown(StoreError),
}

/// Asks for the lease of a key whose value was judged unusable.
pub(crate) async fn take(
    cache: &Arc<Inner>,
    key: &Key,
    judged: &Judged,
    policy: &Policy,
    deadline: Instant,
) -> Taken {
    let life = life(policy.lock_ttl);
    let request = Request::new(cache, key, life);
    let taken = match cache.store.take(key, judged, &request.token, life, deadline).await {
        Ok(Take::Granted(granted)) => {
            return Taken::Granted(Box::new(request.granted(granted, policy)));
        }
        Ok(Take::Changed) => Taken::Changed,
        Ok(Take::Held(content)) => Taken::Held(content),
        Ok(Take::Pass(old)) => Taken::Pass(old),
        // The reply may be lost and the lease taken all the same: the request stays unsettled.
        Err(error) => return Taken::Unknown(error),
    };
    request.settle();
    taken
}

/// Takes the lease away from whoever holds it, for `set` and a forced refresh. `None`: a newer version of the value
/// has been set.
pub(crate) async fn seize(
    cache: &Arc<Inner>,
    key: &Key,
    policy: &Policy,
    what_for: Seize<'_>,
    deadline: Instant,
) -> Result<Option<Lease>, StoreError> {
    let life = life(policy.lock_ttl);
    let request = Request::new(cache, key, life);
    let token = &request.token;
    let seized = cache.store.seize(&cache.namespace, key, token, life, what_for, deadline);
    let Some(granted) = seized.await? else {
        request.settle();
        return Ok(None);
    };
    Ok(Some(request.granted(granted, policy)))
}

/// Captures the nonces of an entry's tags, in their order.
pub(crate) async fn capture(
    cache: &Inner,
    tags: &[Tag],
    policy: &Policy,
    deadline: Instant,
) -> Result<Vec<Nonce>, StoreError> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    cache.store.capture(tags, policy.life_of_tags(), deadline).await
}

/// A request whose reply has not been seen. If it is dropped like that, the lease it may have taken
/// is given back by its random part, which is known from the start.
struct Request {
    cache: Arc<Inner>,
    key: Key,
    token: String,
    life: Duration,
    settled: bool,
}

impl Request {
    fn new(cache: &Arc<Inner>, key: &Key, life: Duration) -> Self {
        let token = format!("{:032x}", fastrand::u128(..));
        Self { cache: Arc::clone(cache), key: key.clone(), token, life, settled: false }
    }

    fn settle(mut self) {
        self.settled = true;
    }

    fn granted(self, granted: Granted, policy: &Policy) -> Lease {
        let (cache, key, taken) = (Arc::clone(&self.cache), self.key.clone(), Instant::now());
        self.settle();
        let began = Began { born_at: granted.server_ms, before: taken, tags: None, keys: None };
        Lease {
            cache,
            key,
            lock_ttl: policy.lock_ttl,
            granted,
            nonces: Vec::new(),
            began,
            of_another: None,
            tags_live: Duration::ZERO,
            renewed_until: taken + policy.longest(),
            ended: false,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.settled {
            let claim = Claim::Token(std::mem::take(&mut self.token));
            give_back(&self.cache, self.key.clone(), claim, self.life);
        }
    }
}

impl Lease {
    /// The server's time when the lease was taken: what is computed under it is at most this old. Or when another body
    /// began, whose value it is.
    pub(crate) fn born_at(&self) -> u64 {
        self.began.born_at
    }

    pub(crate) fn began(&self) -> &Began {
        &self.began
    }

    /// Makes it the lease of a value that another body has computed, and has begun to before this was taken.
    pub(crate) fn of_another(&mut self, began: Began, then_note: bool) {
        self.began = began;
        if !self.cache.store.has_one_clock() {
            // By the clock of this key's server, on which the lease was granted a moment ago.
            self.began.born_at =
                self.granted.server_ms.saturating_sub(millis(self.began.before.elapsed()));
        }
        self.of_another = Some(then_note);
    }

    pub(crate) fn is_of_another(&self) -> bool {
        self.of_another.is_some()
    }

    /// Whether nothing has touched the key since the body began. Where that began behind the lease, the commit tells.
    pub(crate) async fn is_untouched(&self) -> Result<bool, StoreError> {
        let Some(then_note) = self.of_another else { return Ok(true) };
        if faults::on(Fault::Unjudged) || faults::on(Fault::JudgedBeforeTheLease) {
            return Ok(true);
        }
        self.began.is_untouched(&self.cache, &self.key, then_note).await
    }

    /// Captures the nonces of the entry's tags, to be done before its body begins: an invalidation that
    /// comes later removes what was captured, and the entry with it. And where the journals are, if there may
    /// be tags, or values for other keys, that become known only by the body.
    pub(crate) async fn capture(
        &mut self,
        tags: &[Tag],
        policy: &Policy,
        journals: Journals,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let nonces = capture(&self.cache, tags, policy, deadline);
        let position = async |of, asked: bool| {
            if !asked {
                return Ok(None);
            }
            self.cache.store.position(of, &self.cache.namespace, deadline).await.map(Some)
        };
        // All go out at once, and all are older than the body.
        let (nonces, tags, keys) = tokio::try_join!(
            nonces,
            position(Of::Tags, journals.tags),
            position(Of::Keys, journals.keys)
        )?;
        self.captured_before(nonces, policy);
        self.began = Began { tags, keys, ..self.began.clone() };
        Ok(())
    }

    /// The same, where it was captured together with what other keys of a batch have.
    pub(crate) fn captured_together(
        &mut self,
        together: &Together,
        tags: &[Tag],
        policy: &Policy,
    ) -> Result<(), StoreError> {
        self.captured_before(together.nonces_of(tags)?, policy);
        let (tags, keys) = (together.tags.clone(), together.keys.clone());
        self.began = Began { tags, keys, ..self.began.clone() };
        Ok(())
    }

    /// Notes what [`capture`] has found.
    pub(crate) fn captured_before(&mut self, nonces: Vec<Nonce>, policy: &Policy) {
        if !nonces.is_empty() {
            self.tags_live = policy.life_of_tags();
        }
        self.nonces = nonces;
    }

    #[cfg(test)]
    pub(crate) fn unfence(&mut self) {
        if crate::faults::on(crate::faults::Fault::SetUnfenced) {
            "*".clone_into(&mut self.granted.content);
        }
    }

    pub(crate) fn position(&self) -> Option<&Position> {
        self.began.tags.as_ref()
    }

    pub(crate) fn nonces(&self) -> &[Nonce] {
        &self.nonces
    }

    /// Has the tags live as long as the entry, whose ttl may be known only after the body.
    ///
    /// What a second capture says must not stand in the entry: it is as new as the end of the body. If
    /// it fails, the entry ends too early, which is no harm.
    pub(crate) async fn outlive(&mut self, tags: &[Tag], policy: &Policy) {
        let life = policy.life_of_tags();
        if self.nonces.is_empty() || life <= self.tags_live {
            return;
        }
        self.tags_live = life;
        if let Err(error) = self.cache.store.capture(tags, life, self.cache.deadline()).await {
            tracing::debug!(target: "redis_cached", %error, "tags may end before the entry that carries them");
        }
    }

    /// Whether it has been held for longer than it is renewed.
    pub(crate) fn is_past_renewal(&self) -> bool {
        Instant::now() > self.renewed_until
    }

    /// Renews until the lease is lost or its longest life is over. Never returns before that.
    ///
    /// To be polled beside the body: a body that nobody polls does not keep its lease.
    pub(crate) fn keep(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            while Instant::now() < self.renewed_until {
                tokio::time::sleep(self.lock_ttl / 3).await;
                let deadline = self.cache.deadline();
                let (content, life) = (&self.granted.content, life(self.lock_ttl));
                let renewed = self.cache.store.renew(&self.key, content, life, deadline);
                if let Ok(false) = renewed.await {
                    return;
                }
            }
        })
    }

    /// Stores a sealed entry, unless the lease was lost.
    pub(crate) async fn commit(mut self, sealed: &[u8]) -> Result<Commit, StoreError> {
        let deadline = self.cache.deadline();
        let content = &self.granted.content;
        // What is put takes the place of all that is there, as an invalidation would.
        let alone = self.of_another == Some(true);
        let (store, key) = (&self.cache.store, &self.key);
        let committed = store.commit(key, content, sealed, alone, deadline).await;
        // A lost reply may leave the lease behind: dropping it gives it back.
        self.ended = matches!(committed, Ok(Commit::Stored | Commit::Refused));
        // Of another's value that says nothing of how long the key's own body takes: its lease is given back.
        if matches!(committed, Ok(Commit::Late)) && self.of_another.is_none() {
            // What went wrong has been told, and the lease ends by itself.
            let _ = self.fail(Old::Stays).await;
        }
        committed
    }

    /// Ends without a value: the marker `pass` takes the lease's place, if it is still this one.
    pub(crate) async fn fail(mut self, old: Old) -> Result<bool, StoreError> {
        self.ended = true;
        self.marker(old).await
    }

    fn marker(&self, old: Old) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
        let cache = Arc::clone(&self.cache);
        let (key, content, longest) =
            (self.key.clone(), self.granted.content.clone(), self.lock_ttl);
        async move {
            let deadline = cache.deadline();
            let passed = cache.store.pass(&key, &content, longest, old, deadline).await;
            if let Err(error) = &passed {
                tracing::debug!(target: "redis_cached", %error, "the failure marker was not set; the lease ends by itself");
            }
            passed
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A panic is an end without a value; any other drop leaves the key to whoever comes next.
        if std::thread::panicking() {
            let marker = self.marker(Old::Serves);
            self.cache.work.spawn_errand(async move { drop(marker.await) });
        } else {
            let claim = Claim::Content(std::mem::take(&mut self.granted.content));
            give_back(&self.cache, self.key.clone(), claim, life(self.lock_ttl));
        }
    }
}

/// Gives back what is held for at most this long from now on.
fn give_back(cache: &Arc<Inner>, key: Key, claim: Claim, life: Duration) {
    let ends = Instant::now() + life.min(LONGEST_REPEATED);
    let owned = Arc::clone(cache);
    cache.work.spawn_errand(async move {
        if !is_given_back(&owned, &key, &claim).await {
            // Not as an errand: what ends by itself is nothing that a stop waits for.
            let cache = Arc::clone(&owned);
            owned.work.spawn_repeats(async move {
                let mut pause = FIRST_PAUSE;
                while Instant::now() + pause < ends {
                    tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                    if is_given_back(&cache, &key, &claim).await {
                        return;
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            });
        }
    });
}

/// Whether nothing is left to be done about it.
async fn is_given_back(cache: &Inner, key: &Key, claim: &Claim) -> bool {
    let Err(error) = cache.store.release(key, claim, cache.deadline()).await else { return true };
    tracing::debug!(target: "redis_cached", %error, "a lease was not given back; it ends by itself");
    matches!(error, StoreError::Server(_))
}

//! The right of one process to compute and to write one key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::by_hand::Boxed;
use crate::cache::Inner;
use crate::entry::Judged;
use crate::journal::Position;
use crate::key::Key;
use crate::store::{Claim, Commit, Granted, Old, StoreError, Take, Version};
use crate::tags::{Nonce, Tag};

/// A lease is renewed for this long and no longer: a body that hangs must not hold it for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// A lease ends a little before its `lock_ttl`, so that another has taken over by then: an end has to
/// be noticed first.
fn life(lock_ttl: Duration) -> Duration {
    lock_ttl / 8 * 7
}

/// How long tags live from the moment that their nonces are captured for an entry with this ttl: longer
/// than the entry can, so that no entry dies of a nonce that has merely ended.
pub(crate) fn life_of_tags(ttl: Duration) -> Duration {
    2 * LONGEST + ttl
}

/// A lease that is held. Dropping it gives it back behind the caller.
pub(crate) struct Lease {
    cache: Arc<Inner>,
    key: Key,
    lock_ttl: Duration,
    granted: Granted,
    /// What was stored under the entry's tags before its body began, in their order.
    nonces: Vec<Nonce>,
    /// Where the journal was then, if that was asked.
    position: Option<Position>,
    tags_live: Duration,
    taken: Instant,
    ended: bool,
}

/// What asking for a lease came to.
pub(crate) enum Taken {
    Granted(Lease),
    Changed,
    Held(String),
    Pass,
    /// The store can't be asked: no lease, no write.
    Unknown(StoreError),
}

/// Asks for the lease of a key whose value was judged unusable.
pub(crate) async fn take(
    cache: &Arc<Inner>,
    key: &Key,
    judged: &Judged,
    lock_ttl: Duration,
    deadline: Instant,
) -> Taken {
    let request = Request::new(cache, key);
    let taken = cache.store.take(key, judged, &request.token, life(lock_ttl), deadline).await;
    match taken {
        Ok(Take::Granted(granted)) => Taken::Granted(request.granted(granted, lock_ttl)),
        Ok(other) => {
            request.settle();
            match other {
                Take::Changed => Taken::Changed,
                Take::Held(content) => Taken::Held(content),
                Take::Granted(_) | Take::Pass => Taken::Pass,
            }
        }
        // The reply may be lost and the lease taken all the same: the request stays unsettled.
        Err(error) => Taken::Unknown(error),
    }
}

/// Takes the lease away from whoever holds it, for `set` and a forced refresh. `None`: a newer version of the value
/// has been set.
pub(crate) async fn seize(
    cache: &Arc<Inner>,
    key: &Key,
    lock_ttl: Duration,
    version: Option<&Version>,
    deadline: Instant,
) -> Result<Option<Lease>, StoreError> {
    let request = Request::new(cache, key);
    let granted = cache.store.seize(key, &request.token, life(lock_ttl), version, deadline).await?;
    let Some(granted) = granted else {
        request.settle();
        return Ok(None);
    };
    Ok(Some(request.granted(granted, lock_ttl)))
}

/// Captures the nonces of tags, in their order.
pub(crate) async fn capture(
    cache: &Inner,
    tags: &[Tag],
    ttl: Duration,
    deadline: Instant,
) -> Result<Vec<Nonce>, StoreError> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    cache.store.capture(tags, life_of_tags(ttl), deadline).await
}

/// A request whose reply has not been seen. If it is dropped like that, the lease it may have taken
/// is given back by its random part, which is known from the start.
struct Request {
    cache: Arc<Inner>,
    key: Key,
    token: String,
    settled: bool,
}

impl Request {
    fn new(cache: &Arc<Inner>, key: &Key) -> Self {
        let token = format!("{:032x}", fastrand::u128(..));
        Self { cache: Arc::clone(cache), key: key.clone(), token, settled: false }
    }

    fn settle(mut self) {
        self.settled = true;
    }

    fn granted(self, granted: Granted, lock_ttl: Duration) -> Lease {
        let (cache, key) = (Arc::clone(&self.cache), self.key.clone());
        self.settle();
        Lease {
            cache,
            key,
            lock_ttl,
            granted,
            nonces: Vec::new(),
            position: None,
            tags_live: Duration::ZERO,
            taken: Instant::now(),
            ended: false,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.settled {
            let claim = Claim::Token(std::mem::take(&mut self.token));
            give_back(&self.cache, self.key.clone(), claim);
        }
    }
}

impl Lease {
    /// The server's time when the lease was taken: what is computed under it is at most this old.
    pub(crate) fn born_at(&self) -> u64 {
        self.granted.server_ms
    }

    /// Captures the nonces of the entry's tags, to be done before its body begins: an invalidation that
    /// comes later removes what was captured, and the entry with it. And where the journal is, if there may
    /// be tags that become known only by the body.
    pub(crate) async fn capture(
        &mut self,
        tags: &[Tag],
        ttl: Duration,
        late: bool,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let nonces = capture(&self.cache, tags, ttl, deadline);
        let position = async {
            if !late {
                return Ok(None);
            }
            self.cache.store.position(&self.cache.namespace, deadline).await.map(Some)
        };
        // Both go out at once, and both are older than the body.
        let (nonces, position) = tokio::try_join!(nonces, position)?;
        self.captured_before(nonces, ttl);
        self.position = position;
        Ok(())
    }

    /// Notes what [`capture`] has found, for an entry with this ttl.
    pub(crate) fn captured_before(&mut self, nonces: Vec<Nonce>, ttl: Duration) {
        if !nonces.is_empty() {
            self.tags_live = life_of_tags(ttl);
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
        self.position.as_ref()
    }

    pub(crate) fn nonces(&self) -> &[Nonce] {
        &self.nonces
    }

    /// Has the tags live as long as an entry with this ttl, which may be known only after the body.
    ///
    /// What a second capture says must not stand in the entry: it is as new as the end of the body. If
    /// it fails, the entry ends too early, which is no harm.
    pub(crate) async fn outlive(&mut self, tags: &[Tag], ttl: Duration) {
        let life = life_of_tags(ttl);
        if tags.is_empty() || life <= self.tags_live {
            return;
        }
        self.tags_live = life;
        if let Err(error) = self.cache.store.capture(tags, life, self.cache.deadline()).await {
            tracing::debug!(target: "redis_cached", %error, "tags may end before the entry that carries them");
        }
    }

    /// Whether it has been held for longer than it is renewed.
    pub(crate) fn is_past_renewal(&self) -> bool {
        self.taken.elapsed() > LONGEST
    }

    /// Renews until the lease is lost or its longest life is over. Never returns before that.
    ///
    /// To be polled beside the body: a body that nobody polls does not keep its lease.
    pub(crate) fn keep(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            while self.taken.elapsed() < LONGEST {
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
    pub(crate) async fn commit(
        mut self,
        sealed: &[u8],
        ends_at: u64,
    ) -> Result<Commit, StoreError> {
        let deadline = self.cache.deadline();
        let content = &self.granted.content;
        let committed =
            self.cache.store.commit(&self.key, content, sealed, ends_at, deadline).await;
        // A lost reply may leave the lease behind: dropping it gives it back.
        self.ended = matches!(committed, Ok(Commit::Stored | Commit::Refused));
        if matches!(committed, Ok(Commit::Late)) {
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
            let marker = self.marker(Old::Stays);
            self.cache.work.spawn_errand(async move { drop(marker.await) });
        } else {
            let claim = Claim::Content(std::mem::take(&mut self.granted.content));
            give_back(&self.cache, self.key.clone(), claim);
        }
    }
}

fn give_back(cache: &Arc<Inner>, key: Key, claim: Claim) {
    let owned = Arc::clone(cache);
    cache.work.spawn_errand(async move {
        let deadline = owned.deadline();
        if let Err(error) = owned.store.release(&key, &claim, deadline).await {
            tracing::debug!(target: "redis_cached", %error, "a lease was not given back; it ends by itself");
        }
    });
}

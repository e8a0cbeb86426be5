//! The right of one process to compute and to write one key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Inner;
use crate::entry::Judged;
use crate::key::Key;
use crate::store::{Claim, Commit, Granted, StoreError, Take};

/// A lease is renewed for this long and no longer: a body that hangs must not hold it for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// A lease ends a little before its `lock_ttl`, so that another has taken over by then: an end has to
/// be noticed first.
fn life(lock_ttl: Duration) -> Duration {
    lock_ttl / 8 * 7
}

/// A lease that is held. Dropping it gives it back behind the caller.
pub(crate) struct Lease {
    cache: Arc<Inner>,
    key: Key,
    lock_ttl: Duration,
    granted: Granted,
    taken: Instant,
    ended: bool,
}

/// What asking for a lease came to.
pub(crate) enum Asked {
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
) -> Asked {
    let request = Request::new(cache, key);
    let taken = cache.store.take(key, judged, &request.token, life(lock_ttl), deadline).await;
    match taken {
        Ok(Take::Granted(granted)) => Asked::Granted(request.granted(granted, lock_ttl)),
        Ok(other) => {
            request.settle();
            match other {
                Take::Changed => Asked::Changed,
                Take::Held(content) => Asked::Held(content),
                Take::Granted(_) | Take::Pass => Asked::Pass,
            }
        }
        // The reply may be lost and the lease taken all the same: the request stays unsettled.
        Err(error) => Asked::Unknown(error),
    }
}

/// Takes the lease away from whoever holds it, for `set` and a forced refresh.
pub(crate) async fn seize(
    cache: &Arc<Inner>,
    key: &Key,
    lock_ttl: Duration,
    deadline: Instant,
) -> Result<Lease, StoreError> {
    let request = Request::new(cache, key);
    let granted = cache.store.seize(key, &request.token, life(lock_ttl), deadline).await?;
    Ok(request.granted(granted, lock_ttl))
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
        Lease { cache, key, lock_ttl, granted, taken: Instant::now(), ended: false }
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

    /// Whether it has been held for longer than it is renewed.
    pub(crate) fn is_past_renewal(&self) -> bool {
        self.taken.elapsed() > LONGEST
    }

    /// Renews until the lease is lost or its longest life is over. Never returns before that.
    ///
    /// To be polled beside the body: a body that nobody polls does not keep its lease.
    pub(crate) async fn keep(&self) {
        while self.taken.elapsed() < LONGEST {
            tokio::time::sleep(self.lock_ttl / 3).await;
            let deadline = self.cache.deadline();
            let (content, life) = (&self.granted.content, life(self.lock_ttl));
            let renewed = self.cache.store.renew(&self.key, content, life, deadline);
            if let Ok(false) = renewed.await {
                return;
            }
        }
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
            self.fail().await;
        }
        committed
    }

    /// Ends without a value: the marker `pass` takes the lease's place.
    pub(crate) async fn fail(mut self) {
        self.ended = true;
        self.marker().await;
    }

    fn marker(&self) -> impl Future<Output = ()> + Send + use<> {
        let cache = Arc::clone(&self.cache);
        let (key, content, longest) =
            (self.key.clone(), self.granted.content.clone(), self.lock_ttl);
        async move {
            let deadline = cache.deadline();
            if let Err(error) = cache.store.pass(&key, &content, longest, deadline).await {
                tracing::debug!(target: "redis_cached", %error, "the failure marker was not set; the lease ends by itself");
            }
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
            self.cache.work.spawn_errand(self.marker());
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

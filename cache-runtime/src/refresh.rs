//! Background refreshes: a stale hit is served, and one process of the fleet computes anew.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::body::{self, Ended, Ran};
use crate::computation::Computation;
use crate::compute;
use crate::entry::{Judged, Life};
use crate::freshness::{self, Freshness};
use crate::key::Key;
use crate::lease::{self, Taken};
use crate::metrics::{self, Refreshed};
use crate::places;
use crate::request::{FlightKey, Request};
use crate::store::Old;
use crate::sync::lock;
use crate::tags::Standing;
use crate::telemetry;
use crate::work::Work;

/// A process asks for the lease of one stale key this often, however many hits it serves.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Keys that were asked for lately. Past this many, those asked for longer ago are forgotten.
const MOST_ASKED: usize = 16_384;

/// Bounds the refreshes of one cache.
pub(crate) struct Refreshes {
    places: Arc<Semaphore>,
    asked: Mutex<HashMap<FlightKey, Instant>>,
    closed: AtomicBool,
}

impl Refreshes {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            asked: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// From now on no refresh starts.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Lets the next stale hit of this key ask at once.
    pub(crate) fn forget(&self, key: &Key) {
        lock(&self.asked).retain(|asked, _| !asked.is_of(key));
    }

    /// Lets the next stale hit of every key ask at once.
    pub(crate) fn forget_all(&self) {
        lock(&self.asked).clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A place for a body in the background, if one is free.
    pub(crate) fn room(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_closed() {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place, if this key is to be asked for now and one is free.
    fn place(&self, key: FlightKey) -> Result<OwnedSemaphorePermit, NoPlace> {
        self.asking_for(key, || {
            if self.is_closed() {
                return Err(NoPlace::Unwanted);
            }
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| NoPlace::Full)
        })
    }

    /// Whether this key is to be asked for now; from now on it is not, for a while.
    pub(crate) fn asks_for(&self, key: FlightKey) -> bool {
        self.asking_for(key, || Ok(())).is_ok()
    }

    fn asking_for<P>(
        &self,
        key: FlightKey,
        place: impl FnOnce() -> Result<P, NoPlace>,
    ) -> Result<P, NoPlace> {
        let now = Instant::now();
        let mut asked = lock(&self.asked);
        if asked.get(&key).is_some_and(|until| now < *until) {
            return Err(NoPlace::Unwanted);
        }
        let place = place()?;
        if asked.len() >= MOST_ASKED {
            asked.retain(|_, until| now < *until);
        }
        if asked.len() >= MOST_ASKED {
            asked.clear();
        }
        asked.insert(key, now + ASK_EVERY);
        Ok(place)
    }
}

/// Why no refresh begins.
enum NoPlace {
    Full,
    /// The key was asked for a moment ago, or no refresh begins any more.
    Unwanted,
}

/// A hit that is stale, as it was found.
pub(crate) struct Stale {
    pub(crate) judged: Judged,
    pub(crate) life: Life,
    pub(crate) standing: Standing,
}

/// Starts a refresh behind a stale hit, unless one is not wanted now. Never waits.
pub(crate) fn consider(
    request: &Request,
    computation: &mut dyn Computation,
    judged: Judged,
    life: Life,
    standing: Standing,
) {
    if request.part.is_some() {
        // One body for all of a batch.
        return computation.put_off(Stale { judged, life, standing });
    }
    // Without a runtime there is no background; a hit inside one will ask again.
    if Handle::try_current().is_err() {
        return;
    }
    let place = match request.cache.refreshes.place(request.flight_key()) {
        Ok(place) => place,
        Err(NoPlace::Full) => {
            return telemetry::refreshed(request.site, &request.key, Refreshed::Dropped);
        }
        Err(NoPlace::Unwanted) => return,
    };
    // The hit is decided: a panic of the user's run-time ttl or `Clone` is not to fail it.
    let prepared = catch_unwind(AssertUnwindSafe(|| {
        Some((request.resolved(computation), computation.detach()?))
    }));
    let Ok(Some((request, mut computation))) = prepared else { return };
    let work = request.cache.work.clone();
    let stale = Stale { judged, life, standing };
    behind(&work, async move {
        let refreshed = run(&request, &mut *computation, &stale).await;
        telemetry::refreshed(request.site, &request.key, refreshed);
        drop(place);
    });
}

/// Runs a body that nobody waits for, in the scope of this task.
pub(crate) fn behind(work: &Work, refresh: impl Future<Output = ()> + Send + 'static) {
    match crate::cache::scope_of_task() {
        Some(cache) => work.spawn_body(cache.scope(refresh)),
        None => work.spawn_body(refresh),
    }
}

pub(crate) async fn run(
    request: &Request,
    computation: &mut dyn Computation,
    stale: &Stale,
) -> Refreshed {
    let Stale { judged, life, standing } = stale;
    // Here and not before: a hit does not wait, and this task is inside no body that has a place.
    let _place = places::wait(request).await;
    let deadline = request.cache.deadline();
    let policy = &request.policy;
    let mut lease = match lease::take(&request.cache, &request.key, judged, policy, deadline).await
    {
        Taken::Granted(lease) => *lease,
        Taken::Unknown(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            return Refreshed::Unreachable;
        }
        Taken::Changed | Taken::Held(_) | Taken::Pass(_) => return Refreshed::Left,
    };
    // The hit may have been called stale only because this process was in doubt about the time.
    let born_at = Some(lease.born_at());
    if freshness::judge(life, *standing, born_at, true) == Freshness::Fresh {
        return Refreshed::NotDue;
    }
    // Who has expired it by hand has not said since when.
    if life.due_at > 0 {
        let lag = lease.born_at().saturating_sub(life.due_at);
        metrics::refresh_begins(request.site, Duration::from_millis(lag));
    }
    // A body whose value could not be stored would be for nobody.
    if !body::capture(request, &mut lease, deadline).await {
        return Refreshed::Unreachable;
    }
    let Ran { touched, primes } = body::run(request, computation, Some(&lease)).await;
    let Ended { product, in_value } = body::encode(request, computation);
    let others = compute::store_primes(request, primes, in_value, Some(&lease));
    // No error takes the place of a value that may be served yet.
    let product = product.filter(|product| !product.written.is_error);
    if let Some(product) = product {
        // What went wrong has been told; the old value lives on.
        let _ = body::commit(request, lease, &product, &touched).await;
        others.await;
        Refreshed::Computed
    } else {
        // What went wrong has been told, and the lease ends by itself.
        let failed = computation.answer().is_failure();
        let _ = lease.fail(Old::of_failure(failed)).await;
        Refreshed::Failed
    }
}

//! Runs one body, under a lease or without, and stores what it computed.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Inner;
use crate::codec::{self, EncodeError, Encoded, compression};
use crate::computation::{Computation, Finished, Outgoing};
use crate::entry::{self, Label};
use crate::freshness;
use crate::lease::Lease;
use crate::lookup::{FlightKey, Request};
use crate::site::{Site, Warning};
use crate::store::{Commit, Old, StoreError};
use crate::tags;
use crate::telemetry;

/// The bodies that this task is inside of, innermost first.
pub(crate) struct Frame {
    cache: usize,
    site: &'static Site,
    flight: FlightKey,
    around: Option<Arc<Frame>>,
}

tokio::task_local! {
    static INSIDE: Arc<Frame>;
}

fn identity(cache: &Arc<Inner>) -> usize {
    Arc::as_ptr(cache).addr()
}

/// Whether this task is inside the body of the very computation that it asks for.
pub(crate) fn inside_itself(request: &Request) -> bool {
    inside_one(|frame| {
        frame.cache == identity(&request.cache) && frame.flight == request.flight_key()
    })
}

/// Whether this task is inside a body of this function, with whatever key.
pub(crate) fn inside_function(site: &'static Site) -> bool {
    inside_one(|frame| std::ptr::eq(frame.site, site))
}

fn inside_one(is_it: impl Fn(&Frame) -> bool) -> bool {
    INSIDE
        .try_with(|frame| {
            let mut next = Some(frame);
            while let Some(frame) = next {
                if is_it(frame) {
                    return true;
                }
                next = frame.around.as_ref();
            }
            false
        })
        .unwrap_or(false)
}

/// Whether this task is inside any body.
pub(crate) fn inside_any() -> bool {
    INSIDE.try_with(|_| ()).is_ok()
}

/// Captures the nonces of the entry's tags before the body begins. `false`: nothing may be written, and
/// the lease is to be given back.
pub(crate) async fn capture(request: &Request, lease: &mut Lease, deadline: Instant) -> bool {
    match lease.capture(&request.tags, request.policy.ttl, deadline).await {
        Ok(()) => true,
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            false
        }
    }
}

/// Runs the body to its end, keeping the lease meanwhile.
pub(crate) async fn run(
    request: &Request,
    computation: &mut dyn Computation,
    lease: Option<&Lease>,
) -> Finished {
    let frame = Arc::new(Frame {
        cache: identity(&request.cache),
        site: request.site,
        flight: request.flight_key(),
        around: INSIDE.try_with(Arc::clone).ok(),
    });
    INSIDE.sync_scope(Arc::clone(&frame), || computation.start());
    let body = poll_fn(|cx| INSIDE.sync_scope(Arc::clone(&frame), || computation.poll(cx)));
    let Some(lease) = lease else { return body.await };
    tokio::pin!(body);
    tokio::select! {
        biased;
        finished = &mut body => return finished,
        () = lease.keep() => {}
    }
    body.await
}

/// An encoded value on its way into the store.
pub(crate) struct Product {
    pub(crate) codec: codec::Id,
    pub(crate) payload: Arc<[u8]>,
    none: bool,
    /// `false` where the function's `cache_if` says no.
    keep: bool,
    ttl: Option<Duration>,
}

/// Encodes the answer; tells the function's author once if that is not as it should be.
pub(crate) fn encode(request: &Request, computation: &mut dyn Computation) -> Option<Product> {
    match product(request, computation.answer().encode()) {
        Ok(product) => Some(product),
        // An `Err` that is hidden behind an alias: not stored, like every other.
        Err(EncodeError::IsError) => None,
        Err(error) => {
            telemetry::warn_once(request.site, Warning::NotStorable, &error.to_string());
            None
        }
    }
}

/// What an encoded value is to the store.
pub(crate) fn product(
    request: &Request,
    outgoing: Result<Outgoing, EncodeError>,
) -> Result<Product, EncodeError> {
    let Outgoing { encoded: Encoded { codec, fell_back, bytes, none }, keep, ttl } = outgoing?;
    if fell_back {
        telemetry::warn_once(request.site, Warning::Fallback, "");
    }
    Ok(Product { codec, payload: bytes.into(), none, keep, ttl })
}

/// Seals the product with a life that begins at `born_at`, and commits it under the lease.
pub(crate) async fn commit(
    request: &Request,
    mut lease: Lease,
    product: &Product,
) -> Result<Commit, StoreError> {
    if !product.keep {
        telemetry::step(request.site, &request.key, "not to be stored");
        return lease
            .fail(Old::Goes)
            .await
            .map(|ended| if ended { Commit::Unwanted } else { Commit::Refused });
    }
    let policy = request.policy.with_ttl(product.none, product.ttl).checked(request.site);
    let window = policy.window.and_then(|window| window.of(policy.ttl));
    let life = freshness::plan(
        lease.born_at(),
        policy.ttl,
        window,
        policy.jitter_permille,
        fastrand::f64(),
    );
    lease.outlive(&request.tags, policy.ttl).await;
    let stamps = tags::stamps(&request.tags, lease.nonces());
    let (compressed, payload) = compression::compress(policy.compression, &product.payload);
    let label = Label {
        life,
        fingerprint: request.fingerprint,
        key_digest: request.key.digest(),
        codec: product.codec,
        compressed,
        none: product.none,
        stamps: &stamps,
    };
    let sealed = entry::seal(&label, &payload);
    drop(stamps);
    let past_renewal = lease.is_past_renewal();
    let committed = lease.commit(&sealed, life.ttl_end).await;
    match &committed {
        Ok(Commit::Refused) if past_renewal => {
            telemetry::warn_once(request.site, Warning::SlowerThanLease, "");
        }
        Ok(Commit::Stored | Commit::Unwanted) => {
            telemetry::step(request.site, &request.key, "stored");
        }
        Ok(Commit::Refused) => telemetry::step(request.site, &request.key, "commit refused"),
        Ok(Commit::Late) => telemetry::warn_once(request.site, Warning::SlowerThanTtl, ""),
        Err(error) => telemetry::store_trouble(request.site, &request.key, error),
    }
    committed
}

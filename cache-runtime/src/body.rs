//! Runs one body, under a lease or without, and stores what it computed.

use std::future::poll_fn;
use std::sync::Arc;

use crate::cache::Inner;
use crate::codec::{Codec, EncodeError, Encoded};
use crate::computation::{Computation, Finished};
use crate::entry::{self, Label};
use crate::freshness;
use crate::lease::Lease;
use crate::lookup::{FlightKey, Request};
use crate::site::Warning;
use crate::store::{Commit, StoreError};
use crate::telemetry;

/// The bodies that this task is inside of, innermost first.
pub(crate) struct Frame {
    cache: usize,
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
    INSIDE
        .try_with(|frame| {
            let mut next = Some(frame);
            while let Some(frame) = next {
                if frame.cache == identity(&request.cache) && frame.flight == request.flight_key() {
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

/// Runs the body to its end, keeping the lease meanwhile.
pub(crate) async fn run(
    request: &Request,
    computation: &mut dyn Computation,
    lease: Option<&Lease>,
) -> Finished {
    let frame = Arc::new(Frame {
        cache: identity(&request.cache),
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
    pub(crate) codec: Codec,
    pub(crate) payload: Arc<[u8]>,
    none: bool,
}

/// Encodes the answer; tells the function's author once if that is not as it should be.
pub(crate) fn encode(request: &Request, computation: &dyn Computation) -> Option<Product> {
    match product(request, computation.encode()) {
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
    encoded: Result<Encoded, EncodeError>,
) -> Result<Product, EncodeError> {
    let Encoded { codec, bytes, none } = encoded?;
    if codec != Codec::Bincode {
        telemetry::warn_once(request.site, Warning::Fallback, "");
    }
    Ok(Product { codec, payload: bytes.into(), none })
}

/// Seals the product with a life that begins at `born_at`, and commits it under the lease.
pub(crate) async fn commit(
    request: &Request,
    lease: Lease,
    product: &Product,
) -> Result<Commit, StoreError> {
    let policy = &request.site.policy;
    let (ttl, window) = match policy.none_ttl {
        Some(none_ttl) if product.none => {
            (none_ttl, policy.refresh_before.filter(|window| *window < none_ttl))
        }
        _ => (policy.ttl, policy.refresh_before),
    };
    let life =
        freshness::plan(lease.born_at(), ttl, window, policy.jitter_permille, fastrand::f64());
    let label = Label {
        life,
        fingerprint: request.fingerprint,
        key_digest: request.key.digest(),
        codec: product.codec,
        none: product.none,
    };
    let sealed = entry::seal(&label, &product.payload);
    let past_renewal = lease.is_past_renewal();
    let committed = lease.commit(&sealed, life.ttl_end).await;
    match &committed {
        Ok(Commit::Refused) if past_renewal => {
            telemetry::warn_once(request.site, Warning::SlowerThanLease, "");
        }
        Ok(Commit::Stored) => telemetry::step(request.site, &request.key, "stored"),
        Ok(Commit::Refused) => telemetry::step(request.site, &request.key, "commit refused"),
        Ok(Commit::Late) => telemetry::warn_once(request.site, Warning::SlowerThanTtl, ""),
        Err(error) => telemetry::store_trouble(request.site, &request.key, error),
    }
    committed
}

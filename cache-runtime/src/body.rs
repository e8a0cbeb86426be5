//! Runs one body, under a lease or without, and stores what it computed.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::by_hand::Boxed;
use crate::codec::{self, EncodeError, Encoded, compression};
use crate::computation::{Computation, Outgoing};
use crate::entry::{self, Label, Written};
use crate::error::TimedOut;
use crate::faults::{self, Fault};
use crate::frame::{Frame, Gathered};
use crate::freshness;
use crate::lease::Lease;
use crate::metrics::{self, Timer};
use crate::policy::Policy;
use crate::priming::Primes;
use crate::request::Request;
use crate::site::{Site, Warning};
use crate::stamping::{self, Unstamped};
use crate::store::{Commit, Old, StoreError};
use crate::tags::Stamp;
use crate::telemetry;

/// Captures the nonces of the entry's tags, and where the journal is, before the body begins. `false`:
/// nothing may be written, and the lease is to be given back.
pub(crate) fn capture<'c>(
    request: &'c Request,
    lease: &'c mut Lease,
    deadline: Instant,
) -> Boxed<'c, bool> {
    Box::pin(async move {
        if faults::on(Fault::CaptureBehindTheBody) {
            return true;
        }
        let captured = if let Some(part) = &request.part {
            let together = part.captured(deadline).await;
            together.and_then(|together| {
                lease.captured_together(&together, &request.tags, &request.policy)
            })
        } else {
            let journals = request.site.journals();
            lease.capture(&request.tags, &request.policy, journals, deadline).await
        };
        match captured {
            Ok(()) => true,
            Err(error) => {
                telemetry::store_trouble(request.site, &request.key, &error);
                false
            }
        }
    })
}

/// What a body has come to, besides its answer.
pub(crate) struct Ran {
    /// What the answer depends on.
    pub(crate) touched: Arc<Gathered>,
    pub(crate) primes: Primes,
}

/// Runs the body to its end, keeping the lease meanwhile.
pub(crate) fn run<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    lease: Option<&'c Lease>,
) -> Boxed<'c, Ran> {
    Box::pin(async move {
        let takes_primes = lease.and_then(|lease| lease.began().keys_known_since());
        let frame = Frame::of_body(request, takes_primes);
        let timer = Timer::start();
        frame.within(|| computation.start());
        if let Some(part) = &request.part {
            part.at_body(takes_primes, computation.answer().keeps());
        }
        // Outside of a runtime there is no clock to go by.
        let limit = request.policy.timeout.filter(|_| Handle::try_current().is_ok());
        let too_long = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => pending().await,
            }
        };
        let keeping = async {
            if let Some(lease) = lease {
                lease.keep().await;
            }
            pending::<Infallible>().await
        };
        let has_ended = tokio::select! {
            biased;
            () = poll_fn(|cx| frame.within(|| computation.poll(cx))) => true,
            () = too_long => false,
            never = keeping => match never {},
        };
        if let Some(after) = limit.filter(|_| !has_ended) {
            request.goes_on();
            frame.within(|| computation.time_out(TimedOut::new(request.site.function(), after)));
        }
        // That of a batch is one for all of its keys.
        if request.part.is_none() {
            metrics::ran(request.site, timer, || match has_ended {
                false => metrics::Ran::TimedOut,
                true if computation.answer().is_failure() => metrics::Ran::Error,
                true => metrics::Ran::Value,
            });
        }
        let Ran { touched, primes } = match computation.ran_together() {
            Some(ran) => ran,
            None => ended(request.site, &frame),
        };
        let mut touched = Arc::unwrap_or_clone(touched);
        computation.answer().tag(&mut touched);
        request.site.note_tags(!touched.is_empty());
        for tag in &request.tags {
            touched.add(tag.name());
        }
        Ran { touched: Arc::new(touched), primes }
    })
}

/// What a body has come to that has ended inside of this frame.
pub(crate) fn ended(site: &Site, frame: &Frame) -> Ran {
    let touched = frame.close();
    let at_hand = frame.primed();
    site.note_tags_inside(!touched.is_empty());
    site.note_primes(at_hand.any);
    // What its own answer is tagged with says nothing of them.
    let primes = Primes { values: at_hand.values, gathered: touched.clone() };
    Ran { touched: Arc::new(touched), primes }
}

/// An encoded value or error on its way into the store.
pub(crate) struct Product {
    pub(crate) written: Written,
    /// `None` where it could not be stored: then it is not to be.
    pub(crate) payload: Option<Arc<[u8]>>,
    none: bool,
    /// `false` where the function's `cache_if` says no.
    keep: bool,
    ttl: Option<Duration>,
    window: Option<Duration>,
}

impl Product {
    /// Whether it is to be stored, and can be.
    pub(crate) fn is_wanted(&self) -> bool {
        self.keep && self.payload.is_some()
    }

    /// Of a value that is not to be stored, and could not be.
    fn unwanted() -> Self {
        let written = Written { codec: codec::Id::Bincode, is_error: false };
        Self { written, payload: None, none: false, keep: false, ttl: None, window: None }
    }

    /// How long it lives, by what it says itself and else by its function.
    pub(crate) fn policy(&self, request: &Request) -> Policy {
        let policy = if self.written.is_error {
            request.policy.of_error(self.ttl)
        } else {
            request.policy.with_ttl(self.none, self.ttl).with_window(self.window)
        };
        policy.checked(request.site)
    }
}

/// What a body has ended in, for the store.
pub(crate) struct Ended {
    /// `None` where there is nothing to store, or it can't be.
    pub(crate) product: Option<Product>,
    /// Not an error, stored or not.
    pub(crate) in_value: bool,
}

/// Encodes the answer; tells the function's author once if that is not as it should be.
pub(crate) fn encode(request: &Request, computation: &mut dyn Computation) -> Ended {
    let error = match product(request, computation.answer().encode()) {
        Ok(product) => {
            let in_value = !product.written.is_error;
            return Ended { product: Some(product), in_value };
        }
        Err(EncodeError::IsError) => return Ended { product: None, in_value: false },
        Err(error) => error,
    };
    let of_error = matches!(error, EncodeError::OfError(_));
    let warning = if of_error { Warning::ErrorNotStorable } else { Warning::NotStorable };
    telemetry::warn_once(request.site, warning, &error.to_string());
    // Its author says so, as by `cache_if`.
    let unwanted = matches!(error, EncodeError::NotSaved).then(Product::unwanted);
    Ended { product: unwanted, in_value: !of_error }
}

/// What an encoded value or error is to the store.
pub(crate) fn product(
    request: &Request,
    outgoing: Result<Outgoing, EncodeError>,
) -> Result<Product, EncodeError> {
    let Outgoing { encoded, is_error, keep, ttl, window } = outgoing?;
    let Some(Encoded { codec, fell_back, bytes, none }) = encoded else {
        return Ok(Product::unwanted());
    };
    if fell_back {
        telemetry::warn_once(request.site, Warning::Fallback, "");
    }
    let written = Written { codec, is_error };
    Ok(Product { written, payload: Some(bytes.into()), none, keep, ttl, window })
}

/// Seals the product with a life that begins at `born_at`, and commits it under the lease.
pub(crate) async fn commit(
    request: &Request,
    lease: Lease,
    product: &Product,
    touched: &Gathered,
) -> Result<Commit, StoreError> {
    let committed = sealed_and_committed(request, lease, product, touched).await;
    metrics::committed(request.site, &committed);
    committed
}

async fn sealed_and_committed(
    request: &Request,
    mut lease: Lease,
    product: &Product,
    touched: &Gathered,
) -> Result<Commit, StoreError> {
    let Some(payload) = product.payload.as_ref().filter(|_| product.keep) else {
        telemetry::step(request.site, &request.key, "not to be stored");
        return lease
            .fail(Old::Goes)
            .await
            .map(|ended| if ended { Commit::Unwanted } else { Commit::Refused });
    };
    let policy = product.policy(request);
    let window = policy.window.and_then(|window| window.of(policy.ttl));
    let life = freshness::plan(
        lease.born_at(),
        policy.ttl,
        window,
        policy.stale_if_error.unwrap_or_default(),
        policy.jitter_permille,
        fastrand::f64(),
    );
    let stamps = match stamping::stamps(request, &mut lease, touched, &policy).await {
        Ok(stamps) => stamps,
        Err(why) => return without_stamps(request, lease, why).await,
    };
    match lease.is_untouched().await {
        Ok(true) => {}
        Ok(false) => {
            telemetry::step(request.site, &request.key, "invalidated meanwhile");
            return Ok(Commit::Refused);
        }
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            return Err(error);
        }
    }
    let stamps: Vec<Stamp<'_>> = stamps
        .iter()
        .map(|(tag, nonce)| Stamp { name: tag.name().as_bytes(), nonce: nonce.bytes() })
        .collect();
    let (compressed, payload) = compression::compress(policy.compression, payload);
    let label = Label {
        life,
        fingerprint: request.fingerprint,
        key: &request.key,
        written: product.written,
        compressed,
        none: product.none,
        stamps: &stamps,
        integrity: request.cache.settings.integrity.as_ref(),
    };
    let sealed = entry::seal(&label, &payload);
    let (past_renewal, of_another) = (lease.is_past_renewal(), lease.is_of_another());
    let committed = lease.commit(&sealed).await;
    match &committed {
        Ok(Commit::Refused) if past_renewal => {
            telemetry::warn_once(request.site, Warning::SlowerThanLease, "");
        }
        Ok(Commit::Stored | Commit::Unwanted) => {
            telemetry::computes_again(request.site);
            telemetry::step(request.site, &request.key, "stored");
        }
        Ok(Commit::Refused) => telemetry::step(request.site, &request.key, "commit refused"),
        Ok(Commit::Late) if of_another => telemetry::step(request.site, &request.key, "too old"),
        Ok(Commit::Late) => telemetry::warn_once(request.site, Warning::SlowerThanTtl, ""),
        Err(error) => telemetry::store_trouble(request.site, &request.key, error),
    }
    committed
}

/// Ends a computation whose value depends on tags of which not enough is known.
async fn without_stamps(
    request: &Request,
    lease: Lease,
    why: Unstamped,
) -> Result<Commit, StoreError> {
    match why {
        Unstamped::Invalidated => {
            telemetry::step(request.site, &request.key, "invalidated by a tag meanwhile");
            Ok(Commit::Refused)
        }
        Unstamped::Past => {
            telemetry::step(request.site, &request.key, "a value past its ttl was used");
            // What it calls fails: to compute it anew at once would end in the same.
            lease.fail(Old::Serves).await.map(|_| Commit::Refused)
        }
        Unstamped::Unexpected => {
            telemetry::step(request.site, &request.key, "tagged for the first time, not stored");
            Ok(Commit::Refused)
        }
        Unstamped::Never(why) => {
            telemetry::warn_once(request.site, Warning::Tags, &why.to_string());
            // Nobody is to wait for the next one.
            lease.fail(Old::Goes).await.map(|_| Commit::Unwanted)
        }
        Unstamped::Unknown(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            Err(error)
        }
    }
}

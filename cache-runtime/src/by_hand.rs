//! What handles ask of one entry: look, store, invalidate, expire. Without the type of its value.
//!
//! Each gives a boxed future. The compiler makes a copy of an `async fn` in every crate that awaits
//! it, with all that it awaits itself; of a `dyn Future` it makes none.

use std::pin::Pin;
use std::time::Duration;

use crate::body::{self, Product};
use crate::codec::compression::expand;
use crate::entry::{Found, Written};
use crate::error::{Error, ErrorKind};
use crate::fingerprint;
use crate::frame::{self, Gathered, Spoiled};
use crate::freshness::{self, Freshness};
use crate::handle::State;
use crate::lease::{self, Began};
use crate::metrics::Subject;
use crate::request::Request;
use crate::seen;
use crate::store::{Commit, Seize, StoreError, Touch, Version};
use crate::tags::{self, Standing, Tag};
use crate::telemetry;

/// A future without its type.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A value for an entry, and the tags that it tells of itself.
pub(crate) struct AtHand {
    pub(crate) request: Request,
    pub(crate) product: Product,
    pub(crate) tags: Gathered,
}

impl AtHand {
    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.product.payload.as_ref().map_or(0, |payload| payload.len())
    }
}

/// A stored value as bytes.
pub(crate) struct Looked {
    pub(crate) written: Written,
    pub(crate) payload: Vec<u8>,
    pub(crate) state: State,
    pub(crate) age: Option<Duration>,
}

/// What a call would be served, if it accepts the value.
pub(crate) fn look(request: Request) -> Boxed<'static, Result<Option<Looked>, Error>> {
    Box::pin(async move {
        let deadline = request.cache.deadline();
        let seen = seen::see(&request, deadline).await.map_err(unavailable)?;
        if seen.stored.is_empty() {
            return Ok(None);
        }
        let Found::Usable(found) = seen.find(&request) else { return Ok(None) };
        // Of a value this says no more than if nothing were stored.
        if found.written.is_error {
            return Ok(None);
        }
        let standing = seen.standing(&request, &found);
        if standing == Standing::Void {
            return Ok(None);
        }
        let Ok(payload) = expand(found.compressed, found.payload) else { return Ok(None) };
        let now = request.cache.store.latest_now(&request.key);
        let state = match freshness::judge(&found.life, standing, now, request.policy.refreshes()) {
            Freshness::Fresh => State::Fresh,
            Freshness::Stale => State::Stale,
            Freshness::Expired | Freshness::Past => return Ok(None),
        };
        // What a body sees by hand it depends on no less.
        frame::hand_on_stamps(&request.cache, found.stamps.clone(), found.life.born_at);
        let age = now.map(|now| Duration::from_millis(now.saturating_sub(found.life.born_at)));
        Ok(Some(Looked { written: found.written, payload: payload.into_owned(), state, age }))
    })
}

/// Stores a value under a lease that is taken from whoever has it.
///
/// All of its tags are known before it is stored, so none has to be looked up in the journal.
pub(crate) fn store(at_hand: AtHand, version: Option<u64>) -> Boxed<'static, Result<(), Error>> {
    Box::pin(async move {
        let AtHand { mut request, product, tags } = at_hand;
        // Calls of one key that differ in declared tags have entries of their own, and so versions.
        let names: Vec<&str> = request.tags.iter().map(Tag::name).collect();
        let apart = (!names.is_empty()).then(|| fingerprint::with_tags(0, &names));
        let version_key = request.key.version(apart);
        for name in &tags.read {
            let tag = Tag::stamped(&request.cache.namespace, name);
            if !request.tags.contains(&tag) {
                request.tags.push(tag);
            }
        }
        let too_many = (request.tags.len() > tags::MOST).then_some(Spoiled::TooMany);
        if let Some(why) = tags.spoiled.or(too_many) {
            return Err(ErrorKind::NotStorable(why.to_string()).into());
        }
        let deadline = request.cache.deadline();
        let (cache, policy) = (&request.cache, &request.policy);
        // As long as an entry that it was set for may be there, and writers may be on their way.
        let life = product.policy(&request).life_of_tags();
        let version = version.map(|number| Version { key: version_key, number, life });
        let what_for = Seize::Newer(version.as_ref());
        // Before the lease: of a tag that is invalidated between the two, the nonce that went is captured.
        let nonces =
            lease::capture(cache, &request.tags, policy, deadline).await.map_err(unconfirmed)?;
        let seized = lease::seize(cache, &request.key, policy, what_for, deadline);
        let Some(mut lease) = seized.await.map_err(unconfirmed)? else {
            return Err(ErrorKind::Superseded.into());
        };
        #[cfg(test)]
        crate::model::seized(product.payload.as_deref().unwrap_or_default());
        lease.captured_before(nonces, policy);
        #[cfg(test)]
        lease.unfence();
        match body::commit(&request, lease, &product, &Gathered::default()).await {
            Ok(Commit::Stored) => Ok(()),
            Ok(Commit::Unwanted) => Err(ErrorKind::Unwanted.into()),
            Ok(Commit::Refused) => Err(ErrorKind::Superseded.into()),
            Ok(Commit::Late) => Err(ErrorKind::TooLate.into()),
            Err(error) => Err(unconfirmed(error)),
        }
    })
}

/// Stores what a writer has written, as old as its body. Anything but `Stored` says that the entry may be an old one.
pub(crate) fn put(at_hand: AtHand, began: Began) -> Boxed<'static, Result<Commit, StoreError>> {
    Box::pin(async move {
        let AtHand { request, product, mut tags } = at_hand;
        request.tags.iter().for_each(|tag| tags.add(tag.name()));
        let (cache, policy) = (&request.cache, &request.policy);
        let seized = lease::seize(cache, &request.key, policy, Seize::Judged, cache.deadline());
        let Some(mut lease) = seized.await? else { return Ok(Commit::Refused) };
        lease.of_another(began, true);
        body::commit(&request, lease, &product, &tags).await
    })
}

pub(crate) fn invalidate(request: Request) -> Boxed<'static, Result<(), Error>> {
    Box::pin(async move {
        let deadline = request.cache.deadline();
        let (cache, keys) = (&request.cache, std::slice::from_ref(&request.key));
        let invalidated = cache.store.invalidate(&cache.namespace, keys, deadline).await;
        telemetry::touched(cache, Touch::Invalidate, Subject::Key, 1, &invalidated);
        invalidated.map_err(unconfirmed)
    })
}

/// Without a refresh to come, nor an error that would be worse, it is an invalidation.
pub(crate) fn expire(request: Request) -> Boxed<'static, Result<(), Error>> {
    if !request.policy.refreshes() && !request.policy.keeps() {
        return invalidate(request);
    }
    Box::pin(async move {
        let deadline = request.cache.deadline();
        let cache = &request.cache;
        let expired = cache.store.expire(&cache.namespace, &request.key, deadline).await;
        telemetry::touched(cache, Touch::Expire, Subject::Key, 1, &expired);
        expired.map_err(unconfirmed)?;
        // This process may have asked for the key a moment ago, and would not ask again so soon.
        request.cache.refreshes.forget(&request.key);
        Ok(())
    })
}

pub(crate) fn remaining(request: Request) -> Boxed<'static, Result<Option<Duration>, Error>> {
    Box::pin(async move {
        let deadline = request.cache.deadline();
        request.cache.store.remaining(&request.key, deadline).await.map_err(unavailable)
    })
}

fn unavailable(error: StoreError) -> Error {
    ErrorKind::Unavailable(error).into()
}

pub(crate) fn unconfirmed(error: StoreError) -> Error {
    ErrorKind::Unconfirmed(error).into()
}

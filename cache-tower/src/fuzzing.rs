//! What the fuzz targets name (`fuzz/README.md`). Behind the feature `__fuzzing`, and no part of the API.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use redis_cached_runtime::fuzzing::{self, Bincode};
use redis_cached_runtime::private::Outcome;

use crate::asking::{Asked, Credentials, tag_of_request};
use crate::body::CacheBody;
use crate::directives::{CacheControl, split};
use crate::stored::{Rules, Stored, judge};
use crate::surrogate::SurrogateKeys;
use crate::{answering, names};

/// Whether a response with this head may be stored.
pub fn may_be_stored<B: Body>(response: &Response<B>, asked: &HeaderMap) -> bool {
    let rules = Rules { default_ttl: None, max_body: 1 << 20, vary: Vec::new() };
    let asked_with = Credentials {
        authorization: asked.contains_key("authorization"),
        cookie: asked.contains_key("cookie"),
    };
    judge(response, asked_with, &rules).is_ok()
}

/// Whether these headers forbid to store, and for how many seconds they allow to use what is.
#[must_use]
pub fn cache_control(headers: &HeaderMap) -> (bool, Option<u64>) {
    let control = CacheControl::of(headers);
    (control.no_store || control.private || control.no_cache, control.freshness())
}

/// The members of a list.
pub fn members(text: &str) -> impl Iterator<Item = &str> {
    split(text)
}

/// What a request is answered with, where these bytes are stored, and have been for so long. `None` where they are no response.
#[must_use]
pub fn answer(stored: &[u8], parts: &Parts, stored_for: Duration) -> Option<Response<Bytes>> {
    let asked = Asked::of(parts, false).ok()?;
    let _ = tag_of_request(parts).map(|tag| names::spelled(&tag));
    let stored: Stored = fuzzing::decode::<_, Bincode>(1, stored)?;
    let _ = (stored.is_for(&parts.headers), stored.ttl(), stored.window(), stored.vary());
    let _ = stored.age_and_rest(stored_for);
    let response: Response<CacheBody<Nothing>> =
        answering::serve(stored, Outcome::Shared(None), &asked);
    Some(response.map(|_| Bytes::new()))
}

/// The body of a handler that is not asked.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// Puts tags of these names into headers.
pub fn label(names: Vec<String>, headers: &mut HeaderMap) {
    SurrogateKeys::new().label(Some(names), headers);
}

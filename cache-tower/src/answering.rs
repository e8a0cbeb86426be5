//! What goes out: to a client that has it already, to one that wants the head only, and how it came about.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, LAST_MODIFIED,
};
use http::{Response, StatusCode};
use http_body::Body;
use redis_cached_runtime::private::Outcome;

use crate::asking::{Asked, Conditions, Forward};
use crate::body::CacheBody;
use crate::stored::Stored;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What this cache is called in there.
const NAME: &str = "redis-cached";

/// A stored response, or one that is being stored, as the answer to a request.
pub(crate) fn serve<B: Body<Data = Bytes>>(
    stored: Stored,
    outcome: Outcome,
    asked: &Asked,
) -> Response<CacheBody<B>> {
    let served = match outcome {
        Outcome::Hit(served)
        | Outcome::Stale(served)
        | Outcome::Kept(served)
        | Outcome::Shared(Some(served)) => Some(served.age()),
        _ => None,
    };
    let (age, rest) = stored.age_and_rest(served.unwrap_or(Duration::ZERO));
    // By hand it may be stale before its time.
    let rest =
        if matches!(outcome, Outcome::Stale(_) | Outcome::Kept(_)) { rest.min(0) } else { rest };
    let status = match outcome {
        _ if served.is_some() => format!("; hit; ttl={rest}"),
        Outcome::Computed { stored: true } => "; fwd=miss; stored".to_owned(),
        Outcome::Shared(_) => "; fwd=miss; collapsed".to_owned(),
        _ => "; fwd=miss".to_owned(),
    };
    let mut response = finish(stored.response(), asked, status, served.is_none());
    if served.is_some() || age > 0 {
        response.headers_mut().insert(AGE, HeaderValue::from(age));
    }
    response
}

/// A response that is not stored, as the answer to a request that a stored one could have answered.
pub(crate) fn pass_on<B: Body<Data = Bytes>>(
    response: Response<CacheBody<B>>,
    asked: &Asked,
    why: &str,
) -> Response<CacheBody<B>> {
    finish(response, asked, format!("; fwd=miss; detail={why}"), true)
}

/// A response to a request that went past the cache.
pub(crate) fn forwarded<B: Body<Data = Bytes>>(
    response: Response<B>,
    why: Forward,
) -> Response<CacheBody<B>> {
    let mut response = response.map(CacheBody::through);
    let status = match why {
        Forward::Method => "; fwd=method".to_owned(),
        Forward::Request => "; fwd=request".to_owned(),
        Forward::Bypass(why) => format!("; fwd=bypass; detail={why}"),
    };
    tell(&mut response, &status);
    response
}

fn finish<B: Body<Data = Bytes>>(
    mut response: Response<CacheBody<B>>,
    asked: &Asked,
    mut status: String,
    is_forwarded: bool,
) -> Response<CacheBody<B>> {
    if response.status() == StatusCode::OK && asked.conditions.are_met_by(&response) {
        if is_forwarded {
            let _ = write!(status, "; fwd-status={}", StatusCode::OK.as_u16());
        }
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = CacheBody::whole(Bytes::new());
        // RFC 9110 §15.4.5: what describes a body that does not come.
        for header in
            [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE]
        {
            response.headers_mut().remove(header);
        }
    } else if asked.is_head {
        // RFC 9110 §8.6: what has no content says no length.
        let has_content = response.status() != StatusCode::NO_CONTENT;
        let length = response.body().size_hint().exact().filter(|_| has_content);
        if let Some(length) = length {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        *response.body_mut() = CacheBody::whole(Bytes::new());
    }
    tell(&mut response, &status);
    response
}

/// Behind what other caches have said: RFC 9211 §2.
fn tell<B>(response: &mut Response<B>, status: &str) {
    if let Ok(status) = HeaderValue::try_from(format!("{NAME}{status}")) {
        response.headers_mut().append(CACHE_STATUS, status);
    }
}

impl Conditions {
    /// Whether the client has this response already: RFC 9110 §13.2.2.
    fn are_met_by<B>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        if self.none_match.is_empty() {
            // Compared as a text: it is what the client was given.
            let modified = headers.get(LAST_MODIFIED);
            return modified.is_some() && modified == self.modified_since.as_ref();
        }
        let etag = headers.get(ETAG).map(|etag| opaque(etag.as_bytes()));
        self.none_match.iter().any(|line| {
            let line = line.as_bytes().trim_ascii();
            line == b"*" || etag.is_some_and(|etag| etags(line).any(|given| given == etag))
        })
    }
}

/// Weak or not: RFC 9110 §8.8.3.2.
fn opaque(etag: &[u8]) -> &[u8] {
    let etag = etag.trim_ascii();
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// The members of a list, quotes and all. There may be commas between these, and no escapes.
fn etags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    })
    .map(opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_what_it_names_the_etag_of() {
        for (none_match, etag, expected) in [
            (&["\"a\""][..], "\"a\"", true),
            (&["W/\"a\""], "\"a\"", true),
            (&["\"a\""], "W/\"a\"", true),
            (&["\"b\", \"a\""], "\"a\"", true),
            (&["\"b\"", "\"a\""], "\"a\"", true),
            (&["\"a,b\""], "\"a,b\"", true),
            (&["*"], "\"a\"", true),
            (&["\"a\""], "\"b\"", false),
            (&["\"x\\\", \"a\""], "\"a\"", true),
            (&["a"], "\"a\"", false),
            (&[""], "\"a\"", false),
        ] {
            let none_match = none_match.iter().map(|line| line.parse().unwrap()).collect();
            // The date is not asked where there are ETags.
            let modified_since = Some(HeaderValue::from_static("now"));
            let response = Response::builder().header(ETAG, etag).header(LAST_MODIFIED, "now");
            let conditions = Conditions { none_match, modified_since };
            assert_eq!(
                conditions.are_met_by(&response.body(()).unwrap()),
                expected,
                "{conditions:?} {etag}"
            );
        }
    }

    #[test]
    fn without_an_etag_a_client_has_what_was_modified_when_it_says() {
        let has = |modified: Option<&str>, since: Option<&str>| {
            let mut response = Response::new(());
            if let Some(modified) = modified {
                response.headers_mut().insert(LAST_MODIFIED, modified.parse().unwrap());
            }
            let modified_since = since.map(|since| since.parse().unwrap());
            Conditions { none_match: Vec::new(), modified_since }.are_met_by(&response)
        };
        assert!(has(Some("now"), Some("now")));
        assert!(!has(Some("now"), Some("then")) && !has(Some("now"), None) && !has(None, None));
    }
}

//! Whether a response may be stored, and what is stored of it. RFC 9111 §3 and §4.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::{Response, StatusCode};
use http_body::Body;
use serde::{Deserialize, Serialize};

use crate::asking::{Credentials, variant};
use crate::body::{CacheBody, Read};
use crate::directives::{CacheControl, split};

/// Nothing is fresh, or stale, for longer.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// What is about this request, or this moment.
const PASSING: [StatusCode; 7] = [
    StatusCode::PARTIAL_CONTENT,
    StatusCode::NOT_MODIFIED,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::PROXY_AUTHENTICATION_REQUIRED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_MANY_REQUESTS,
];
/// A response with more is not stored: each is hashed for each request.
const MOST_VARY: usize = 16;

/// What is said of all responses of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Of responses that do not say for how long they are fresh.
    pub(crate) default_ttl: Option<Duration>,
    pub(crate) max_body: usize,
    /// What every response varies on, whatever it says.
    pub(crate) vary: Vec<HeaderName>,
}

/// A whole response, for whoever asks the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    vary: Vec<String>,
    variant: [u8; 32],
    /// How old it was when it came.
    age_secs: u64,
    /// From then on, both.
    fresh_ms: u64,
    stale_ms: u64,
}

/// Why a response is not stored, in a word that goes into `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unstorable {
    pub(crate) why: &'static str,
    /// It is not the request's or the moment's fault: the next response will be the same.
    pub(crate) always: bool,
    /// Without a look at the body.
    pub(crate) is_told_by_head: bool,
}

/// How long a response is fresh, and how long after that it may be served while a new one is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    age_secs: u64,
    fresh: Duration,
    stale: Duration,
}

impl Unstorable {
    fn always(why: &'static str) -> Self {
        Self { why, always: true, is_told_by_head: true }
    }
}

/// How long a response with this head may be stored, if it may be.
pub(crate) fn life(
    status: StatusCode,
    headers: &HeaderMap,
    asked_with: Credentials,
    rules: &Rules,
) -> Result<Life, Unstorable> {
    // A good one that is stored is better, and the next one may be; of a part nothing can be said.
    if status.is_informational() || status.is_server_error() || PASSING.contains(&status) {
        return Err(Unstorable { why: "status", always: false, is_told_by_head: true });
    }
    let control = CacheControl::of(headers);
    let for_all = control.public || control.s_maxage.is_some();
    let said = [
        (control.no_store, "no-store"),
        (control.private, "private"),
        (control.no_cache, "no-cache"),
        (headers.contains_key(SET_COOKIE), "set-cookie"),
        (asked_with.cookie && !for_all, "cookie"),
        // RFC 9111 §3.5 also has `must-revalidate`, of which few know that it says so.
        (asked_with.authorization && !for_all, "authorization"),
        // It has no end.
        (is_event_stream(headers), "event-stream"),
    ];
    if let Some((_, why)) = said.into_iter().find(|(said, _)| *said) {
        return Err(Unstorable::always(why));
    }
    let of_layer = || {
        let applies = status == StatusCode::OK && !headers.contains_key(EXPIRES);
        rules.default_ttl.filter(|_| applies)
    };
    let total = control.freshness().map(Duration::from_secs).or_else(of_layer);
    let age_secs = age(headers);
    let fresh = total.unwrap_or_default().saturating_sub(Duration::from_secs(age_secs));
    let fresh = fresh.min(LONGEST);
    if fresh.is_zero() {
        return Err(Unstorable::always(if total.is_some() { "not-fresh" } else { "no-max-age" }));
    }
    let stale = control.stale_while_revalidate.filter(|_| !control.revalidate);
    let stale = Duration::from_secs(stale.unwrap_or(0)).min(LONGEST);
    Ok(Life { age_secs, fresh, stale })
}

/// How old it is when it comes, in seconds: RFC 9111 §4.2.3.
fn age(headers: &HeaderMap) -> u64 {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    // What can't be read may be of any age.
    let told = text(AGE).map_or(0, |age| age.parse().unwrap_or(u64::MAX));
    let date = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let since = date.and_then(|date| SystemTime::now().duration_since(date).ok());
    told.max(since.map_or(0, |since| since.as_secs()))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes).trim_ascii();
    let name = b"text/event-stream";
    kind.get(..name.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(name))
}

/// In one order, each once.
pub(crate) fn sort(names: &mut Vec<HeaderName>) {
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
}

/// What a response varies on, with what the layer says of all.
fn vary(headers: &HeaderMap, rules: &Rules) -> Result<Vec<HeaderName>, Unstorable> {
    let mut vary = rules.vary.clone();
    for line in headers.get_all(VARY) {
        for name in split(line.to_str().map_err(|_| Unstorable::always("vary"))?) {
            vary.push(name.parse().map_err(|_| Unstorable::always("vary"))?);
        }
    }
    sort(&mut vary);
    // `*` is no name, and parses as one.
    let is_any = vary.iter().any(|name| name.as_str() == "*");
    let too_many = vary.len() > MOST_VARY.max(rules.vary.len());
    if is_any || too_many { Err(Unstorable::always("vary")) } else { Ok(vary) }
}

/// How long a response may be stored, and what it varies on, as far as its head tells.
pub(crate) fn judge<B: Body>(
    response: &Response<B>,
    asked_with: Credentials,
    rules: &Rules,
) -> Result<(Life, Vec<HeaderName>), Unstorable> {
    let life = life(response.status(), response.headers(), asked_with, rules)?;
    let vary = vary(response.headers(), rules)?;
    let said = length(response.headers()).unwrap_or(0);
    let least = said.max(response.body().size_hint().lower());
    if least > u64::try_from(rules.max_body).unwrap_or(u64::MAX) {
        return Err(Unstorable::always("too-large"));
    }
    Ok((life, vary))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is to be stored of a response. What is not comes back, and can be sent on as it came.
pub(crate) async fn store<B: Body<Data = Bytes>>(
    response: Response<B>,
    asked: &HeaderMap,
    asked_with: Credentials,
    rules: &Rules,
) -> Result<Stored, (Response<CacheBody<B>>, Unstorable)> {
    let (life, vary) = match judge(&response, asked_with, rules) {
        Ok(judged) => judged,
        Err(why) => return Err((response.map(CacheBody::through), why)),
    };
    let (head, body) = response.into_parts();
    match CacheBody::read(body, rules.max_body).await {
        Read::Whole(body)
            if length(&head.headers).is_some_and(|said| said != body.len() as u64) =>
        {
            let why = Unstorable { why: "broken", always: false, is_told_by_head: false };
            Err((Response::from_parts(head, CacheBody::cut(body)), why))
        }
        Read::Whole(body) => Ok(Stored {
            status: head.status.as_u16(),
            headers: kept(&head.headers, head.status, &body),
            body,
            variant: variant(&vary, asked).into(),
            vary: vary.iter().map(|name| name.as_str().to_owned()).collect(),
            age_secs: life.age_secs,
            fresh_ms: millis(life.fresh),
            stale_ms: millis(life.stale),
        }),
        Read::Beyond(body, why, always) => {
            let why = Unstorable { why, always, is_told_by_head: false };
            Err((Response::from_parts(head, body), why))
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All headers but those of the connection that it came by. With an `ETag`, for clients that have it already.
fn kept(headers: &HeaderMap, status: StatusCode, body: &Bytes) -> Vec<(String, Bytes)> {
    const OF_CONNECTION: [HeaderName; 7] =
        [CONNECTION, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, CONTENT_LENGTH];
    let named: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(split)
        .collect();
    let is_kept = |name: &HeaderName| {
        let of_connection = OF_CONNECTION.contains(name)
            || matches!(
                name.as_str(),
                "keep-alive" | "proxy-connection" | "proxy-authentication-info"
            )
            || named.iter().any(|other| other.eq_ignore_ascii_case(name.as_str()));
        // It is told anew, with what it was.
        !of_connection && name != AGE
    };
    let bytes = |value: &HeaderValue| Bytes::copy_from_slice(value.as_bytes());
    let mut kept: Vec<_> = headers
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.as_str().to_owned(), bytes(value)))
        .collect();
    if status == StatusCode::OK && !headers.contains_key(ETAG) {
        let mut digest = blake3::Hasher::new();
        for header in [CONTENT_TYPE, CONTENT_ENCODING] {
            let value = headers.get(header).map_or(&b""[..], HeaderValue::as_bytes);
            digest.update(&(value.len() as u64).to_le_bytes()).update(value);
        }
        let digest = digest.update(body).finalize().to_hex();
        kept.push((ETAG.as_str().to_owned(), format!("\"{}\"", &digest[..32]).into()));
    }
    kept
}

impl Stored {
    /// What stands for a response that is not to be stored, and removes the one that is.
    pub(crate) fn nothing() -> Self {
        Self {
            status: 0,
            headers: Vec::new(),
            body: Bytes::new(),
            vary: Vec::new(),
            variant: [0; 32],
            age_secs: 0,
            fresh_ms: 0,
            stale_ms: 0,
        }
    }

    /// How long it may be served, stale or not.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.fresh_ms.saturating_add(self.stale_ms))
    }

    /// For how long of that it is stale.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.stale_ms)
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// In whole seconds how old it is, and how long it is fresh, when it has been stored for so long.
    pub(crate) fn age_and_rest(&self, stored_for: Duration) -> (u64, i64) {
        let age = self.age_secs.saturating_add(stored_for.as_secs());
        let signed = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
        let rest = signed(self.fresh_ms).saturating_sub(signed(millis(stored_for)));
        (age, rest.div_euclid(1_000))
    }

    pub(crate) fn vary(&self) -> Vec<HeaderName> {
        self.vary.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether it answers a request with these headers, too.
    pub(crate) fn is_for(&self, headers: &HeaderMap) -> bool {
        variant(&self.vary(), headers) == blake3::Hash::from(self.variant)
    }

    pub(crate) fn response<B: Body<Data = Bytes>>(self) -> Response<CacheBody<B>> {
        let mut response = Response::new(CacheBody::whole(self.body.clone()));
        *response.status_mut() = self.status();
        for (name, value) in self.headers {
            // What was a header once is one.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_maybe_shared(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;

    use super::*;

    const ANYBODY: Credentials = Credentials { authorization: false, cookie: false };

    fn rules(default_ttl: Option<u64>) -> Rules {
        let default_ttl = default_ttl.map(Duration::from_secs);
        Rules { default_ttl, max_body: 1_000, vary: Vec::new() }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn judged(
        lines: &[(&'static str, &str)],
        with: Credentials,
    ) -> Result<(u64, u64), &'static str> {
        let life = life(StatusCode::OK, &headers(lines), with, &rules(Some(7)));
        life.map(|life| (life.fresh.as_secs(), life.stale.as_secs())).map_err(|why| why.why)
    }

    #[test]
    fn a_response_lives_as_long_as_it_says() {
        for (lines, expected) in [
            (&[][..], Ok((7, 0))),
            (&[("expires", "0")], Err("no-max-age")),
            (&[("cache-control", "max-age=60")], Ok((60, 0))),
            (&[("cache-control", "max-age=60"), ("age", "20")], Ok((40, 0))),
            (&[("cache-control", "max-age=60"), ("age", "x")], Err("not-fresh")),
            (
                &[("cache-control", "max-age=60"), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")],
                Err("not-fresh"),
            ),
            (
                &[("cache-control", "max-age=60"), ("date", "Wed, 21 Oct 2115 07:28:00 GMT")],
                Ok((60, 0)),
            ),
            (
                &[("cache-control", "max-age=99999999999, stale-while-revalidate=99999999999")],
                Ok((365 * 86_400, 365 * 86_400)),
            ),
            (&[("cache-control", "max-age=60, s-maxage=5")], Ok((5, 0))),
            (&[("cache-control", "max-age=0")], Err("not-fresh")),
            (&[("cache-control", "max-age=9, stale-while-revalidate=30")], Ok((9, 30))),
            (&[("cache-control", "max-age=0, stale-while-revalidate=30")], Err("not-fresh")),
            (
                &[("cache-control", "max-age=9, stale-while-revalidate=30, must-revalidate")],
                Ok((9, 0)),
            ),
            (&[("cache-control", "max-age=9, no-store")], Err("no-store")),
            (&[("cache-control", "max-age=9"), ("cache-control", "private")], Err("private")),
            (&[("cache-control", "max-age=9, no-cache")], Err("no-cache")),
            (&[("cache-control", "max-age=9"), ("set-cookie", "a=1")], Err("set-cookie")),
            (&[("content-type", "text/event-stream; charset=utf-8")], Err("event-stream")),
        ] {
            assert_eq!(judged(lines, ANYBODY), expected, "{lines:?}");
        }
        let of_status = |status, lines: &[_]| {
            life(StatusCode::from_u16(status).unwrap(), &headers(lines), ANYBODY, &rules(Some(7)))
                .is_ok()
        };
        assert!(!of_status(404, &[]) && of_status(404, &[("cache-control", "max-age=1")]));
        for status in [206, 304, 401, 429, 500, 503] {
            assert!(!of_status(status, &[("cache-control", "max-age=1")]), "{status}");
        }
    }

    #[test]
    fn what_was_asked_for_with_credentials_is_stored_only_if_it_says_that_it_is_for_all() {
        let authorized = Credentials { authorization: true, ..ANYBODY };
        let known = Credentials { cookie: true, ..ANYBODY };
        for (control, with_authorization, with_cookie) in [
            ("", false, false),
            ("max-age=9", false, false),
            ("max-age=9, public", true, true),
            ("s-maxage=9", true, true),
            ("max-age=9, must-revalidate", false, false),
            ("max-age=9, proxy-revalidate", false, false),
        ] {
            let lines = &[("cache-control", control)];
            assert_eq!(judged(lines, authorized).is_ok(), with_authorization, "{control}");
            assert_eq!(judged(lines, known).is_ok(), with_cookie, "{control}");
        }
    }

    #[test]
    fn names_in_vary_are_one_list_and_any_is_none() {
        let of = |lines: &[_]| {
            let rules = Rules { vary: vec![http::header::ORIGIN], ..rules(None) };
            let vary = vary(&headers(lines), &rules).ok()?;
            Some(vary.iter().map(HeaderName::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(of(&[]).unwrap(), "origin");
        assert_eq!(of(&[("vary", "X, Accept"), ("vary", "accept,")]).unwrap(), "accept origin x");
        assert_eq!(of(&[("vary", "accept, *")]), None);
        assert_eq!(of(&[("vary", "a b")]), None);
        let many: Vec<String> = (0..17).map(|n| format!("x{n}")).collect();
        assert_eq!(of(&[("vary", &many.join(","))]), None);
    }

    #[test]
    fn headers_of_the_connection_are_not_kept() {
        let given = headers(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("age", "3"),
            ("cache-control", "max-age=3"),
            ("link", "a"),
            ("link", "b"),
        ]);
        let kept = kept(&given, StatusCode::OK, &Bytes::from_static(b"abc"));
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [CACHE_CONTROL.as_str(), "link", "link", "etag"]);
    }

    #[test]
    fn an_etag_of_ours_differs_where_representations_do() {
        let of = |lines: &[_], body: &'static str| {
            let kept = kept(&headers(lines), StatusCode::OK, &Bytes::from_static(body.as_bytes()));
            kept.into_iter().find(|(name, _)| name == "etag").map(|(_, etag)| etag)
        };
        let plain = of(&[], "a");
        assert_eq!(of(&[("x", "y")], "a"), plain);
        assert_ne!(of(&[], "b"), plain);
        assert_ne!(of(&[("content-type", "a")], ""), of(&[("content-encoding", "a")], ""));
        assert_eq!(of(&[("etag", "\"own\"")], "a").unwrap(), "\"own\"");
    }
}

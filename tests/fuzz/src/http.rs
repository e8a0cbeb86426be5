//! What clients, handlers and the store send to the layers for HTTP.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use redis_cached_runtime::private::tag_name;
use redis_cached_tower::fuzzing::{answer, cache_control, label, may_be_stored, members};
use redis_cached_tower::surrogate_key;

use crate::input::Input;
use crate::memory::{SLACK, within};

const NAMES: [&str; 24] = [
    "cache-control",
    "cache-control",
    "vary",
    "age",
    "date",
    "expires",
    "etag",
    "set-cookie",
    "host",
    "content-length",
    "content-type",
    "connection",
    "forwarded",
    "if-none-match",
    "if-modified-since",
    "surrogate-key",
    "cache-tag",
    "cookie",
    "authorization",
    "accept-language",
    "x-forwarded-proto",
    "transfer-encoding",
    "upgrade",
    "range",
];
const VALUES: [&str; 24] = [
    "no-store",
    "private",
    "public, max-age=60",
    "max-age=\"5\"",
    "s-maxage=99999999999999999999",
    "*",
    "accept-language, cookie",
    "close, x-a",
    "\"a\", W/\"b\"",
    "for=1.2.3.4;proto=https",
    "0",
    "-1",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "text/event-stream",
    "a,b c",
    "\"",
    "\\",
    ",",
    "=",
    "max-age",
    "stale-while-revalidate=30",
    "x=\"open, no-store",
    "localhost:80",
    "no-cache=\"a, b\"",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "GET"];
const URIS: [&str; 5] = ["/", "/a?b=c", "http://localhost:80/x", "https://[::1]/", "/%7B%7D?%"];
/// A response may be as large as what is stored of it, and some of it is written twice.
const BYTES_FOR_EACH: usize = 1024;

/// No header, of whomever, has a layer panic, and none makes another one.
pub(crate) fn http(data: &[u8]) {
    let mut input = Input(data);
    let (asked, mut given) = (headers(&mut input), headers(&mut input));
    let (forbids, freshness) = cache_control(&given);
    let stored = may_be_stored(&response(&given), &asked);
    assert!(!stored || (!forbids && freshness.is_some_and(|seconds| seconds > 0)));
    assert!(freshness.unwrap_or(0) <= 1 << 31);
    let list = input.text(100);
    for member in members(&list) {
        assert!(!member.is_empty() && member.trim() == member && list.contains(member));
    }

    let names: Vec<String> = (0..input.below(12)).map(|_| tag_name(&input.text(150))).collect();
    for name in &names {
        let key = surrogate_key(name);
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','), "{key:?}");
    }
    label(names, &mut given);
    for header in ["surrogate-key", "cache-tag"] {
        assert!(given.get(header).is_none_or(|value| value.len() <= 1 << 14));
    }

    let request = Request::builder().method(*input.one(&METHODS)).uri(*input.one(&URIS));
    let (mut parts, ()) = request.body(()).expect("these are valid").into_parts();
    parts.headers = asked;
    let stored_for = Duration::from_secs(input.number());
    let limit = SLACK + input.0.len() * BYTES_FOR_EACH;
    let status = within(limit, "to answer", || {
        answer(input.0, &parts, stored_for).map(|response| response.status())
    });
    assert!(status.is_none_or(|status| status.as_u16() >= 100));
}

fn response(headers: &HeaderMap) -> Response<String> {
    let mut response = Response::new(String::new());
    headers.clone_into(response.headers_mut());
    response
}

fn headers(input: &mut Input<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..input.below(8) {
        let mut value = input.one(&VALUES).as_bytes().to_vec();
        value.extend_from_slice(input.bytes(20));
        let &name = input.one(&NAMES);
        let name = HeaderName::from_static(name);
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
    }
    headers
}

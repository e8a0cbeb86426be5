//! What a request asks for, and whether a stored response may answer it.

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::uri::Scheme;
use http::{Extensions, HeaderValue, Method, Uri};

use crate::directives::CacheControl;
use crate::resources::Id;

/// Why a request goes past the cache, in the words of RFC 9211 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// `fwd=method`
    Method,
    /// `fwd=request`
    Request,
    /// `fwd=bypass`, and why.
    Bypass(&'static str),
}

/// A request that a stored response may answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) resource: Id,
    pub(crate) host: String,
    /// With the query.
    pub(crate) path: String,
    /// What the service sees as the path, where that is another.
    pub(crate) seen_path: String,
    pub(crate) is_secure: bool,
    pub(crate) credentials: Credentials,
    pub(crate) conditions: Conditions,
    pub(crate) is_head: bool,
}

/// What makes a request somebody's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) authorization: bool,
    pub(crate) cookie: bool,
}

/// Under which conditions the client has the response already.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) none_match: Vec<HeaderValue>,
    pub(crate) modified_since: Option<HeaderValue>,
}

impl Credentials {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            authorization: headers.contains_key(AUTHORIZATION),
            cookie: headers.contains_key(COOKIE),
        }
    }

    pub(crate) fn any(self) -> bool {
        self.authorization || self.cookie
    }
}

impl Asked {
    /// `has_body` is whether the request has content.
    pub(crate) fn of(parts: &Parts, has_body: bool) -> Result<Self, Forward> {
        let headers = &parts.headers;
        let is_head = parts.method == Method::HEAD;
        if !is_head && parts.method != Method::GET {
            return Err(Forward::Method);
        }
        if CacheControl::of(headers).no_store {
            return Err(Forward::Request);
        }
        let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
        if has_body || has_length || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Forward::Bypass("content"));
        }
        if headers.contains_key(UPGRADE) {
            return Err(Forward::Bypass("upgrade"));
        }
        // The handler knows how to answer these. A part is never stored.
        if [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE]
            .iter()
            .any(|header| headers.contains_key(header))
        {
            return Err(Forward::Bypass("range"));
        }
        let uri = whole_uri(&parts.uri, &parts.extensions);
        let host = host(uri, headers).ok_or(Forward::Bypass("host"))?;
        let path = path_of(uri).to_owned();
        let seen_path = path_of(&parts.uri);
        let seen_path = if seen_path == path { "" } else { seen_path }.to_owned();
        let credentials = Credentials::of(headers);
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let mut digest = blake3::Hasher::new();
        digest.update(&[u8::from(credentials.any()), u8::from(is_secure)]);
        for part in [&host, &path, &seen_path] {
            digest.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let conditions = Conditions {
            none_match: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            modified_since: headers.get(IF_MODIFIED_SINCE).cloned(),
        };
        let resource = *digest.finalize().as_bytes();
        Ok(Self { resource, host, path, seen_path, is_secure, credentials, conditions, is_head })
    }

    /// The request as the handler gets it, so that its response is a whole one, for everybody.
    pub(crate) fn make_whole(parts: &mut Parts) {
        parts.method = Method::GET;
        parts.headers.remove(IF_NONE_MATCH);
        parts.headers.remove(IF_MODIFIED_SINCE);
    }
}

/// What the tags begin with that the layer gives to responses.
pub(crate) const OF_URI: &str = "response://";

/// The tag of all responses of one URI.
pub(crate) fn tag_of(host: &str, path: &str) -> String {
    format!("{OF_URI}{host}{path}")
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// That of the request, where a write says what it has changed.
pub(crate) fn tag_of_request(parts: &Parts) -> Option<String> {
    let uri = whole_uri(&parts.uri, &parts.extensions);
    Some(tag_of(&host(uri, &parts.headers)?, path_of(uri)))
}

#[cfg(feature = "axum")]
fn whole_uri<'p>(uri: &'p Uri, extensions: &'p Extensions) -> &'p Uri {
    extensions.get::<axum::extract::OriginalUri>().map_or(uri, |original| &original.0)
}

#[cfg(not(feature = "axum"))]
fn whole_uri<'p>(uri: &'p Uri, _: &'p Extensions) -> &'p Uri {
    uri
}

/// Whom the request is for; `None` where that is in doubt.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let (header, second) = (hosts.next(), hosts.next());
    let header = header.map(|header| header.to_str());
    let host = match (uri.authority(), header) {
        _ if second.is_some() => return None,
        (_, Some(Err(_))) => return None,
        // The handler may look at either.
        (Some(authority), Some(Ok(header))) if !header.eq_ignore_ascii_case(authority.as_str()) => {
            return None;
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(Ok(header))) => header,
        (None, None) => "",
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (host.len() <= 255 && host.bytes().all(is_plain)).then(|| host.to_ascii_lowercase())
}

/// Tells requests apart that differ in one of these headers.
pub(crate) fn variant(vary: &[HeaderName], headers: &HeaderMap) -> blake3::Hash {
    let mut digest = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    for name in vary {
        add(name.as_str().as_bytes());
        // Several lines are one, as RFC 9110 §5.3 says; none is another thing than an empty one.
        let mut line = Vec::new();
        for (n, value) in headers.get_all(name).iter().enumerate() {
            line.extend_from_slice(if n == 0 { b"=" } else { b", " });
            line.extend_from_slice(value.as_bytes().trim_ascii());
        }
        if name.as_str() == "forwarded" {
            line = links_of(line);
        }
        add(&line);
    }
    digest.finalize()
}

/// Of a `Forwarded` what links are built of, and not for whom it was forwarded, which would give each client a
/// variant of its own.
fn links_of(line: Vec<u8>) -> Vec<u8> {
    // What is quoted may hold anything.
    if line.contains(&b'"') {
        return line;
    }
    let mut links = Vec::new();
    for pair in line.strip_prefix(b"=").unwrap_or(&line).split(|byte| b",;".contains(byte)) {
        let pair = pair.trim_ascii().to_ascii_lowercase();
        if pair.starts_with(b"host=") || pair.starts_with(b"proto=") {
            links.push(b',');
            links.extend(pair);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::ACCEPT;

    use super::*;

    fn asked(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Asked, Forward> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::of(&request.body(()).unwrap().into_parts().0, false)
    }

    fn resource(uri: &str, headers: &[(&str, &str)]) -> Id {
        asked("GET", uri, headers).unwrap().resource
    }

    #[test]
    fn resources_differ_by_host_path_query_and_credentials() {
        let plain = resource("/a", &[("host", "x")]);
        assert_eq!(resource("http://X/a", &[]), plain);
        assert_eq!(resource("/a", &[("host", "x"), ("accept", "text/html")]), plain);
        assert_eq!(asked("HEAD", "/a", &[("host", "x")]).unwrap().resource, plain);
        for (uri, headers) in [
            ("/a", &[][..]),
            ("/a", &[("host", "y")]),
            ("/a?", &[("host", "x")]),
            ("/a?b", &[("host", "x")]),
            ("/A", &[("host", "x")]),
            ("/a", &[("host", "x"), ("cookie", "a=1")]),
            ("/a", &[("host", "x"), ("authorization", "Basic eA==")]),
        ] {
            assert_ne!(resource(uri, headers), plain, "{uri} {headers:?}");
        }
    }

    #[test]
    fn what_no_stored_response_can_answer_goes_past_the_cache() {
        for (method, headers, expected) in [
            ("POST", &[][..], Forward::Method),
            ("OPTIONS", &[], Forward::Method),
            ("GET", &[("cache-control", "no-store")], Forward::Request),
            ("GET", &[("content-length", "3")], Forward::Bypass("content")),
            ("GET", &[("transfer-encoding", "chunked")], Forward::Bypass("content")),
            ("GET", &[("upgrade", "websocket")], Forward::Bypass("upgrade")),
            ("GET", &[("range", "bytes=0-3")], Forward::Bypass("range")),
            ("GET", &[("host", "a"), ("host", "b")], Forward::Bypass("host")),
            ("GET", &[("host", "a b")], Forward::Bypass("host")),
            ("GET", &[("host", "a@b")], Forward::Bypass("host")),
        ] {
            assert_eq!(asked(method, "/", headers).unwrap_err(), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn of_forwarded_only_what_links_are_made_of_counts() {
        let of = |line: &str| {
            let name = HeaderName::from_static("forwarded");
            let headers = HeaderMap::from_iter([(name.clone(), line.parse().unwrap())]);
            variant(&[name], &headers)
        };
        assert_eq!(of("for=1.2.3.4"), of("for=5.6.7.8;by=x"));
        assert_eq!(of("for=1;Host=a, for=2"), of("host=A"));
        for (one, other) in [
            ("for=1", "host=a"),
            ("host=a", "host=b"),
            ("proto=http", "proto=https"),
            ("host=a, host=b", "host=b, host=a"),
            ("for=\"x;host=a\"", "for=\"x;host=b\""),
        ] {
            assert_ne!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn requests_that_differ_in_a_header_are_other_variants() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, line.parse().unwrap());
            }
            variant(&[ACCEPT], &headers)
        };
        assert_eq!(of(&["a", "b"]), of(&["a, b"]));
        assert_eq!(of(&[" a "]), of(&["a"]));
        for (one, other) in [(&[][..], &[""][..]), (&["a"], &["b"]), (&["a", "b"], &["b", "a"])] {
            assert_ne!(of(one), of(other), "{one:?} {other:?}");
        }
    }
}

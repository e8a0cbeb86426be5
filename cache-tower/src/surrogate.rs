//! The layer that tells which tags a response depends on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use pin_project_lite::pin_project;
use redis_cached_runtime::private::Gathering;
use tower_layer::Layer;
use tower_service::Service;

use crate::names;

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// Of one key, and of all of them in one header: what Fastly takes, and Cloudflare.
const LONGEST_KEY: usize = 1_024;
const LONGEST_HEADER: usize = 16_384;
/// A header has no room for more, whatever they are called.
pub(crate) const MOST_TAGS: usize = LONGEST_HEADER / 2;

/// Puts the tags that were touched while a request was handled into the response, for a CDN that purges
/// by them: `Surrogate-Key: team:7 page:3` and `Cache-Tag: team:7,page:3`.
///
/// Touched are the tags of every cached function that the handler called, however it was answered, those
/// that these inherited, and what [`tag`](redis_cached_runtime::tag) added in the handler itself. How they
/// are spelled says [`surrogate_key`](crate::surrogate_key). Keys that the handler has put into a header
/// itself stay, in front.
///
/// - A key has 1,024 bytes at most, a header 16,384. **What does not fit is no header at all**, never a
///   part of one: a purge would miss the response. The same goes for a response whose tags are not all known,
///   as one of its functions has more than an entry can carry. Once for each layer an error event says so.
/// - The headers go out before the body: what is touched while a body streams comes too late, and is not in
///   them.
/// - Tasks that the handler spawns count if they run in its [`TagScope`](redis_cached_runtime::TagScope).
/// - The tag of a `clearable` function, `fn:` and its path, is left out unless it is
///   [asked for](Self::function_tags): its name shows how the program is built. So is any other tag that
///   begins with `fn:`. That of a [`ResponseCache`](crate::ResponseCache) for a URI, `response://…`, always
///   is: a CDN purges by URL.
///
/// Purge the CDN **after** `invalidate_tags` has returned `Ok`; before that, an old value may go out once more.
///
/// ```
/// use axum::{Router, routing::get};
/// use redis_cached::tower::SurrogateKeys;
///
/// async fn page() -> &'static str {
///     redis_cached::tag("pages");
///     "a page"
/// }
///
/// let app: Router = Router::new().route("/", get(page)).layer(SurrogateKeys::new());
/// ```
#[derive(Clone, Debug)]
pub struct SurrogateKeys {
    surrogate_key: bool,
    cache_tag: bool,
    function_tags: bool,
    told: Arc<AtomicBool>,
}

impl Default for SurrogateKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl SurrogateKeys {
    /// Both headers.
    #[must_use]
    pub fn new() -> Self {
        Self { surrogate_key: true, cache_tag: true, function_tags: false, told: Arc::default() }
    }

    /// Whether there is a `Surrogate-Key` (Fastly, Varnish). Default: yes.
    #[must_use]
    pub fn surrogate_key(mut self, wanted: bool) -> Self {
        self.surrogate_key = wanted;
        self
    }

    /// Whether there is a `Cache-Tag` (Cloudflare, Akamai). Default: yes.
    #[must_use]
    pub fn cache_tag(mut self, wanted: bool) -> Self {
        self.cache_tag = wanted;
        self
    }

    /// Whether the tags of `clearable` functions are among the keys. Default: no.
    #[must_use]
    pub fn function_tags(mut self, wanted: bool) -> Self {
        self.function_tags = wanted;
        self
    }

    pub(crate) fn label(&self, names: Option<Vec<String>>, headers: &mut HeaderMap) {
        let keys: Option<Vec<String>> = names.map(|names| {
            let wanted = |name: &&String| {
                !names::is_internal(name)
                    && !names::is_of_uri(name)
                    && (self.function_tags || !names::is_of_function(name))
            };
            names.iter().filter(wanted).map(|name| names::spelled(name)).collect()
        });
        for (wanted, header, separator) in
            [(self.surrogate_key, SURROGATE_KEY, b' '), (self.cache_tag, CACHE_TAG, b',')]
        {
            if !wanted {
                continue;
            }
            match keys.as_ref().and_then(|keys| extended(headers, &header, separator, keys)) {
                Some(value) if value.is_empty() => {}
                Some(value) => {
                    headers.insert(header, value);
                }
                None => {
                    headers.remove(&header);
                    self.tell(&header);
                }
            }
        }
    }

    fn tell(&self, header: &HeaderName) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(
            target: "redis_cached",
            header = header.as_str(),
            "a response has more tags than its header may name, or one of its functions more than an entry can \
             carry, so it goes out without the header and no purge will reach it; tag what is invalidated together \
             with one tag"
        );
    }
}

/// What the header is with these keys; `None` where they do not fit.
fn extended(
    headers: &HeaderMap,
    header: &HeaderName,
    separator: u8,
    keys: &[String],
) -> Option<HeaderValue> {
    let given: Vec<&[u8]> = headers
        .get_all(header)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == separator))
        .map(<[u8]>::trim_ascii)
        .filter(|key| !key.is_empty())
        .collect();
    let new = keys.iter().map(String::as_bytes).filter(|key| !given.contains(key));
    let mut value = Vec::new();
    for key in given.iter().copied().chain(new) {
        if !value.is_empty() {
            value.push(separator);
        }
        value.extend_from_slice(key);
        if key.len() > LONGEST_KEY || value.len() > LONGEST_HEADER {
            return None;
        }
    }
    HeaderValue::from_bytes(&value).ok()
}

impl<S> Layer<S> for SurrogateKeys {
    type Service = SurrogateKeysService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SurrogateKeysService { inner, layer: self.clone() }
    }
}

/// A service whose responses name their tags: see [`SurrogateKeys`].
#[derive(Clone, Debug)]
pub struct SurrogateKeysService<S> {
    inner: S,
    layer: SurrogateKeys,
}

impl<S, Q, B> Service<Request<Q>> for SurrogateKeysService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = SurrogateKeysFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let gathering = Gathering::of_most(MOST_TAGS);
        let response = gathering.within(|| self.inner.call(request));
        SurrogateKeysFuture { response, gathering: Some(gathering), layer: self.layer.clone() }
    }
}

pin_project! {
    /// The response to come of a [`SurrogateKeysService`].
    pub struct SurrogateKeysFuture<F> {
        #[pin]
        response: F,
        gathering: Option<Gathering>,
        layer: SurrogateKeys,
    }
}

impl<F, B, E> Future for SurrogateKeysFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = this.response;
        let polled = match &*this.gathering {
            Some(gathering) => gathering.within(|| response.poll(cx)),
            None => response.poll(cx),
        };
        let mut answered = ready!(polled);
        let names = this.gathering.take().and_then(Gathering::end);
        if let Ok(response) = &mut answered {
            this.layer.label(names, response.headers_mut());
        }
        Poll::Ready(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(layer: &SurrogateKeys, given: &[&str], names: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(SURROGATE_KEY, value.parse().unwrap());
        }
        layer.label(Some(names.iter().map(|name| (*name).to_owned()).collect()), &mut headers);
        headers
    }

    #[test]
    fn keys_of_the_handler_stay_and_none_is_there_twice() {
        let layer = SurrogateKeys::new();
        let headers = labelled(&layer, &["own  b", "c"], &["%all", "a", "b", "fn:app::f"]);
        assert_eq!(headers[SURROGATE_KEY], "own b c a");
        assert_eq!(headers[CACHE_TAG], "a,b");
        let headers = labelled(&layer.function_tags(true).cache_tag(false), &[], &["fn:app::f"]);
        assert_eq!(headers[SURROGATE_KEY], "fn:app::f");
        assert!(!headers.contains_key(CACHE_TAG));
    }

    #[test]
    fn what_just_fits_is_there_and_one_byte_more_is_not() {
        let keys: Vec<String> = (0..128).map(|n| format!("{n:0>127}")).collect();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let headers = labelled(&SurrogateKeys::new(), &[], &keys);
        assert_eq!(headers[SURROGATE_KEY].len(), LONGEST_HEADER - 1);
        keys.push("x");
        assert!(labelled(&SurrogateKeys::new(), &["own"], &keys).is_empty());
        let long = "x".repeat(LONGEST_KEY + 1);
        assert!(!labelled(&SurrogateKeys::new(), &[&long], &["a"]).contains_key(SURROGATE_KEY));
    }

    #[test]
    fn without_tags_there_is_no_header() {
        assert!(labelled(&SurrogateKeys::new(), &[], &["%all"]).is_empty());
    }
}

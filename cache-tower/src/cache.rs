//! The layer that keeps whole responses, and its settings.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{Request, Response};
use http_body::Body;
use redis_cached_runtime::Cache;
use tower_layer::Layer;
use tower_service::Service;

use crate::asking;
use crate::body::CacheBody;
use crate::handling::{Answer, Exchange};
use crate::resources::Resources;
use crate::stored::{self, Rules};

/// Keeps whole responses to `GET` in the cache, for every process of the fleet, and answers with them.
///
/// A response is stored if it says so, by `Cache-Control: max-age=60` or `s-maxage=60`. It is computed once, however
/// many clients ask at the same time, as the value of a function is; and it carries the **tags** of all cached
/// functions that the handler called, and those that it [adds](redis_cached_runtime::tag) itself: what invalidates
/// them invalidates the response, as finally. With `stale-while-revalidate=30` (RFC 5861) it is served for that much
/// longer, while one process of the fleet fetches the next one behind the client.
///
/// ```
/// use axum::Router;
/// use axum::http::header::CACHE_CONTROL;
/// use axum::response::IntoResponse;
/// use axum::routing::get;
/// use redis_cached::tower::ResponseCache;
///
/// async fn products() -> impl IntoResponse {
///     redis_cached::tag("products"); // `invalidate_tags(["products"])` reaches the page
///     ([(CACHE_CONTROL, "max-age=60, stale-while-revalidate=30")], "all the products")
/// }
///
/// let app: Router = Router::new().route("/products", get(products)).layer(ResponseCache::new("shop"));
/// ```
///
/// # What is stored
///
/// That of a `GET` and of a `HEAD`, which is answered from the response to a `GET`. Not:
///
/// - with `Cache-Control: no-store`, `private` or `no-cache`, with `Set-Cookie` or `Vary: *`; without a `max-age`,
///   unless there is a [default](Self::default_ttl); a part (206), and what the server failed at (5xx)
/// - what was asked for with `Authorization` or `Cookie`, **unless it says that it is for all**: `public` or `s-maxage`
///   (RFC 9111 §3.5). Requests with and without them share nothing
/// - `text/event-stream`
/// - what is about the moment: 401, 403, 407, 408, 429
/// - a body longer than [`max_body`](Self::max_body), shorter than its `Content-Length`, or with trailers: it is passed through as it comes. A body that
///   may be stored is read to its end before the client gets its first byte
/// - the answer to a request with `Cache-Control: no-store`, `Range`, `If-Match`, `Upgrade` or a body: the handler gets
///   these as they are. Other directives of requests are not heeded: no client can have the cache emptied
///
/// Once a URI has given a response that is not to be stored, its requests go past the cache: for a minute, after a
/// failure for five seconds, or until there is one that may be. They do not wait for each other. Then one of them
/// tries again.
///
/// # What tells responses apart
///
/// Scheme, where the request names it, host, path and query; whether there are credentials; and the headers that the response names in `Vary`, besides
/// `X-Forwarded-Host`, `X-Forwarded-Proto` and the `host` and `proto` of `Forwarded`, which services tend to build
/// links of without saying so ([`vary_on`](Self::vary_on)). Layers of one namespace are told apart by the name that is given to
/// [`new`](Self::new).
///
/// **Inside a nested router of axum** the path has lost its front, and `/a/list` would be served for `/b/list`. The
/// feature `axum` has the layer look at the whole one as well.
///
/// # What goes out
///
/// `Age`, `ETag` (a digest, where the handler has given none), 304 for who has the response already, and
/// `Cache-Status` (RFC 9211):
///
/// | `Cache-Status: redis-cached…` | |
/// |---|---|
/// | `; hit; ttl=42` | stored, and fresh for so many seconds; 0 or less: stale, being fetched |
/// | `; fwd=miss; stored` | from the handler, and stored |
/// | `; fwd=miss; collapsed` | from the handler, which another client had asked |
/// | `; fwd=miss; detail=no-max-age` | from the handler, and not stored: why |
/// | `; fwd=bypass; detail=range`, `; fwd=request`, `; fwd=method` | past the cache: `GET` and `HEAD` only |
///
/// # Invalidation
///
/// By tags, as above. A request that writes (`POST`, `PUT`, `PATCH`, `DELETE`) and succeeds invalidates what is
/// stored for its own URI, as RFC 9111 §4.4 demands, before its response goes out. By hand it is the tag
/// [`tag_of`](Self::tag_of).
///
/// # What the service has to be
///
/// `Clone`, and its request body `Default`, as those of axum and of `http-body-util` are: a response is fetched again
/// without a client, with the headers and extensions of the request that found it stale. hyper's own `Incoming` has to
/// be mapped to one of them. A service that is not ready is waited for only where it is asked.
///
/// When the server is down, the service is asked each time, as if there were no cache.
#[derive(Clone)]
pub struct ResponseCache(Arc<Layered>);

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) cache: Option<Cache>,
    pub(crate) rules: Rules,
}

/// What all clones of a layer share.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) settings: Settings,
    pub(crate) resources: Resources,
}

const MAX_BODY: usize = 1 << 20;
/// With the headers and what stands around, within the limit of a value, 16 MiB.
const LARGEST_BODY: usize = 15 << 20;

impl ResponseCache {
    /// A layer that keeps what is fresh for as long as the response says.
    ///
    /// `name` tells its responses from those of other layers in the same namespace: two services behind one host,
    /// or an older version of this one, whose responses are not to be served any more.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let forwarded = ["forwarded", "x-forwarded-host", "x-forwarded-proto"];
        let rules = Rules {
            default_ttl: None,
            max_body: MAX_BODY,
            vary: forwarded.map(HeaderName::from_static).to_vec(),
        };
        let settings = Settings { name: name.into(), cache: None, rules };
        Self(Arc::new(Layered { settings, resources: Resources::default() }))
    }

    fn with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        set(&mut settings);
        Self(Arc::new(Layered { settings, resources: Resources::default() }))
    }

    /// The cache to keep them in. Default: that which annotated functions use.
    #[must_use]
    pub fn cache(self, cache: Cache) -> Self {
        self.with(|settings| settings.cache = Some(cache))
    }

    /// How long a response (200) is fresh that says nothing of it, neither by `Cache-Control` nor by `Expires`.
    /// Default: it is not stored.
    #[must_use]
    pub fn default_ttl(self, ttl: Duration) -> Self {
        self.with(|settings| settings.rules.default_ttl = Some(ttl))
    }

    /// How many bytes a body may have that is stored. Default: 1 MiB; at most 15 MiB.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.with(|settings| settings.rules.max_body = bytes.min(LARGEST_BODY))
    }

    /// Headers of requests that every response depends on, whether it says so or not. They take the place of
    /// `Forwarded`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    #[must_use]
    pub fn vary_on(self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|settings| {
            settings.rules.vary = headers.into_iter().collect();
            stored::sort(&mut settings.rules.vary);
        })
    }

    /// The tag of all that is stored for a URI, to invalidate it by hand: in all its variants, in all layers.
    ///
    /// `host` as clients write it, with the port where it is not that of the scheme; `path` with the query.
    ///
    /// ```
    /// # async fn f() -> Result<(), redis_cached::Error> {
    /// use redis_cached::tower::ResponseCache;
    ///
    /// redis_cached::invalidate_tags([ResponseCache::tag_of("example.com", "/products?page=2")]).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    #[must_use]
    pub fn tag_of(host: &str, path: &str) -> String {
        asking::tag_of(&host.to_ascii_lowercase(), path)
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache").field("settings", &self.0.settings).finish()
    }
}

impl<S> Layer<S> for ResponseCache {
    type Service = ResponseCacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResponseCacheService { inner, layer: Arc::clone(&self.0) }
    }
}

/// A service whose responses are kept: see [`ResponseCache`].
#[derive(Clone, Debug)]
pub struct ResponseCacheService<S> {
    inner: S,
    layer: Arc<Layered>,
}

impl<S, Q, B> Service<Request<Q>> for ResponseCacheService<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    Q: Body + Default + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = Response<CacheBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Answer<B, S::Error>> + Send>>;

    /// Always ready: most requests do not get as far as the service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let layer = Arc::clone(&self.layer);
        let exchange = Exchange { service: self.inner.clone(), request };
        Box::pin(layer.handle(exchange))
    }
}

//! The layer that keeps whole responses.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use redis_cached_runtime::private::{self, Extras, Gathering, Outcome, Policy, Site, Target};
use redis_cached_runtime::{Cache, Invalidation, invalidate_tags_after_commit};
use tower_layer::Layer;
use tower_service::Service;

use crate::asking::{self, Asked, Credentials, Forward};
use crate::body::CacheBody;
use crate::resources::{Resources, Way};
use crate::stored::{self, Rules, Stored, Unstorable};
use crate::{answering, surrogate};

/// What a service answers with behind this layer, or an error of the service.
type Answer<B, E> = Result<Response<CacheBody<B>>, E>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

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
/// without a client, with the headers and extensions of the request that found it stale. hyper's own `Incoming` has to be mapped to one of them. A service that is not ready is waited
/// for only where it is asked.
///
/// When the server is down, the service is asked each time, as if there were no cache.
#[derive(Clone)]
pub struct ResponseCache(Arc<Layered>);

#[derive(Clone, Debug)]
struct Settings {
    name: String,
    cache: Option<Cache>,
    rules: Rules,
}

#[derive(Debug)]
struct Layered {
    settings: Settings,
    resources: Resources,
}

const MAX_BODY: usize = 1 << 20;
/// With the headers and what stands around, within the limit of a value, 16 MiB.
const LARGEST_BODY: usize = 15 << 20;
/// A request is looked up so often, each time as another variant.
const MOST_ROUNDS: usize = 3;

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
    type Future = Boxed<Answer<B, S::Error>>;

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

/// A request, and the service that it goes to.
struct Exchange<S, Q> {
    service: S,
    request: Request<Q>,
}

const FAILED: Unstorable = Unstorable { why: "failed", always: false, is_told_by_head: true };

fn handed<T>(value: T) -> Handed<T> {
    Arc::new(Mutex::new(Some(value)))
}

/// A request is taken by what handles it, which is once; what that gives is taken by the one that had it handled.
fn taken<T>(handed: &Handed<T>) -> T {
    match lock(handed).take() {
        Some(value) => value,
        None => unreachable!("it is taken once"),
    }
}

async fn within<F: Future>(gathering: Option<&Gathering>, future: F) -> F::Output {
    let Some(gathering) = gathering else { return future.await };
    let mut future = pin!(future);
    poll_fn(|cx| gathering.within(|| future.as_mut().poll(cx))).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What comes instead of a response that can be stored. It is of the request that was handled; to those who have
/// waited for it, it says that they go on themselves.
enum Passed<B: Body, E> {
    Through(Handed<Response<CacheBody<B>>>, Unstorable),
    Failed(Handed<E>),
    /// Nothing was handled: this was known before.
    Aside,
}

/// Something that one of those who share it takes.
type Handed<T> = Arc<Mutex<Option<T>>>;

impl<B: Body, E> Clone for Passed<B, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Through(response, why) => Self::Through(Arc::clone(response), *why),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Aside => Self::Aside,
        }
    }
}

impl<S, Q, B> Exchange<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    async fn run(mut self) -> Result<Response<B>, S::Error> {
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        self.service.call(self.request).await
    }
}

/// One lookup, as the runtime sees it. Without lifetimes, which a future that is `Send` can't be generic over.
struct Args<S, Q> {
    exchange: Waiting<S, Q>,
    layer: Arc<Layered>,
    asked: Arc<Asked>,
    way: Way,
    variant: String,
}

/// Taken when the service is asked.
type Waiting<S, Q> = Arc<Mutex<Option<Exchange<S, Q>>>>;

/// What a response says of its own life comes before this; a tag is known to be needed this long at least.
static POLICY: Policy = Policy::new(60_000).refresh_before(30_000).jitter_permille(0);
static SITE: Site = Site::new(
    module_path!(),
    "response",
    private::nowhere,
    "http:{name}:{whose}:{host}@{path}:{seen_path}:{variant}",
    &POLICY,
)
.with(&EXTRAS);
/// Which tags a handler touches, nobody knows before.
static EXTRAS: Extras = Extras::new().tags_late();

impl Layered {
    async fn handle<S, Q, B>(self: Arc<Self>, exchange: Exchange<S, Q>) -> Answer<B, S::Error>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        Q: Body + Default + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let (parts, body) = exchange.request.into_parts();
        let asked = Asked::of(&parts, !body.is_end_stream());
        let (asked, why) = match asked {
            Ok(asked) => match self.resources.way(&asked.resource) {
                Way::Past => (Some(asked), Forward::Bypass("not-stored-before")),
                way => return self.answer(exchange.service, parts, body, asked, way).await,
            },
            Err(why) => (None, why),
        };
        let changes = why == Forward::Method && !parts.method.is_safe();
        let tag = changes.then(|| asking::tag_of_request(&parts)).flatten();
        let request = Request::from_parts(parts, body);
        let exchange = Exchange { service: exchange.service, request };
        if let Some(tag) = tag {
            let response = self.write(exchange, tag).await?;
            return Ok(answering::forwarded(response, why));
        }
        let response = exchange.run().await?;
        if let Some(asked) = asked {
            self.see(&response, &asked);
        }
        Ok(answering::forwarded(response, why))
    }

    fn see<B: Body>(&self, response: &Response<B>, asked: &Asked) {
        let judged = stored::judge(response, asked.credentials, &self.settings.rules);
        self.resources.see(&asked.resource, judged.map(drop));
    }

    async fn answer<S, Q, B>(
        self: &Arc<Self>,
        service: S,
        mut parts: http::request::Parts,
        body: Q,
        asked: Asked,
        way: Way,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        Q: Body + Default + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        Asked::make_whole(&mut parts);
        let asked = Arc::new(asked);
        let request = Request::from_parts(parts, body);
        let waiting: Waiting<S, Q> = Arc::new(Mutex::new(Some(Exchange { service, request })));
        for _ in 0..MOST_ROUNDS {
            // Of a response for another request the tags are not this one's.
            let gathering = Gathering::around(surrogate::MOST_TAGS);
            let looked_up = self.look_up(&waiting, &asked, way);
            let (answered, outcome) = within(gathering.as_ref(), looked_up).await;
            let hand_on = || drop(gathering.map(Gathering::end));
            let is_own = lock(&waiting).is_none();
            match answered {
                Ok(stored) => {
                    self.resources.learn(&asked.resource, &stored.vary());
                    // Taken, it was asked for this very request.
                    let is_for = lock(&waiting)
                        .as_ref()
                        .is_none_or(|exchange| stored.is_for(exchange.request.headers()));
                    if is_for {
                        hand_on();
                        return Ok(answering::serve(stored, outcome, &asked));
                    }
                }
                Err(Passed::Through(response, why)) if is_own => {
                    hand_on();
                    return Ok(answering::pass_on(taken(&response), &asked, why.why));
                }
                Err(Passed::Failed(error)) if is_own => {
                    hand_on();
                    return Err(taken(&error));
                }
                Err(Passed::Through(_, why)) => return self.alone(&waiting, &asked, why.why).await,
                Err(Passed::Failed(_)) => return self.alone(&waiting, &asked, "failed").await,
                Err(Passed::Aside) => {
                    return self.alone(&waiting, &asked, "not-stored-before").await;
                }
            }
        }
        self.alone(&waiting, &asked, "vary").await
    }

    /// Has a request handled that nothing was found for, and that nobody is to wait for.
    async fn alone<S, Q, B>(
        &self,
        waiting: &Waiting<S, Q>,
        asked: &Asked,
        why: &str,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<Q>, Response = Response<B>>,
        B: Body<Data = Bytes>,
    {
        let exchange = taken(waiting);
        let response = exchange.run().await?;
        self.see(&response, asked);
        Ok(answering::pass_on(response.map(CacheBody::through), asked, why))
    }

    /// Looks for the variant that this request would be, as far as is known what its responses vary on.
    async fn look_up<S, Q, B>(
        self: &Arc<Self>,
        waiting: &Waiting<S, Q>,
        asked: &Arc<Asked>,
        way: Way,
    ) -> (Result<Stored, Passed<B, S::Error>>, Outcome)
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        Q: Body + Default + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let known = self.resources.get(&asked.resource);
        let names = if known.vary.is_empty() { &self.settings.rules.vary } else { &*known.vary };
        let variant = lock(waiting).as_ref().map_or_else(String::new, |exchange| {
            asking::variant(names, exchange.request.headers()).to_hex().to_string()
        });
        let args = Args {
            exchange: Arc::clone(waiting),
            layer: Arc::clone(self),
            asked: Arc::clone(asked),
            way,
            variant,
        };
        let returns = private::returns!(Result<Stored, Passed<B, S::Error>>)
            .ttl_with(Stored::ttl)
            .window_with(Stored::window);
        let chosen = match &self.settings.cache {
            Some(cache) => private::chosen(cache),
            None => private::ambient(),
        };
        let mut call = private::call(false, chosen, returns, args, Args::target, Args::run)
            .refreshing(Args::refresh);
        private::answer_told(&mut call).await
    }

    /// Asks the service for a response that can be stored.
    async fn fetch<S, Q, B>(
        &self,
        exchange: Exchange<S, Q>,
        credentials: Credentials,
    ) -> Result<Stored, Passed<B, S::Error>>
    where
        S: Service<Request<Q>, Response = Response<B>>,
        B: Body<Data = Bytes>,
    {
        let headers: HeaderMap = exchange.request.headers().clone();
        let response = exchange.run().await.map_err(|error| Passed::Failed(handed(error)))?;
        let stored = stored::store(response, &headers, credentials, &self.settings.rules).await;
        stored.map_err(|(response, why)| Passed::Through(handed(response), why))
    }

    /// Has a request handled that changes what is stored for its URI. Dropped on the way, it leaves the invalidation
    /// behind the client.
    async fn write<S, Q, B>(
        &self,
        exchange: Exchange<S, Q>,
        tag: String,
    ) -> Result<Response<B>, S::Error>
    where
        S: Service<Request<Q>, Response = Response<B>>,
    {
        let gather = async { invalidate_tags_after_commit([tag]) };
        let (gathered, mut invalidation) = match &self.settings.cache {
            Some(cache) => Invalidation::collect(cache.scope(gather)).await,
            None => Invalidation::collect(gather).await,
        };
        let response = exchange.run().await?;
        if !response.status().is_success() && !response.status().is_redirection() {
            invalidation.discard();
            return Ok(response);
        }
        // What is not confirmed now is sent again behind the client.
        if let Err(error) = gathered.and(invalidation.send().await) {
            tracing::warn!(
                target: "redis_cached", %error,
                "a request has written, and it is not known whether what is stored for its URI was invalidated; it is \
                 tried again"
            );
        }
        Ok(response)
    }
}

impl<S, Q> Args<S, Q> {
    fn target(&self, chosen: private::Chosen) -> Target {
        let Asked { host, path, credentials, .. } = &*self.asked;
        let whose = match (credentials.any(), self.asked.is_secure) {
            (true, true) => "own-s",
            (true, false) => "own",
            (false, true) => "all-s",
            (false, false) => "all",
        };
        Target::new(
            &SITE,
            "",
            chosen,
            &[
                private::literal("http:"),
                private::value(&self.layer.settings.name),
                private::literal(":"),
                private::value(&whose),
                private::literal(":"),
                private::value(host),
                private::literal("@"),
                private::value(path),
                private::literal(":"),
                private::value(&self.asked.seen_path),
                private::literal(":"),
                private::value(&self.variant),
            ],
        )
        .tags(&[&[private::value(&asking::tag_of(host, path))]])
    }

    async fn run<B>(self) -> Result<Stored, Passed<B, S::Error>>
    where
        S: Service<Request<Q>, Response = Response<B>>,
        B: Body<Data = Bytes>,
    {
        let Self { layer, asked, way, .. } = &self;
        if *way == Way::Through && layer.resources.get(&asked.resource).passes() {
            // Noted since this request came. Those who wait for it need not.
            return Err(Passed::Aside);
        }
        let fetched = layer.fetch(taken(&self.exchange), asked.credentials).await;
        // Before those who wait are told: they would form the next flight.
        match &fetched {
            Err(Passed::Through(_, why)) => layer.resources.pass(&asked.resource, *why),
            Err(Passed::Failed(_)) => layer.resources.pass(&asked.resource, FAILED),
            Err(Passed::Aside) | Ok(_) => {}
        }
        fetched
    }

    /// The same request once more, for nobody.
    fn refresh<B>(&self) -> impl Future<Output = Result<Stored, Passed<B, S::Error>>> + use<S, Q, B>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone,
        Q: Default,
        B: Body<Data = Bytes>,
    {
        let exchange = lock(&self.exchange).as_ref().map(|Exchange { service, request }| {
            let mut again = Request::new(Q::default());
            again.method_mut().clone_from(request.method());
            again.uri_mut().clone_from(request.uri());
            *again.version_mut() = request.version();
            again.headers_mut().clone_from(request.headers());
            again.extensions_mut().clone_from(request.extensions());
            Exchange { service: service.clone(), request: again }
        });
        let (layer, credentials) = (Arc::clone(&self.layer), self.asked.credentials);
        async move {
            let Some(exchange) = exchange else {
                unreachable!("a request that is refreshed was answered from the store")
            };
            match layer.fetch(exchange, credentials).await {
                // What is stored is no longer what the service wants stored.
                Err(Passed::Through(_, why)) if why.always => Ok(Stored::nothing()),
                fetched => fetched,
            }
        }
    }
}

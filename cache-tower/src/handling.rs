//! One request to a [`ResponseCache`](crate::ResponseCache): past the cache, from it, or through it to the service.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use redis_cached_runtime::private::{self, Extras, Gathering, Outcome, Policy, Site, Target};
use redis_cached_runtime::{Invalidation, invalidate_tags_after_commit};
use tower_service::Service;

use crate::asking::{self, Asked, Credentials, Forward};
use crate::body::CacheBody;
use crate::cache::Layered;
use crate::resources::Way;
use crate::stored::{self, Stored, Unstorable};
use crate::{answering, surrogate};

/// What a service answers with behind this layer, or an error of the service.
pub(crate) type Answer<B, E> = Result<Response<CacheBody<B>>, E>;

/// A service whose responses can be kept: it can be asked again, from another task.
pub(crate) trait Handler<Q, B>:
    Service<Request<Q>, Response = Response<B>, Error: Send + 'static, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S, Q, B> Handler<Q, B> for S
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
}

/// The body of a request that can be made again.
pub(crate) trait Repeatable: Body + Default + Send + 'static {}

impl<Q: Body + Default + Send + 'static> Repeatable for Q {}

/// The body of a response that can be kept, or handed through.
pub(crate) trait Passable: Body<Data = Bytes, Error: Send> + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Send + 'static> Passable for B {}

/// A request, and the service that it goes to.
pub(crate) struct Exchange<S, Q> {
    pub(crate) service: S,
    pub(crate) request: Request<Q>,
}

/// What comes instead of a response that can be stored. It is of the request that was handled; to those who have
/// waited for it, it says that they go on themselves.
enum Passed<B: Body, E> {
    Through(Handed<Response<CacheBody<B>>>, Unstorable),
    Failed(Handed<E>),
    /// Nothing was handled: this was known before.
    Aside,
}

/// The service has returned an error.
const FAILED: Unstorable = Unstorable { why: "failed", always: false, is_told_by_head: true };

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

/// A request is looked up so often, each time as another variant.
const MOST_ROUNDS: usize = 3;

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
    pub(crate) async fn handle<S, Q, B>(
        self: Arc<Self>,
        exchange: Exchange<S, Q>,
    ) -> Answer<B, S::Error>
    where
        S: Handler<Q, B>,
        Q: Repeatable,
        B: Passable,
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
        S: Handler<Q, B>,
        Q: Repeatable,
        B: Passable,
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
        S: Handler<Q, B>,
        Q: Repeatable,
        B: Passable,
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

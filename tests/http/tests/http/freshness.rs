//! How long a stored response is served, and who fetches the next one.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CACHE_CONTROL;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::BodyExt;
use redis_cached::tower::ResponseCache;
use redis_cached::{Cache, expire_tags, tag};
use redis_cached_tests::{Gate, eventually};
use tokio::time::advance;
use tower::ServiceExt;

use crate::stage::{Backend, Origin, Process};

fn app(origin: &Origin, control: &'static str) -> Router {
    let origin = origin.clone();
    let page = async move || {
        tag("pages");
        ([(CACHE_CONTROL, control)], origin.read().await.to_string())
    };
    Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
}

#[tokio::test]
async fn a_stored_response_answers_in_every_process() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let [one, other] = backend.serve(|| app(&origin, "max-age=600")).await;
        let first = one.get("/page").await;
        assert_eq!((first.text(), &*first.how()), ("1", "fwd=miss; stored"), "{}", backend.name);
        assert_eq!(first.header("age"), "");
        origin.set(2);
        for process in [&one, &other] {
            let hit = process.get("/page").await;
            assert_eq!((hit.text(), hit.status.as_u16()), ("1", 200), "{}", backend.name);
            assert!(["hit; ttl=599", "hit; ttl=600"].contains(&&*hit.how()), "{}", hit.how());
            assert!(["0", "1"].contains(&&*hit.header("age")), "{}", hit.header("age"));
            assert_eq!(hit.header("cache-control"), "max-age=600");
            assert_eq!(hit.header("content-length"), "1");
            assert_eq!(hit.header("etag"), first.header("etag"));
        }
        assert_eq!(origin.gate().runs(), 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn c4_clients_that_ask_at_the_same_time_share_one_response() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::closed());
        let [one, _] = backend.serve(|| app(&origin, "max-age=600")).await;
        // Connected before, so that all ask before the handler can end.
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(one.connect().await);
        }
        let all: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(client.ask("GET", "/page", &[])))
            .collect();
        origin.gate().started(1).await;
        origin.gate().let_all_go();
        let mut how = Vec::new();
        for answer in all {
            let answer = answer.await.unwrap();
            assert_eq!(answer.text(), "1");
            how.push(answer.how());
        }
        assert_eq!(origin.gate().runs(), 1, "{}: {how:?}", backend.name);
        assert_eq!(how.iter().filter(|how| *how == "fwd=miss; stored").count(), 1, "{how:?}");
    }
}

#[tokio::test]
async fn a_stale_response_is_served_and_the_next_one_fetched_behind_the_client() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let control = "max-age=600, stale-while-revalidate=60";
        let [one, other] = backend.serve(|| app(&origin, control)).await;
        one.get("/page").await;
        origin.set(2);
        let [cache, _] = &backend.caches;
        cache.scope(expire_tags(["pages"])).await.unwrap();
        let stale = other.get("/page").await;
        assert_eq!((stale.text(), &*stale.how()), ("1", "hit; ttl=0"), "{}", backend.name);
        origin.gate().started(2).await;
        eventually("the next one is stored", async || one.get("/page").await.text() == "2").await;
        assert_eq!(origin.gate().runs(), 2, "{}", backend.name);
        // What is fetched again carries its tags, too.
        origin.set(3);
        cache.invalidate_tags(["pages"]).await.unwrap();
        assert_eq!(one.get("/page").await.text(), "3", "{}", backend.name);
    }
}

/// Without sockets, so that the clock can stand still.
#[tokio::test(start_paused = true)]
async fn c3_a_response_is_stale_inside_its_window_and_gone_at_its_end() {
    let cache = memory().await;
    let origin = Origin::new(Gate::open());
    let service = app(&origin, "max-age=10, stale-while-revalidate=5");
    let ask = async || {
        let request = Request::get("/page").body(Body::empty()).unwrap();
        let answer = cache.scope(service.clone().oneshot(request)).await.unwrap();
        let how = answer.headers()["cache-status"].to_str().unwrap().replace("redis-cached; ", "");
        (answer.into_body().collect().await.unwrap().to_bytes(), how)
    };
    let is = |answer: (Bytes, String), text: &str, how: &str| {
        assert_eq!((&*answer.0, &*answer.1), (text.as_bytes(), how));
    };
    let step = |ms| advance(Duration::from_millis(ms));
    is(ask().await, "1", "fwd=miss; stored");
    step(9_999).await;
    is(ask().await, "1", "hit; ttl=0");
    assert_eq!(origin.gate().runs(), 1, "not due yet");
    step(3_001).await;
    origin.set(2);
    is(ask().await, "1", "hit; ttl=-3");
    origin.gate().started(2).await;
    tokio::task::yield_now().await;
    is(ask().await, "2", "hit; ttl=10");
    step(15_000).await;
    origin.set(3);
    is(ask().await, "3", "fwd=miss; stored");
    assert_eq!(origin.gate().runs(), 3);
}

#[tokio::test]
async fn a_stored_response_that_became_unstorable_is_removed_when_it_is_fetched_again() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let app = || {
            let origin = origin.clone();
            let page = async move || {
                tag("pages");
                let value = origin.read().await;
                let control = if value == 1 {
                    "max-age=600, stale-while-revalidate=60"
                } else {
                    "private, max-age=600"
                };
                ([(CACHE_CONTROL, control)], value.to_string())
            };
            Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
        };
        let [one, other] = backend.serve(app).await;
        one.get("/page").await;
        origin.set(2);
        let [cache, _] = &backend.caches;
        cache.scope(expire_tags(["pages"])).await.unwrap();
        assert_eq!(one.get("/page").await.text(), "1");
        origin.gate().started(2).await;
        eventually("it is removed", async || other.get("/page").await.text() == "2").await;
        assert_eq!(one.get("/page").await.text(), "2", "{}", backend.name);
    }
}

#[tokio::test]
async fn a_failing_handler_leaves_the_stale_response_in_place() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let app = || {
            let origin = origin.clone();
            let page = async move || {
                tag("pages");
                match origin.read().await {
                    2 => Err(axum::http::StatusCode::SERVICE_UNAVAILABLE),
                    value => {
                        let control = "max-age=600, stale-while-revalidate=60";
                        Ok(([(CACHE_CONTROL, control)], value.to_string()))
                    }
                }
            };
            Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
        };
        let [one, _] = backend.serve(app).await;
        one.get("/page").await;
        origin.set(2);
        let [cache, _] = &backend.caches;
        cache.scope(expire_tags(["pages"])).await.unwrap();
        assert_eq!(one.get("/page").await.text(), "1");
        origin.gate().started(2).await;
        let answer = one.get("/page").await;
        assert_eq!((answer.text(), answer.status.as_u16()), ("1", 200), "{}", backend.name);
        // Without one there is nothing to serve.
        cache.invalidate_tags(["pages"]).await.unwrap();
        let failed = one.get("/page").await;
        assert_eq!(failed.status.as_u16(), 503);
        assert_eq!(failed.how(), "fwd=miss; detail=status", "{}", backend.name);
    }
}

#[tokio::test]
async fn c5_without_a_server_the_handler_answers() {
    let mut backend = Backend::redis().await;
    let origin = Origin::new(Gate::open());
    let [one, _] = backend.serve(|| app(&origin, "max-age=600")).await;
    one.get("/page").await;
    backend.server.take().unwrap().stop();
    for value in 2..5 {
        origin.set(value);
        let answer = one.get("/page").await;
        assert_eq!(answer.text(), value.to_string());
        assert_eq!(answer.how(), "fwd=miss");
    }
}

#[tokio::test]
async fn an_upstream_s_age_counts() {
    let cache = memory().await;
    let page = async || ([("cache-control", "max-age=600"), ("age", "100")], "x");
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let process = Process::start(&cache, app).await;
    assert_eq!(process.get("/page").await.header("age"), "100");
    let hit = process.get("/page").await;
    assert!(["hit; ttl=499", "hit; ttl=500"].contains(&&*hit.how()), "{}", hit.how());
    assert!(["100", "101"].contains(&&*hit.header("age")), "{}", hit.header("age"));
}

async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

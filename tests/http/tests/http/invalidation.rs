//! Stored responses are invalidated as finally as values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::routing::get;
use redis_cached::tower::ResponseCache;
use redis_cached::{invalidate_tags, redis_cached, tag};
use redis_cached_tests::Gate;

use crate::stage::{Backend, Origin};

static PRICES: AtomicU64 = AtomicU64::new(1);

#[redis_cached(key = "price:{id}", ttl = "10m", tags = ["prices", "price:{id}"])]
async fn price(id: u64) -> u64 {
    tokio::task::yield_now().await;
    id * 100 + PRICES.load(Ordering::SeqCst)
}

#[tokio::test]
async fn c1_what_invalidates_a_function_invalidates_the_response_around_it() {
    for backend in Backend::all().await {
        let page = async || {
            let prices = [price(1).await, price(2).await];
            ([(CACHE_CONTROL, "max-age=600")], format!("{prices:?}"))
        };
        let app = || Router::new().route("/prices", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(app).await;
        PRICES.store(1, Ordering::SeqCst);
        assert_eq!(one.get("/prices").await.text(), "[101, 201]", "{}", backend.name);
        PRICES.store(2, Ordering::SeqCst);
        assert_eq!(other.get("/prices").await.text(), "[101, 201]", "{}", backend.name);
        let [cache, _] = &backend.caches;
        cache.scope(invalidate_tags(["price:2"])).await.unwrap();
        for process in [&other, &one] {
            assert_eq!(process.get("/prices").await.text(), "[101, 202]", "{}", backend.name);
        }
    }
}

fn app(origin: &Origin) -> Router {
    let origin = origin.clone();
    let page = async move || {
        tag("pages");
        ([(CACHE_CONTROL, "max-age=600")], origin.read().await.to_string())
    };
    Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
}

#[tokio::test]
async fn c1_a_response_in_flight_when_its_tag_is_invalidated_is_not_stored() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::closed());
        let [one, other] = backend.serve(|| app(&origin)).await;
        let early = one.connect().await;
        let early = tokio::spawn(early.ask("GET", "/page", &[]));
        origin.gate().started(1).await;
        origin.set(2);
        let [_, cache] = &backend.caches;
        cache.invalidate_tags(["pages"]).await.unwrap();
        origin.gate().let_all_go();
        assert_eq!(early.await.unwrap().text(), "1", "it was asked for before");
        for process in [&one, &other] {
            assert_eq!(process.get("/page").await.text(), "2", "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn c1_a_request_that_writes_invalidates_what_is_stored_for_its_uri() {
    for backend in Backend::all().await {
        let stored = Arc::new(AtomicU64::new(1));
        let app = || {
            let (read, written) = (Arc::clone(&stored), Arc::clone(&stored));
            let page = async move || {
                ([(CACHE_CONTROL, "max-age=600")], read.load(Ordering::SeqCst).to_string())
            };
            let write = async move || written.fetch_add(1, Ordering::SeqCst).to_string();
            let refuse = async || StatusCode::FORBIDDEN;
            let routes = get(page).post(write.clone()).put(write).delete(refuse);
            Router::new().route("/page", routes).layer(ResponseCache::new("t"))
        };
        let [one, other] = backend.serve(app).await;
        assert_eq!(one.get("/page").await.text(), "1");
        assert_eq!(one.get("/page?x").await.text(), "1");
        assert_eq!(other.ask("POST", "/page", &[]).await.how(), "fwd=method");
        assert_eq!(one.get("/page").await.text(), "2", "{}", backend.name);
        assert_eq!(one.get("/page?x").await.text(), "1", "another URI");
        other.ask("PUT", "/page", &[]).await;
        assert_eq!(one.get("/page").await.text(), "3", "{}", backend.name);
        // What fails has changed nothing.
        assert_eq!(other.ask("DELETE", "/page", &[]).await.status, StatusCode::FORBIDDEN);
        assert!(one.get("/page").await.how().starts_with("hit; "), "{}", backend.name);
    }
}

#[tokio::test]
async fn c1_a_uri_is_invalidated_by_hand() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let [one, other] = backend.serve(|| app(&origin)).await;
        for whose in [&[][..], &[("authorization", "ann")]] {
            one.ask("GET", "/page", whose).await;
        }
        origin.set(2);
        let [cache, _] = &backend.caches;
        cache.invalidate_tags([ResponseCache::tag_of("Shop.example", "/page")]).await.unwrap();
        for whose in [&[][..], &[("authorization", "ann")]] {
            assert_eq!(other.ask("GET", "/page", whose).await.text(), "2", "{}", backend.name);
        }
    }
}

/// The page is read, and held; the write goes through meanwhile.
#[tokio::test]
async fn c1_a_write_while_a_response_is_in_flight_is_final() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::closed());
        let app = || {
            let (read, written) = (origin.clone(), origin.clone());
            let page =
                async move || ([(CACHE_CONTROL, "max-age=600")], read.read().await.to_string());
            let write = async move || written.set(2);
            Router::new().route("/page", get(page).post(write)).layer(ResponseCache::new("t"))
        };
        let [one, other] = backend.serve(app).await;
        let early = tokio::spawn(one.connect().await.ask("GET", "/page", &[]));
        origin.gate().started(1).await;
        assert_eq!(other.ask("POST", "/page", &[]).await.status, StatusCode::OK);
        // One that waits for the early response as well, but came behind the write.
        let late = tokio::spawn(one.connect().await.ask("GET", "/page", &[]));
        origin.gate().let_all_go();
        assert_eq!(early.await.unwrap().text(), "1", "it was asked for before");
        assert_eq!(late.await.unwrap().text(), "2", "{}", backend.name);
        for process in [&one, &other] {
            assert_eq!(process.get("/page").await.text(), "2", "{}", backend.name);
        }
    }
}

/// A server that is full takes no response, and forgets what it is told to.
#[tokio::test]
async fn c1_a_full_server_invalidates_what_it_has() {
    let backend = Backend::redis().await;
    let origin = Origin::new(Gate::open());
    let app = || {
        let (read, written) = (origin.clone(), origin.clone());
        let page = async move || {
            tag("pages");
            ([(CACHE_CONTROL, "max-age=600")], read.read().await.to_string())
        };
        let write = async move || written.set(3);
        Router::new().route("/page", get(page).post(write)).layer(ResponseCache::new("t"))
    };
    let [one, other] = backend.serve(app).await;
    let url = backend.server.as_ref().unwrap().url();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut limit = async |bytes: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(bytes);
        command.exec_async(&mut connection).await.unwrap();
    };
    assert_eq!(one.get("/page").await.how(), "fwd=miss; stored");
    limit("1mb").await;
    assert!(other.get("/page").await.how().starts_with("hit; "));
    origin.set(2);
    let [cache, _] = &backend.caches;
    cache.invalidate_tags(["pages"]).await.unwrap();
    for process in [&one, &other] {
        let answer = process.get("/page").await;
        assert_eq!((answer.text(), &*answer.how()), ("2", "fwd=miss"));
    }
    limit("0").await;
    assert_eq!(one.get("/page").await.how(), "fwd=miss; stored");
    limit("1mb").await;
    assert_eq!(one.ask("POST", "/page", &[]).await.status, StatusCode::OK);
    for process in [&one, &other] {
        assert_eq!(process.get("/page").await.text(), "3");
    }
}

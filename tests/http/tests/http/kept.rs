//! Rules that nothing else would notice the loss of.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, COOKIE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use redis_cached::tower::ResponseCache;
use redis_cached::{Cache, expire_tags, tag};
use redis_cached_tests::{Gate, eventually};
use tower::{Layer, ServiceExt};

use crate::stage::{Backend, Origin, Process};

async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

/// No framework in between that would do it as well.
#[tokio::test]
async fn head_reaches_the_handler_as_get_and_is_answered_without_a_body() {
    let cache = memory().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let service = tower::service_fn(move |request: Request| {
        told.lock().unwrap().push(request.method().clone());
        let control = if request.uri() == "/stored" { "max-age=600" } else { "no-store" };
        let response = Response::builder().header(CACHE_CONTROL, control);
        async move { Ok::<_, Infallible>(response.body(Body::from("whole")).unwrap()) }
    });
    let service = ResponseCache::new("t").layer(service);
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (head, body) =
            cache.scope(service.clone().oneshot(request)).await.unwrap().into_parts();
        (head.headers, body.collect().await.unwrap().to_bytes())
    };
    for path in ["/stored", "/stored", "/unstored"] {
        let (headers, body) = ask(Method::HEAD, path).await;
        assert_eq!((&headers[CONTENT_LENGTH], &*body), (&"5".parse().unwrap(), &b""[..]), "{path}");
    }
    assert_eq!(ask(Method::GET, "/stored").await.1, "whole");
    assert_eq!(*seen.lock().unwrap(), [Method::GET, Method::GET]);
}

#[tokio::test]
async fn a_handler_that_answers_conditions_itself_is_asked_for_the_whole() {
    for backend in Backend::all().await {
        let page = async |headers: HeaderMap| {
            let has = headers.contains_key(IF_NONE_MATCH);
            let status = if has { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
            (status, [(CACHE_CONTROL, "max-age=600"), (ETAG, "\"own\"")], "whole")
        };
        let app = || Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(app).await;
        let first = one.ask("GET", "/page", &[("if-none-match", "\"own\"")]).await;
        assert_eq!(first.how(), "fwd=miss; stored; fwd-status=200", "{}", backend.name);
        let second = other.get("/page").await;
        assert_eq!((second.status.as_u16(), second.text()), (200, "whole"), "{}", backend.name);
        assert!(second.how().starts_with("hit; "), "{}", second.how());
    }
}

#[tokio::test]
async fn only_what_is_ok_can_be_had_already() {
    let cache = memory().await;
    let page =
        async || (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "max-age=600"), (ETAG, "\"x\"")], "none");
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    for _ in 0..2 {
        let answer = one.ask("GET", "/page", &[("if-none-match", "\"x\"")]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, "none"));
    }
}

#[tokio::test]
async fn c1_a_layer_with_a_cache_of_its_own_keeps_and_invalidates_there() {
    let (own, ambient) = (memory().await, memory().await);
    let gate = Gate::open();
    let counted = gate.clone();
    let page = async move || ([(CACHE_CONTROL, "max-age=600")], counted.enter().to_string());
    let layer = ResponseCache::new("t").cache(own.clone());
    let routes = get(page).post(async || "written");
    let one = Process::start(&ambient, Router::new().route("/page", routes).layer(layer)).await;
    assert_eq!(one.get("/page").await.text(), "1");
    ambient.invalidate_tags([ResponseCache::tag_of("shop.example", "/page")]).await.unwrap();
    assert_eq!(one.get("/page").await.text(), "1", "nothing of it is there");
    own.invalidate_tags([ResponseCache::tag_of("shop.example", "/page")]).await.unwrap();
    assert_eq!(one.get("/page").await.text(), "2");
    one.ask("POST", "/page", &[]).await;
    assert_eq!(one.get("/page").await.text(), "3");
}

#[tokio::test]
async fn a_process_that_knows_nothing_finds_a_stored_variant() {
    for backend in Backend::all().await {
        let gate = Gate::open();
        let counted = gate.clone();
        let page = move |headers: HeaderMap| {
            let _ = counted.enter();
            let text = headers["accept-language"].to_str().unwrap().to_owned();
            async move { ([("cache-control", "max-age=600"), ("vary", "accept-language")], text) }
        };
        let app = || Router::new().route("/page", get(page.clone())).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(app).await;
        for language in ["de", "tr"] {
            one.ask("GET", "/page", &[("accept-language", language)]).await;
        }
        let found = other.ask("GET", "/page", &[("accept-language", "tr")]).await;
        assert!(found.how().starts_with("hit; "), "{} {}", backend.name, found.how());
        assert_eq!((found.text(), gate.runs()), ("tr", 2), "{}", backend.name);
    }
}

#[derive(Clone)]
struct Extra(&'static str);

#[tokio::test]
async fn what_is_fetched_again_is_what_was_asked_for() {
    for backend in Backend::all().await {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let page = move |request: Request| {
            tag("pages");
            let extra = request.extensions().get::<Extra>().map_or("-", |extra| extra.0);
            let header = request.headers().get("x-a").map_or("-", |a| a.to_str().unwrap());
            let text = format!("{} {} {header} {extra}", request.method(), request.uri());
            told.lock().unwrap().push(text);
            let control = "max-age=600, stale-while-revalidate=60";
            let response = ([("cache-control", control), ("vary", "x-a")], "page").into_response();
            async move { response }
        };
        // What a middleware around has found out about the client is there again, too.
        let layer = ResponseCache::new("t");
        let app = Router::new()
            .route("/page", get(page))
            .layer(layer)
            .layer(axum::Extension(Extra("extra")));
        let [one, _] = backend.serve(|| app.clone()).await;
        let ask = async || one.ask("GET", "/page?q=1", &[("x-a", "a")]).await;
        // The first one is stored as if it varied on nothing.
        ask().await;
        ask().await;
        backend.caches[0].scope(expire_tags(["pages"])).await.unwrap();
        assert_eq!(ask().await.how(), "hit; ttl=0", "{}", backend.name);
        eventually("it is fetched again", async || seen.lock().unwrap().len() == 3).await;
        assert_eq!(*seen.lock().unwrap(), ["GET /page?q=1 a extra"; 3], "{}", backend.name);
    }
}

#[tokio::test]
async fn what_other_caches_say_stays_in_front() {
    let cache = memory().await;
    let page = async || ([("cache-control", "max-age=600"), ("cache-status", "up; hit")], "page");
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    assert_eq!(
        one.get("/page").await.header("cache-status"),
        "up; hit | redis-cached; fwd=miss; stored"
    );
    let hit = one.get("/page").await.header("cache-status");
    assert!(hit.starts_with("up; hit | redis-cached; hit; ttl="), "{hit}");
}

#[tokio::test]
async fn of_a_response_that_became_unstorable_nothing_is_left() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let app = || {
            let origin = origin.clone();
            let page = async move || {
                tag("pages");
                let value = origin.read().await;
                let control =
                    if value == 1 { "max-age=600, stale-while-revalidate=60" } else { "private" };
                ([(CACHE_CONTROL, control)], value.to_string())
            };
            Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
        };
        let [one, other] = backend.serve(app).await;
        one.get("/page").await;
        origin.set(2);
        backend.caches[0].scope(expire_tags(["pages"])).await.unwrap();
        one.get("/page").await;
        let mut last = None;
        while last.as_ref().is_none_or(|answer: &crate::stage::Answer| answer.text() == "1") {
            tokio::task::yield_now().await;
            last = Some(other.get("/page").await);
        }
        assert_eq!(last.unwrap().how(), "fwd=miss; detail=private", "{}", backend.name);
    }
}

#[tokio::test]
async fn nobody_is_served_what_is_made_for_another_cookie() {
    for backend in Backend::all().await {
        let page = move |headers: HeaderMap| async move {
            let who = headers[COOKIE].to_str().unwrap().to_owned();
            ([(CACHE_CONTROL, "max-age=600")], who)
        };
        let app = || Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(app).await;
        for process in [&one, &other, &one] {
            for who in ["a=ann", "a=bob"] {
                let answer = process.ask("GET", "/page", &[("cookie", who)]).await;
                assert_eq!(answer.text(), who, "{} {}", backend.name, answer.how());
            }
        }
    }
}

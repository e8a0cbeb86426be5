//! What is not stored, and how it reaches the client all the same.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, SET_COOKIE, VARY};
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt;
use redis_cached::tower::ResponseCache;
use redis_cached_tests::{Gate, eventually, in_time};

use crate::stage::{Backend, Origin, Process, Source, Streamed};

/// What is asked for is what is answered with: no two of these are one resource.
#[tokio::test]
async fn a_response_that_is_not_for_all_is_not_stored_and_says_why() {
    let cases = [
        (CACHE_CONTROL, "no-store", "no-store"),
        (CACHE_CONTROL, "private, max-age=600", "private"),
        (CACHE_CONTROL, "no-cache", "no-cache"),
        (CACHE_CONTROL, "max-age=0", "not-fresh"),
        (CACHE_CONTROL, "public", "no-max-age"),
        (AGE, "1", "no-max-age"),
    ];
    for backend in Backend::all().await {
        for (n, (name, value, why)) in cases.iter().cloned().enumerate() {
            let gate = Gate::open();
            let counted = gate.clone();
            let page = move || {
                let header = (name.clone(), value);
                let run = counted.enter();
                async move { ([header], run.to_string()) }
            };
            let path = format!("/{n}");
            let app =
                || Router::new().route(&path, get(page.clone())).layer(ResponseCache::new("t"));
            let [one, other] = backend.serve(app).await;
            let first = one.get(&path).await;
            assert_eq!(first.how(), format!("fwd=miss; detail={why}"), "{}", backend.name);
            let second = one.get(&path).await;
            assert_eq!(second.how(), "fwd=bypass; detail=not-stored-before");
            assert_eq!((first.text(), second.text()), ("1", "2"));
            assert_eq!(other.get(&path).await.text(), "3", "{}: {value}", backend.name);
        }
    }
}

#[tokio::test]
async fn cookies_and_any_variant_are_not_stored() {
    for backend in Backend::all().await {
        for (n, (header, why)) in
            [((SET_COOKIE, "a=1"), "set-cookie"), ((VARY, "*"), "vary")].into_iter().enumerate()
        {
            let page = move || {
                let header = header.clone();
                async move { ([header, (CACHE_CONTROL, "max-age=600")], "x") }
            };
            let path = format!("/{n}");
            let app =
                || Router::new().route(&path, get(page.clone())).layer(ResponseCache::new("t"));
            let [one, other] = backend.serve(app).await;
            for process in [one, other] {
                let answer = process.get(&path).await;
                assert_eq!(answer.how(), format!("fwd=miss; detail={why}"), "{}", backend.name);
            }
        }
    }
}

/// A handler whose bodies are in the test's hands.
fn streaming(head: &'static [(&'static str, &'static str)]) -> (Arc<Mutex<Vec<Source>>>, Router) {
    let sources = Arc::new(Mutex::new(Vec::new()));
    let given = Arc::clone(&sources);
    let stream = move || {
        let (source, body) = Streamed::new();
        given.lock().unwrap().push(source);
        let mut response = Response::builder().header(CACHE_CONTROL, "max-age=600");
        for (name, value) in head {
            response = response.header(*name, *value);
        }
        async move { response.body(Body::new(body)).unwrap() }
    };
    let layer = ResponseCache::new("t").max_body(10);
    (sources, Router::new().route("/stream", get(stream)).layer(layer))
}

async fn source_of(sources: &Mutex<Vec<Source>>) -> Source {
    eventually("the handler has answered", async || !sources.lock().unwrap().is_empty()).await;
    sources.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_passed_through_while_it_grows() {
    for backend in Backend::all().await {
        let (sources, app) = streaming(&[]);
        let [one, other] = backend.serve(|| app.clone()).await;
        let mut client = one.connect().await;
        let asked = tokio::spawn(async move {
            let response = client.send("GET", "/stream", &[]).await;
            (client, response)
        });
        let source = source_of(&sources).await;
        source.data("0123456789");
        source.data("!");
        // It has no end yet, and the client has all of it that there is.
        let (_client, mut response) = asked.await.unwrap();
        let told = response.headers()["cache-status"].clone();
        assert_eq!(told, "redis-cached; fwd=miss; detail=too-large", "{}", backend.name);
        let mut got = Vec::new();
        for more in [None, Some("?"), Some(".")] {
            if let Some(more) = more {
                source.data(more);
            }
            while got.len() < 11 || more.is_some_and(|more| !got.ends_with(more.as_bytes())) {
                let frame = in_time("a frame", response.frame()).await.unwrap().unwrap();
                got.extend_from_slice(&frame.into_data().unwrap());
            }
        }
        assert_eq!(got, b"0123456789!?.");
        drop(source);
        assert!(in_time("the end", response.frame()).await.is_none());
        let asked = tokio::spawn(async move { other.get("/stream").await });
        let source = source_of(&sources).await;
        source.data("another");
        drop(source);
        assert_eq!(asked.await.unwrap().text(), "another", "{}", backend.name);
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_even_read() {
    for backend in Backend::all().await {
        let (sources, app) = streaming(&[]);
        let sized = async || {
            let head = [(CACHE_CONTROL, "max-age=600"), (CONTENT_LENGTH, "11")];
            (head, Body::from("0123456789!"))
        };
        let layer = ResponseCache::new("t").max_body(10);
        let app =
            || app.clone().merge(Router::new().route("/sized", get(sized)).layer(layer.clone()));
        let [one, _] = backend.serve(app).await;
        let answer = one.get("/sized").await;
        assert_eq!(answer.how(), "fwd=miss; detail=too-large", "{}", backend.name);
        assert_eq!((answer.text(), &*answer.header("content-length")), ("0123456789!", "11"));
        let head = one.ask("HEAD", "/sized", &[]).await;
        assert_eq!((head.text(), &*head.header("content-length")), ("", "11"));
        // One that is just as large as it may be is stored.
        let asked = tokio::spawn(async move { (one.get("/stream").await, one) });
        let source = source_of(&sources).await;
        source.data("01234");
        source.data("56789");
        drop(source);
        let (first, one) = asked.await.unwrap();
        assert_eq!((first.text(), &*first.how()), ("0123456789", "fwd=miss; stored"));
        assert_eq!(one.get("/stream").await.text(), "0123456789", "{}", backend.name);
    }
}

#[tokio::test]
async fn c6_a_body_that_breaks_is_not_stored_and_breaks_for_the_client() {
    for backend in Backend::all().await {
        let (sources, app) = streaming(&[]);
        let [one, _] = backend.serve(|| app.clone()).await;
        let asked = tokio::spawn(one.connect().await.try_ask("GET", "/stream", &[]));
        let source = source_of(&sources).await;
        source.data("half");
        source.fail();
        // Nothing that a client could take for a whole response.
        assert!(asked.await.unwrap().is_err(), "{}", backend.name);
        let asked = tokio::spawn(async move { one.get("/stream").await });
        let source = source_of(&sources).await;
        source.data("whole");
        drop(source);
        assert_eq!(asked.await.unwrap().text(), "whole", "{}", backend.name);
    }
}

#[tokio::test]
async fn a_body_with_trailers_is_passed_through() {
    for backend in Backend::all().await {
        let (sources, app) = streaming(&[]);
        let [one, _] = backend.serve(|| app.clone()).await;
        let asked = tokio::spawn(async move { one.get("/stream").await });
        let source = source_of(&sources).await;
        source.data("data");
        source.trailers();
        drop(source);
        let answer = asked.await.unwrap();
        assert_eq!((answer.text(), &*answer.how()), ("data", "fwd=miss; detail=trailers"));
    }
}

#[tokio::test]
async fn requests_for_what_is_not_stored_do_not_wait_for_each_other() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::closed());
        let page = {
            let origin = origin.clone();
            async move || ([(CACHE_CONTROL, "private")], origin.read().await.to_string())
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        origin.gate().let_go(1);
        one.get("/page").await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(tokio::spawn(one.connect().await.ask("GET", "/page", &[])));
        }
        // All of them are in the handler at once.
        origin.gate().started(5).await;
        origin.gate().let_all_go();
        for client in clients {
            assert_eq!(client.await.unwrap().text(), "1", "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_resource_is_stored_again_once_a_response_may_be() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let page = {
            let origin = origin.clone();
            async move || {
                let value = origin.read().await;
                let control = if value == 1 { "no-store" } else { "max-age=600" };
                ([(CACHE_CONTROL, control)], value.to_string())
            }
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        let mut how = Vec::new();
        for value in [1, 1, 2] {
            origin.set(value);
            how.push(one.get("/page").await.how());
        }
        assert_eq!(how[0], "fwd=miss; detail=no-store", "{}", backend.name);
        assert_eq!(how[1..], ["fwd=bypass; detail=not-stored-before"; 2]);
        // From the next one on, or when what was noted for the fleet has been forgotten.
        eventually("it is stored", async || one.get("/page").await.how().starts_with("hit; "))
            .await;
    }
}

#[tokio::test]
async fn requests_that_a_stored_response_cannot_answer_go_past_the_cache() {
    let asked_for = async |request: axum::extract::Request| {
        let range = request.headers().get("range").map_or("none", |range| range.to_str().unwrap());
        ([(CACHE_CONTROL, "max-age=600")], range.to_owned())
    };
    for backend in Backend::all().await {
        let app = Router::new()
            .route("/page", get(asked_for).options(async || "may be asked"))
            .layer(ResponseCache::new("t"));
        let [one, _]: [Process; 2] = backend.serve(|| app.clone()).await;
        one.get("/page").await;
        for (headers, how) in [
            (&[("range", "bytes=0-1")][..], "fwd=bypass; detail=range"),
            (&[("cache-control", "no-store")], "fwd=request"),
            (&[("host", "a b")], "fwd=bypass; detail=host"),
            (&[("upgrade", "websocket")], "fwd=bypass; detail=upgrade"),
        ] {
            let answer = one.ask("GET", "/page", headers).await;
            assert_eq!(answer.how(), how, "{}", backend.name);
            let range = headers[0].0 == "range";
            assert_eq!(answer.text(), if range { "bytes=0-1" } else { "none" });
        }
        let options = one.ask("OPTIONS", "/page", &[]).await;
        assert_eq!((options.text(), &*options.how()), ("may be asked", "fwd=method"));
        let hit = one.get("/page").await;
        assert!(hit.how().starts_with("hit; "), "{}", hit.how());
    }
}

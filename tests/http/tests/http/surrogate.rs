//! `Surrogate-Key` and `Cache-Tag`.

use axum::Router;
use axum::body::Body;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use redis_cached::tower::{ResponseCache, SurrogateKeys};
use redis_cached::{Cache, TagScope, redis_cached, tag};
use redis_cached_tests::Told;
use tower::{Layer, ServiceExt};

use crate::stage::{Backend, Process, Streamed};

#[redis_cached(key = "author:{id}", ttl = "10m", tags = ["author:{id}"], clearable)]
async fn author(id: u64) -> String {
    tokio::task::yield_now().await;
    tag("authors");
    format!("author {id}")
}

#[redis_cached(key = "book:{id}", ttl = "10m", tags = ["book:{id}"])]
async fn book(id: u64) -> String {
    format!("book {id} of {}", author(id % 10).await)
}

fn keys(text: &str, separator: char) -> Vec<&str> {
    let mut keys: Vec<&str> = text.split(separator).filter(|key| !key.is_empty()).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_response_names_every_tag_that_was_touched_hits_included() {
    for backend in Backend::all().await {
        let page = async || {
            tag("Zürich, Mitte");
            book(17).await
        };
        let app = || Router::new().route("/book", get(page)).layer(SurrogateKeys::new());
        let [one, other] = backend.serve(app).await;
        let expected = ["Z%C3%BCrich%2C%20Mitte", "author:7", "authors", "book:17"];
        // The body runs, then there is a hit, in the other process one that knows nothing of before.
        for process in [&one, &one, &other] {
            let answer = process.get("/book").await;
            assert_eq!(keys(&answer.header("surrogate-key"), ' '), expected, "{}", backend.name);
            assert_eq!(keys(&answer.header("cache-tag"), ','), expected, "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_stored_response_names_the_tags_that_were_touched_when_it_was_made() {
    for backend in Backend::all().await {
        let page = async || ([(CACHE_CONTROL, "max-age=600")], book(17).await);
        let app = || {
            let routes = Router::new().route("/book", get(page));
            routes.layer(ResponseCache::new("t")).layer(SurrogateKeys::new())
        };
        let [one, other] = backend.serve(app).await;
        for process in [&one, &one, &other] {
            let answer = process.get("/book").await;
            assert_eq!(
                keys(&answer.header("surrogate-key"), ' '),
                ["author:7", "authors", "book:17"],
                "{} {}",
                backend.name,
                answer.how()
            );
        }
        assert!(one.get("/book").await.how().starts_with("hit; "));
    }
}

#[tokio::test]
async fn the_tag_of_a_clearable_function_is_named_where_it_is_asked_for() {
    let cache = memory().await;
    let page = async || author(3).await;
    let app = Router::new().route("/", get(page)).layer(SurrogateKeys::new().function_tags(true));
    let answer = Process::start(&cache, app).await.get("/").await;
    let named = answer.header("surrogate-key");
    assert_eq!(
        keys(&named, ' '),
        ["author:3", "authors", "fn:http::surrogate::author"],
        "the path of the function"
    );
}

#[tokio::test]
async fn tasks_of_a_handler_count_and_requests_do_not_mix() {
    for backend in Backend::all().await {
        let page = async |axum::extract::Path(id): axum::extract::Path<u64>| {
            let scope = TagScope::current();
            tokio::spawn(scope.run(async move { book(id).await })).await.unwrap()
        };
        let app = || Router::new().route("/{id}", get(page)).layer(SurrogateKeys::new());
        let [one, _] = backend.serve(app).await;
        let asked = (0..20).map(|id| {
            let one = &one;
            async move { (id, one.get(&format!("/{id}")).await) }
        });
        for asked in asked.collect::<Vec<_>>() {
            let (id, answer) = asked.await;
            let expected =
                [format!("author:{}", id % 10), "authors".to_owned(), format!("book:{id}")];
            assert_eq!(keys(&answer.header("surrogate-key"), ' '), expected, "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_no_header_and_an_error_event() {
    let cache = memory().await;
    let told = Told::listen();
    let page = async |axum::extract::Path(tags): axum::extract::Path<usize>| {
        for n in 0..tags {
            tag(format!("{n:0>100}"));
        }
        "many"
    };
    let app = Router::new().route("/{tags}", get(page)).layer(SurrogateKeys::new());
    let process = Process::start(&cache, app).await;
    let fits = process.get("/162").await;
    assert_eq!(fits.header("surrogate-key").len(), 162 * 101 - 1);
    assert!(!told.text().contains("ERROR"), "{}", told.text());
    for _ in 0..2 {
        let answer = process.get("/163").await;
        assert_eq!((answer.text(), answer.status.as_u16()), ("many", 200));
        assert!(!answer.headers.contains_key("surrogate-key"));
        assert!(!answer.headers.contains_key("cache-tag"));
    }
    let events = told.text().lines().filter(|line| line.contains("ERROR")).count();
    assert_eq!(events, 1, "{}", told.text());
}

#[redis_cached(key = "many", ttl = "10m")]
async fn with_too_many_tags() -> u64 {
    tokio::task::yield_now().await;
    (0..40).for_each(|n| tag(format!("t{n}")));
    1
}

#[tokio::test]
async fn a_response_whose_tags_are_not_all_known_has_no_header() {
    let cache = memory().await;
    let told = Told::listen();
    let page = async || with_too_many_tags().await.to_string();
    let app = Router::new().route("/", get(page)).layer(SurrogateKeys::new());
    let answer = Process::start(&cache, app).await.get("/").await;
    assert_eq!((answer.text(), &*answer.header("surrogate-key")), ("1", ""));
    assert!(told.text().contains("ERROR"), "{}", told.text());
}

#[tokio::test]
async fn a_streaming_body_is_not_touched() {
    let cache = memory().await;
    let (source, body) = Streamed::new();
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let page = async move || {
        tag("begun");
        Response::new(Body::new(body.lock().unwrap().take().expect("it is asked for once")))
    };
    let app = Router::new().route("/", get(page)).layer(SurrogateKeys::new());
    let process = Process::start(&cache, app).await;
    let mut client = process.connect().await;
    // The head is out before there is any of the body.
    let mut response = client.send("GET", "/", &[]).await;
    assert_eq!(response.headers()["surrogate-key"], "begun");
    source.data("data");
    let frame = response.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data");
}

/// A service of hyper's own types, without axum.
#[tokio::test]
async fn any_tower_service_may_stand_behind_the_layers() {
    let cache = memory().await;
    let service = tower::service_fn(async |_: hyper::Request<Empty<bytes::Bytes>>| {
        tag("plain");
        let response = hyper::Response::builder().header("cache-control", "max-age=600");
        let body = http_body_util::Full::new(bytes::Bytes::from_static(b"plain"));
        Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
    });
    let service = SurrogateKeys::new().layer(ResponseCache::new("plain").layer(service));
    let ask = async || {
        let request = hyper::Request::get("/").body(Empty::new()).unwrap();
        let answer = cache.scope(service.clone().oneshot(request)).await.unwrap();
        let named = answer.headers()["surrogate-key"].clone();
        let told = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        (answer.into_body().collect().await.unwrap().to_bytes(), named, told)
    };
    let (body, named, told) = ask().await;
    assert_eq!(
        (&*body, named.as_bytes(), &*told),
        (&b"plain"[..], &b"plain"[..], "redis-cached; fwd=miss; stored")
    );
    let (body, named, told) = ask().await;
    assert_eq!((&*body, named.as_bytes()), (&b"plain"[..], &b"plain"[..]));
    assert!(told.starts_with("redis-cached; hit; ttl="), "{told}");
}

async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

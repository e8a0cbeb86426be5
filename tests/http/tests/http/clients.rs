//! What clients send and do: `HEAD`, conditions, and going away in the middle.

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, ETAG, LAST_MODIFIED};
use axum::response::Response;
use axum::routing::get;
use http_body_util::BodyExt;
use redis_cached::tower::ResponseCache;
use redis_cached_tests::{Gate, in_time};

use crate::stage::{Backend, Origin, Streamed};

fn app(origin: &Origin) -> Router {
    let page = {
        let origin = origin.clone();
        async move || {
            let value = origin.read().await;
            ([(CACHE_CONTROL, "max-age=600")], format!("page {value}"))
        }
    };
    let dated = async || {
        let modified = "Wed, 21 Oct 2015 07:28:00 GMT";
        ([(CACHE_CONTROL, "max-age=600"), (LAST_MODIFIED, modified), (ETAG, "W/\"own\"")], "dated")
    };
    let routes = Router::new().route("/page", get(page)).route("/dated", get(dated));
    routes.layer(ResponseCache::new("t"))
}

#[tokio::test]
async fn head_is_answered_from_the_response_to_get_and_fills_it() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let [one, other] = backend.serve(|| app(&origin)).await;
        let head = one.ask("HEAD", "/page", &[]).await;
        assert_eq!((head.text(), &*head.how()), ("", "fwd=miss; stored"), "{}", backend.name);
        assert_eq!(head.header("content-length"), "6");
        let got = other.get("/page").await;
        assert_eq!(got.text(), "page 1");
        let head = other.ask("HEAD", "/page", &[]).await;
        assert_eq!((head.text(), &*head.header("content-length")), ("", "6"));
        assert!(head.how().starts_with("hit; "), "{}", head.how());
        assert_eq!(head.header("etag"), got.header("etag"));
        assert_eq!(origin.gate().runs(), 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_client_that_has_the_response_gets_304() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let [one, other] = backend.serve(|| app(&origin)).await;
        let etag = one.get("/page").await.header("etag");
        for method in ["GET", "HEAD"] {
            let condition = [("if-none-match", &*format!("\"x\", {etag}"))];
            let same = other.ask(method, "/page", &condition).await;
            assert_eq!((same.status.as_u16(), same.text()), (304, ""), "{}", backend.name);
            assert_eq!((same.header("etag"), &*same.header("content-type")), (etag.clone(), ""));
            assert_eq!(same.header("cache-control"), "max-age=600");
        }
        let changed = other.ask("GET", "/page", &[("if-none-match", "\"x\"")]).await;
        assert_eq!((changed.status.as_u16(), changed.text()), (200, "page 1"));
        assert_eq!(origin.gate().runs(), 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn the_first_client_may_have_the_response_too_and_others_get_it_whole() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::open());
        let [one, _] = backend.serve(|| app(&origin)).await;
        let condition = [("if-none-match", "W/\"own\"")];
        let first = one.ask("GET", "/dated", &condition).await;
        assert_eq!(first.status.as_u16(), 304);
        assert_eq!(first.how(), "fwd=miss; stored; fwd-status=200", "{}", backend.name);
        let whole = one.get("/dated").await;
        assert_eq!((whole.status.as_u16(), whole.text()), (200, "dated"));
        let since = [("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT")];
        assert_eq!(one.ask("GET", "/dated", &since).await.status.as_u16(), 304);
        let since = [("if-modified-since", "Wed, 21 Oct 2015 07:27:00 GMT")];
        assert_eq!(one.ask("GET", "/dated", &since).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn when_the_client_that_asked_first_goes_another_gets_its_answer() {
    for backend in Backend::all().await {
        let origin = Origin::new(Gate::closed());
        let [one, other] = backend.serve(|| app(&origin)).await;
        let mut gone = one.connect().await;
        let asked = tokio::spawn(async move {
            gone.send("GET", "/page", &[]).await;
        });
        origin.gate().started(1).await;
        let waiter = one.connect().await;
        let waiter = tokio::spawn(waiter.ask("GET", "/page", &[]));
        let elsewhere = other.connect().await;
        let elsewhere = tokio::spawn(elsewhere.ask("GET", "/page", &[]));
        // With it goes its connection, in the middle of the handler.
        asked.abort();
        origin.gate().started(2).await;
        origin.gate().let_all_go();
        for answer in [waiter, elsewhere] {
            let answer = in_time("an answer", answer).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "page 1"));
        }
        // The next one is not the first: the response is stored.
        assert!(one.get("/page").await.how().starts_with("hit; "), "{}", backend.name);
    }
}

#[tokio::test]
async fn when_a_client_goes_while_a_body_is_passed_through_the_body_is_dropped() {
    for backend in Backend::all().await {
        let (source, body) = Streamed::new();
        let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
        let stream = async move || {
            let body = body.lock().unwrap().take().expect("it is asked for once");
            Response::builder().header(CACHE_CONTROL, "no-store").body(Body::new(body)).unwrap()
        };
        let app = Router::new().route("/stream", get(stream)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        let mut client = one.connect().await;
        let mut response = client.send("GET", "/stream", &[]).await;
        source.data("begun");
        let frame = in_time("a frame", response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "begun");
        drop((response, client));
        source.data("to nobody");
        source.dropped().await;
    }
}

#[tokio::test]
async fn c4_a_client_that_goes_while_a_body_is_read_leaves_nothing_behind() {
    for backend in Backend::all().await {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let stream = {
            async move || {
                let (source, body) = Streamed::new();
                source.data("half");
                let _ = sender.send(source);
                let response = Response::builder().header(CACHE_CONTROL, "max-age=600");
                response.body(Body::new(body)).unwrap()
            }
        };
        let mut sources = receiver;
        let app = Router::new().route("/stream", get(stream)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(|| app.clone()).await;
        let mut gone = one.connect().await;
        let asked = tokio::spawn(async move {
            gone.send("GET", "/stream", &[]).await;
        });
        let source = in_time("the handler", sources.recv()).await.unwrap();
        asked.abort();
        source.dropped().await;
        // Half a response is none, and its lease is in nobody's way.
        let asked = tokio::spawn(async move {
            let whole = other.get("/stream").await;
            (whole, other)
        });
        let source = in_time("the handler", sources.recv()).await.unwrap();
        source.data(" and half");
        drop(source);
        let (whole, other) = asked.await.unwrap();
        assert_eq!((whole.text(), &*whole.how()), ("half and half", "fwd=miss; stored"));
        assert_eq!(other.get("/stream").await.text(), "half and half", "{}", backend.name);
    }
}

//! What a hostile client, an odd handler or bad luck may try.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, HOST};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use redis_cached::tower::{ResponseCache, SurrogateKeys};
use redis_cached::{Cache, expire_tags, redis_cached, tag};
use redis_cached_tests::Gate;
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};

use crate::stage::{Backend, Origin, Process, Streamed};

async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

/// Answers with the host that a handler would build links of.
fn of_host() -> Router {
    let page = |headers: HeaderMap, uri: Uri| async move {
        let host = headers.get(HOST).map(|host| host.to_str().unwrap().to_owned());
        let host = host.or_else(|| uri.authority().map(ToString::to_string)).unwrap_or_default();
        ([(CACHE_CONTROL, "max-age=600")], host)
    };
    Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
}

#[tokio::test]
async fn a_host_header_beside_another_authority_poisons_nothing() {
    let cache = memory().await;
    let one = Process::start(&cache, of_host()).await;
    one.ask("GET", "http://shop.example/page", &[("host", "evil.example")]).await;
    assert_eq!(one.get("/page").await.text(), "shop.example");
}

#[tokio::test]
async fn a_forwarded_header_poisons_nothing() {
    let cache = memory().await;
    let page = |headers: HeaderMap| async move {
        let of = |name| headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        // As `axum_extra::extract::Host` does: this one first.
        ([(CACHE_CONTROL, "max-age=600")], of("forwarded"))
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    one.ask("GET", "/page", &[("forwarded", "host=evil.example")]).await;
    assert_eq!(one.get("/page").await.text(), "-");
}

/// A client that speaks HTTP/2, with prior knowledge.
async fn h2(
    process: &Process,
    uri: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let stream = process.stream().await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(async { drop(connection.await) });
    let mut request = hyper::Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    driver.abort();
    (head.status, head.headers, body)
}

#[tokio::test]
async fn over_http2_the_authority_is_the_host_and_is_shared_with_http1() {
    for backend in Backend::all().await {
        let gate = Gate::open();
        let counted = gate.clone();
        let page = move |uri: Uri| {
            let _ = counted.enter();
            async move { ([(CACHE_CONTROL, "max-age=600")], uri.path().to_owned()) }
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(|| app.clone()).await;
        let (status, _, body) = h2(&one, "http://shop.example/page", &[]).await;
        assert_eq!((status, &*body), (StatusCode::OK, &b"/page"[..]), "{}", backend.name);
        let (_, headers, body) = h2(&other, "http://shop.example/page", &[]).await;
        assert!(headers["cache-status"].to_str().unwrap().contains("; hit"), "{headers:?}");
        assert_eq!(&*body, b"/page");
        assert!(other.get("/page").await.how().starts_with("hit; "));
        let (_, headers, _) = h2(&other, "http://other.example/page", &[]).await;
        assert!(headers["cache-status"].to_str().unwrap().contains("stored"), "{headers:?}");
        assert_eq!(gate.runs(), 2, "{}", backend.name);
    }
}

#[tokio::test]
async fn over_http2_a_host_beside_another_authority_poisons_nothing() {
    let cache = memory().await;
    let one = Process::start(&cache, of_host()).await;
    h2(&one, "http://shop.example/page", &[("host", "evil.example")]).await;
    assert_eq!(one.get("/page").await.text(), "shop.example");
}

#[tokio::test]
async fn schemes_have_responses_of_their_own() {
    let cache = memory().await;
    // What a redirection to `https` does.
    let page = |uri: Uri| async move {
        ([(CACHE_CONTROL, "max-age=600")], uri.scheme_str().unwrap_or("-").to_owned())
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    let (_, _, plain) = h2(&one, "http://shop.example/page", &[]).await;
    let (_, _, secure) = h2(&one, "https://shop.example/page", &[]).await;
    assert_eq!((&*plain, &*secure), (&b"http"[..], &b"https"[..]));
}

#[tokio::test]
async fn paths_that_are_rewritten_on_the_way_have_responses_of_their_own() {
    let cache = memory().await;
    let said = |text: &'static str| get(async move || ([(CACHE_CONTROL, "max-age=600")], text));
    let inner = Router::new()
        .route("/wide/page", said("wide"))
        .route("/narrow/page", said("narrow"))
        .layer(ResponseCache::new("t"));
    // Between an outer router and the layer the path becomes another, by what is not in the URI.
    let rewritten = tower::util::MapRequest::new(inner, |mut request: Request| {
        let narrow = request.headers().contains_key("sec-ch-ua-mobile");
        let path = if narrow { "/narrow/page" } else { "/wide/page" };
        *request.uri_mut() = path.parse().unwrap();
        request
    });
    let app = Router::new().fallback_service(rewritten);
    let one = Process::start(&cache, app).await;
    assert_eq!(one.get("/page").await.text(), "wide");
    assert_eq!(one.ask("GET", "/page", &[("sec-ch-ua-mobile", "?1")]).await.text(), "narrow");
}

#[tokio::test]
async fn c6_a_body_that_is_shorter_than_it_says_is_not_stored_as_a_whole_one() {
    let cache = memory().await;
    let page = async || {
        let (source, body) = Streamed::new();
        source.data("half");
        drop(source);
        let response = Response::builder().header(CACHE_CONTROL, "max-age=600");
        response.header(CONTENT_LENGTH, "8").body(Body::new(body)).unwrap()
    };
    let layered = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let app = layered.merge(Router::new().route("/plain", get(page)));
    let one = Process::start(&cache, app).await;
    // Without the layer the client sees that it breaks.
    for path in ["/plain", "/page", "/page"] {
        let answer = one.connect().await.try_ask("GET", path, &[]).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_always_too_large_stays_past_the_cache() {
    for backend in Backend::all().await {
        for (n, vary) in ["accept", "*"].into_iter().enumerate() {
            let page = move || async move {
                ([("cache-control", "max-age=600"), ("vary", vary)], "0123456789!")
            };
            let path = format!("/{n}");
            let layer = ResponseCache::new("t").max_body(10);
            let app = || Router::new().route(&path, get(page)).layer(layer.clone());
            let [one, _] = backend.serve(app).await;
            let first = one.get(&path).await.how();
            assert!(first.starts_with("fwd=miss; detail="), "{first}");
            for _ in 0..3 {
                let how = one.get(&path).await.how();
                assert_eq!(how, "fwd=bypass; detail=not-stored-before", "vary: {vary}");
            }
        }
    }
}

/// Without sockets, so that the clock can stand still.
async fn ask(app: &Router, cache: &Cache) -> (Bytes, String) {
    let request = Request::get("/page").body(Body::empty()).unwrap();
    let answer = cache.scope(app.clone().oneshot(request)).await.unwrap();
    let how = answer.headers()["cache-status"].to_str().unwrap().replace("redis-cached; ", "");
    (answer.into_body().collect().await.unwrap().to_bytes(), how)
}

#[tokio::test(start_paused = true)]
async fn requests_for_what_is_not_stored_do_not_wait_for_each_other_a_minute_later_either() {
    let cache = memory().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let page = async move || {
        held.pass().await;
        ([(CACHE_CONTROL, "no-store")], "polled")
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    gate.let_go(1);
    ask(&app, &cache).await;
    advance(Duration::from_secs(61)).await;
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (app, cache) = (app.clone(), cache.clone());
        clients.push(tokio::spawn(async move { ask(&app, &cache).await }));
    }
    gate.started(5).await;
    let waited = begun.elapsed();
    gate.let_all_go();
    for client in clients {
        client.await.unwrap();
    }
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_clients_that_share_nothing_is_not_thinned_out() {
    let cache = memory().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let page = async move || {
        held.pass().await;
        ([(CACHE_CONTROL, "private")], "own")
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let (app, cache) = (app.clone(), cache.clone());
        clients.push(tokio::spawn(async move { ask(&app, &cache).await }));
    }
    gate.started(1).await;
    gate.let_go(1);
    gate.started(50).await;
    let waited = begun.elapsed();
    gate.let_all_go();
    for client in clients {
        client.await.unwrap();
    }
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn what_must_be_revalidated_is_not_served_stale_when_it_is_expired_by_hand() {
    for control in ["max-age=600, must-revalidate", "max-age=600"] {
        let cache = memory().await;
        let origin = Origin::new(Gate::open());
        let page = {
            let origin = origin.clone();
            async move || {
                tag("pages");
                ([(CACHE_CONTROL, control)], origin.read().await.to_string())
            }
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let one = Process::start(&cache, app).await;
        assert_eq!(one.get("/page").await.text(), "1");
        origin.set(2);
        cache.scope(expire_tags(["pages"])).await.unwrap();
        let answer = one.get("/page").await;
        assert_eq!(answer.text(), "2", "{control}: {}", answer.how());
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_window_of_ten_years_is_a_window() {
    let cache = memory().await;
    let origin = Origin::new(Gate::open());
    let page = {
        let origin = origin.clone();
        async move || {
            let control = "max-age=60, stale-while-revalidate=315360000";
            ([(CACHE_CONTROL, control)], origin.read().await.to_string())
        }
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    assert_eq!(ask(&app, &cache).await.1, "fwd=miss; stored");
    origin.set(2);
    advance(Duration::from_secs(61)).await;
    let (stale, how) = ask(&app, &cache).await;
    assert_eq!(stale, "1", "{how}");
    origin.gate().started(2).await;
}

#[tokio::test]
async fn a_tag_of_the_handler_s_own_is_named_whatever_it_is_called() {
    let cache = memory().await;
    let page = async || {
        tag("response:7");
        "a survey"
    };
    let app = Router::new().route("/", get(page)).layer(SurrogateKeys::new());
    let answer = Process::start(&cache, app).await.get("/").await;
    assert_eq!(answer.header("surrogate-key"), "response:7");
}

#[tokio::test]
async fn a_write_whose_client_goes_invalidates_all_the_same() {
    let cache = memory().await;
    let gate = Gate::closed();
    let stored = Arc::new(AtomicU64::new(1));
    let (read, written, held) = (Arc::clone(&stored), Arc::clone(&stored), gate.clone());
    let page =
        async move || ([(CACHE_CONTROL, "max-age=600")], read.load(Ordering::SeqCst).to_string());
    let (source, body) = Streamed::new();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let write = async move || {
        written.fetch_add(1, Ordering::SeqCst);
        // Goes with the handler.
        let _body = body.lock().unwrap().take();
        held.pass().await;
    };
    let routes = get(page).post(write);
    let app = Router::new().route("/page", routes).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    assert_eq!(one.get("/page").await.text(), "1");
    let mut gone = one.connect().await;
    let asked = tokio::spawn(async move {
        gone.send("POST", "/page", &[]).await;
    });
    gate.started(1).await;
    asked.abort();
    source.dropped().await;
    redis_cached_tests::eventually("what was written is seen", async || {
        one.get("/page").await.text() == "2"
    })
    .await;
}

#[tokio::test]
async fn head_of_what_has_no_content_says_no_length() {
    let cache = memory().await;
    // Without axum, which puts a length of its own there.
    let service = tower::service_fn(async |_: Request| {
        let response = Response::builder().status(StatusCode::NO_CONTENT);
        let response = response.header(CACHE_CONTROL, "max-age=600").body(Body::empty());
        Ok::<_, std::convert::Infallible>(response.unwrap())
    });
    let service = ResponseCache::new("t").layer(service);
    for _ in 0..2 {
        let request = Request::head("/page").body(Body::empty()).unwrap();
        let answer = cache.scope(service.clone().oneshot(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert!(!answer.headers().contains_key(CONTENT_LENGTH), "{:?}", answer.headers());
    }
}

#[tokio::test]
async fn an_unbalanced_quote_hides_no_directive() {
    let cache = memory().await;
    let gate = Gate::open();
    let counted = gate.clone();
    let page = move || {
        let run = counted.enter();
        async move { ([(CACHE_CONTROL, "max-age=600, x=\"open, no-store")], run.to_string()) }
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    assert_eq!(one.get("/page").await.text(), "1");
    assert_eq!(one.get("/page").await.text(), "2");
}

#[tokio::test]
async fn an_old_date_counts_as_age() {
    let cache = memory().await;
    let page = async || {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        ([("cache-control", "max-age=600"), ("date", date)], "old")
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    one.get("/page").await;
    let again = one.get("/page").await.how();
    assert!(!again.starts_with("hit"), "{again}");
}

#[tokio::test]
async fn c1_uris_of_every_spelling_are_invalidated_by_writes_and_by_hand() {
    for backend in Backend::all().await {
        let stored = Arc::new(AtomicU64::new(1));
        let app = || {
            let (read, written) = (Arc::clone(&stored), Arc::clone(&stored));
            let page = async move || {
                ([(CACHE_CONTROL, "max-age=600")], read.load(Ordering::SeqCst).to_string())
            };
            let write = async move || written.fetch_add(1, Ordering::SeqCst).to_string();
            Router::new().fallback(get(page).post(write)).layer(ResponseCache::new("t"))
        };
        let [one, other] = backend.serve(app).await;
        let long = format!("/{}?{}", "long/".repeat(60), "x=%7B&".repeat(60));
        for path in ["/p{a}|b", "/%7Ba%7D%20", "/a@b:c", "/?", "/a?b=c&d={e}", &*long] {
            for headers in [&[("cookie", "a=1")][..], &[]] {
                one.ask("GET", path, headers).await;
            }
            other.ask("POST", path, &[]).await;
            let value = stored.load(Ordering::SeqCst).to_string();
            assert_eq!(one.get(path).await.text(), value, "{} {path}", backend.name);
            stored.fetch_add(1, Ordering::SeqCst);
            let tag = ResponseCache::tag_of("SHOP.example", path);
            backend.caches[1].invalidate_tags([tag]).await.unwrap();
            let value = stored.load(Ordering::SeqCst).to_string();
            assert_eq!(one.get(path).await.text(), value, "{} {path}", backend.name);
        }
    }
}

#[redis_cached(key = "sometimes:{id}", ttl = "10m", tags = ["sometimes:{id}"], bypass_if = bypass)]
async fn sometimes(id: u64, bypass: bool) -> u64 {
    tokio::task::yield_now().await;
    tag("inside");
    id
}

#[redis_cached(key = "fails:{id}", ttl = "10m", tags = ["fails:{id}"])]
async fn fails(id: u64) -> Result<u64, String> {
    tokio::task::yield_now().await;
    Err(format!("{id} fails"))
}

#[tokio::test]
async fn bypassed_and_failed_functions_are_named_too() {
    for backend in Backend::all().await {
        let page = async || {
            let _ = sometimes(1, true).await;
            let failed = fails(2).await;
            failed.unwrap_err()
        };
        let app = || Router::new().route("/", get(page)).layer(SurrogateKeys::new());
        let [one, _] = backend.serve(app).await;
        for _ in 0..2 {
            let answer = one.get("/").await;
            let mut keys: Vec<_> =
                answer.header("surrogate-key").split(' ').map(str::to_owned).collect();
            keys.sort();
            assert_eq!(keys, ["fails:2", "inside", "sometimes:1"], "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_response_that_is_not_stored_is_labelled_all_the_same() {
    for backend in Backend::all().await {
        for (n, control) in ["no-store", "max-age=600"].into_iter().enumerate() {
            let page = move || async move {
                tag("page");
                ([(CACHE_CONTROL, control)], sometimes(3, false).await.to_string())
            };
            let path = format!("/{n}");
            let app = || {
                let routes = Router::new().route(&path, get(page));
                // One inside of the cache as well: its tags are those of the page.
                let inside = routes.layer(SurrogateKeys::new().cache_tag(false));
                inside.layer(ResponseCache::new("t")).layer(SurrogateKeys::new())
            };
            let [one, other] = backend.serve(app).await;
            for process in [&one, &one, &other] {
                let answer = process.get(&path).await;
                for (header, separator) in [("surrogate-key", ' '), ("cache-tag", ',')] {
                    let named = answer.header(header);
                    let mut keys: Vec<_> = named.split(separator).collect();
                    keys.sort_unstable();
                    let expected = ["inside", "page", "sometimes:3"];
                    assert_eq!(keys, expected, "{} {header} {}", backend.name, answer.how());
                }
            }
            // The inner gathering hands them on: they are the response's.
            backend.caches[0].invalidate_tags(["inside"]).await.unwrap();
            assert!(!one.get(&path).await.how().starts_with("hit"), "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn tags_of_a_body_that_streams_are_those_of_the_stored_response() {
    for backend in Backend::all().await {
        let page = async || {
            let body = futures_body(|| tag("streamed"));
            let response = Response::builder().header(CACHE_CONTROL, "max-age=600");
            response.body(Body::new(body)).unwrap()
        };
        let app = || {
            let routes = Router::new().route("/page", get(page));
            routes.layer(ResponseCache::new("t")).layer(SurrogateKeys::new())
        };
        let [one, other] = backend.serve(app).await;
        for process in [&one, &other] {
            let answer = process.get("/page").await;
            assert_eq!(answer.header("surrogate-key"), "streamed", "{}", backend.name);
        }
        backend.caches[0].invalidate_tags(["streamed"]).await.unwrap();
        assert_eq!(one.get("/page").await.how(), "fwd=miss; stored", "{}", backend.name);
    }
}

/// A body of one frame that does something when it is polled.
fn futures_body(
    touch: fn(),
) -> impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> {
    struct Touching(Option<fn()>);
    impl hyper::body::Body for Touching {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.take().map(|touch| {
                touch();
                Ok(hyper::body::Frame::data(Bytes::from_static(b"streamed")))
            }))
        }
    }
    Touching(Some(touch))
}

#[tokio::test]
async fn a_layer_inside_of_itself_answers() {
    for backend in Backend::all().await {
        let gate = Gate::open();
        let counted = gate.clone();
        let page = move || {
            let run = counted.enter();
            async move { ([(CACHE_CONTROL, "max-age=600")], run.to_string()) }
        };
        let layer = ResponseCache::new("t");
        let app = Router::new().route("/page", get(page)).layer(layer.clone()).layer(layer);
        let [one, other] = backend.serve(|| app.clone()).await;
        assert_eq!(one.get("/page").await.text(), "1", "{}", backend.name);
        assert_eq!(other.get("/page").await.text(), "1", "{}", backend.name);
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_client_and_no_other() {
    for backend in Backend::all().await {
        let gate = Gate::closed();
        let held = gate.clone();
        let page = async move || {
            let run = held.pass().await;
            assert!(run > 1, "the first one");
            ([(CACHE_CONTROL, "max-age=600")], run.to_string())
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        let first = tokio::spawn(one.connect().await.ask("GET", "/page", &[]));
        gate.started(1).await;
        let second = tokio::spawn(one.connect().await.ask("GET", "/page", &[]));
        gate.let_all_go();
        assert!(first.await.is_err(), "{}", backend.name);
        assert_eq!(second.await.unwrap().text(), "2", "{}", backend.name);
    }
}

#[tokio::test]
async fn get_with_content_reaches_the_handler_with_it_and_fills_nothing() {
    for backend in Backend::all().await {
        let page = |body: String| async move { ([(CACHE_CONTROL, "max-age=600")], body) };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        for content in [
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            let head = "GET /page HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n";
            let answer = one.raw(&format!("{head}{content}")).await;
            assert!(answer.contains("fwd=bypass; detail=content"), "{answer}");
            assert!(answer.ends_with("abc"), "{answer}");
        }
        let plain = one.get("/page").await;
        assert_eq!((plain.text(), &*plain.how()), ("", "fwd=miss; stored"), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_range_of_what_is_stored_is_the_handler_s() {
    let cache = memory().await;
    let page = async |headers: HeaderMap| {
        let is_part = headers.contains_key("range");
        let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        (status, [(CACHE_CONTROL, "max-age=600")], if is_part { "pa" } else { "page" })
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let one = Process::start(&cache, app).await;
    for _ in 0..2 {
        let part = one.ask("GET", "/page", &[("range", "bytes=0-1")]).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "pa"));
        assert_eq!(one.get("/page").await.text(), "page");
    }
}

/// A client that speaks HTTP/1.0 may name no host.
#[tokio::test]
async fn a_request_without_a_host_shares_nothing_with_one_that_has_one() {
    let cache = memory().await;
    let one = Process::start(&cache, of_host()).await;
    let answer = one.raw("GET /page HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(one.get("/page").await.text(), "shop.example");
    let answer = one.raw("GET /page HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

/// The nonces of a response's tags live as long as it does.
#[tokio::test]
async fn a_response_that_lives_long_is_no_miss_for_want_of_its_tags() {
    let backend = Backend::redis().await;
    let page = async || {
        tag("late");
        ([(CACHE_CONTROL, "max-age=86400")], "page")
    };
    let app = || Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    let [one, _] = backend.serve(app).await;
    assert_eq!(one.get("/page").await.how(), "fwd=miss; stored");
    let client = redis::Client::open(backend.server.as_ref().unwrap().url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut tags = 0;
    for key in &keys {
        let rest: i64 = redis::cmd("TTL").arg(key).query_async(&mut connection).await.unwrap();
        if key.contains("late") || key.contains("response:") {
            tags += 1;
            assert!(rest >= 86_400, "{key} {rest}");
        }
    }
    assert_eq!(tags, 2, "{keys:?}");
}

#[tokio::test]
async fn a_response_names_no_tags_of_another_variant() {
    let backend = Backend::redis().await;
    let page = async |headers: HeaderMap| {
        let language = headers["accept-language"].to_str().unwrap().to_owned();
        tag(format!("in:{language}"));
        ([("cache-control", "max-age=600"), ("vary", "accept-language")], language)
    };
    let app = || {
        let routes = Router::new().route("/page", get(page));
        routes.layer(ResponseCache::new("t")).layer(SurrogateKeys::new())
    };
    let [one, other] = backend.serve(app).await;
    one.ask("GET", "/page", &[("accept-language", "de")]).await;
    let answer = other.ask("GET", "/page", &[("accept-language", "tr")]).await;
    assert_eq!((answer.text(), &*answer.header("surrogate-key")), ("tr", "in:tr"));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_clients_of_a_failing_handler_is_not_thinned_out() {
    let cache = memory().await;
    let gate = Gate::closed();
    let held = gate.clone();
    let page = async move || {
        held.pass().await;
        StatusCode::SERVICE_UNAVAILABLE
    };
    let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
    gate.let_go(1);
    ask(&app, &cache).await;
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let (app, cache) = (app.clone(), cache.clone());
        clients.push(tokio::spawn(async move { ask(&app, &cache).await }));
    }
    gate.started(51).await;
    let waited = begun.elapsed();
    gate.let_all_go();
    for client in clients {
        client.await.unwrap();
    }
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

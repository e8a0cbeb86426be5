//! What tells responses of one path apart.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, HOST, VARY};
use axum::routing::get;
use redis_cached::tower::ResponseCache;
use redis_cached_tests::Gate;

use crate::stage::Backend;

/// Answers in the language that is asked for.
fn app(gate: &Gate) -> Router {
    let gate = gate.clone();
    let page = move |headers: HeaderMap| {
        let language = headers.get(ACCEPT_LANGUAGE);
        let language = language.map_or("none", |language| language.to_str().unwrap()).to_owned();
        let gate = gate.clone();
        async move {
            gate.pass().await;
            ([(CACHE_CONTROL, "max-age=600"), (VARY, "Accept-Language")], language)
        }
    };
    Router::new().route("/page", get(page)).layer(ResponseCache::new("t"))
}

#[tokio::test]
async fn every_variant_is_stored_on_its_own() {
    for backend in Backend::all().await {
        let gate = Gate::open();
        let [one, other] = backend.serve(|| app(&gate)).await;
        for round in 0..3 {
            for process in [&one, &other] {
                for language in ["de", "tr", "en"] {
                    let answer =
                        process.ask("GET", "/page", &[("accept-language", language)]).await;
                    assert_eq!(answer.text(), language, "{} round {round}", backend.name);
                }
                assert_eq!(process.get("/page").await.text(), "none", "{}", backend.name);
            }
        }
        // One of them is fetched a second time: when it came, nobody knew that there are others.
        assert_eq!(gate.runs(), 5, "{}", backend.name);
    }
}

#[tokio::test]
async fn clients_that_ask_at_the_same_time_get_their_own_variants() {
    for backend in Backend::all().await {
        let gate = Gate::closed();
        let [one, _] = backend.serve(|| app(&gate)).await;
        let mut clients = Vec::new();
        for language in ["de", "tr", "en", "de", "tr", "en"] {
            let client = one.connect().await;
            let asked =
                async move { client.ask("GET", "/page", &[("accept-language", language)]).await };
            clients.push((language, tokio::spawn(asked)));
        }
        gate.started(1).await;
        gate.let_all_go();
        for (language, client) in clients {
            assert_eq!(client.await.unwrap().text(), language, "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_resource_whose_responses_change_what_they_vary_on_is_served_right() {
    for backend in Backend::all().await {
        let page = |headers: HeaderMap| async move {
            let of = |name| headers.get(name).map_or("-", |value| value.to_str().unwrap());
            let (a, b) = (of("x-a").to_owned(), of("x-b").to_owned());
            // Who sends A is told that it matters, and only then B.
            let vary = if a == "-" { "x-a" } else { "x-a, x-b" };
            ([("cache-control", "max-age=600"), ("vary", vary)], format!("{a}{b}"))
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(|| app.clone()).await;
        for process in [&one, &other, &one, &other] {
            for (headers, expected) in [
                (&[][..], "--"),
                (&[("x-a", "1")], "1-"),
                (&[("x-a", "1"), ("x-b", "2")], "12"),
                (&[("x-a", "2"), ("x-b", "2")], "22"),
                (&[("x-a", "1"), ("x-b", "3")], "13"),
            ] {
                let answer = process.ask("GET", "/page", headers).await;
                assert_eq!(answer.text(), expected, "{}: {}", backend.name, answer.how());
            }
        }
    }
}

#[tokio::test]
async fn hosts_queries_and_forwarded_names_have_responses_of_their_own() {
    for backend in Backend::all().await {
        let page = |request: Request| async move {
            let of = |name: &str| {
                let value = request.headers().get(name);
                value.map_or("-", |value| value.to_str().unwrap()).to_owned()
            };
            let text = [of(HOST.as_str()), of("x-forwarded-host"), of("x-forwarded-proto")];
            let text = format!("{} {}", request.uri(), text.join(" "));
            ([(CACHE_CONTROL, "max-age=600")], text)
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, other] = backend.serve(|| app.clone()).await;
        for process in [&one, &other] {
            for (path, name, value, expected) in [
                ("/page", "host", "a", "/page a - -"),
                ("/page", "host", "b", "/page b - -"),
                ("/page?", "host", "a", "/page? a - -"),
                ("/page?x=1", "host", "a", "/page?x=1 a - -"),
                ("/page", "x-forwarded-host", "evil", "/page shop.example evil -"),
                ("/page", "x-forwarded-proto", "https", "/page shop.example - https"),
                ("/page", "accept", "*/*", "/page shop.example - -"),
            ] {
                let answer = process.ask("GET", path, &[(name, value)]).await;
                assert_eq!(answer.text(), expected, "{}", backend.name);
            }
        }
    }
}

#[tokio::test]
async fn nested_routers_and_other_layers_share_nothing() {
    let said = |text: &'static str| get(async move || ([(CACHE_CONTROL, "max-age=600")], text));
    for backend in Backend::all().await {
        // One layer, in two places in which the request's path reads alike.
        let layer = ResponseCache::new("t");
        let app = || {
            Router::new()
                .nest("/a", Router::new().route("/list", said("a")).layer(layer.clone()))
                .nest("/b", Router::new().route("/list", said("b")).layer(layer.clone()))
        };
        let [one, other] = backend.serve(app).await;
        for process in [one, other] {
            assert_eq!(process.get("/a/list").await.text(), "a", "{}", backend.name);
            assert_eq!(process.get("/b/list").await.text(), "b", "{}", backend.name);
        }
        // Two versions of a service.
        for version in ["1", "2", "1"] {
            let layer = ResponseCache::new(version);
            let app = || Router::new().route("/list", said(version)).layer(layer.clone());
            let [one, _] = backend.serve(app).await;
            assert_eq!(one.get("/list").await.text(), version, "{}", backend.name);
        }
    }
}

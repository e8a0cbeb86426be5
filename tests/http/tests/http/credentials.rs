//! Requests that are somebody's own.

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE};
use axum::routing::get;
use redis_cached::tower::ResponseCache;
use redis_cached_tests::Gate;

use crate::stage::Backend;

/// Answers with who asks.
fn app(control: &'static str) -> Router {
    let page = move |headers: HeaderMap| {
        let who = headers.get(AUTHORIZATION).or(headers.get(COOKIE));
        let who = who.map_or("nobody", |who| who.to_str().unwrap()).to_owned();
        async move { ([(CACHE_CONTROL, control)], who) }
    };
    let layer = ResponseCache::new("t").default_ttl(std::time::Duration::from_secs(600));
    Router::new().route("/page", get(page)).layer(layer)
}

#[tokio::test]
async fn nobody_is_served_what_is_somebody_elses() {
    for control in ["max-age=600", "private", "must-understand"] {
        for backend in Backend::all().await {
            let [one, other] = backend.serve(|| app(control)).await;
            for process in [&one, &other, &one] {
                for name in ["authorization", "cookie"] {
                    for who in ["ann", "bob"] {
                        let answer = process.ask("GET", "/page", &[(name, who)]).await;
                        assert_eq!(answer.text(), who, "{control} {}", backend.name);
                    }
                }
                assert_eq!(process.get("/page").await.text(), "nobody", "{control}");
            }
        }
    }
}

#[tokio::test]
async fn what_says_that_it_is_for_all_is_served_to_all_who_have_credentials() {
    for backend in Backend::all().await {
        let [one, other] = backend.serve(|| app("public, max-age=600")).await;
        one.ask("GET", "/page", &[("authorization", "ann")]).await;
        let bob = other.ask("GET", "/page", &[("authorization", "bob")]).await;
        assert_eq!(bob.text(), "ann", "{}", backend.name);
        // Who has none shares nothing with them.
        assert_eq!(other.get("/page").await.text(), "nobody", "{}", backend.name);
    }
}

#[tokio::test]
async fn clients_that_ask_at_the_same_time_share_no_response_that_is_not_for_all() {
    for backend in Backend::all().await {
        let gate = Gate::closed();
        let held = gate.clone();
        let page = move |headers: HeaderMap| {
            let who = headers[AUTHORIZATION].to_str().unwrap().to_owned();
            let gate = held.clone();
            async move {
                gate.pass().await;
                ([(CACHE_CONTROL, "max-age=600")], who)
            }
        };
        let app = Router::new().route("/page", get(page)).layer(ResponseCache::new("t"));
        let [one, _] = backend.serve(|| app.clone()).await;
        let mut clients = Vec::new();
        for who in ["ann", "bob", "cem", "dot"] {
            let client = one.connect().await;
            let asked = async move { client.ask("GET", "/page", &[("authorization", who)]).await };
            clients.push((who, tokio::spawn(asked)));
        }
        gate.started(1).await;
        gate.let_all_go();
        for (who, client) in clients {
            assert_eq!(client.await.unwrap().text(), who, "{}", backend.name);
        }
    }
}

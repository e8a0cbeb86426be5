//! The routes. What is cached, and for how long, is none of their business.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use redis_cached::{Cache, Peek};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::{MOST_BEST_SELLERS, NewPrice};
use crate::db::Db;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) cache: Cache,
}

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/products/{id}", get(product))
        .route("/products/{id}/price", put(set_price))
        .route("/reports/best-sellers", get(best_sellers))
        .route("/healthz", get(health))
        .with_state(app)
}

async fn product(State(app): State<App>, Path(id): Path<u32>) -> Result<Response, Problem> {
    let cached = cache_headers(Db::product_entry(id).peek().await);
    Ok(match app.db.product(id).await? {
        Some(product) => (cached, Json(product)).into_response(),
        None => (cached, no_such_product(id)).into_response(),
    })
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "ten")]
    limit: usize,
}

fn ten() -> usize {
    10
}

async fn best_sellers(
    State(app): State<App>,
    Query(Page { limit }): Query<Page>,
) -> Result<Response, Problem> {
    if !(1..=MOST_BEST_SELLERS).contains(&limit) {
        let text = format!("`limit` is {limit}: it must be 1 to {MOST_BEST_SELLERS}");
        return Err(Problem(StatusCode::BAD_REQUEST, text));
    }
    let cached = cache_headers(Db::best_sellers_entry().peek().await);
    let mut report = app.db.best_sellers().await?;
    report.truncate(limit);
    Ok((cached, Json(report)).into_response())
}

#[derive(Deserialize)]
struct PriceTag {
    price_cents: u32,
}

async fn set_price(
    State(app): State<App>,
    Path(id): Path<u32>,
    Json(PriceTag { price_cents }): Json<PriceTag>,
) -> Result<Json<Value>, Problem> {
    // In a task of its own: a client that hangs up drops this handler, and must not stop the write
    // between its commit and its invalidation.
    let write = tokio::spawn(async move { app.db.set_price(id, price_cents).await });
    match write.await?? {
        NewPrice::Set => Ok(Json(json!({ "id": id, "price_cents": price_cents }))),
        NewPrice::UnknownProduct => Err(no_such_product(id)),
        NewPrice::SetButCached(error) => {
            eprintln!("product {id} has a new price, but the cache was not told: {error}");
            Err(Problem(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "the new price of product {id} is saved, but the cache could not be told: \
                     the old one may be shown for up to 5 minutes; repeat the request to end that"
                ),
            ))
        }
    }
}

/// Only the database decides: without the cache the shop is slower, not down.
async fn health(State(app): State<App>) -> Result<Json<Value>, Problem> {
    app.db.run(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await?;
    let cache = match app.cache.ping().await {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    Ok(Json(json!({ "database": "ok", "cache": cache })))
}

type CacheHeaders = ([(&'static str, &'static str); 1], Option<[(&'static str, String); 2]>);

/// How the cache stood just before the call, as headers.
///
/// For people to look at: it costs one more round trip, and between the two the entry may change.
fn cache_headers<V>(peeked: Result<Option<Peek<V>>, redis_cached::Error>) -> CacheHeaders {
    let (state, age) = match peeked {
        Ok(Some(peek)) if peek.state == redis_cached::State::Stale => ("stale", peek.age),
        Ok(Some(peek)) => ("hit", peek.age),
        // Where the store can't be asked, the call computes.
        Ok(None) | Err(_) => ("miss", Some(std::time::Duration::ZERO)),
    };
    let age = age.map(|age| {
        [("age", age.as_secs().to_string()), ("x-cache-age-ms", age.as_millis().to_string())]
    });
    ([("x-cache", state)], age)
}

fn no_such_product(id: u32) -> Problem {
    Problem(StatusCode::NOT_FOUND, format!("there is no product {id}"))
}

/// An answer that is not what was asked for.
struct Problem(StatusCode, String);

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        eprintln!("{:#}", error.into());
        let text = "something went wrong here; the log of the service has it".to_owned();
        Self(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

//! What all tests begin with.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use postgres_example::{App, migrate};
use redis_cached::Cache;
use redis_cached_tests::RedisServer;

use crate::server::Postgres;

/// A service in two processes.
pub(crate) struct Stage {
    pub(crate) here: App,
    pub(crate) there: App,
    pub(crate) postgres: Postgres,
    /// Ended with the test.
    _redis: RedisServer,
}

impl Stage {
    /// With the tables, and nothing in them.
    pub(crate) async fn empty() -> Self {
        let (postgres, redis) = (Postgres::start(), RedisServer::start());
        let app = async || {
            let cache = Cache::builder().url(redis.url()).build().await.expect("the server is up");
            App { pool: postgres.pool().await, cache }
        };
        let (here, there) = (app().await, app().await);
        migrate(&here.pool).await.expect("the schema is made");
        Self { here, there, postgres, _redis: redis }
    }
}

/// Polls a future at most so many times. `None`: it was dropped in the middle.
pub(crate) async fn polled<F: Future>(future: F, most: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = most;
    if left == 0 {
        return None;
    }
    poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

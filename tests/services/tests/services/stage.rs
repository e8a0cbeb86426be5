//! Two processes of a service, on one store.

use std::time::Duration;

use redis_cached::{Cache, Entry, State};
use redis_cached_tests::{PATIENCE, RedisServer, eventually};

/// The caches of two processes. Ends with its server.
pub(crate) struct Stage {
    pub(crate) a: Cache,
    pub(crate) b: Cache,
    server: Option<RedisServer>,
}

impl Stage {
    /// The embedded store lives inside its cache, so that the second process is a clone of the first:
    /// the two share their flights as well.
    pub(crate) async fn memory() -> Self {
        let a = connect("memory://").await;
        Self { b: a.clone(), a, server: None }
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start();
        let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
        Self { a, b, server: Some(server) }
    }

    /// All that the server holds, names and contents, where there is a server to ask.
    pub(crate) async fn stored(&self) -> Vec<String> {
        let Some(server) = &self.server else { return Vec::new() };
        let mut cli = server.cli().await;
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("*").query_async(&mut cli).await.expect("the server is up");
        let mut stored = Vec::new();
        for key in keys {
            // Not as it is dumped, which is compressed. What is no string holds names only.
            let content = redis::cmd("GET").arg(&key).query_async::<Vec<u8>>(&mut cli).await;
            let content = content.unwrap_or_default();
            stored.extend([key, String::from_utf8_lossy(&content).into_owned()]);
        }
        stored
    }
}

/// A busy machine must not fail a test by a deadline.
async fn connect(url: &str) -> Cache {
    let builder = Cache::builder().url(url).namespace("services");
    builder.deadline(PATIENCE).connect_timeout(PATIENCE).build().await.expect("the server is up")
}

/// Each scenario on the embedded store, whose clock stands still, and on a real Redis.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    super::$test(&$crate::stage::Stage::memory().await).await;
                }
            )+
        }

        mod redis {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&$crate::stage::Stage::redis().await).await;
                }
            )+
        }
    };
}

pub(crate) use on_both;

/// Waits until a value that was stale has been replaced behind its callers.
pub(crate) async fn refreshed<V: Send + 'static>(entry: &Entry<V>) {
    eventually("it is refreshed", async || {
        let stored = entry.peek().await.expect("the store is there");
        stored.expect("the old value stays until then").state == State::Fresh
    })
    .await;
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

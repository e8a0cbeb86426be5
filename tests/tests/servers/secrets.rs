//! What is told to `tracing` names the function and a digest, never an argument and never the key.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer, Told};

use crate::stage::{connect, connect_hastily};

const SECRET: &str = "ada.lovelace@example.org";

#[redis_cached(
    key = "mailbox:{address}", ttl = "5m", refresh_before = "1m", cache = cache, skip(cache, gate)
)]
async fn mailbox(address: &str, cache: &Cache, gate: &Gate) -> Result<String, String> {
    match gate.pass().await {
        run if run.is_multiple_of(3) => Err(format!("no mailbox {run} for {address}")),
        run => Ok(format!("{run} letters to {address}")),
    }
}

/// One thread, so that everything is told to this test's own subscriber.
/// Catalogue 51.
#[tokio::test(flavor = "current_thread")]
async fn no_argument_and_no_key_is_told() {
    let told = Told::listen();
    let mut server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    let entry = mailbox_entry(SECRET, &cache);
    mailbox(SECRET, &cache, &gate).await.unwrap();
    mailbox(SECRET, &cache, &gate).await.unwrap();
    entry.expire().await.unwrap();
    mailbox(SECRET, &cache, &gate).await.unwrap();
    cache.shutdown(Duration::from_secs(20)).await.unwrap();
    entry.invalidate().await.unwrap();
    mailbox(SECRET, &cache, &gate).await.unwrap_err();
    // Damaged bytes, and a server that is gone, are told too.
    let mut cli = server.cli().await;
    redis::cmd("SET").arg(entry.key()).arg("damaged").exec_async(&mut cli).await.unwrap();
    mailbox(SECRET, &cache, &gate).await.unwrap();
    let hasty = connect_hastily(&server.url()).await;
    server.stop();
    mailbox(SECRET, &hasty, &gate).await.unwrap();
    let debug = format!("{entry:?} {cache:?}");
    let error = mailbox_entry(SECRET, &hasty).invalidate().await.unwrap_err();

    let text = told.text();
    for outcome in ["outcome=\"hit\"", "outcome=\"stale\"", "outcome=\"computed\"", "damaged entry"]
    {
        assert!(text.contains(outcome), "{outcome} was not told:\n{text}");
    }
    assert!(text.contains("function=\"mailbox\"") && text.contains("key_digest="), "{text}");
    for kept in [text, debug, format!("{error} {error:?}")] {
        assert!(!kept.contains(SECRET) && !kept.contains("lovelace"), "{kept}");
        assert!(!kept.contains("mailbox:"), "{kept}");
    }
}

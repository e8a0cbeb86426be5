//! What is told to `tracing` names the function and a digest, never an argument and never the key.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

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

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Told {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One thread, so that everything is told to this test's own subscriber.
#[tokio::test(flavor = "current_thread")]
async fn no_argument_and_no_key_is_told() {
    let told = Told::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(told.clone());
    let _guard = subscriber.finish().set_default();

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

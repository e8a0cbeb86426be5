//! No label says more than names of functions, addresses and words.

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{RedisServer, eventually};

use crate::functions::settle;
use crate::heard::Heard;
use crate::servers::patient;

const SECRET: &str = "ada.lovelace@example.org";
const PASSWORD: &str = "hunter2hunter2";

#[redis_cached(key = "mailbox:{address}", ttl = "5m", tags = ["of:{address}"], skip(fails), cache = cache)]
async fn mailbox(cache: &Cache, address: &str, fails: bool) -> Result<String, String> {
    settle().await;
    if fails { Err(format!("no mailbox for {address}")) } else { Ok(address.to_owned()) }
}

/// Catalogue 51.
#[tokio::test]
async fn no_key_argument_tag_or_password_is_a_label() {
    let heard = Heard::listen();
    let mut server = RedisServer::start_with_password(PASSWORD);
    let cache = patient().url(server.url()).build().await.unwrap();
    let hasty = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    let entry = mailbox_entry(&cache, SECRET);
    mailbox(&cache, SECRET, true).await.unwrap_err();
    eventually("it is stored", async || {
        mailbox(&cache, SECRET, false).await.unwrap();
        entry.peek().await.unwrap().is_some()
    })
    .await;
    mailbox(&cache, SECRET, false).await.unwrap();
    cache.invalidate_tags([format!("of:{SECRET}")]).await.unwrap();
    mailbox(&cache, SECRET, false).await.unwrap();
    entry.set(SECRET.to_owned()).await.unwrap();
    entry.expire().await.unwrap();
    let mut cli = server.cli().await;
    redis::cmd("SET").arg(entry.key()).arg("damaged").exec_async(&mut cli).await.unwrap();
    mailbox(&cache, SECRET, false).await.unwrap();
    entry.invalidate().await.unwrap();
    server.stop();
    mailbox(&hasty, SECRET, false).await.unwrap();
    mailbox_entry(&hasty, SECRET).invalidate().await.unwrap_err();

    let series = heard.series();
    assert!(series.len() > 20, "{series:?}");
    for (name, labels) in series {
        for (label, value) in labels {
            for secret in [SECRET, "lovelace", "mailbox:", PASSWORD, "of:"] {
                assert!(!value.contains(secret), "{name} {label}={value}");
            }
            let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let known = match &*label {
                "function" => value == "mailbox",
                "module" => value.ends_with("::secrets"),
                "server" => value == format!("127.0.0.1:{}", server.port()),
                _ => is_word(&value),
            };
            assert!(known, "{name} {label}={value}");
        }
    }
}

//! Scripts touch the keys that they declare, and no others: in a cluster those may be on another node.

use std::time::Duration;

use redis_cached::{Cache, redis_cached, redis_put};
use redis_cached_tests::{Monitor, Proxy, RedisServer, eventually};

use crate::stage::{Origin, live, live_entry, order, page, patient, row, row_entry, row_refresh};

/// Fails, and has something at hand for another entry when it does not.
#[redis_cached(key = "list:{id}", ttl = "5m", lock_ttl = "1s", cache = cache, skip(cache, origin))]
async fn list(id: usize, cache: &Cache, origin: &Origin) -> Result<u64, String> {
    tokio::task::yield_now().await;
    if id == 0 {
        return Err("there is none".to_owned());
    }
    row_entry(id, cache).prime(origin.version(id));
    redis_cached::tag("deep");
    Ok(origin.version(id))
}

#[redis_cached(key = "hanging:{id}", ttl = "5m", lock_ttl = "300ms", cache = cache)]
async fn hanging(id: usize, cache: &Cache) -> usize {
    std::future::pending::<()>().await;
    id
}

#[redis_put(row(id, cache), cache = cache, on_failure = "retry")]
async fn write(id: usize, cache: &Cache) -> u64 {
    let _ = (id, cache);
    tokio::task::yield_now().await;
    7
}

/// Catalogue 64.
#[tokio::test]
async fn scripts_touch_what_they_declare_and_nothing_else() {
    let server = RedisServer::start();
    // For the names of scripts.
    let proxy = Proxy::before(&server).await;
    let cache = patient(&proxy.url()).build().await.unwrap();
    let (origin, mut cli) = (Origin::default(), server.cli().await);
    let mut monitor = Monitor::start(&server).await;
    for id in 0..6 {
        row(id, &cache, &origin).await;
        page(id, &cache, &origin).await;
        live(id, &cache, &origin).await;
        let _ = list(id, &cache, &origin).await;
        write(id, &cache).await;
        row_refresh(id, &cache, &origin).await;
        row_entry(id, &cache).set(1).await.unwrap();
        row_entry(id, &cache).set_versioned(2, 5).await.unwrap();
        live_entry(id, &cache).expire().await.unwrap();
        row_entry(id, &cache).invalidate().await.unwrap();
        cache.invalidate_tags([format!("row:{id}"), "deep".to_owned()]).await.unwrap();
        cache.expire_tags([format!("row:{id}")]).await.unwrap();
    }
    order(&mut cli, "SET ns:{row:1} damaged").await;
    row(1, &cache, &origin).await;
    {
        let call = hanging(1, &cache);
        tokio::pin!(call);
        tokio::select! {
            _ = &mut call => unreachable!("it hangs"),
            () = proxy.saw("renew", 2) => {}
        }
        // Dropped in the middle of its body: the lease is given back.
    }
    proxy.saw("release", 2).await;
    eventually("the lease is given back", async || {
        let there: bool =
            redis::cmd("EXISTS").arg("ns:{hanging:1}.lease").query_async(&mut cli).await.unwrap();
        !there
    })
    .await;
    // Nobody confirms it; that it is asked for is what counts here.
    let confirmed = patient(&proxy.url()).confirm_by_replicas(1, Duration::from_millis(10));
    let confirmed = confirmed.build().await.unwrap();
    assert!(row_entry(1, &confirmed).invalidate().await.unwrap_err().is_unconfirmed());
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../cache-runtime/src/store/redis/scripts");
    for file in std::fs::read_dir(scripts).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // A part of others, and one that a cluster alone needs, with no key but the journal.
        let is_elsewhere = ["note", "noted"].contains(&&*name);
        assert!(is_elsewhere || proxy.seen(&name) > 0, "{name} has not run");
    }
    let mut declared: Vec<String> = Vec::new();
    let mut touched = 0;
    for seen in monitor.seen_with_scripts().await {
        let words = &seen.words;
        if !seen.by_script {
            let many = words.get(2).and_then(|many| many.parse().ok()).unwrap_or(0);
            declared = words.iter().skip(3).take(many).cloned().collect();
            continue;
        }
        if let Some(key) = words.get(1) {
            assert!(declared.contains(key), "{words:?}, and declared is {declared:?}");
            touched += 1;
        }
    }
    assert!(touched > 200, "{touched} keys");
}

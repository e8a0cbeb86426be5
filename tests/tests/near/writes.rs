//! What becomes of copies when something is invalidated or written, here or elsewhere.

use std::time::Duration;

use redis_cached::Cache;
use redis_cached_tests::{Gate, Proxy, RedisServer};

use crate::stage::{asked, bound_is_over, cache, near, patient_cache, row, row_entry, row_refresh};

/// Whatever makes an old value one that must not be served.
const WAYS: [&str; 6] = ["invalidate", "expire", "tag", "set", "refresh", "clear"];

async fn write(way: &str, cache: &Cache, gate: &Gate) {
    let entry = row_entry(1, 1, cache);
    let done = match way {
        "invalidate" => entry.invalidate().await,
        // Without a window that is an invalidation.
        "expire" => entry.expire().await,
        "tag" => cache.invalidate_tags(["table:1"]).await,
        "set" => entry.set(gate.enter()).await,
        "refresh" => {
            row_refresh(1, 1, cache, gate).await;
            Ok(())
        }
        _ => cache.clear().await,
    };
    done.unwrap_or_else(|error| panic!("{way}: {error}"));
}

#[tokio::test]
async fn c2_what_another_process_does_is_seen_within_the_bound() {
    let server = RedisServer::start();
    let (here, there) = (cache(&server.url()).await, cache(&server.url()).await);
    for way in WAYS {
        let gate = Gate::open();
        row_entry(1, 1, &there).invalidate().await.unwrap();
        bound_is_over().await;
        let old = near(&here, &gate).await;
        write(way, &there, &gate).await;
        bound_is_over().await;
        let (new, _) = asked(&here, &gate).await;
        assert!(new > old, "{way}: {old} is served, and {new} was computed");
    }
}

/// Its connection for tracked reads tells of nothing meanwhile.
#[tokio::test]
async fn c2_what_this_process_does_is_seen_at_once() {
    let server = RedisServer::start();
    for way in WAYS {
        let proxy = Proxy::before(&server).await;
        let (here, gate) = (patient_cache(&proxy.url()).await, Gate::open());
        row_entry(1, 1, &here).invalidate().await.unwrap();
        let old = near(&here, &gate).await;
        // Whatever stands behind the reply is as late.
        let late = proxy.when("MGET").about("ns:{row:2}").once();
        let late = late.delay_reply(Duration::from_secs(1));
        let in_between = async {
            late.struck(1).await;
            write(way, &here, &gate).await;
            let (new, answer) = asked(&here, &gate).await;
            assert!(new > old, "{way}: {old} is served by {answer:?}");
        };
        let other = Gate::open();
        tokio::join!(row(2, 1, &here, &other), in_between);
    }
}

//! C1, fault 22: what an invalidation that was acknowledged by replicas outlives.

use std::time::Duration;

use redis_cached::{Builder, Cache, Error, InvalidateError, redis_invalidate};
use redis_cached_tests::{Gate, Kind, RedisServer, Service, Told, eventually, in_time};
use tokio::task::JoinSet;

use crate::outages::{order, works_again};
use crate::stage::{hits, live, live_entry, load, load_entry, patient};

pub(crate) const SHORT: Duration = Duration::from_millis(100);

pub(crate) fn confirmed(url: &str, within: Duration) -> Builder {
    patient().url(url).confirm_by_replicas(1, within)
}

async fn has(server: &RedisServer, key: &str) -> bool {
    redis::cmd("EXISTS").arg(key).query_async(&mut server.cli().await).await.expect("it is up")
}

/// Each way to invalidate.
pub(crate) async fn all_ways(cache: &Cache) -> Vec<(&'static str, Result<(), Error>)> {
    vec![
        ("a key", load_entry(42, cache).invalidate().await),
        ("a key is expired", live_entry(42, cache).expire().await),
        ("a tag", cache.invalidate_tags(["team:7"]).await),
        ("a tag is expired", cache.expire_tags(["team:7"]).await),
        ("a cache", cache.clear().await),
    ]
}

#[redis_invalidate(load(id, cache), cache = cache, on_failure = "error")]
async fn written(id: u64, cache: &Cache) -> Result<(), InvalidateError> {
    let _ = (id, cache);
    Ok(())
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_what_is_confirmed_the_replica_has_on_every_server() {
    for kind in [Kind::Redis, Kind::Redis8, Kind::Valkey] {
        let master = RedisServer::start_kind(kind);
        let replica = master.start_replica().await;
        let within = Duration::from_secs(20);
        let (cache, gate) = (confirmed(&master.url(), within).build().await.unwrap(), Gate::open());
        for id in 0..20 {
            load(id, &cache, &gate).await;
            let key = format!("ns:{{user:{id}}}");
            eventually("the replica has the entry", async || has(&replica, &key).await).await;
            load_entry(id, &cache).invalidate().await.unwrap();
            assert!(!has(&replica, &key).await, "{kind:?}");
        }
        for (what, sent) in all_ways(&cache).await {
            assert!(sent.is_ok(), "{kind:?}: {what}: {sent:?}");
        }
        written(42, &cache).await.unwrap();
    }
}

/// Catalogue 22. Also the second time, by a connection that has nothing to remove any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_what_no_replica_has_is_unconfirmed_on_every_server() {
    for kind in [Kind::Redis, Kind::Redis8, Kind::Valkey] {
        let master = RedisServer::start_kind(kind);
        let replica = master.start_replica().await;
        let (cache, gate) = (confirmed(&master.url(), SHORT).build().await.unwrap(), Gate::open());
        let another = confirmed(&master.url(), SHORT).build().await.unwrap();
        load(42, &cache, &gate).await;
        live(42, &cache, &gate).await;
        eventually("the replica has the entry", async || has(&replica, "ns:{user:42}").await).await;
        replica.pause();
        for cache in [&cache, &another] {
            for (what, sent) in all_ways(cache).await {
                let error = sent.expect_err(what);
                assert!(error.is_unconfirmed(), "{kind:?}: {what}: {error}");
                let text = error.to_string();
                assert!(text.contains("0 and not 1 replicas"), "{kind:?}: {what}: {text}");
            }
            assert!(written(42, cache).await.unwrap_err().reason().is_unconfirmed());
        }
        // The server itself is well.
        assert!(!hits(42, &cache, &gate).await && hits(42, &cache, &gate).await);
        replica.resume();
        works_again(&cache, &gate).await;
        cache.clear().await.unwrap();
        assert!(!has(&replica, "ns:{live:42}").await);
    }
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_a_replica_that_was_promoted_confirms_nothing() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let (cache, gate) = (confirmed(&master.url(), SHORT).build().await.unwrap(), Gate::open());
    works_again(&cache, &gate).await;
    order(&mut replica.cli().await, "REPLICAOF NO ONE").await;
    assert!(load_entry(42, &cache).invalidate().await.unwrap_err().is_unconfirmed());
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_it_is_confirmed_when_the_server_is_out_of_memory() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let within = Duration::from_secs(20);
    let (cache, gate) = (confirmed(&master.url(), within).build().await.unwrap(), Gate::open());
    load(42, &cache, &gate).await;
    order(&mut master.cli().await, "CONFIG SET maxmemory 1").await;
    for _ in 0..2 {
        load_entry(42, &cache).invalidate().await.unwrap();
        cache.invalidate_tags(["team:7"]).await.unwrap();
    }
    assert!(!has(&replica, "ns:{user:42}").await);
}

/// Catalogue 22. Nobody else waits for the replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_22_calls_are_answered_while_an_invalidation_waits() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let within = Duration::from_secs(60);
    let (cache, gate) = (confirmed(&master.url(), within).build().await.unwrap(), Gate::open());
    load(42, &cache, &gate).await;
    replica.pause();
    let waiting = {
        let cache = cache.clone();
        tokio::spawn(async move { load_entry(42, &cache).invalidate().await })
    };
    eventually("it is carried out", async || !has(&master, "ns:{user:42}").await).await;
    for id in 0..64 {
        assert!(!hits(id, &cache, &gate).await && hits(id, &cache, &gate).await);
    }
    assert!(!waiting.is_finished());
    replica.resume();
    in_time("it is confirmed", waiting).await.unwrap().unwrap();
}

/// Catalogue 22. It has its own time behind that of an operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_a_slow_replica_is_waited_for_past_the_deadline() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let deadline = Duration::from_millis(500);
    let builder = confirmed(&master.url(), Duration::from_secs(60)).deadline(deadline);
    let cache = builder.build().await.unwrap();
    replica.pause();
    let waiting = tokio::spawn(async move { load_entry(42, &cache).invalidate().await });
    tokio::time::sleep(2 * deadline).await;
    replica.resume();
    in_time("it is confirmed", waiting).await.unwrap().unwrap();
}

/// Catalogue 22. Who waits in vain because others wait knows nothing of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_22_a_queue_for_a_replica_is_no_outage() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let deadline = Duration::from_secs(1);
    let builder = confirmed(&master.url(), deadline / 2).deadline(deadline);
    let (cache, gate) = (builder.build().await.unwrap(), Gate::open());
    replica.pause();
    let mut queue = JoinSet::new();
    for _ in 0..16 {
        let cache = cache.clone();
        queue.spawn(async move { load_entry(42, &cache).invalidate().await });
    }
    for sent in in_time("all are answered", queue.join_all()).await {
        assert!(sent.unwrap_err().is_unconfirmed());
    }
    assert!(!hits(42, &cache, &gate).await && hits(42, &cache, &gate).await);
}

#[redis_invalidate(load(id, cache), cache = cache, on_failure = "retry")]
async fn retried(id: u64, cache: &Cache) {
    let _ = (id, cache);
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_what_is_unconfirmed_is_tried_again() {
    let master = RedisServer::start();
    let replica = master.start_replica().await;
    let (cache, gate) = (confirmed(&master.url(), SHORT).build().await.unwrap(), Gate::open());
    load(42, &cache, &gate).await;
    replica.pause();
    retried(42, &cache).await;
    assert_eq!(cache.unconfirmed_invalidations(), 1);
    replica.resume();
    eventually("it is confirmed", async || cache.unconfirmed_invalidations() == 0).await;
    assert!(!has(&replica, "ns:{user:42}").await);
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_confirmed_invalidations_outlive_a_failover() {
    let mut service = Service::start().await;
    let within = Duration::from_secs(5);
    let (cache, gate) = (confirmed(&service.url(), within).build().await.unwrap(), Gate::open());
    for id in 0..64 {
        load(id, &cache, &gate).await;
        load_entry(id, &cache).invalidate().await.unwrap();
    }
    service.servers[0].stop();
    service.has_failed_over().await;
    for id in 0..64 {
        assert!(!has(&service.servers[1], &format!("ns:{{user:{id}}}")).await);
    }
    // The new master has no replica yet.
    eventually("calls are answered", async || hits(42, &cache, &gate).await).await;
    let error = load_entry(42, &cache).invalidate().await.unwrap_err();
    assert!(error.to_string().contains("0 and not 1 replicas"), "{error}");
}

#[tokio::test]
async fn too_few_replicas_or_rights_are_told_at_build() {
    let server = RedisServer::start();
    let told = Told::listen();
    confirmed(&server.url(), SHORT).build().await.unwrap();
    assert!(told.text().contains("are to be confirmed by replicas"), "{}", told.text());
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg(&["app", "on", ">pw", "~*", "+@all", "-wait"]);
    user.exec_async(&mut server.cli().await).await.unwrap();
    let url = server.url_as("app:pw");
    let error = confirmed(&url, SHORT).build().await.unwrap_err();
    assert!(error.is_permission(), "{error}");
    patient().url(url).build().await.unwrap();
}

#[tokio::test]
async fn a_number_or_a_time_that_can_not_be_is_an_error() {
    for (replicas, within) in [(0, SHORT), (65, SHORT), (1, Duration::ZERO), (1, Duration::MAX)] {
        let builder = Cache::builder().url("memory://").confirm_by_replicas(replicas, within);
        let error = builder.build().await.unwrap_err();
        assert!(error.to_string().contains("confirm_by_replicas"), "{error}");
    }
}

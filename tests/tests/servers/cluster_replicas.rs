//! C1, fault 22 in a cluster: an invalidation counts when replicas of each node that it concerns have it.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Cluster, Gate, RedisServer, eventually};

use crate::cluster::{id_on, key, node_of_the_journal};
use crate::replicas::{SHORT, all_ways, confirmed};
use crate::stage::{hits, live, load, load_entry};

/// Of which node so many are waited for.
const LONG: Duration = Duration::from_secs(20);

/// What a replica has, which sends those away that do not say that they mean it.
async fn has(replica: &RedisServer, key: &str) -> bool {
    let mut both = redis::pipe();
    both.cmd("READONLY").ignore().cmd("EXISTS").arg(key);
    let [has]: [bool; 1] = both.query_async(&mut replica.cli().await).await.expect("it is up");
    has
}

fn replica_of(cluster: &Cluster, node: usize) -> &RedisServer {
    &cluster.nodes()[node + 3]
}

async fn built(cluster: &Cluster, within: Duration) -> Cache {
    confirmed(&cluster.url(), within).build().await.expect("the cluster is whole")
}

#[redis_cached(key = "page:{id}", ttl = "5m", tags = ["page:{id}"], cache = cache, skip(cache))]
async fn page(id: u64, cache: &Cache) -> u64 {
    tokio::task::yield_now().await;
    id
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_what_is_confirmed_the_replicas_of_all_nodes_have() {
    let cluster = Cluster::start().await;
    let (cache, gate) = (built(&cluster, LONG).await, Gate::open());
    for node in 0..3 {
        let (id, replica) = (id_on(node), replica_of(&cluster, node));
        for _ in 0..5 {
            load(id, &cache, &gate).await;
            eventually("the replica has the entry", async || has(replica, &key(id)).await).await;
            load_entry(id, &cache).invalidate().await.unwrap();
            assert!(!has(replica, &key(id)).await, "of node {node}");
        }
    }
    for id in 0..20 {
        page(id, &cache).await;
        let tag = format!("ns.tag:{{page:{id}}}");
        let replica = replica_of(&cluster, Cluster::first_master_of(&tag));
        eventually("the replica has the nonce", async || has(replica, &tag).await).await;
        cache.invalidate_tags([format!("page:{id}")]).await.unwrap();
        assert!(!has(replica, &tag).await, "{tag}");
    }
    for (what, sent) in all_ways(&cache).await {
        assert!(sent.is_ok(), "{what}: {sent:?}");
    }
}

/// Catalogue 22. Also the second time, by a connection that has nothing to remove any more; and what concerns others
/// only is confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_what_the_replica_of_its_node_has_not_is_unconfirmed() {
    let cluster = Cluster::start().await;
    let cache = built(&cluster, Duration::from_secs(1)).await;
    let another = built(&cluster, Duration::from_secs(1)).await;
    let gate = Gate::open();
    let journal = node_of_the_journal();
    let (silent, well) = ((journal + 1) % 3, (journal + 2) % 3);
    for node in 0..3 {
        load(id_on(node), &cache, &gate).await;
    }
    let replica = replica_of(&cluster, silent);
    let name = key(id_on(silent));
    eventually("the replica has the entry", async || has(replica, &name).await).await;
    replica.pause();
    for cache in [&cache, &another] {
        let error = load_entry(id_on(silent), cache).invalidate().await.unwrap_err();
        assert!(error.is_unconfirmed(), "{error}");
        assert!(error.to_string().contains("0 and not 1 replicas"), "{error}");
        load_entry(id_on(well), cache).invalidate().await.unwrap();
        load_entry(id_on(journal), cache).invalidate().await.unwrap();
    }
    // The node itself is well.
    let id = id_on(silent);
    assert!(!hits(id, &cache, &gate).await && hits(id, &cache, &gate).await);
    replica.resume();
    eventually("it is confirmed", async || load_entry(id, &cache).invalidate().await.is_ok()).await;
    assert!(!has(replica, &name).await);
}

/// Catalogue 22.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_confirmed_invalidations_outlive_a_master() {
    let mut cluster = Cluster::start().await;
    let (cache, gate) = (built(&cluster, LONG).await, Gate::open());
    let ids: Vec<u64> = (0..64).collect();
    for &id in &ids {
        load(id, &cache, &gate).await;
        live(id, &cache, &gate).await;
        load_entry(id, &cache).invalidate().await.unwrap();
    }
    let dead = node_of_the_journal();
    cluster.node(dead).stop();
    eventually("its replica takes over", async || cluster.masters().await.contains(&(dead + 3)))
        .await;
    for id in ids {
        let name = key(id);
        let master = Cluster::first_master_of(&name);
        let at = if master == dead { dead + 3 } else { master };
        assert!(!has(&cluster.nodes()[at], &name).await, "{name}");
    }
    // The new master has no replica yet.
    let id = id_on(dead);
    eventually("calls are answered", async || hits(id, &cache, &gate).await).await;
    let hasty = built(&cluster, SHORT).await;
    let error = load_entry(id, &hasty).invalidate().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
}

/// Catalogue 22, 35. The key is here yet, and all that is new belongs elsewhere, the mark too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_22_in_a_slot_that_moves_it_is_confirmed_by_whoever_has_the_key() {
    let cluster = Cluster::start().await;
    let (cache, gate) = (built(&cluster, LONG).await, Gate::open());
    let id = id_on(0);
    let name = key(id);
    load(id, &cache, &gate).await;
    let moving = cluster.begin_to_move(&name, 1).await;
    let error = load_entry(id, &cache).invalidate().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    // It was carried out all the same.
    assert_eq!(load_entry(id, &cache).peek().await.unwrap().map(|seen| seen.value), None);
    load(id, &cache, &gate).await;
    moving.key(&name).await;
    load_entry(id, &cache).invalidate().await.unwrap();
    assert!(!has(replica_of(&cluster, 0), &name).await);
    moving.finish().await;
    cluster.is_whole().await;
    assert!(!has(replica_of(&cluster, 1), &name).await);
    load(id, &cache, &gate).await;
    load_entry(id, &cache).invalidate().await.unwrap();
    assert!(!has(replica_of(&cluster, 1), &name).await);
}

/// A right that is missing is told of before the first call, and too few replicas are.
#[tokio::test]
async fn a_cluster_without_replicas_confirms_nothing() {
    let cluster = Cluster::of_masters().await;
    let cache = built(&cluster, SHORT).await;
    let error = load_entry(42, &cache).invalidate().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    for node in 0..3 {
        cluster.order(node, "ACL SETUSER app on >pw ~* +@all -wait").await;
    }
    let url = cluster.url().replace("://", "://app:pw@");
    let error = confirmed(&url, SHORT).build().await.unwrap_err();
    assert!(error.is_permission(), "{error}");
}

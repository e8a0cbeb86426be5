//! A Redis Cluster: slots that move, nodes that go, and that one of them is not the others' trouble.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis_cached::{BuildError, Cache, invalidate_many, redis_cached};
use redis_cached_tests::{
    Certificates, Cluster, Gate, Kind, Monitor, RedisServer, Told, eventually, in_time, slot_of,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{
    connect, connect_hastily, hits, live, live_entry, load, load_entry, load_refresh, patient,
};

/// Not a promise of speed, only of an end.
const SOON: Duration = Duration::from_secs(5);

pub(crate) fn key(id: u64) -> String {
    format!("ns:{{user:{id}}}")
}

/// Arguments of `load` whose keys are on this node.
fn ids_on(node: usize) -> impl Iterator<Item = u64> {
    (0..).filter(move |&id| Cluster::first_master_of(&key(id)) == node)
}

pub(crate) fn id_on(node: usize) -> u64 {
    ids_on(node).next().expect("there are more than enough")
}

/// The node of the journal of keys, by which every invalidation of a key goes.
pub(crate) fn node_of_the_journal() -> usize {
    Cluster::first_master_of("ns.journal.keys")
}

async fn is_hit(id: u64, cache: &Cache, gate: &Gate) {
    let runs = gate.runs();
    load(id, cache, gate).await;
    assert_eq!(gate.runs(), runs, "{id} is no hit");
}

async fn is_served_again(id: u64, cache: &Cache, gate: &Gate) {
    eventually("a call is answered without a body", async || hits(id, cache, gate).await).await;
    eventually("an invalidation is carried out", async || {
        load_entry(id, cache).invalidate().await.is_ok()
    })
    .await;
    eventually("a call is answered without a body", async || hits(id, cache, gate).await).await;
}

async fn refusal(url: &str) -> BuildError {
    Cache::builder().url(url).namespace("ns").build().await.expect_err("it can't be used")
}

// What the url says.

#[tokio::test]
async fn a_node_of_a_cluster_is_no_server_of_its_own() {
    let cluster = Cluster::shared().await;
    let error = refusal(&cluster.nodes()[0].url()).await;
    assert!(error.is_url() && error.to_string().contains("`redis-cluster://`"), "{error}");
    let error = refusal(&cluster.nodes()[0].unix_url()).await;
    assert!(error.is_url() && error.to_string().contains("`redis-cluster://`"), "{error}");
}

/// That is not known until it is there.
#[tokio::test]
async fn a_node_that_was_away_is_still_no_server_of_its_own() {
    let mut cluster = Cluster::of_masters().await;
    cluster.node(0).stop();
    let cache = connect_hastily(&cluster.nodes()[0].url()).await;
    cluster.node(0).restart();
    let id = id_on(1);
    eventually("it says so", async || {
        let error = load_entry(id, &cache).peek().await.expect_err("it is on another node");
        error.to_string().contains("`redis-cluster://`")
    })
    .await;
}

#[tokio::test]
async fn a_server_of_its_own_is_no_cluster() {
    let server = RedisServer::start();
    let error = refusal(&server.url().replace("redis://", "redis-cluster://")).await;
    assert!(error.is_url() && error.to_string().contains("`redis://`"), "{error}");
}

#[tokio::test]
async fn a_cluster_has_no_databases() {
    let cluster = Cluster::shared().await;
    let error = refusal(&format!("{}1", cluster.url())).await;
    assert!(error.is_url(), "{error}");
    let error = refusal("redis-cluster://:s3cret@127.0.0.1:1,127.0.0.1:notaport/").await;
    assert!(error.is_url() && !format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn c5_one_node_that_answers_is_enough_to_start() {
    let mut dead = RedisServer::start();
    dead.stop();
    let dead = dead.url().replace("redis://", "").replace('/', "");
    let cluster = Cluster::shared().await;
    for named in 0..3 {
        let url = cluster.url_of([named]).replace("127.0.0.1", &format!("{dead},127.0.0.1"));
        let (cache, gate) = (connect_hastily(&url).await, Gate::open());
        cache.ping().await.unwrap();
        for node in 0..3 {
            load(id_on(node), &cache, &gate).await;
            is_hit(id_on(node), &cache, &gate).await;
        }
    }
}

#[tokio::test]
async fn c5_no_node_is_there_at_start() {
    let mut cluster = Cluster::of_masters().await;
    (0..3).for_each(|node| cluster.node(node).stop());
    let told = Told::listen();
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    // It is asked again and again meanwhile.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let runs = gate.runs();
        assert_eq!(load(1, &cache, &gate).await, runs + 1);
    }
    assert!(load_entry(1, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    assert!(cache.ping().await.unwrap_err().is_unavailable());
    assert_eq!(told.text().matches("no node tells where").count(), 1);
    drop(told);
    (0..3).for_each(|node| cluster.node(node).restart());
    for node in 0..3 {
        is_served_again(id_on(node), &cache, &gate).await;
    }
}

/// Rights are each node's own.
#[tokio::test]
async fn a_refusal_by_any_master_is_loud() {
    let cluster = Cluster::of_masters().await;
    let url = cluster.url().replace("redis-cluster://", "redis-cluster://app:pw@");
    let allow = async |node, rights: &str| {
        cluster.order(node, &format!("ACL SETUSER app reset on >pw {rights}")).await;
    };
    for node in 0..3 {
        allow(node, "~* +@all").await;
    }
    assert!(Cache::builder().url(&url).namespace("ns").build().await.is_ok());
    allow(2, "~* +@all -getrange").await;
    assert!(refusal(&url).await.is_permission());
    allow(2, "~* +@all -asking").await;
    assert!(refusal(&url).await.is_permission());
    allow(2, "~* +@all").await;
    allow(1, "~* +@all -setrange").await;
    assert!(refusal(&url).await.is_permission());
    allow(1, "resetpass >other").await;
    assert!(refusal(&url).await.is_authentication());
}

/// The rule that can be pasted is enough also where slots move.
#[tokio::test]
async fn the_permissions_that_the_docs_name_are_enough_for_a_cluster() {
    let docs = include_str!("../../../docs/operations.md");
    let rule = docs.lines().find_map(|line| line.strip_prefix("ACL SETUSER shop on >… "));
    let rule = rule.expect("it is in there").replace("shop", "ns");
    let more = docs.split("In a cluster add `").nth(1).and_then(|rest| rest.split('`').next());
    let rule = format!("{rule} {}", more.expect("it is in there"));
    let cluster = Cluster::of_masters().await;
    for node in 0..3 {
        cluster.order(node, &format!("ACL SETUSER app reset on >pw {rule}")).await;
    }
    let url = cluster.url().replace("redis-cluster://", "redis-cluster://app:pw@");
    let (cache, gate) = (connect(&url).await, Gate::open());
    for node in 0..3 {
        let id = id_on(node);
        load(id, &cache, &gate).await;
        is_hit(id, &cache, &gate).await;
        let moving = cluster.begin_to_move(&key(id), (node + 1) % 3).await;
        moving.key(&key(id)).await;
        is_hit(id, &cache, &gate).await;
        moving.finish().await;
        is_served_again(id, &cache, &gate).await;
    }
}

// Slots that move.

async fn redirections(cluster: &Cluster, code: &str) -> u64 {
    let mut all = 0;
    for at in 0..cluster.nodes().len() {
        let stats: String = cluster.ask(at, "INFO errorstats").await;
        let of_code =
            stats.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{code}:count=")));
        all += of_code.map_or(0, |count| count.trim().parse::<u64>().expect("a number"));
    }
    all
}

/// Catalogue 34.
#[tokio::test]
async fn c5_a_slot_that_has_moved_is_followed() {
    for kind in [Kind::Redis, Kind::Redis8, Kind::Valkey] {
        follows_slots(Cluster::of_kind(kind).await).await;
    }
}

async fn follows_slots(cluster: Cluster) {
    let (a, b) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    let gate = Gate::open();
    for node in 0..3 {
        let id = id_on(node);
        assert_eq!(load(id, &a, &gate).await, node + 1);
        cluster.move_slot(&key(id), (node + 1) % 3).await;
        let before = redirections(&cluster, "MOVED").await;
        for _ in 0..10 {
            is_hit(id, &a, &gate).await;
        }
        let redirected = redirections(&cluster, "MOVED").await - before;
        // None where it was asked for since the move before, and one more where an answer was under way since before this.
        assert!(redirected <= 2, "it is known by then: {redirected}");
        assert!(node > 0 || redirected > 0, "nobody has told it before");
        // Of the other everything is the first that it hears.
        load_entry(id, &b).invalidate().await.unwrap();
        assert!(load_entry(id, &a).peek().await.unwrap().is_none());
    }
    for node in 0..3 {
        let id = id_on(node);
        load(id, &b, &gate).await;
        is_hit(id, &a, &gate).await;
    }
}

#[tokio::test]
async fn c1_what_is_invalidated_in_a_cluster_over_tls_is_gone() {
    let certificates = Certificates::new();
    let cluster = Cluster::with_tls(&certificates).await;
    let builder = patient().url(cluster.url());
    let cache = builder.tls_root_certificates(certificates.read("root.pem")).build().await.unwrap();
    let (gate, id) = (Gate::open(), id_on(1));
    load(id, &cache, &gate).await;
    cluster.move_slot(&key(id), 2).await;
    is_hit(id, &cache, &gate).await;
    load_entry(id, &cache).invalidate().await.unwrap();
    assert_eq!(load(id, &cache, &gate).await, 2);
    let untrusting = patient().url(cluster.url()).build().await;
    assert!(untrusting.is_err_and(|error| error.is_certificate()));
}

/// By a name, not at all, or by a name that they do not have.
#[tokio::test]
async fn c5_nodes_are_reached_as_they_are_announced() {
    let cluster = Cluster::of_masters().await;
    let url = cluster.url_of([0]).replace("127.0.0.1", "localhost");
    for (kind, name) in [("hostname", "localhost"), ("unknown-endpoint", ""), ("hostname", "")] {
        for node in 0..3 {
            let prefer = format!("CONFIG SET cluster-preferred-endpoint-type {kind}");
            cluster.order(node, &prefer).await;
            let announce = format!("CONFIG SET cluster-announce-hostname {name}");
            cluster.order(node, &announce).await;
        }
        for node in 0..3 {
            eventually("all know how to call the others", async || {
                let known: String = cluster.ask(node, "CLUSTER NODES").await;
                known.matches(",localhost").count() == if name.is_empty() { 0 } else { 3 }
            })
            .await;
        }
        let (cache, gate) = (connect(&url).await, Gate::open());
        for node in 0..3 {
            let id = id_on(node);
            load(id, &cache, &gate).await;
            let to = (cluster.master_of(&key(id)).await + 1) % 3;
            cluster.move_slot(&key(id), to).await;
            // Without a name, where it is has to be asked first.
            eventually("it is found", async || hits(id, &cache, &gate).await).await;
        }
    }
}

/// Catalogue 34. Nobody but who asks for this key is sent elsewhere.
#[tokio::test]
async fn c5_a_key_that_is_ahead_of_its_slot_is_followed() {
    let cluster = Cluster::of_masters().await;
    let (a, b) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    let (gate, id) = (Gate::open(), id_on(0));
    load(id, &a, &gate).await;
    let moving = cluster.begin_to_move(&key(id), 1).await;
    is_hit(id, &a, &gate).await;
    moving.key(&key(id)).await;
    for _ in 0..3 {
        is_hit(id, &a, &gate).await;
        is_hit(id, &b, &gate).await;
    }
    assert_eq!(redirections(&cluster, "MOVED").await, 0, "the slot has not moved yet");
    assert!(redirections(&cluster, "ASK").await >= 6);
    assert!(load_entry(id, &a).ttl().await.unwrap().is_some());
    moving.finish().await;
    is_hit(id, &a, &gate).await;
    is_served_again(id, &b, &gate).await;
}

/// Catalogue 35. A computation under way has its lease here, and there is its value.
#[tokio::test]
async fn c1_what_is_invalidated_in_a_slot_that_is_half_moved_is_gone() {
    let cluster = Cluster::of_masters().await;
    let (a, b) = (connect_hastily(&cluster.url()).await, connect_hastily(&cluster.url()).await);
    for moves_lease in [false, true] {
        let (gate, id) = (Gate::closed(), id_on(0));
        let name = key(id);
        let computing = {
            let (a, gate) = (a.clone(), gate.clone());
            tokio::spawn(async move { load_refresh(id, &a, &gate).await })
        };
        gate.started(1).await;
        load_entry(99, &a).set(1).await.unwrap();
        // An old value stands beside the lease.
        let from = cluster.master_of(&name).await;
        cluster.order(from, &format!("SET {name} old")).await;
        let moving = cluster.begin_to_move(&name, 1).await;
        let lease = format!("{name}.lease");
        moving.key(if moves_lease { &lease } else { &name }).await;
        in_time("it ends", load_entry(id, &b).invalidate()).await.unwrap();
        for node in [0, 1] {
            for name in [&name, &lease] {
                let left = format!("CLUSTER COUNTKEYSINSLOT {}", slot_of(name));
                assert_eq!(cluster.ask::<u64>(node, &left).await, 0, "on {node}");
            }
        }
        gate.let_all_go();
        assert_eq!(computing.await.unwrap(), 1);
        moving.finish().await;
        assert!(load_entry(id, &b).peek().await.unwrap().is_none(), "its commit is refused");
        is_served_again(id, &b, &gate).await;
        cluster.move_slot(&name, 0).await;
        load_entry(id, &b).invalidate().await.unwrap();
    }
}

/// Catalogue 35. Where value and lease can't be seen together nothing is stored, and nobody is held up.
#[tokio::test]
async fn c5_a_miss_in_a_slot_that_is_half_moved_runs_its_body() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect(&cluster.url()).await, Gate::open());
    let id = id_on(0);
    let moving = cluster.begin_to_move(&key(id), 1).await;
    for run in 1..=3 {
        let started = Instant::now();
        assert_eq!(load(id, &cache, &gate).await, run);
        assert!(started.elapsed() < SOON);
    }
    let tried = redirections(&cluster, "TRYAGAIN").await;
    assert_eq!(tried, 3 * 4, "each asks for the lease, and three times again");
    load_entry(id, &cache).invalidate().await.unwrap();
    moving.finish().await;
    is_served_again(id, &cache, &gate).await;
}

/// Catalogue 35. What can't be marked in one step with its lease is removed.
#[tokio::test]
async fn c1_what_is_expired_in_a_slot_that_is_half_moved_is_not_served() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect(&cluster.url()).await, Gate::open());
    live(1, &cache, &gate).await;
    let name = live_entry(1, &cache).key().to_owned();
    let to = (cluster.master_of(&name).await + 1) % 3;
    let moving = cluster.begin_to_move(&name, to).await;
    live_entry(1, &cache).expire().await.unwrap();
    assert!(live_entry(1, &cache).peek().await.unwrap().is_none());
    moving.finish().await;
    assert_eq!(live(1, &cache, &gate).await, 2);
}

/// Catalogue 35. As long as the lease may be there, the value is left alone.
#[tokio::test]
async fn c1_of_two_keys_on_two_nodes_the_lease_goes_first() {
    let cluster = Cluster::of_masters().await;
    let (cache, id) = (connect_hastily(&cluster.url()).await, id_on(node_of_the_journal()));
    let (name, from, to) = (key(id), node_of_the_journal(), (node_of_the_journal() + 1) % 3);
    let lease = format!("{name}.lease");
    cluster.order(from, &format!("SET {name} value")).await;
    cluster.order(from, &format!("SET {lease} lease")).await;
    let moving = cluster.begin_to_move(&name, to).await;
    moving.key(&lease).await;
    cluster.nodes()[to].pause();
    assert!(load_entry(id, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    let left = format!("CLUSTER COUNTKEYSINSLOT {}", slot_of(&name));
    assert_eq!(cluster.ask::<u64>(from, &left).await, 1, "the value stands");
    cluster.nodes()[to].resume();
    eventually("both go", async || load_entry(id, &cache).invalidate().await.is_ok()).await;
    for node in [from, to] {
        assert_eq!(cluster.ask::<u64>(node, &left).await, 0, "on {node}");
    }
}

/// Catalogue 35. The lease stays, and so the commit is skipped rather than half done.
#[tokio::test]
async fn c1_a_commit_into_a_slot_that_is_half_moved_is_skipped() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate, id) = (connect_hastily(&cluster.url()).await, Gate::closed(), id_on(0));
    let computing = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { load(id, &cache, &gate).await })
    };
    gate.started(1).await;
    // The lease is there, and the value is nowhere.
    let moving = cluster.begin_to_move(&key(id), 1).await;
    gate.let_all_go();
    assert_eq!(in_time("it returns", computing).await.unwrap(), 1);
    assert!(load_entry(id, &cache).peek().await.unwrap().is_none());
    eventually("the lease is given back", async || {
        let left = format!("CLUSTER COUNTKEYSINSLOT {}", slot_of(&key(id)));
        cluster.ask::<u64>(0, &left).await == 0
    })
    .await;
    moving.finish().await;
    is_served_again(id, &cache, &gate).await;
}

/// The marker of a failure needs the lease only.
#[tokio::test]
async fn c4_a_body_that_fails_in_a_slot_that_is_half_moved_leaves_the_marker() {
    #[redis_cached(key = "failing:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
    async fn failing(id: u64, cache: &Cache, gate: &Gate) -> Result<u64, &'static str> {
        gate.pass().await;
        Err("it has failed")
    }
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect(&cluster.url()).await, Gate::closed());
    let computing = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { failing(1, &cache, &gate).await })
    };
    gate.started(1).await;
    let name = failing_entry(1, &cache).key().to_owned();
    let from = cluster.master_of(&name).await;
    let moving = cluster.begin_to_move(&name, (from + 1) % 3).await;
    gate.let_all_go();
    in_time("it returns", computing).await.unwrap().unwrap_err();
    eventually("the marker is there", async || {
        let lease: Option<String> = cluster.ask(from, &format!("GET {name}.lease")).await;
        lease.is_some_and(|lease| lease.starts_with("pass."))
    })
    .await;
    moving.finish().await;
}

/// A waiting process is woken also by a node that its lease has gone to.
#[tokio::test]
async fn c4_a_lease_that_moves_is_waited_for() {
    let cluster = Cluster::of_masters().await;
    let (a, b) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    let (gate, id) = (Gate::closed(), id_on(0));
    let call = |cache: &Cache| {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { load(id, &cache, &gate).await })
    };
    let first = call(&a);
    gate.started(1).await;
    let second = call(&b);
    eventually("the other waits", async || {
        let info: String = cluster.ask(0, "INFO stats").await;
        info.contains("tracking_total_keys:1")
    })
    .await;
    cluster.move_slot(&key(id), 1).await;
    eventually("the other waits there", async || {
        let info: String = cluster.ask(1, "INFO stats").await;
        info.contains("tracking_total_keys:1")
    })
    .await;
    gate.let_all_go();
    assert_eq!(in_time("both return", first).await.unwrap(), 1);
    assert_eq!(in_time("both return", second).await.unwrap(), 1);
    assert_eq!(gate.runs(), 1);
}

// Nodes that go.

async fn others_hit(cache: &Cache, gate: &Gate, dead: usize) {
    let started = Instant::now();
    for id in (0..3).filter(|&node| node != dead).flat_map(|node| ids_on(node).take(100)) {
        is_hit(id, cache, gate).await;
    }
    // Two hundred would wait for fifty seconds, if each waited for a deadline.
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

async fn one_dead_shard(stop: fn(&mut RedisServer), start: fn(&mut RedisServer)) {
    let mut cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    let dead = (node_of_the_journal() + 1) % 3;
    for id in (0..3).flat_map(|node| ids_on(node).take(100)) {
        load(id, &cache, &gate).await;
    }
    stop(cluster.node(dead));
    let told = Told::listen();
    let (mut runs, id) = (gate.runs(), id_on(dead));
    // Until its breaker is open, and longer.
    for _ in 0..10 {
        let started = Instant::now();
        runs += 1;
        assert_eq!(load(id, &cache, &gate).await, runs);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        others_hit(&cache, &gate, dead).await;
    }
    assert!(told.text().contains("has not answered lately"), "its breaker is open");
    drop(told);
    assert!(load_entry(id, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    let other = id_on(node_of_the_journal());
    load_entry(other, &cache).invalidate().await.unwrap();
    assert_eq!(load(other, &cache, &gate).await, runs + 1);
    is_hit(other, &cache, &gate).await;
    start(cluster.node(dead));
    is_served_again(id, &cache, &gate).await;
}

#[tokio::test]
async fn c5_a_shard_that_is_stopped_is_not_the_others_trouble() {
    one_dead_shard(|node| node.pause(), |node| node.resume()).await;
}

#[tokio::test]
async fn c5_a_shard_that_is_killed_is_not_the_others_trouble() {
    one_dead_shard(RedisServer::stop, RedisServer::restart).await;
}

/// All are attempted, and those of the others are not given up for those that wait.
#[tokio::test]
async fn c1_of_many_invalidations_only_those_of_a_dead_shard_are_left() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    let dead = (node_of_the_journal() + 1) % 3;
    for id in 0..900 {
        load(id, &cache, &gate).await;
    }
    cluster.nodes()[dead].pause();
    let all = invalidate_many((0..900).map(|id| load_entry(id, &cache)));
    assert!(all.await.unwrap_err().is_unconfirmed());
    for id in (0..900).filter(|&id| Cluster::first_master_of(&key(id)) != dead) {
        assert!(load_entry(id, &cache).peek().await.unwrap().is_none(), "{id}");
    }
    cluster.nodes()[dead].resume();
}

/// What can't be noted is not final: it is deleted, and said not to be confirmed.
#[tokio::test]
async fn c1_an_invalidation_that_the_journal_is_not_told_of_is_unconfirmed() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    let id = id_on((node_of_the_journal() + 1) % 3);
    load(id, &cache, &gate).await;
    cluster.nodes()[node_of_the_journal()].pause();
    let error = load_entry(id, &cache).invalidate().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    assert!(load_entry(id, &cache).peek().await.unwrap().is_none(), "it is gone all the same");
    let error = load_entry(id, &cache).set(1).await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    cluster.nodes()[node_of_the_journal()].resume();
    is_served_again(id, &cache, &gate).await;
}

/// Catalogue 36. Too few masters, or a slot that nobody has.
#[tokio::test]
async fn c5_a_cluster_that_is_down_is_an_outage() {
    let mut cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    let (dead, id) = (2, id_on(0));
    for node in 0..2 {
        cluster.order(node, "CONFIG SET cluster-require-full-coverage yes").await;
    }
    load(id, &cache, &gate).await;
    cluster.node(dead).stop();
    for node in 0..2 {
        eventually("the others notice", async || {
            let info: String = cluster.ask(node, "CLUSTER INFO").await;
            info.contains("cluster_state:fail")
        })
        .await;
    }
    let told = Told::listen();
    let runs = gate.runs();
    for run in 1..=3 {
        assert_eq!(load(id, &cache, &gate).await, runs + run);
    }
    let text = told.text();
    assert!(text.contains("does not serve all of its slots"), "{text}");
    assert!(!text.contains("the server refuses what the cache asks"), "{text}");
    drop(told);
    assert!(load_entry(id, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    assert!(load_entry(id, &cache).peek().await.unwrap_err().is_unavailable());
    cluster.node(dead).restart();
    for node in 0..3 {
        is_served_again(id_on(node), &cache, &gate).await;
    }
}

/// The version of a row that each call must show at least, and what its origin has.
#[derive(Default)]
pub(crate) struct Rows {
    written: [AtomicU64; 24],
    acknowledged: [AtomicU64; 24],
    pub(crate) over: AtomicBool,
}

#[redis_cached(
    key = "row:{id}", ttl = "5m", tags = ["row:{id}"], wait = "1s", lock_ttl = "500ms", cache = cache,
    skip(cache, rows)
)]
async fn row(id: usize, cache: &Cache, rows: &Rows) -> u64 {
    let read = rows.written[id].load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..4))).await;
    read
}

impl Rows {
    /// Reads and writes until that is over: by key, by tag and by `set`. Says how many calls were answered, and how many
    /// invalidations confirmed.
    async fn used_by(self: Arc<Self>, cache: Cache) -> [u64; 2] {
        let mut count = [0; 2];
        while !self.over.load(Ordering::Relaxed) {
            let id = fastrand::usize(..self.written.len());
            if fastrand::u8(..8) > 0 {
                let least = self.acknowledged[id].load(Ordering::SeqCst);
                let read = row(id, &cache, &self).await;
                assert!(read >= least, "row {id}: {read} was invalidated by {least}");
                count[0] += 1;
                continue;
            }
            let version = self.written[id].fetch_add(1, Ordering::SeqCst) + 1;
            let invalidated = if fastrand::bool() {
                row_entry(id, &cache).invalidate().await
            } else {
                cache.invalidate_tags([format!("row:{id}")]).await
            };
            if invalidated.is_ok() {
                self.acknowledged[id].fetch_max(version, Ordering::SeqCst);
                count[1] += 1;
            }
        }
        count
    }
}

/// Some callers in each of two processes, as it were.
pub(crate) async fn under_load(cluster: &Cluster) -> (Arc<Rows>, JoinSet<[u64; 2]>, Vec<Cache>) {
    let rows = Arc::new(Rows::default());
    let mut users = JoinSet::new();
    let mut caches = Vec::new();
    for _ in 0..2 {
        let cache = connect_hastily(&cluster.url()).await;
        for _ in 0..4 {
            users.spawn(Arc::clone(&rows).used_by(cache.clone()));
        }
        caches.push(cache);
    }
    (rows, users, caches)
}

/// Catalogue 34.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_what_is_acknowledged_while_slots_move_is_final() {
    let cluster = Cluster::of_masters().await;
    let (rows, users, _caches) = under_load(&cluster).await;
    let ids: Range<usize> = 0..rows.written.len();
    for round in 0..4 {
        for id in ids.clone() {
            // Both halves of what a call reads, and the journal now and then.
            let name = [format!("ns:{{row:{id}}}"), format!("ns.tag:{{row:{id}}}")][id % 2].clone();
            let name = if id == 7 { "ns.journal.keys".to_owned() } else { name };
            let to = (cluster.master_of(&name).await + 1 + round % 2) % 3;
            let moving = cluster.begin_to_move(&name, to).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            moving.key(&name).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            moving.finish().await;
        }
    }
    rows.over.store(true, Ordering::Relaxed);
    let counts = in_time("all end", users.join_all()).await;
    let [calls, confirmed] = [0, 1].map(|what| counts.iter().map(|count| count[what]).sum::<u64>());
    assert!(calls > 1_000 && confirmed > 100, "{calls} calls, {confirmed} invalidations");
    assert!(redirections(&cluster, "MOVED").await > 50);
    assert!(redirections(&cluster, "ASK").await > 0);
}

/// What a master has acknowledged and its replica has not got is lost, which is not promised. All else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_master_that_is_killed_under_load_is_replaced() {
    let mut cluster = Cluster::start().await;
    let (cache, gate) = (connect_hastily(&cluster.url()).await, Gate::open());
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for node in 0..3 {
        let (cache, gate, over) = (cache.clone(), gate.clone(), Arc::clone(&over));
        callers.spawn(async move {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                for id in ids_on(node).take(10) {
                    let started = Instant::now();
                    load(id, &cache, &gate).await;
                    longest = longest.max(started.elapsed());
                }
                tokio::task::yield_now().await;
            }
            longest
        });
    }
    for (killed, promoted) in [(0, 3), (1, 4), (3, 0)] {
        let id = id_on(killed % 3);
        is_served_again(id, &cache, &gate).await;
        cluster.node(killed).stop();
        is_served_again(id, &cache, &gate).await;
        assert_eq!(cluster.master_of(&key(id)).await, promoted);
        cluster.node(killed).restart();
        cluster.is_whole().await;
    }
    over.store(true, Ordering::Relaxed);
    for longest in in_time("they end", callers.join_all()).await {
        assert!(longest < SOON, "{longest:?}");
    }
    cache.ping().await.unwrap();
}

/// A master that hands over to its replica is followed, and left.
#[tokio::test]
async fn c5_a_master_that_becomes_a_replica_is_left() {
    let cluster = Cluster::start().await;
    let (cache, gate) = (connect(&cluster.url()).await, Gate::open());
    let id = id_on(0);
    load(id, &cache, &gate).await;
    let connections = async |node| {
        let list: String = cluster.ask(node, "CLIENT LIST TYPE normal").await;
        list.lines().filter(|line| line.contains(" laddr=127.0.0.1:")).count()
    };
    assert_eq!(connections(0).await, 7);
    cluster.order(3, "CLUSTER FAILOVER").await;
    eventually("it hands over", async || cluster.master_of(&key(id)).await == 3).await;
    is_served_again(id, &cache, &gate).await;
    eventually("its connections are closed", async || {
        load(id, &cache, &gate).await;
        connections(0).await == 0
    })
    .await;
    assert!(connections(3).await > 0);
}

// What lies where.

/// Catalogue 48.
#[tokio::test]
async fn c6_braces_in_an_argument_steer_no_slot() {
    #[redis_cached(key = "named:{name}", ttl = "5m", tags = ["name:{name}"], cache = cache, skip(cache))]
    async fn named(name: &str, cache: &Cache) -> String {
        tokio::task::yield_now().await;
        name.to_owned()
    }
    let cluster = Cluster::shared().await;
    let cache = connect(&cluster.url()).await;
    let mut slots = HashSet::new();
    for n in 0..50 {
        let name = format!("}}{{victim}}{n}");
        assert_eq!(named(&name, &cache).await, name);
        assert!(named_entry(&name, &cache).peek().await.unwrap().is_some(), "{name}");
        slots.insert(slot_of(named_entry(&name, &cache).key()));
        cache.invalidate_tags([format!("name:{name}")]).await.unwrap();
        assert!(named_entry(&name, &cache).peek().await.unwrap().is_none(), "{name}");
    }
    assert!(slots.len() > 40, "{} slots", slots.len());
}

/// What others have at hand: by their tags it is known as a function with late ones.
#[redis_cached(key = "member:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn member(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

#[redis_cached(key = "list:{n}", ttl = "5m", tags = ["list:{n}", "lists"], cache = cache, skip(cache, gate))]
async fn listed(n: u64, cache: &Cache, gate: &Gate) -> usize {
    redis_cached::tag("late");
    for id in n..n + 3 {
        member_entry(id, cache).prime(7);
    }
    gate.pass().await
}

/// Catalogue 64. With a debug build, keys of several slots are a panic besides.
#[tokio::test]
async fn every_script_declares_the_keys_that_it_touches() {
    let cluster = Cluster::of_masters().await;
    let mut monitors = Vec::new();
    for node in cluster.nodes() {
        monitors.push(Monitor::start(node).await);
    }
    let (cache, gate) = (connect(&cluster.url()).await, Gate::open());
    for id in 0..5 {
        load(id, &cache, &gate).await;
        listed(id, &cache, &gate).await;
        member(id, &cache, &gate).await;
        live(id, &cache, &gate).await;
        live_entry(id, &cache).expire().await.unwrap();
        live(id, &cache, &gate).await;
        live_entry(id, &cache).set_versioned(1, id).await.unwrap();
        load_entry(id, &cache).set(1).await.unwrap();
        load_refresh(id, &cache, &gate).await;
        load_entry(id, &cache).invalidate().await.unwrap();
    }
    cache.expire_tags(["lists", "late"]).await.unwrap();
    cache.invalidate_tags((0..5).map(|n| format!("list:{n}"))).await.unwrap();
    cache.shutdown(Duration::from_secs(20)).await.unwrap();
    let (mut scripts, mut touched) = (0, 0);
    for monitor in &mut monitors {
        let mut declared: Vec<String> = Vec::new();
        for seen in monitor.seen_with_scripts().await {
            if !seen.by_script {
                declared.clear();
                if seen.words[0].starts_with("EVAL") {
                    let keys: usize = seen.words[2].parse().expect("how many keys");
                    declared = seen.words[3..3 + keys].to_vec();
                    scripts += 1;
                    let slots: HashSet<u16> = declared.iter().map(|key| slot_of(key)).collect();
                    assert_eq!(slots.len(), 1, "{declared:?}");
                }
            } else if let Some(name) = seen.words.get(1) {
                assert!(declared.contains(name), "{name} of {seen:?} is not in {declared:?}");
                touched += 1;
            }
        }
    }
    assert!(scripts > 100 && touched > 200, "{scripts} scripts have touched {touched} keys");
}

/// More than go out at once, over all nodes.
#[tokio::test]
async fn c1_thousands_are_invalidated_at_once() {
    let cluster = Cluster::shared().await;
    let cache = connect(&cluster.url()).await;
    #[redis_cached(key = "many:{id}", ttl = "5m", tags = ["many:{id}"], cache = cache, skip(cache))]
    async fn many(id: u64, cache: &Cache) -> u64 {
        tokio::task::yield_now().await;
        id
    }
    let all = async || {
        let mut calls = JoinSet::new();
        for id in 0..2_500 {
            let cache = cache.clone();
            calls.spawn(async move { many(id, &cache).await });
        }
        calls.join_all().await;
    };
    let left = async || {
        let mut left = 0;
        for id in 0..2_500 {
            left += usize::from(many_entry(id, &cache).peek().await.unwrap().is_some());
        }
        left
    };
    all().await;
    assert_eq!(left().await, 2_500);
    invalidate_many((0..2_500).map(|id| many_entry(id, &cache))).await.unwrap();
    assert_eq!(left().await, 0);
    all().await;
    cache.invalidate_tags((0..2_500).map(|id| format!("many:{id}"))).await.unwrap();
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn c1_clearing_walks_through_all_masters() {
    let cluster = Cluster::of_masters().await;
    let (cache, gate) = (connect(&cluster.url()).await, Gate::open());
    for id in 0..100 {
        load(id, &cache, &gate).await;
        listed(id, &cache, &gate).await;
    }
    let moving = cluster.begin_to_move(&key(7), (cluster.master_of(&key(7)).await + 1) % 3).await;
    moving.key(&key(7)).await;
    cache.clear().await.unwrap();
    for node in 0..3 {
        assert_eq!(cluster.ask::<Vec<String>>(node, "KEYS ns*").await, [""; 0]);
    }
    moving.finish().await;
}

/// What was read by the clock of one node says nothing to another's, and so a prime of it might be too old.
#[tokio::test]
async fn c1_a_body_that_was_served_something_primes_nothing_in_a_cluster() {
    #[redis_cached(key = "through:{id}:{twice}", ttl = "5m", cache = cache, skip(cache, gate))]
    async fn through(id: u64, cache: &Cache, gate: &Gate, twice: bool) -> usize {
        // By the clock of one server it would be told that what is loaded here is the younger one.
        tokio::time::sleep(Duration::from_millis(5)).await;
        member(id, cache, gate).await;
        if twice {
            // It was computed behind the begin of this body; but who can tell?
            member(id, cache, gate).await;
        }
        member_entry(id + 1, cache).prime(99);
        0
    }
    let cluster = Cluster::shared().await;
    let cache = connect(&cluster.url()).await;
    let gate = Gate::open();
    for (id, twice) in [(5_000, false), (5_010, true)] {
        through(id, &cache, &gate, twice).await;
        let primed = member_entry(id + 1, &cache).peek().await.unwrap().map(|seen| seen.value);
        assert_eq!(primed, (!twice).then_some(99));
    }
}

//! A cluster whose nodes' clocks are hours apart: each key has the time of its own node, and what lies on several of them
//! compares no times.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis_cached::{Cache, State, invalidate_many, redis_cached, redis_put};
use redis_cached_tests::{Cluster, Gate, eventually, in_time};

use crate::cluster::under_load;
use crate::stage::connect;

const NODES: usize = 3;
const OFF: [&str; NODES] = ["+0s", "+3600s", "-3600s"];
const TTL: Duration = Duration::from_secs(300);

#[redis_cached(
    key = "row:{id}", ttl = TTL, refresh_before = "1m", tags = ["group:{group}"], wait = "1m", cache = cache,
    skip(cache, gate)
)]
async fn row(id: u64, group: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// As long-lived as what it calls, and tagged with that.
#[redis_cached(key = "outer:{n}:{id}:{group}", ttl = TTL, wait = "1m", cache = cache, skip(cache, gate))]
async fn outer(n: u64, id: u64, group: u64, cache: &Cache, gate: &Gate) -> usize {
    let _ = n;
    row(id, group, cache, gate).await
}

#[redis_cached(key = "one:{id}", ttl = TTL, wait = "1m", cache = cache, skip(cache, gate))]
async fn one(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

#[redis_cached(key = "list:{n}", ttl = TTL, wait = "1m", cache = cache, skip(ids, cache, gate))]
async fn list(n: u64, ids: &[u64], cache: &Cache, gate: &Gate) -> usize {
    let _ = n;
    let run = gate.pass().await;
    for &id in ids {
        one_entry(id, cache).prime(run);
    }
    run
}

#[redis_put(one(id, cache), cache = cache, on_failure = "retry")]
async fn write(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

#[redis_cached(
    key = "brief:{id}", ttl = "1s", jitter = "0%", stale_if_error = "1h", cache = cache, skip(cache, gate)
)]
async fn brief(id: u64, cache: &Cache, gate: &Gate) -> Result<usize, ()> {
    Ok(gate.pass().await)
}

/// The smallest number with which a name is on this node.
fn on(node: usize, name: impl Fn(u64) -> String) -> u64 {
    (0..1_000).find(|&n| Cluster::first_master_of(&name(n)) == node).expect("there are enough")
}

fn row_key(id: u64) -> String {
    format!("ns:{{row:{id}}}")
}

fn outer_key(n: u64, id: u64, group: u64) -> String {
    format!("ns:{{outer:{n}:{id}:{group}}}")
}

fn one_key(id: u64) -> String {
    format!("ns:{{one:{id}}}")
}

/// Two processes, as it were, in front of nodes of three times.
struct Scene {
    cluster: Cluster,
    caches: [Cache; 2],
    gate: Gate,
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::off_by(OFF).await;
        let url = cluster.url();
        let caches = [connect(&url).await, connect(&url).await];
        let mut times = Vec::new();
        for node in 0..NODES {
            let [seconds, _]: [i64; 2] = cluster.ask(node, "TIME").await;
            times.push(seconds);
        }
        assert!(times[1] - times[0] > 3_000 && times[0] - times[2] > 3_000, "{times:?}");
        Self { cluster, caches, gate: Gate::open() }
    }

    /// What is stored ends within its ttl, by the clock of its node, and not long before.
    async fn lives_as_it_should(&self, key: &str) {
        let node = Cluster::first_master_of(key);
        let left: u64 = self.cluster.ask(node, &format!("PTTL {key}")).await;
        let left = Duration::from_millis(left);
        assert!(left <= TTL && left > TTL / 2, "{key} has {left:?} left");
    }

    /// A computation is a hit for both, and young.
    async fn is_stored(&self, id: u64, group: u64) {
        let runs = self.gate.runs();
        for cache in &self.caches {
            assert_eq!(row(id, group, cache, &self.gate).await, runs, "a hit");
            let seen = row_entry(id, group, cache).peek().await.unwrap().expect("it is stored");
            assert_eq!(seen.state, State::Fresh);
            assert!(seen.age.is_some_and(|age| age < TTL / 2), "{seen:?}");
        }
        self.lives_as_it_should(&row_key(id)).await;
    }

    /// Both compute one body together.
    async fn is_computed_anew(&self, id: u64, group: u64) {
        let runs = self.gate.runs();
        assert_eq!(row(id, group, &self.caches[runs % 2], &self.gate).await, runs + 1);
        self.is_stored(id, group).await;
    }
}

/// Whatever node has an entry, and whatever node has its tag.
/// Catalogue 63.
#[tokio::test]
async fn c1_nodes_whose_clocks_are_hours_apart_invalidate_by_key_and_by_tag() {
    let scene = Scene::set().await;
    let [a, b] = &scene.caches;
    for at in 0..NODES {
        let id = on(at, row_key);
        for tagged_at in 0..NODES {
            let group = on(tagged_at, |n| format!("ns.tag:{{group:{n}}}"));
            let tag = [format!("group:{group}")];
            scene.is_computed_anew(id, group).await;
            a.invalidate_tags(&tag).await.unwrap();
            scene.is_computed_anew(id, group).await;
            row_entry(id, group, b).invalidate().await.unwrap();
            scene.is_computed_anew(id, group).await;
            row_entry(id, group, a).set(1_000).await.unwrap();
            scene.lives_as_it_should(&row_key(id)).await;
            b.invalidate_tags(&tag).await.unwrap();
            scene.is_computed_anew(id, group).await;
            let before = scene.gate.runs();
            row_entry(id, group, b).expire().await.unwrap();
            assert_eq!(row(id, group, a, &scene.gate).await, before, "a stale hit");
            eventually("it is refreshed", async || {
                row(id, group, b, &scene.gate).await == before + 1
            })
            .await;
            scene.is_stored(id, group).await;
            // What is around it has the time of another node, and ends with it all the same.
            for n in (0..NODES).map(|node| on(node, |n| outer_key(n, id, group))) {
                let runs = scene.gate.runs();
                assert_eq!(outer(n, id, group, a, &scene.gate).await, runs);
                assert_eq!(outer(n, id, group, b, &scene.gate).await, runs, "a hit");
                scene.lives_as_it_should(&outer_key(n, id, group)).await;
                a.invalidate_tags(&tag).await.unwrap();
                assert_eq!(outer(n, id, group, b, &scene.gate).await, runs + 1);
            }
        }
    }
}

/// A prime is as old as its body, by the clock of the node that it comes to, and so is what is put.
/// Catalogue 63.
#[tokio::test]
async fn c1_c3_nodes_whose_clocks_are_hours_apart_are_primed() {
    let scene = Scene::set().await;
    let [a, b] = &scene.caches;
    let ids: Vec<u64> = (0..NODES).map(|node| on(node, one_key)).collect();
    let stored = async |id| one_entry(id, b).peek().await.unwrap().map(|seen| seen.value);
    for n in (0..NODES).map(|node| on(node, |n| format!("ns:{{list:{n}}}"))) {
        invalidate_many(ids.iter().map(|&id| one_entry(id, a))).await.unwrap();
        let run = list(n, &ids, a, &scene.gate).await;
        for &id in &ids {
            assert_eq!(one(id, b, &scene.gate).await, run, "it was primed");
            scene.lives_as_it_should(&one_key(id)).await;
            write(id, a, &scene.gate).await;
            let put = stored(id).await;
            assert_eq!(put, Some(scene.gate.runs()));
            scene.lives_as_it_should(&one_key(id)).await;
        }
        // What is invalidated during the body is not primed by it, and what is not is.
        for touched in 0..NODES {
            invalidate_many(ids.iter().map(|&id| one_entry(id, a))).await.unwrap();
            list_entry(n, a).invalidate().await.unwrap();
            let gate = Gate::closed();
            let meanwhile = async {
                gate.started(1).await;
                one_entry(ids[touched], b).invalidate().await.unwrap();
                gate.let_all_go();
            };
            in_time("it ends", async { tokio::join!(list(n, &ids, a, &gate), meanwhile) }).await;
            for (node, &id) in ids.iter().enumerate() {
                assert_eq!(stored(id).await, (node != touched).then_some(1), "{node} of {touched}");
            }
        }
    }
}

/// Each ends when its own node says so, and is not served on any other's word.
/// Catalogue 63.
#[tokio::test]
async fn c3_nodes_whose_clocks_are_hours_apart_end_their_own_entries() {
    let scene = Scene::set().await;
    let [a, b] = &scene.caches;
    for node in 0..NODES {
        let id = on(node, |id| format!("ns:{{brief:{id}}}"));
        let run = brief(id, a, &scene.gate).await.unwrap();
        let seen = brief_entry(id, b).peek().await.unwrap();
        assert!(seen.is_none_or(|seen| seen.value == run));
        eventually("it ends", async || brief_entry(id, b).peek().await.unwrap().is_none()).await;
        assert_eq!(brief(id, b, &scene.gate).await, Ok(run + 1), "it has ended");
        assert_eq!(brief(id, a, &scene.gate).await, Ok(run + 1));
    }
}

/// Catalogue 63.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_nodes_whose_clocks_are_hours_apart_under_load() {
    let scene = Scene::set().await;
    let (rows, users, _caches) = under_load(&scene.cluster).await;
    // What is asserted is asserted by them; so long they go on.
    tokio::time::sleep(Duration::from_secs(3)).await;
    rows.over.store(true, Ordering::Relaxed);
    let counts = in_time("all end", users.join_all()).await;
    let [calls, confirmed] = [0, 1].map(|what| counts.iter().map(|count| count[what]).sum::<u64>());
    assert!(calls > 500 && confirmed > 50, "{calls} calls, {confirmed} invalidations");
}

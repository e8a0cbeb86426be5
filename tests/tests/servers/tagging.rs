//! Tags on a real server: what is sent, what is evicted, what happens without memory.

use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, Invalidation, redis_cached, tag};
use redis_cached_tests::{Gate, Monitor, RedisServer, Told, eventually, in_time};
use serde::{Deserialize, Serialize};

use crate::stage::{connect, connect_hastily, hits, patient};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Doc {
    run: usize,
    owner: u64,
}

/// One tag of each kind.
#[redis_cached(
    key = "doc:{id}", ttl = "5m", wait = "1m", tags = ["team:{team}", "owner:{ret.owner}"], cache = cache,
    skip(cache, gate)
)]
async fn doc(team: u32, id: u64, cache: &Cache, gate: &Gate) -> Doc {
    tag("docs");
    Doc { run: gate.pass().await, owner: 5 }
}

/// Eight kilobytes.
#[redis_cached(key = "block:{id}", ttl = "5m", tags = ["blocks:{group}"], cache = cache, skip(cache, gate))]
async fn block(group: u64, id: u64, cache: &Cache, gate: &Gate) -> Vec<u8> {
    gate.pass().await;
    // Not compressible, and the same for each run.
    let mut random = fastrand::Rng::with_seed(id);
    (0..8192).map(|_| random.u8(..)).collect()
}

async fn order(cli: &mut MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>());
    cmd.exec_async(cli).await.expect("the server is up");
}

async fn exists(cli: &mut MultiplexedConnection, key: &str) -> bool {
    redis::cmd("EXISTS").arg(key).query_async(cli).await.expect("the server is up")
}

#[tokio::test]
async fn a_hit_on_an_entry_with_three_tags_is_one_mget_of_four_keys() {
    let server = RedisServer::start();
    let (a, b, gate) = (connect(&server.url()).await, connect(&server.url()).await, Gate::open());
    doc(7, 42, &a, &gate).await;
    // Who has not seen the entry yet does not know all of its tags, and asks for them then.
    for cache in [&a, &b] {
        assert_eq!(doc(7, 42, cache, &gate).await.run, 1);
    }
    let mut monitor = Monitor::start(&server).await;
    for cache in [&a, &b] {
        for _ in 0..3 {
            assert_eq!(doc(7, 42, cache, &gate).await.run, 1);
            let seen = monitor.seen().await;
            let [words] = &seen[..] else { panic!("{seen:?}") };
            let [command, value, tags @ ..] = &words[..] else { panic!("{words:?}") };
            let mut tags = tags.to_vec();
            tags.sort();
            assert_eq!((command.as_str(), value.as_str()), ("MGET", "ns:{doc:42}"));
            assert_eq!(tags, ["ns.tag:{docs}", "ns.tag:{owner:5}", "ns.tag:{team:7}"]);
        }
    }
}

#[tokio::test]
async fn an_invalidation_of_a_tag_is_one_command_however_many_entries_carry_it() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    cache.invalidate_tags(["warm"]).await.unwrap();
    for entries in [1, 1000] {
        for id in 0..entries {
            doc(7, id, &cache, &gate).await;
        }
        let mut cli = server.cli().await;
        order(&mut cli, "CONFIG RESETSTAT").await;
        let mut monitor = Monitor::start(&server).await;
        cache.invalidate_tags(["docs"]).await.unwrap();
        let seen = monitor.seen().await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0][0], "EVALSHA");
        assert_eq!(seen[0][2..5], ["2", "ns.tag:{docs}", "ns.journal"], "all keys are declared");
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query_async(&mut cli).await.unwrap();
        let calls = stats
            .lines()
            .filter(|line| {
                !["config", "echo", "monitor", "info", "evalsha"]
                    .iter()
                    .any(|other| line.contains(other))
            })
            .filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
        let calls: u64 = calls.sum();
        assert!((1..=6).contains(&calls), "{calls} commands in the script: {stats}");
        assert!(doc_entry(7, entries - 1, &cache).peek().await.unwrap().is_none());
    }
}

/// A tag that is invalidated once the lease is there must find the nonce captured: else the value that is set,
/// which is older, would carry the new one.
#[tokio::test]
async fn c1_a_set_captures_its_tags_before_it_takes_the_lease() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    let entry = doc_entry(7, 42, &cache);
    // The server knows the scripts from here on.
    entry.set_with_tags(Doc { run: 0, owner: 5 }, ["docs"]).await.unwrap();
    let mut monitor = Monitor::start(&server).await;
    entry.set_with_tags(Doc { run: 1, owner: 5 }, ["docs"]).await.unwrap();
    let keys: Vec<Vec<String>> = monitor
        .seen()
        .await
        .into_iter()
        .map(|words| {
            let count: usize = words[2].parse().expect("a script says how many keys it has");
            words[3..3 + count].to_vec()
        })
        .collect();
    let [tags, lease, commit] = &keys[..] else { panic!("{keys:?}") };
    let mut tags = tags.clone();
    tags.sort();
    assert_eq!(tags, ["ns.tag:{docs}", "ns.tag:{owner:5}", "ns.tag:{team:7}"]);
    assert_eq!(lease[..], ["ns:{doc:42}.lease", "ns.journal.keys"]);
    assert_eq!(commit[..], ["ns:{doc:42}", "ns:{doc:42}.lease"]);
}

/// Only what walks on purpose does.
/// Catalogue 49.
#[tokio::test]
async fn nothing_but_a_clear_walks_through_the_servers_keys() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    let clearable = patient().url(server.url()).clearable().build().await.unwrap();
    let (gate, mut monitor) = (Gate::open(), Monitor::start(&server).await);
    for cache in [&cache, &clearable] {
        doc(7, 42, cache, &gate).await;
        doc_refresh(7, 42, cache, &gate).await;
        doc_entry(7, 42, cache).set(Doc { run: 0, owner: 1 }).await.unwrap();
        doc_entry(7, 42, cache).expire().await.unwrap();
        cache.invalidate_tags(["docs", "team:7"]).await.unwrap();
        cache.expire_tags(["docs", "team:7"]).await.unwrap();
        doc_entry(7, 42, cache).invalidate().await.unwrap();
    }
    clearable.clear().await.unwrap();
    let walks = |seen: &[Vec<String>]| {
        let walk =
            |words: &&Vec<String>| ["KEYS", "SCAN"].contains(&words[0].to_uppercase().as_str());
        seen.iter().filter(walk).count()
    };
    let seen = monitor.seen().await;
    assert_eq!(walks(&seen), 0, "{seen:?}");
    order(&mut server.cli().await, "SET other:{a} 1").await;
    order(&mut server.cli().await, "SET ns-other:{a} 1").await;
    doc(7, 42, &cache, &gate).await;
    cache.clear().await.unwrap();
    assert!(walks(&monitor.seen().await) > 0);
    let mut left: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut server.cli().await).await.unwrap();
    left.sort();
    assert_eq!(left, ["ns-other:{a}", "other:{a}"], "and what is others' stays");
}

/// Catalogue 17.
#[tokio::test]
async fn c1_a_tags_key_is_lost_and_its_entries_are_misses() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    for (run, key) in
        ["ns.tag:{team:7}", "ns.tag:{docs}", "ns.tag:{owner:5}"].into_iter().enumerate()
    {
        assert_eq!(doc(7, 42, &cache, &gate).await.run, run + 1);
        assert_eq!(doc(7, 42, &cache, &gate).await.run, run + 1);
        order(&mut cli, &format!("DEL {key}")).await;
        assert!(doc_entry(7, 42, &cache).peek().await.unwrap().is_none(), "{key}");
    }
}

/// Catalogue 16.
#[tokio::test]
async fn c1_the_journal_is_lost_during_a_body() {
    let server = RedisServer::start();
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    for loss in ["DEL ns.journal", "FLUSHALL", "SET ns.journal x"] {
        let gate = Gate::closed();
        let old = {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move { doc(7, 42, &cache, &gate).await })
        };
        gate.started(1).await;
        order(&mut cli, loss).await;
        cache.invalidate_tags(["owner:5"]).await.unwrap();
        // Another leader makes a new one meanwhile.
        gate.let_go(2);
        doc(7, 43, &cache, &gate).await;
        gate.let_all_go();
        assert_eq!(in_time("the call", old).await.unwrap().run, 1);
        assert!(doc_entry(7, 42, &cache).peek().await.unwrap().is_none(), "{loss}");
        assert_eq!(doc(7, 42, &cache, &gate).await.run, 3, "{loss}");
        assert_eq!(doc(7, 42, &cache, &gate).await.run, 3, "{loss}");
        cache.clear().await.unwrap();
    }
}

#[tokio::test]
async fn c1_more_tags_are_invalidated_during_a_body_than_the_journal_holds() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::closed(), server.cli().await);
    let old = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { doc(7, 42, &cache, &gate).await })
    };
    gate.started(1).await;
    cache.invalidate_tags(["owner:5"]).await.unwrap();
    for batch in 0..10 {
        let tags: Vec<String> = (0..2500).map(|n| format!("noise:{batch}:{n}")).collect();
        cache.invalidate_tags(&tags).await.unwrap();
    }
    let kept: u64 = redis::cmd("ZCARD").arg("ns.journal").query_async(&mut cli).await.unwrap();
    assert!((100..=8195).contains(&kept), "{kept}");
    gate.let_all_go();
    assert_eq!(in_time("the call", old).await.unwrap().run, 1);
    assert!(doc_entry(7, 42, &cache).peek().await.unwrap().is_none());
    assert_eq!(doc(7, 42, &cache, &gate).await.run, 2);
    assert_eq!(doc(7, 42, &cache, &gate).await.run, 2, "the journal works on");
}

/// Memory is full and nothing may be evicted: writing is refused, invalidating is not.
/// Catalogue 32.
#[tokio::test]
async fn c5_tags_are_invalidated_and_expired_without_memory() {
    for expire in [false, true] {
        let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
        let (cache, gate) = (connect(&server.url()).await, Gate::closed());
        let mut cli = server.cli().await;
        gate.let_go(1);
        assert_eq!(doc(7, 42, &cache, &gate).await.run, 1);
        let old = {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move { doc(7, 43, &cache, &gate).await })
        };
        gate.started(2).await;
        order(&mut cli, "CONFIG SET maxmemory 1").await;
        assert_eq!(doc(7, 42, &cache, &gate).await.run, 1, "hits go on");
        if expire {
            cache.expire_tags(["owner:5"]).await.unwrap();
        } else {
            cache.invalidate_tags(["owner:5"]).await.unwrap();
        }
        assert!(!exists(&mut cli, "ns.journal").await, "it can't be added to, so it goes");
        assert!(doc_entry(7, 42, &cache).peek().await.unwrap().is_none());
        order(&mut cli, "CONFIG SET maxmemory 0").await;
        gate.let_all_go();
        assert_eq!(in_time("the call", old).await.unwrap().run, 2);
        assert!(doc_entry(7, 43, &cache).peek().await.unwrap().is_none());
    }
}

/// Under allkeys-lru tags vanish, and the only effect is misses; who builds a cache on it is told.
/// Catalogue 17, 18.
#[tokio::test]
async fn c1_tags_are_evicted_under_pressure() {
    let server =
        RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "6mb"]);
    let told = Told::listen();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    assert!(told.text().contains("the server evicts keys"), "{}", told.text());
    drop(told);
    let (gate, mut cli) = (Gate::open(), server.cli().await);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3000 {
        let (id, group) = (random.u64(..1000), random.u64(..50));
        let cache = if random.bool() { &a } else { &b };
        if random.u8(..10) == 0 {
            cache.invalidate_tags([format!("blocks:{group}")]).await.unwrap();
            let entry = block_entry(group, id, cache);
            assert!(entry.peek().await.unwrap().is_none(), "{group} was just invalidated");
        } else {
            block(group, id, cache, &gate).await;
        }
    }
    let stats: String = redis::cmd("INFO").arg("stats").query_async(&mut cli).await.unwrap();
    let evicted = stats.lines().find_map(|line| line.strip_prefix("evicted_keys:"));
    assert_ne!(evicted, Some("0"), "{stats}");
    assert!(hits(1, &a, &gate).await || hits(1, &a, &gate).await, "and it goes on");
}

#[tokio::test]
async fn c5_what_could_not_be_sent_after_a_commit_stays_and_is_sent_later() {
    let mut server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    let id = |team: u32| 35 + u64::from(team);
    let collect = async || {
        let gathering = async {
            doc_entry(7, 42, &cache).invalidate_after_commit()?;
            cache.invalidate_tags_after_commit(["team:8"])
        };
        let (gathered, invalidation) = Invalidation::collect(gathering).await;
        gathered.unwrap();
        invalidation
    };
    let fill = async || {
        for team in [7, 8] {
            eventually("both are stored", async || {
                doc(team, id(team), &cache, &gate).await;
                doc_entry(team, id(team), &cache).peek().await.is_ok_and(|seen| seen.is_some())
            })
            .await;
        }
    };
    let gone = async |what: &str| {
        for team in [7, 8] {
            eventually(what, async || {
                doc_entry(team, id(team), &cache).peek().await.is_ok_and(|seen| seen.is_none())
            })
            .await;
        }
    };
    fill().await;
    let mut invalidation = collect().await;
    // Not killed: what it holds has to be there afterwards.
    server.pause();
    let error = invalidation.send().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    assert_eq!(invalidation.len(), 2, "what is not confirmed stays");
    server.resume();
    eventually("it can be sent again", async || invalidation.send().await.is_ok()).await;
    assert!(invalidation.is_empty());
    gone("sent again").await;
    fill().await;
    let invalidation = collect().await;
    server.pause();
    drop(invalidation);
    server.resume();
    gone("sent behind the caller").await;
    server.stop();
}

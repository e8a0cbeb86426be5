//! What goes over the wire, counted by the server.

use redis_cached::{Cache, State, invalidate_many, redis_cached, redis_put};
use redis_cached_tests::{Gate, Monitor, RedisServer, Seen, eventually};

use crate::stage::{Backend, Stage, connect, live, live_entry, live_refresh};

/// As that of other tests, of which some have entries with tags: whoever has seen one asks for more before a body.
#[redis_cached(key = "user:{id}", ttl = "5m", wait = "1m", cache = cache, skip(cache, gate))]
async fn load(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

fn names(seen: &[Vec<String>]) -> Vec<String> {
    seen.iter().map(|words| words[0].to_uppercase()).collect()
}

async fn keys(server: &RedisServer) -> Vec<String> {
    let mut keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut server.cli().await).await.unwrap();
    keys.sort();
    keys
}

/// The server knows the scripts already, and the cache that the bodies of this function tag nothing.
async fn warm(cache: &Cache) {
    for id in 0..4 {
        load(id, cache, &Gate::open()).await;
    }
}

#[tokio::test]
async fn a_hit_is_one_get_of_exactly_its_key() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    load(42, &cache, &gate).await;
    live(42, &cache, &gate).await;
    let mut monitor = Monitor::start(&server).await;
    for _ in 0..3 {
        load(42, &cache, &gate).await;
        assert_eq!(monitor.seen().await, [["GET", "ns:{user:42}"]]);
        live(42, &cache, &gate).await;
        assert_eq!(monitor.seen().await, [["GET", "ns:{live:42}"]]);
    }
    assert_eq!(gate.runs(), 2);
}

#[tokio::test]
async fn a_miss_is_a_get_a_take_and_a_commit() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    warm(&cache).await;
    let mut monitor = Monitor::start(&server).await;
    load(42, &cache, &Gate::open()).await;
    let seen = monitor.seen().await;
    assert_eq!(names(&seen), ["GET", "EVALSHA", "EVALSHA"]);
    assert_eq!(seen[0][1], "ns:{user:42}");
    for script in &seen[1..] {
        assert_eq!(
            script[2..5],
            ["2", "ns:{user:42}", "ns:{user:42}.lease"],
            "all keys are declared"
        );
    }
}

#[tokio::test]
async fn a_crowd_on_a_cold_key_sends_one_take_and_one_commit() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::closed());
    warm(&cache).await;
    let mut monitor = Monitor::start(&server).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (cache, gate) = (cache.clone(), gate.clone());
        crowd.spawn(async move { load(42, &cache, &gate).await });
    }
    gate.started(1).await;
    gate.let_all_go();
    crowd.join_all().await;
    let seen = names(&monitor.seen().await);
    assert_eq!(seen.iter().filter(|name| *name == "EVALSHA").count(), 2, "{seen:?}");
}

/// What a script of one command has done, in its order.
fn by_script(seen: &[Seen]) -> Vec<&[String]> {
    seen.iter().filter(|seen| seen.by_script).map(|seen| &seen.words[..]).collect()
}

/// Where in a script something is done to a key first.
fn place(done: &[&[String]], command: &str, key: &str) -> usize {
    let is_it = |words: &&[String]| words[0].eq_ignore_ascii_case(command) && words[1] == key;
    let place = done.iter().position(is_it);
    place.unwrap_or_else(|| panic!("there is no {command} of {key}: {done:?}"))
}

/// Catalogue 14.
#[tokio::test]
async fn an_invalidation_is_one_script_that_notes_before_it_deletes() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    // The server knows the scripts, and the journal is there.
    warm(&cache).await;
    let (journal, lease, value) = ("ns.journal.keys", "ns:{user:42}.lease", "ns:{user:42}");
    let mut monitor = Monitor::start(&server).await;
    load_entry(42, &cache).invalidate().await.unwrap();
    let seen = monitor.seen_with_scripts().await;
    let sent: Vec<&Seen> = seen.iter().filter(|seen| !seen.by_script).collect();
    let [Seen { words, .. }] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(words[0], "EVALSHA");
    assert_eq!(words[2..6], ["3", journal, lease, value], "all keys are declared");
    let done = by_script(&seen);
    let noted = place(&done, "ZADD", journal);
    assert_eq!(done[noted].last().map(String::as_str), Some("t:ns:{user:42}"));
    let lease_goes = place(&done, "DEL", lease);
    let value_goes = place(&done, "DEL", value);
    assert!(noted < lease_goes && lease_goes < value_goes, "{done:?}");
}

/// Where nobody has asked for a journal there is none, and an invalidation makes none.
#[tokio::test]
async fn an_invalidation_makes_no_journal() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    // What building the cache has tried out.
    redis::cmd("FLUSHALL").exec_async(&mut server.cli().await).await.unwrap();
    load_entry(42, &cache).invalidate().await.unwrap();
    live_entry(42, &cache).expire().await.unwrap();
    load_entry(42, &cache).set(1).await.unwrap();
    invalidate_many((0..10).map(|id| load_entry(id, &cache))).await.unwrap();
    assert_eq!(keys(&server).await, ["ns:{user:42}"]);
}

/// What else ends what others have computed notes it, and then ends the lease.
#[tokio::test]
async fn whatever_touches_an_entry_notes_before_it_ends_the_lease() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    warm(&cache).await;
    live(42, &cache, &Gate::open()).await;
    let (journal, lease) = ("ns.journal.keys", "ns:{live:42}.lease");
    let mut monitor = Monitor::start(&server).await;
    live_entry(42, &cache).expire().await.unwrap();
    let seen = monitor.seen_with_scripts().await;
    let done = by_script(&seen);
    assert!(place(&done, "ZADD", journal) < place(&done, "DEL", lease), "{done:?}");
    assert!(place(&done, "ZADD", journal) < place(&done, "SETRANGE", "ns:{live:42}"), "{done:?}");
    for versioned in [false, true] {
        let entry = live_entry(42, &cache);
        if versioned {
            entry.set_versioned(7, 1).await.unwrap();
        } else {
            entry.set(7).await.unwrap();
        }
        let seen = monitor.seen_with_scripts().await;
        let done = by_script(&seen);
        assert!(place(&done, "ZADD", journal) < place(&done, "SET", lease), "{done:?}");
    }
    live_refresh(42, &cache, &Gate::open()).await;
    let seen = monitor.seen_with_scripts().await;
    let done = by_script(&seen);
    assert!(place(&done, "ZADD", journal) < place(&done, "SET", lease), "{done:?}");
    // A thousand at once are one script.
    invalidate_many((0..1_000).map(|id| load_entry(id, &cache))).await.unwrap();
    let seen = monitor.seen_with_scripts().await;
    assert_eq!(seen.iter().filter(|seen| !seen.by_script).count(), 1);
    let done = by_script(&seen);
    let last_note = done.iter().rposition(|words| words[0].eq_ignore_ascii_case("ZADD")).unwrap();
    let first_end = done.iter().position(|words| words[0].eq_ignore_ascii_case("DEL")).unwrap();
    assert!(last_note < first_end);
}

/// Before it walks: what a body has at hand has no lease yet that a walk could end.
#[tokio::test]
async fn a_clear_removes_both_journals_before_it_walks() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    warm(&cache).await;
    assert!(keys(&server).await.contains(&"ns.journal.keys".to_owned()));
    let mut monitor = Monitor::start(&server).await;
    cache.clear().await.unwrap();
    let seen = monitor.seen().await;
    let first_walk = seen.iter().position(|words| words[0].eq_ignore_ascii_case("SCAN")).unwrap();
    for journal in ["ns.journal", "ns.journal.keys"] {
        let goes = seen.iter().position(|words| words[1..].contains(&journal.to_owned()));
        assert!(goes.is_some_and(|goes| goes < first_walk), "{journal}: {seen:?}");
    }
    assert!(keys(&server).await.is_empty());
}

#[redis_put(load(42, cache), cache = cache, on_failure = "retry")]
async fn put_load(cache: &Cache, value: usize) -> usize {
    let _ = cache;
    tokio::task::yield_now().await;
    value
}

#[tokio::test]
async fn a_put_is_two_questions_before_the_body_and_three_scripts_behind_it() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    put_load(&cache, 1).await;
    let mut monitor = Monitor::start(&server).await;
    put_load(&cache, 2).await;
    let sent: Vec<Vec<String>> = monitor.seen().await;
    assert_eq!(names(&sent), ["EVALSHA"; 5], "{sent:?}");
    let mut asked: Vec<&str> = sent[..2].iter().map(|words| words[3].as_str()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["ns.journal", "ns.journal.keys"]);
    assert_eq!(sent[2][2..4], ["1", "ns:{user:42}.lease"]);
    assert_eq!(sent[3][2..4], ["1", "ns.journal.keys"]);
    assert_eq!(sent[4][2..5], ["2", "ns:{user:42}", "ns:{user:42}.lease"]);
}

#[redis_cached(key = "list:{count}", ttl = "5m", cache = cache, skip(cache))]
async fn priming(cache: &Cache, count: u64) -> u64 {
    for id in 0..count {
        load_entry(id, cache).prime(7);
    }
    tokio::task::yield_now().await;
    count
}

#[tokio::test]
async fn a_prime_is_a_get_a_take_a_question_and_a_commit() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    priming(&cache, 1).await;
    let mut monitor = Monitor::start(&server).await;
    let mut sent = async |count| {
        priming(&cache, count).await;
        monitor.seen().await.len()
    };
    let (without, with) = (sent(0).await, sent(50).await);
    // One is newer than the list, and takes one look only.
    assert!(with - without <= 4 * 50, "{with} and {without}");
}

/// A journal that nobody asks for ends.
#[tokio::test]
async fn both_journals_end() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    put_load(&cache, 1).await;
    load_entry(42, &cache).invalidate().await.unwrap();
    for journal in ["ns.journal", "ns.journal.keys"] {
        let left: i64 =
            redis::cmd("PTTL").arg(journal).query_async(&mut server.cli().await).await.unwrap();
        assert!((1..=600_000).contains(&left), "{journal}: {left}");
    }
}

/// Many stale hits ask for the lease once.
#[tokio::test]
async fn stale_hits_do_not_each_ask_for_the_lease() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::closed());
    gate.let_go(1);
    live(42, &cache, &gate).await;
    live_entry(42, &cache).expire().await.unwrap();
    let mut monitor = Monitor::start(&server).await;
    let started = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(live(42, &cache, &gate).await, 1);
    }
    gate.started(2).await;
    let seen = names(&monitor.seen().await);
    assert_eq!(seen.iter().filter(|name| *name == "GET").count(), 100);
    // One and the two questions before the body, and at most one more for each second that this took; renewals are as
    // rare.
    let scripts = seen.iter().filter(|name| name.starts_with("EVAL")).count();
    let most = 3 + 2 * usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(scripts <= most, "{scripts} in {:?}", started.elapsed());
}

#[tokio::test]
async fn keys_are_readable_in_redis_cli() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::closed());
    let look = async {
        gate.started(1).await;
        // The journals are there as long as it is not known that this function's bodies tag nothing, and prime nothing.
        let with_lease = ["ns.journal", "ns.journal.keys", "ns:{user:42}.lease"];
        assert_eq!(keys(&server).await, with_lease);
        gate.let_go(1);
    };
    tokio::join!(load(42, &cache, &gate), look);
    assert_eq!(keys(&server).await, ["ns.journal", "ns.journal.keys", "ns:{user:42}"]);
}

/// Nothing that is written lives for ever, neither values nor leases nor markers.
#[tokio::test]
async fn everything_that_is_written_ends() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::closed());
    let mut cli = server.cli().await;
    let look = async {
        gate.started(1).await;
        let left: i64 =
            redis::cmd("PTTL").arg("ns:{user:42}.lease").query_async(&mut cli).await.unwrap();
        assert!((1..=5_000).contains(&left), "{left}");
        gate.let_go(1);
    };
    tokio::join!(load(42, &cache, &gate), look);
    let left: i64 = redis::cmd("PTTL").arg("ns:{user:42}").query_async(&mut cli).await.unwrap();
    assert!((1..=300_000).contains(&left), "{left}");
}

/// Who waits for another process is woken by the server, and does not ask all the time.
#[tokio::test]
async fn a_waiting_process_is_told_when_the_lease_ends() {
    let server = RedisServer::start();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let gate = Gate::closed();
    let mut monitor = Monitor::start(&server).await;
    let let_go = async {
        gate.started(1).await;
        let waiting = load(42, &b, &gate);
        let watched = async {
            eventually("the other process watches the lease", async || {
                monitor.seen().await.iter().any(|words| *words == ["GET", "ns:{user:42}.lease"])
            })
            .await;
            gate.let_go(1);
        };
        tokio::join!(waiting, watched).0
    };
    let values = tokio::join!(load(42, &a, &gate), let_go);
    assert_eq!(values, (1, 1));
    assert_eq!(gate.runs(), 1);
}

/// Of two at a time, the one that loses its lease to the other says so.
#[tokio::test(flavor = "current_thread")]
async fn a_set_that_another_overtakes_is_superseded() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    let (first, second) = (load_entry(42, &cache), load_entry(42, &cache));
    // The server knows the scripts from here on, so that each step is one request.
    first.set(0).await.unwrap();
    // On one thread both ask for the lease before the connection has its turn.
    let (one, two) = tokio::join!(biased; first.set(1), second.set(2));
    two.unwrap();
    assert!(one.unwrap_err().is_superseded());
    assert_eq!(first.peek().await.unwrap().expect("it is stored").value, 2);
}

/// The same commands over a unix socket.
#[tokio::test]
async fn a_unix_socket_is_a_server_like_any_other() {
    let stage = Stage::new(Backend::Unix).await;
    let (cache, gate) = (stage.cache().await, Gate::open());
    cache.ping().await.unwrap();
    assert_eq!(load(42, &cache, &gate).await, 1);
    assert_eq!(load(42, &cache, &gate).await, 1);
}

/// Those who wait for another process's computation are answered by one look of their leader.
#[tokio::test]
async fn a_crowd_that_waits_for_another_process_looks_again_once() {
    let server = RedisServer::start();
    let (there, here) = (connect(&server.url()).await, connect(&server.url()).await);
    let (gate, idle) = (Gate::closed(), Gate::open());
    let elsewhere = {
        let (cache, gate) = (there.clone(), gate.clone());
        tokio::spawn(async move { load(42, &cache, &gate).await })
    };
    gate.started(1).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (cache, idle) = (here.clone(), idle.clone());
        crowd.spawn(async move { load(42, &cache, &idle).await });
    }
    let mut monitor = Monitor::start(&server).await;
    let mut waiting = server.cli().await;
    eventually("somebody watches the lease", async || {
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut waiting).await.unwrap();
        info.contains("tracking_total_keys:1")
    })
    .await;
    monitor.seen().await;
    gate.let_all_go();
    crowd.join_all().await;
    elsewhere.await.unwrap();
    let looks =
        monitor.seen().await.into_iter().filter(|words| words[..] == ["GET", "ns:{user:42}"]);
    assert_eq!(looks.count(), 1);
    assert_eq!(idle.runs(), 0);
}

#[redis_cached(key = "brief:{id}", ttl = "50ms", cache = cache, skip(gate))]
async fn brief(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

/// A value that is over before it can be stored is a computation without a value: nobody queues up
/// for the next one.
#[tokio::test]
async fn c3_a_body_slower_than_its_ttl_leaves_the_marker() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::closed());
    let slow = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { brief(&cache, &gate, 1).await })
    };
    gate.started(1).await;
    // Not in the hope that something happens meanwhile: it is the time that must pass.
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    gate.let_all_go();
    assert_eq!(slow.await.unwrap(), 1);
    let lease: String = redis::cmd("GET")
        .arg("ns:{brief:1}.lease")
        .query_async(&mut server.cli().await)
        .await
        .unwrap();
    assert!(lease.starts_with("pass."), "{lease}");
    assert!(brief_entry(&cache, 1).peek().await.unwrap().is_none());
}

#[redis_cached(key = "day:{id}", ttl = "5m", refresh_before = "1m", cache = cache, skip(gate))]
async fn dawn(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

#[redis_cached(key = "day:{id}", ttl = "5m", refresh_before = "1m", cache = cache, skip(gate))]
async fn dusk(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

#[tokio::test]
async fn expire_reaches_both_entries_under_a_key() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    let states = async || {
        let dawn = dawn_entry(&cache, 1).peek().await.unwrap().unwrap().state;
        let dusk = dusk_entry(&cache, 1).peek().await.unwrap().unwrap().state;
        [dawn, dusk]
    };
    dawn(&cache, &gate, 1).await;
    dusk(&cache, &gate, 1).await;
    assert_eq!(states().await, [State::Fresh; 2]);
    dawn_entry(&cache, 1).expire().await.unwrap();
    assert_eq!(states().await, [State::Stale; 2]);
}

#[redis_cached(key = "many:{id}", batch(ids as id), ttl = "5m", tags = ["many"], cache = cache, skip(cache))]
async fn many(ids: &[u64], cache: &Cache) -> std::collections::HashMap<u64, u64> {
    tokio::task::yield_now().await;
    ids.iter().map(|id| (*id, *id)).collect()
}

#[tokio::test]
async fn a_batch_of_hot_ids_is_one_mget_and_of_cold_ones_a_take_and_a_commit_more_for_each() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    for _ in 0..5 {
        many_refresh(&[1], &cache).await;
    }
    let ids: Vec<u64> = (0..500).collect();
    let mut monitor = Monitor::start(&server).await;
    assert_eq!(many(&ids, &cache).await.len(), 500);
    let seen = monitor.seen().await;
    assert_eq!(seen[0][0].to_uppercase(), "MGET");
    // 499 leases, one capture, 499 commits.
    assert_eq!(seen.len(), 1 + 499 + 1 + 499);
    for _ in 0..2 {
        assert_eq!(many(&ids, &cache).await.len(), 500);
        let seen = monitor.seen().await;
        assert_eq!(names(&seen), ["MGET"]);
        // Each key once, and the tag that they have in common once.
        assert_eq!(seen[0].len(), 1 + 500 + 1);
    }
    many(&[], &cache).await;
    assert!(monitor.seen().await.is_empty());
}

//! What is stored, under which name, for how long.

use std::time::Duration;

use redis_cached::{Cache, State, redis_cached};
use redis_cached_tests::{Gate, eventually};
use serde::{Deserialize, Serialize};

use crate::stage::{
    Backend, Stage, live, live_entry, live_refresh, load, load_entry, load_uncached,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    parent: Option<Box<Row>>,
    tags: Vec<(u8, String)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Refused;

fn row(id: u64) -> Row {
    let parent = Row { id: 0, name: String::new(), parent: None, tags: Vec::new() };
    Row {
        id,
        name: "naïve".to_owned(),
        parent: Some(Box::new(parent)),
        tags: vec![(1, "a".to_owned())],
    }
}

#[redis_cached(key = "plain:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn plain(id: u64, cache: &Cache, gate: &Gate) -> Row {
    gate.pass().await;
    row(id)
}

#[redis_cached(key = "result:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn result(id: u64, cache: &Cache, gate: &Gate) -> Result<Row, Refused> {
    gate.pass().await;
    if id == 0 { Err(Refused) } else { Ok(row(id)) }
}

#[redis_cached(key = "option:{id}", ttl = "5m", none_ttl = "1m", cache = cache, skip(cache, gate))]
async fn option(id: u64, cache: &Cache, gate: &Gate) -> Option<Row> {
    gate.pass().await;
    (id != 0).then(|| row(id))
}

#[redis_cached(key = "both:{id}", ttl = "5m", none_ttl = "1m", cache = cache, skip(cache, gate))]
async fn both(id: u64, cache: &Cache, gate: &Gate) -> Result<Option<Row>, Refused> {
    gate.pass().await;
    match id {
        0 => Err(Refused),
        1 => Ok(None),
        _ => Ok(Some(row(id))),
    }
}

#[redis_cached(
    key = "terms:{id}", ttl = "5m", cache = cache, no_store_if = read_only, max_age = max_age, skip(cache, gate)
)]
async fn terms(
    id: u64,
    cache: &Cache,
    gate: &Gate,
    read_only: bool,
    max_age: Option<Duration>,
) -> usize {
    gate.pass().await
}

#[redis_cached(key = "pair:{a}:{b}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn pair(a: &str, b: &str, cache: &Cache, gate: &Gate) -> (String, String) {
    gate.pass().await;
    (a.to_owned(), b.to_owned())
}

#[redis_cached(key = "common:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn left(id: u64, cache: &Cache, gate: &Gate) -> String {
    format!("left {id} {}", gate.pass().await)
}

#[redis_cached(key = "common:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn right(id: u64, cache: &Cache, gate: &Gate) -> String {
    format!("right {id} {}", gate.pass().await)
}

#[redis_cached(key = "short:{id}", ttl = "100ms", cache = cache, skip(cache, gate))]
async fn short(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

async fn stored(cache: &Cache) -> Option<usize> {
    load_entry(42, cache).peek().await.unwrap().map(|seen| seen.value)
}

pub(super) async fn a_hit_follows_a_miss(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    for _ in 0..10 {
        assert_eq!(load(42, &cache, &gate).await, 1);
    }
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn two_caches_share_one_value(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(load(42, &a, &gate).await, 1);
    assert_eq!(load(42, &b, &gate).await, 1);
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn every_shape_of_return_is_read_back(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    for _ in 0..3 {
        assert_eq!(plain(7, &cache, &gate).await, row(7));
        assert_eq!(result(7, &cache, &gate).await, Ok(row(7)));
        assert_eq!(option(7, &cache, &gate).await, Some(row(7)));
        assert_eq!(option(0, &cache, &gate).await, None);
        assert_eq!(both(7, &cache, &gate).await, Ok(Some(row(7))));
        assert_eq!(both(1, &cache, &gate).await, Ok(None));
    }
    assert_eq!(gate.runs(), 6, "each of the six was computed once");
}

/// Catalogue 60.
pub(super) async fn an_error_is_not_stored(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    for run in 1..=4 {
        let refused = if run % 2 == 0 {
            result(0, &cache, &gate).await.map(Some)
        } else {
            both(0, &cache, &gate).await
        };
        assert_eq!(refused, Err(Refused));
        assert_eq!(gate.runs(), run);
    }
    assert!(result_entry(0, &cache).peek().await.unwrap().is_none());
    assert!(both_entry(0, &cache).peek().await.unwrap().is_none());
}

/// Catalogue 61.
pub(super) async fn a_none_is_stored_with_a_ttl_of_its_own(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    let minute = Duration::from_secs(60);
    option(0, &cache, &gate).await;
    option(7, &cache, &gate).await;
    both(1, &cache, &gate).await.unwrap();
    for (entry, is_none) in [
        (option_entry(0, &cache), true),
        (option_entry(7, &cache), false),
        (both_entry(1, &cache).of_value(), true),
    ] {
        let left = entry.ttl().await.unwrap().expect("it is stored");
        assert_eq!(left <= minute, is_none, "{left:?}");
    }
}

pub(super) async fn different_arguments_have_different_entries(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    let arguments =
        [("a:b", "c"), ("a", "b:c"), ("", "a:b:c"), ("a%3Ab", "c"), ("}{", "\n"), ("a", "b")];
    for _ in 0..2 {
        for (a, b) in arguments {
            assert_eq!(pair(a, b, &cache, &gate).await, (a.to_owned(), b.to_owned()));
        }
    }
    assert_eq!(gate.runs(), arguments.len());
}

pub(super) async fn an_entry_is_looked_at_without_computing(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    let entry = load_entry(42, &b);
    assert_eq!(entry.key(), format!("{}:{{user:42}}", stage.namespace));
    assert!(entry.peek().await.unwrap().is_none());
    assert_eq!(entry.ttl().await.unwrap(), None);
    assert_eq!(gate.runs(), 0);

    load(42, &a, &gate).await;
    let seen = entry.peek().await.unwrap().expect("it is stored");
    assert_eq!((seen.value, seen.state), (1, State::Fresh));
    assert!(seen.age.expect("the clock is known after connecting") < Duration::from_secs(60));
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn an_entry_is_set(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    load_entry(42, &a).set(99).await.unwrap();
    assert_eq!(load(42, &b, &gate).await, 99);
    load_entry(42, &b).set(100).await.unwrap();
    assert_eq!(load(42, &a, &gate).await, 100);
    assert_eq!(gate.runs(), 0);
}

pub(super) async fn c1_an_older_version_never_replaces_a_newer_one(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    let is_superseded = |set: Result<(), redis_cached::Error>| {
        assert!(set.is_err_and(|error| error.is_superseded()));
    };
    // In numbers that differ in length, and past what a double can tell apart.
    let versions = [9, 10, (1 << 53) + 1, (1 << 53) + 2, u64::MAX];
    for pair in versions.windows(2) {
        let [older, newer] = pair else { unreachable!("windows of two") };
        let (at_a, at_b) = (load_entry(42, &a), load_entry(42, &b));
        at_a.set_versioned(1, *newer).await.unwrap();
        is_superseded(at_b.set_versioned(2, *older).await);
        assert_eq!(load(42, &b, &gate).await, 1, "{pair:?}");
        // Not even where the newer one has been invalidated since.
        at_b.invalidate().await.unwrap();
        is_superseded(at_b.set_versioned(2, *older).await);
        assert!(at_b.peek().await.unwrap().is_none(), "{pair:?}");
        // Once more is the same.
        at_b.set_versioned(3, *newer).await.unwrap();
        assert_eq!(load(42, &a, &gate).await, 3, "{pair:?}");
    }
    // Other entries have versions of their own, and what has none is stored.
    load_entry(43, &a).set_versioned(1, 0).await.unwrap();
    load_entry(42, &a).set(4).await.unwrap();
    assert_eq!((load(42, &b, &gate).await, load(43, &b, &gate).await), (4, 1));
    assert_eq!(gate.runs(), 0);
}

pub(super) async fn c1_versions_end_as_the_newest_in_whatever_order(stage: Stage) {
    let (a, b) = stage.two().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    for round in 0..20_u64 {
        let mut versions: Vec<u64> = (1..=8).collect();
        dice.shuffle(&mut versions);
        let sets: Vec<_> = versions
            .into_iter()
            .map(|version| {
                let entry = load_entry(round, if dice.bool() { &a } else { &b });
                let value = usize::try_from(version).unwrap();
                tokio::spawn(async move { entry.set_versioned(value, version).await.is_ok() })
            })
            .collect();
        for set in sets {
            set.await.unwrap();
        }
        let stored = load_entry(round, &a).peek().await.unwrap();
        assert_eq!(stored.map(|peek| peek.value), Some(8), "round {round} of seed {seed}");
    }
}

pub(super) async fn an_entry_is_invalidated(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    load(42, &a, &gate).await;
    load(43, &a, &gate).await;
    load_entry(42, &b).invalidate().await.unwrap();
    // Once more does no harm, nor where nothing is stored.
    load_entry(42, &b).invalidate().await.unwrap();
    load_entry(44, &b).invalidate().await.unwrap();
    assert!(load_entry(42, &a).peek().await.unwrap().is_none());
    assert_eq!(load(42, &a, &gate).await, 3);
    assert_eq!(load(42, &b, &gate).await, 3);
    assert_eq!(load(43, &b, &gate).await, 2, "other entries stay");
}

pub(super) async fn an_entry_is_expired(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    gate.let_go(1);
    live(42, &cache, &gate).await;
    let entry = live_entry(42, &cache);
    let left = entry.ttl().await.unwrap().expect("it is stored");
    entry.expire().await.unwrap();
    let seen = entry.peek().await.unwrap().expect("it is still stored");
    assert_eq!((seen.value, seen.state), (1, State::Stale));
    assert!(
        entry.ttl().await.unwrap().expect("it is still stored") <= left,
        "it does not live longer"
    );
    assert_eq!(live(42, &cache, &gate).await, 1, "it is still served");
    gate.started(2).await;
    gate.let_go(2);
    cache.shutdown(Duration::from_secs(20)).await.unwrap();
    assert_eq!(live(42, &cache, &gate).await, 2);
    assert_eq!(entry.peek().await.unwrap().expect("it is stored").state, State::Fresh);
}

pub(super) async fn expiring_without_a_refresh_window_is_an_invalidation(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    load(42, &cache, &gate).await;
    load_entry(42, &cache).expire().await.unwrap();
    assert!(load_entry(42, &cache).peek().await.unwrap().is_none());
    assert_eq!(load(42, &cache, &gate).await, 2);
}

pub(super) async fn a_forced_refresh_replaces_what_is_stored(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(live(42, &a, &gate).await, 1);
    assert_eq!(live_refresh(42, &b, &gate).await, 2);
    assert_eq!(live(42, &a, &gate).await, 2);
    assert_eq!(gate.runs(), 2);
}

pub(super) async fn the_uncached_function_touches_nothing(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    assert_eq!(load_uncached(42, &cache, &gate).await, 1);
    assert!(load_entry(42, &cache).peek().await.unwrap().is_none());
    assert_eq!(load(42, &cache, &gate).await, 2);
    assert_eq!(load_uncached(42, &cache, &gate).await, 3);
    assert_eq!(load(42, &cache, &gate).await, 2);
}

pub(super) async fn who_only_reads_is_served_and_stores_nothing(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(terms(42, &a, &gate, true, None).await, 1);
    assert!(terms_entry(42, &b).peek().await.unwrap().is_none());
    assert_eq!(terms(42, &b, &gate, false, None).await, 2);
    assert_eq!(terms(42, &a, &gate, true, None).await, 2);
}

pub(super) async fn what_may_be_too_old_is_computed_anew(stage: Stage) {
    let (gate, hour) = (Gate::open(), Some(Duration::from_secs(3600)));
    let ((a, b), short) = (stage.two().await, Some(Duration::from_millis(1)));
    assert_eq!(terms(42, &a, &gate, false, None).await, 1);
    assert_eq!(terms(42, &a, &gate, false, hour).await, 1);
    assert_eq!(terms(42, &b, &gate, false, hour).await, 1);
    // By the server's clock, which goes on by itself.
    eventually("it is too old", async || terms(42, &b, &gate, false, short).await == 2).await;
    assert_eq!(terms(42, &a, &gate, false, None).await, 2, "it was stored");
}

pub(super) async fn functions_of_one_template_keep_their_own_entries(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(left_entry(1, &a).key(), right_entry(1, &a).key());
    for cache in [&a, &b, &a, &b] {
        assert_eq!(left(1, cache, &gate).await, "left 1 1");
        assert_eq!(right(1, cache, &gate).await, "right 1 2");
    }
    // One that is written anew keeps the other.
    left_refresh(1, &a, &gate).await;
    assert_eq!(right(1, &b, &gate).await, "right 1 2");
    assert_eq!(left(1, &b, &gate).await, "left 1 3");
    // An invalidation reaches both.
    right_entry(1, &b).invalidate().await.unwrap();
    assert_eq!(left(1, &a, &gate).await, "left 1 4");
    assert_eq!(right(1, &a, &gate).await, "right 1 5");
}

pub(super) async fn of_sets_at_one_time_the_last_to_ask_is_stored(stage: Stage) {
    let cache = stage.cache().await;
    // The server knows the scripts from here on, so that each step is one request.
    load_entry(42, &cache).set(99).await.unwrap();
    for round in 0..20 {
        let (first, second) = (load_entry(42, &cache), load_entry(42, &cache));
        let (one, two) = tokio::join!(biased; first.set(2 * round), second.set(2 * round + 1));
        let stored = stored(&cache).await.expect("one of them is stored");
        // In a cluster each asks behind a note on another node, and so in either order.
        let mut in_order = [(one, 2 * round), (two, 2 * round + 1)];
        if stage.backend == Backend::Cluster && stored == 2 * round {
            in_order.reverse();
        }
        let [(overtaken, _), (last, value)] = in_order;
        last.unwrap();
        // It was over before the other began, or it was told that it came to nothing.
        assert!(overtaken.is_ok() || overtaken.is_err_and(|error| error.is_superseded()));
        assert_eq!(stored, value);
    }
}

pub(super) async fn c3_the_ttl_is_at_most_what_was_asked_for(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    for id in 0..50 {
        load(id, &cache, &gate).await;
        let left = load_entry(id, &cache).ttl().await.unwrap().expect("it is stored");
        assert!(left <= Duration::from_secs(300), "{left:?}");
        assert!(left >= Duration::from_secs(200), "jitter is a small part: {left:?}");
    }
}

pub(super) async fn c3_nothing_is_served_past_its_ttl(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    assert_eq!(short(1, &cache, &gate).await, 1);
    // The time is what is tested: it began before the call returned.
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(short(1, &cache, &gate).await, 2);
}

pub(super) async fn c3_a_body_slower_than_its_ttl_is_not_stored(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let body = async {
        gate.started(1).await;
        tokio::time::sleep(Duration::from_millis(110)).await;
        gate.let_go(1);
    };
    let (value, ()) = tokio::join!(short(1, &cache, &gate), body);
    assert_eq!(value, 1, "its caller gets it all the same");
    assert!(short_entry(1, &cache).peek().await.unwrap().is_none());
}

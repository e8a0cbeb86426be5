//! Tags: many entries invalidated by one name, as finally as one by its key (C1).

use std::time::Duration;

use redis_cached::{Cache, State, TagScope, redis_cached, tag};
use redis_cached_tests::{Gate, in_time};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, yield_now};

use crate::stage::{Stage, load};

const DRAIN: Duration = Duration::from_secs(20);

/// Tagged by an argument that is not in the key.
#[redis_cached(
    key = "member:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", tags = ["team:{team}"],
    cache = cache, skip(cache, gate)
)]
async fn member(team: u32, id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// As [`member`], not refreshed.
#[redis_cached(
    key = "plain:{id}", ttl = "5m", wait = "1m", tags = ["team:{team}", "plain"], cache = cache,
    skip(cache, gate)
)]
async fn plain(team: u32, id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Its parameters can change places.
#[redis_cached(
    key = "pair", ttl = "5m", tags = ["side:{a}", "side:{b}"], cache = cache, skip(cache, gate)
)]
async fn pair(a: u32, b: u32, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Every value carries the tags of all teams.
#[redis_cached(key = "guest", ttl = "5m", tags = ["team:{team}"], cache = cache, skip(cache, gate))]
async fn guest(team: u32, cache: &Cache, gate: &Gate) -> usize {
    (7..9).for_each(|team| tag(format!("team:{team}")));
    gate.pass().await
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    run: usize,
    org: u32,
    authors: Vec<u64>,
}

/// Tagged by what is returned.
#[redis_cached(
    key = "page:{id}", ttl = "5m", wait = "1m", tags = ["org:{ret.org}", "page:{id}"],
    tags_with = |page| page.iter().flat_map(|page| &page.authors).map(|author| format!("author:{author}")),
    cache = cache, skip(cache, gate)
)]
async fn page(id: u64, cache: &Cache, gate: &Gate) -> Option<Page> {
    let run = gate.pass().await;
    (id != 404).then(|| Page { run, org: 3, authors: vec![id, id + 1] })
}

/// Tagged where the data is read, in a task of its own at that.
#[redis_cached(key = "deep:{id}", ttl = "5m", wait = "1m", cache = cache, skip(cache, gate))]
async fn deep(id: u64, cache: &Cache, gate: &Gate) -> usize {
    let inner = TagScope::current().run(async move { tag(format!("deep:{id}")) });
    tokio::spawn(inner).await.expect("tagging does not panic");
    gate.pass().await
}

/// Calls [`member`], and then waits at a gate of its own.
#[redis_cached(key = "outer:{id}", ttl = "5m", wait = "1m", cache = cache, skip(cache, inner, gate))]
async fn outer(id: u64, cache: &Cache, inner: &Gate, gate: &Gate) -> (usize, usize) {
    let member = member(7, id, cache, inner).await;
    (member, gate.pass().await)
}

/// Calls [`outer`].
#[redis_cached(key = "outmost:{id}", ttl = "5m", wait = "1m", cache = cache, skip(cache, gate))]
async fn outmost(id: u64, cache: &Cache, gate: &Gate) -> (usize, usize) {
    outer(id, cache, gate, gate).await
}

/// Fails if asked to, and what calls it lives with that.
#[redis_cached(
    key = "failing:{id}", ttl = "5m", tags = ["failing:{id}"], cache = cache, skip(cache), bypass_if = bypassed
)]
async fn failing(id: u64, bypassed: bool, cache: &Cache) -> Result<usize, String> {
    yield_now().await;
    if id == 0 { Err("there is none".to_owned()) } else { Ok(1) }
}

#[redis_cached(key = "lenient:{id}:{bypassed}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn lenient(id: u64, bypassed: bool, cache: &Cache, gate: &Gate) -> usize {
    failing(id, bypassed, cache).await.unwrap_or(0) + gate.pass().await
}

#[redis_cached(key = "many:{count}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn many(count: usize, cache: &Cache, gate: &Gate) -> usize {
    (0..count).for_each(|n| tag(format!("many:{n}")));
    gate.pass().await
}

/// A call of a task of its own.
fn calling(cache: &Cache, gate: &Gate) -> JoinHandle<usize> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move { member(7, 42, &cache, &gate).await })
}

async fn returned<T>(call: JoinHandle<T>) -> T {
    in_time("the call returns", call).await.expect("the body does not panic")
}

async fn stored(id: u64, cache: &Cache) -> Option<usize> {
    member_entry(7, id, cache).peek().await.unwrap().map(|seen| seen.value)
}

/// What has taken the place of a value, once it has.
async fn replaced(old: usize, cache: &Cache) -> (usize, State) {
    let other = async {
        loop {
            match member_entry(7, 42, cache).peek().await.unwrap() {
                Some(seen) if seen.value != old => return (seen.value, seen.state),
                _ => yield_now().await,
            }
        }
    };
    in_time("the value is replaced", other).await
}

async fn invalidate(cache: &Cache, tag: &str) {
    cache.invalidate_tags([tag]).await.unwrap();
}

pub(super) async fn c1_a_tag_reaches_every_entry_that_carries_it_and_no_other(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    for id in 0..20 {
        member(7, id, &a, &gate).await;
    }
    assert_eq!(member(8, 100, &a, &gate).await, 21);
    assert_eq!(plain(7, 1, &a, &gate).await, 22);
    assert_eq!(load(1, &a, &gate).await, 23);
    invalidate(&b, "team:7").await;
    for id in 0..20 {
        assert_eq!(stored(id, &a).await, None, "entry {id}");
    }
    assert_eq!(member(7, 7, &a, &gate).await, 24);
    assert_eq!(member(7, 7, &b, &gate).await, 24);
    assert_eq!(plain(7, 1, &b, &gate).await, 25);
    for cache in [&a, &b] {
        assert_eq!(member(8, 100, cache, &gate).await, 21);
        assert_eq!(load(1, cache, &gate).await, 23);
    }
    // Several at once, one of them twice, and tags that nothing carries.
    b.invalidate_tags(["plain", "nothing", "team:8", "plain", ""]).await.unwrap();
    assert_eq!(plain(7, 1, &a, &gate).await, 26);
    assert_eq!(member(8, 100, &a, &gate).await, 27);
    assert_eq!(member(7, 7, &a, &gate).await, 24);
}

/// Catalogue 15.
pub(super) async fn c1_a_tag_is_invalidated_during_a_foreground_body(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = calling(&a, &gate);
    gate.started(1).await;
    invalidate(&b, "team:7").await;
    gate.let_go(1);
    assert_eq!(returned(old).await, 1, "who called before gets the old value");
    assert_eq!(stored(42, &a).await, None, "but nobody else does");
    gate.let_go(2);
    assert_eq!(member(7, 42, &b, &gate).await, 2);
    assert_eq!(stored(42, &a).await, Some(2));
}

/// Catalogue 15.
pub(super) async fn c1_a_tag_is_invalidated_during_a_background_refresh(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    assert_eq!(member(7, 42, &a, &gate).await, 1);
    member_entry(7, 42, &a).expire().await.unwrap();
    assert_eq!(member(7, 42, &a, &gate).await, 1, "stale, and refreshed behind");
    gate.started(2).await;
    invalidate(&b, "team:7").await;
    gate.let_go(2);
    a.shutdown(DRAIN).await.unwrap();
    assert_eq!(stored(42, &b).await, None);
    gate.let_go(3);
    assert_eq!(member(7, 42, &b, &gate).await, 3);
}

pub(super) async fn c6_an_entry_is_not_served_to_a_call_with_other_tags(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    // Also where each has the other's tags: by its arguments, or by what its body tags.
    for _ in 0..2 {
        assert_eq!(member(7, 42, &cache, &gate).await, 1);
        assert_eq!(member(8, 42, &cache, &gate).await, 2);
        assert_eq!(pair(1, 2, &cache, &gate).await, 3);
        assert_eq!(pair(2, 1, &cache, &gate).await, 4);
        assert_eq!(guest(7, &cache, &gate).await, 5);
        assert_eq!(guest(8, &cache, &gate).await, 6);
    }
    invalidate(&cache, "team:8").await;
    assert_eq!(stored(42, &cache).await, Some(1));
    assert!(member_entry(8, 42, &cache).peek().await.unwrap().is_none());
    member_entry(8, 42, &cache).invalidate().await.unwrap();
    assert_eq!(stored(42, &cache).await, None, "a key is invalidated for all of them");
}

pub(super) async fn c6_a_flight_is_not_shared_by_calls_with_other_tags(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let seven = calling(&cache, &gate);
    gate.started(1).await;
    let eight = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { member_refresh(8, 42, &cache, &gate).await })
    };
    gate.started(2).await;
    gate.let_all_go();
    assert_eq!((returned(seven).await, returned(eight).await), (1, 2));
}

pub(super) async fn c1_tags_of_the_value_invalidate_it(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    for (run, tag) in ["org:3", "page:5", "author:5", "author:6"].into_iter().enumerate() {
        let page_of = async |cache: &Cache| page(5, cache, &gate).await.unwrap().run;
        assert_eq!((page_of(&a).await, page_of(&b).await), (run + 1, run + 1), "before {tag}");
        invalidate(&b, tag).await;
        assert!(page_entry(5, &a).peek().await.unwrap().is_none(), "{tag}");
    }
    assert_eq!(page(404, &a, &gate).await, None);
    let runs = gate.runs();
    invalidate(&b, "org:3").await;
    assert_eq!(page(404, &b, &gate).await, None);
    assert_eq!(gate.runs(), runs, "a `None` has none of its tags");
    invalidate(&b, "page:404").await;
    assert_eq!(page(404, &b, &gate).await, None);
    assert_eq!(gate.runs(), runs + 1);
}

/// Catalogue 16.
pub(super) async fn c1_a_tag_of_the_value_is_invalidated_during_the_body(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = {
        let (a, gate) = (a.clone(), gate.clone());
        tokio::spawn(async move { page(5, &a, &gate).await })
    };
    gate.started(1).await;
    invalidate(&b, "author:6").await;
    gate.let_all_go();
    assert_eq!(returned(old).await.unwrap().run, 1);
    assert!(page_entry(5, &b).peek().await.unwrap().is_none(), "the journal refuses it");
    assert_eq!(page(5, &b, &gate).await.unwrap().run, 2);
    assert_eq!(page(5, &a, &gate).await.unwrap().run, 2);
}

pub(super) async fn c1_a_value_that_is_set_has_the_tags_that_it_tells_of(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    let set = Page { run: 100, org: 9, authors: vec![1] };
    page_entry(5, &a).set(Some(set.clone())).await.unwrap();
    assert_eq!(page(5, &b, &gate).await, Some(set));
    invalidate(&a, "org:9").await;
    assert_eq!(page(5, &b, &gate).await.unwrap().run, 1);
    deep_entry(5, &a).set_with_tags(100, ["deep:5", "mine"]).await.unwrap();
    assert_eq!(deep(5, &b, &gate).await, 100);
    invalidate(&b, "mine").await;
    assert_eq!(deep(5, &b, &gate).await, 2);
    let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
    let refused = deep_entry(5, &a).set_with_tags(100, many).await.unwrap_err();
    assert!(refused.is_not_storable(), "{refused}");
    assert_eq!(deep(5, &b, &gate).await, 2);
}

pub(super) async fn c1_a_tag_from_deep_inside_a_body_invalidates_its_entry(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    assert_eq!((deep(5, &a, &gate).await, deep(5, &b, &gate).await), (1, 1));
    invalidate(&b, "deep:4").await;
    assert_eq!(deep(5, &a, &gate).await, 1);
    invalidate(&b, "deep:5").await;
    let old = {
        let (a, gate) = (a.clone(), gate.clone());
        tokio::spawn(async move { deep(5, &a, &gate).await })
    };
    gate.started(2).await;
    invalidate(&b, "deep:5").await;
    gate.let_all_go();
    assert_eq!(returned(old).await, 2);
    assert_eq!((deep(5, &b, &gate).await, deep(5, &a, &gate).await), (3, 3));
}

pub(super) async fn c1_tags_are_handed_on_to_the_functions_around(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    // Computed inside, then a hit inside, then an outer hit inside.
    assert_eq!(outer(1, &a, &gate, &gate).await, (1, 2));
    assert_eq!(member(7, 2, &a, &gate).await, 3);
    assert_eq!(outer(2, &a, &gate, &gate).await, (3, 4));
    assert_eq!(outmost(1, &b, &gate).await, (1, 2));
    assert_eq!(outmost(3, &b, &gate).await, (5, 6));
    let runs = gate.runs();
    for cache in [&a, &b] {
        assert_eq!(outer(1, cache, &gate, &gate).await, (1, 2));
        assert_eq!(outer(2, cache, &gate, &gate).await, (3, 4));
        assert_eq!(outmost(1, cache, &gate).await, (1, 2));
        assert_eq!(outmost(3, cache, &gate).await, (5, 6));
    }
    assert_eq!(gate.runs(), runs);
    invalidate(&a, "team:7").await;
    for id in [1, 3] {
        assert!(outmost_entry(id, &a).peek().await.unwrap().is_none(), "outmost {id}");
        assert!(outer_entry(id, &b).peek().await.unwrap().is_none(), "outer {id}");
    }
    assert!(outer_entry(2, &b).peek().await.unwrap().is_none());
    assert_eq!(outmost(1, &b, &gate).await, (runs + 1, runs + 2));
}

pub(super) async fn c1_a_tag_is_invalidated_behind_the_inner_call(stage: Stage) {
    for inner_is_stored in [false, true] {
        let ((a, b), inner, gate) = (stage.two().await, Gate::open(), Gate::closed());
        let id = u64::from(inner_is_stored);
        if inner_is_stored {
            member(7, id, &b, &inner).await;
        }
        let old = {
            let (a, inner, gate) = (a.clone(), inner.clone(), gate.clone());
            tokio::spawn(async move { outer(id, &a, &inner, &gate).await })
        };
        gate.started(1).await;
        invalidate(&b, "team:7").await;
        gate.let_all_go();
        assert_eq!(returned(old).await, (1, 1));
        assert!(outer_entry(id, &b).peek().await.unwrap().is_none(), "{inner_is_stored}");
        assert_eq!(outer(id, &b, &inner, &gate).await, (2, 2));
    }
}

pub(super) async fn c1_what_depends_on_a_failure_or_on_a_bypassed_call_has_its_tags(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    for (id, bypassed) in [(0, false), (1, true), (0, true)] {
        let before = lenient(id, bypassed, &a, &gate).await;
        assert_eq!(lenient(id, bypassed, &b, &gate).await, before);
        invalidate(&b, &format!("failing:{id}")).await;
        assert_ne!(lenient(id, bypassed, &b, &gate).await, before, "{id} {bypassed}");
    }
}

pub(super) async fn c1_what_a_body_peeks_at_it_depends_on(stage: Stage) {
    #[redis_cached(key = "peeking", ttl = "5m", cache = cache, skip(cache, gate))]
    async fn peeking(cache: &Cache, gate: &Gate) -> usize {
        gate.pass().await;
        let seen = member_entry(7, 42, cache).peek().await.expect("the store answers");
        seen.map_or(0, |seen| seen.value)
    }
    let (cache, gate, inner) = (stage.cache().await, Gate::open(), Gate::open());
    assert_eq!(member(7, 42, &cache, &inner).await, 1);
    assert_eq!(peeking(&cache, &gate).await, 1);
    invalidate(&cache, "team:7").await;
    assert_eq!(peeking(&cache, &gate).await, 0);
}

pub(super) async fn a_tag_that_is_expired_makes_entries_stale(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    assert_eq!(member(7, 42, &a, &gate).await, 1);
    b.expire_tags(["team:7"]).await.unwrap();
    let seen = member_entry(7, 42, &a).peek().await.unwrap().unwrap();
    assert_eq!((seen.value, seen.state), (1, State::Stale));
    assert_eq!(member(7, 42, &a, &gate).await, 1, "served, and refreshed behind");
    gate.started(2).await;
    // What is under way has begun before this.
    b.expire_tags(["team:7"]).await.unwrap();
    gate.let_go(2);
    assert_eq!(replaced(1, &b).await, (2, State::Stale));
    assert_eq!(member(7, 42, &b, &gate).await, 2);
    gate.started(3).await;
    gate.let_go(3);
    assert_eq!(replaced(2, &a).await, (3, State::Fresh));
    invalidate(&a, "team:7").await;
    assert_eq!(stored(42, &a).await, None, "an expired tag can be invalidated");
}

pub(super) async fn c1_a_tag_that_is_expired_is_final_without_a_refresh(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(plain(7, 42, &a, &gate).await, 1);
    b.expire_tags(["plain"]).await.unwrap();
    assert_eq!(plain(7, 42, &a, &gate).await, 2);
    assert_eq!(page(5, &a, &gate).await.unwrap().run, 3);
    b.expire_tags(["org:3"]).await.unwrap();
    assert_eq!(page(5, &a, &gate).await.unwrap().run, 4);
}

pub(super) async fn an_entry_has_at_most_32_tags(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    for (count, runs) in [(32, 1), (32, 1), (33, 2), (33, 3), (100, 4), (100, 5)] {
        many(count, &cache, &gate).await;
        assert_eq!(gate.runs(), runs, "{count} tags");
    }
    invalidate(&cache, "many:31").await;
    many(32, &cache, &gate).await;
    assert_eq!(gate.runs(), 6);
}

/// Two caches on one store, of which the second clears.
async fn is_cleared((a, b): (Cache, Cache)) {
    let gate = Gate::closed();
    gate.let_go(1);
    gate.let_go(2);
    assert_eq!(member(7, 1, &a, &gate).await, 1);
    assert_eq!(load(1, &a, &gate).await, 2);
    assert_eq!((member(7, 1, &b, &gate).await, load(1, &b, &gate).await), (1, 2));
    let old = calling(&a, &gate);
    gate.started(3).await;
    b.clear().await.unwrap();
    gate.let_all_go();
    assert_eq!(returned(old).await, 3);
    assert_eq!(stored(42, &a).await, None, "what was computing is stored for nobody");
    assert_eq!(member(7, 1, &b, &gate).await, 4);
    assert_eq!(load(1, &a, &gate).await, 5);
    assert_eq!(load(1, &b, &gate).await, 5);
}

pub(super) async fn c1_a_cache_is_cleared(stage: Stage) {
    is_cleared(stage.two().await).await;
}

pub(super) async fn c1_a_clearable_cache_is_cleared(stage: Stage) {
    is_cleared(stage.two_clearable().await).await;
}

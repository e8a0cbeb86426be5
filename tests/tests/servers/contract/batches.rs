//! `batch(ids as id)`: one function for many keys, in front of other processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, in_time};

use crate::stage::Stage;

/// What each body was asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Vec<u64>>>>);

impl Asked {
    fn taken(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.0.lock().expect("no body panics"))
    }
}

#[redis_cached(
    key = "batched:{id}", ttl = "5m", none_ttl = "1m", wait = "1m", tags = ["batched-row:{id}", "batched"],
    cache = cache, skip(cache, asked, gate)
)]
async fn one(id: u64, cache: &Cache, asked: &Asked, gate: &Gate) -> Option<u64> {
    rows(&[id], asked, gate).await.remove(&id)
}

#[redis_cached(
    key = "batched:{id}", batch(ids as id), same_entries_as = one, ttl = "5m", none_ttl = "1m", wait = "1m",
    tags = ["batched-row:{id}", "batched"], cache = cache, skip(cache, asked, gate)
)]
async fn many(ids: &[u64], cache: &Cache, asked: &Asked, gate: &Gate) -> HashMap<u64, u64> {
    rows(ids, asked, gate).await
}

/// Every seventh row is not there.
async fn rows(ids: &[u64], asked: &Asked, gate: &Gate) -> HashMap<u64, u64> {
    asked.0.lock().expect("no body panics").push(ids.to_vec());
    gate.pass().await;
    answer(ids.iter().copied())
}

fn answer(ids: impl IntoIterator<Item = u64>) -> HashMap<u64, u64> {
    ids.into_iter().filter(|id| id % 7 != 6).map(|id| (id, id + 100)).collect()
}

pub(super) async fn the_missing_ones_are_computed_by_one_body(stage: Stage) {
    let (first, second) = stage.two().await;
    let (asked, gate) = (Asked::default(), Gate::open());
    let warm: Vec<u64> = (0..100).filter(|id| *id >= 37).collect();
    many(&warm, &first, &asked, &gate).await;
    asked.taken();
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(many(&all, &second, &asked, &gate).await, answer(0..100));
    assert_eq!(asked.taken(), [(0..37).collect::<Vec<u64>>()]);
    assert_eq!(many(&all, &first, &asked, &gate).await, answer(0..100));
    assert_eq!(one(3, &first, &asked, &gate).await, Some(103));
    assert_eq!(one(6, &second, &asked, &gate).await, None);
    assert!(asked.taken().is_empty());
}

pub(super) async fn c1_what_another_process_invalidates_meanwhile_is_not_stored_and_the_rest_is(
    stage: Stage,
) {
    let (first, second) = stage.two().await;
    let (asked, gate) = (Asked::default(), Gate::closed());
    let call = tokio::spawn({
        let (first, asked, gate) = (first.clone(), asked.clone(), gate.clone());
        async move { many(&[0, 1, 2, 3], &first, &asked, &gate).await }
    });
    gate.started(1).await;
    many_entry(1, &second).invalidate().await.expect("the store answers");
    second.invalidate_tags(["batched-row:2"]).await.expect("the store answers");
    gate.let_all_go();
    assert_eq!(in_time("the batch returns", call).await.expect("no panic"), answer(0..4));
    asked.taken();
    assert_eq!(many(&[3, 2, 1, 0], &second, &asked, &gate).await, answer(0..4));
    assert_eq!(asked.taken(), [[2, 1]]);
    second.invalidate_tags(["batched"]).await.expect("the store answers");
    many(&[0, 1, 2, 3], &first, &asked, &gate).await;
    assert_eq!(asked.taken(), [[0, 1, 2, 3]]);
}

pub(super) async fn c4_batches_that_overlap_in_any_order_never_wait_in_a_circle(stage: Stage) {
    let (first, second) = stage.two().await;
    for seed in 0..40_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (asked, gate) = (Asked::default(), Gate::open());
        let mut calls = Vec::new();
        let first_id = 1_000 * (seed + 1);
        for cache in [&first, &second, &first, &second] {
            let mut ids: Vec<u64> =
                (0..20).filter(|_| random.bool()).map(|id| first_id + id).collect();
            random.shuffle(&mut ids);
            let (cache, asked, gate) = (cache.clone(), asked.clone(), gate.clone());
            calls.push(tokio::spawn(async move {
                (many(&ids, &cache, &asked, &gate).await, answer(ids))
            }));
        }
        for call in calls {
            // Far below `wait`: none was waited out.
            let call = in_time("a batch returns", call).await.expect("no panic");
            assert_eq!(call.0, call.1, "seed {seed}");
        }
        let mut computed = asked.taken().concat();
        computed.sort_unstable();
        computed.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1], "seed {seed}: twice"));
    }
}

pub(super) async fn a_dropped_batch_leaves_no_key_to_others_to_wait_for(stage: Stage) {
    let (first, second) = stage.two().await;
    let (asked, closed, open) = (Asked::default(), Gate::closed(), Gate::open());
    let call = tokio::spawn({
        let (first, asked, closed) = (first.clone(), asked.clone(), closed.clone());
        async move { many(&[0, 1, 2], &first, &asked, &closed).await }
    });
    closed.started(1).await;
    call.abort();
    let answered = many(&[2, 1, 0], &second, &asked, &open);
    assert_eq!(in_time("its leases are given back", answered).await, answer(0..3));
    asked.taken();
    many(&[2, 1, 0], &first, &asked, &open).await;
    assert!(asked.taken().is_empty());
}

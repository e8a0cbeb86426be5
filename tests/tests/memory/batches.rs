//! One function for many keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use redis_cached::{Cache, State, observe, redis_cached, tag};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::origin::{memory, settle};

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Broken {
    Table,
    Row(u64),
}

/// Rows, and which of them each body has asked for.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<BTreeMap<u64, u64>>,
    asked: Mutex<Vec<Vec<u64>>>,
    broken: Mutex<Option<Broken>>,
    gate: Option<Semaphore>,
    started: Option<Semaphore>,
}

impl Table {
    fn of(ids: impl IntoIterator<Item = u64>) -> Self {
        let table = Self::default();
        table.0.rows.lock().unwrap().extend(ids.into_iter().map(|id| (id, 10 * id)));
        table
    }

    fn gated(ids: impl IntoIterator<Item = u64>) -> Self {
        let rows = ids.into_iter().map(|id| (id, 10 * id)).collect();
        Self(Arc::new(Inner {
            rows: Mutex::new(rows),
            gate: Some(Semaphore::new(0)),
            started: Some(Semaphore::new(0)),
            ..Inner::default()
        }))
    }

    async fn read(&self, ids: &[u64]) -> Result<HashMap<u64, u64>, Broken> {
        self.0.asked.lock().unwrap().push(ids.to_vec());
        let rows = self.0.rows.lock().unwrap().clone();
        if let Some(started) = &self.0.started {
            started.add_permits(1);
        }
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.unwrap().forget();
        }
        if let Some(broken) = self.0.broken.lock().unwrap().clone() {
            return Err(broken);
        }
        Ok(ids.iter().filter_map(|id| Some((*id, *rows.get(id)?))).collect())
    }

    fn set(&self, id: u64, value: u64) {
        self.0.rows.lock().unwrap().insert(id, value);
    }

    fn remove(&self, id: u64) {
        self.0.rows.lock().unwrap().remove(&id);
    }

    fn breaks(&self, broken: Option<Broken>) {
        *self.0.broken.lock().unwrap() = broken;
    }

    /// What each body was asked for since this was called last.
    fn asked(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.0.asked.lock().unwrap())
    }

    async fn body_started(&self) {
        self.0.started.as_ref().unwrap().acquire().await.unwrap().forget();
    }

    fn let_through(&self, bodies: usize) {
        self.0.gate.as_ref().unwrap().add_permits(bodies);
    }
}

#[redis_cached(
    key = "user:{id}", ttl = "10m", none_ttl = "1m", refresh_before = "2m", jitter = "0%", skip(table), cache = cache
)]
async fn user(cache: &Cache, table: &Table, id: u64) -> Result<Option<u64>, Broken> {
    Ok(table.read(&[id]).await?.remove(&id))
}

#[redis_cached(
    key = "user:{id}", batch(ids as id), same_entries_as = user, ttl = "10m", none_ttl = "1m",
    refresh_before = "2m", jitter = "0%", skip(table), cache = cache
)]
async fn users(cache: &Cache, table: &Table, ids: &[u64]) -> Result<HashMap<u64, u64>, Broken> {
    table.read(ids).await
}

fn rows(ids: impl IntoIterator<Item = u64>) -> HashMap<u64, u64> {
    ids.into_iter().map(|id| (id, 10 * id)).collect()
}

fn call(
    cache: &Cache,
    table: &Table,
    ids: &[u64],
) -> tokio::task::JoinHandle<Result<HashMap<u64, u64>, Broken>> {
    let (cache, table, ids) = (cache.clone(), table.clone(), ids.to_vec());
    tokio::spawn(async move { users(&cache, &table, &ids).await })
}

#[tokio::test(start_paused = true)]
async fn the_body_gets_the_missing_ones_in_their_order_and_each_once() {
    let (cache, table) = (memory().await, Table::of(0..100));
    let warm: Vec<u64> = (0..100).filter(|id| id % 8 > 2).collect();
    users(&cache, &table, &warm).await.unwrap();
    table.asked();
    let mut all: Vec<u64> = (0..100).rev().collect();
    all.extend([7, 1, 2]);
    let cold: Vec<u64> = (0..100).rev().filter(|id| id % 8 <= 2).collect();
    assert_eq!(users(&cache, &table, &all).await.unwrap(), rows(0..100));
    assert_eq!(table.asked(), [cold]);
    assert_eq!(users(&cache, &table, &all).await.unwrap(), rows(0..100));
    assert!(table.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_asks_for_nothing() {
    let (cache, table) = (memory().await, Table::default());
    let (answer, observed) = observe(users(&cache, &table, &[])).await;
    assert_eq!(answer, Ok(HashMap::new()));
    assert!(table.asked().is_empty());
    assert!(observed.calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_and_a_single_call_hit_what_the_other_has_stored() {
    let (cache, table) = (memory().await, Table::of([1, 2]));
    user(&cache, &table, 1).await.unwrap();
    assert_eq!(users(&cache, &table, &[1, 2, 3]).await.unwrap(), rows([1, 2]));
    assert_eq!(table.asked(), [vec![1], vec![2, 3]]);
    assert_eq!(user(&cache, &table, 2).await, Ok(Some(20)));
    assert_eq!(user(&cache, &table, 3).await, Ok(None));
    assert!(table.asked().is_empty());
    assert_eq!(users_entry(&cache, 2).peek().await.unwrap().unwrap().value, Some(20));
}

#[tokio::test(start_paused = true)]
async fn what_is_absent_is_remembered_for_none_ttl() {
    let (cache, table) = (memory().await, Table::of([1]));
    for _ in 0..2 {
        assert_eq!(users(&cache, &table, &[1, 2]).await.unwrap(), rows([1]));
    }
    assert_eq!(table.asked(), [[1, 2]]);
    tokio::time::sleep(Duration::from_secs(61)).await;
    table.set(2, 20);
    assert_eq!(users(&cache, &table, &[1, 2]).await.unwrap(), rows([1, 2]));
    assert_eq!(table.asked(), [[2]]);
}

#[redis_cached(
    key = "plain:{id}", batch(ids as id), ttl = "10m", refresh_before = "9m", jitter = "0%", skip(table), cache = cache
)]
async fn plain(cache: &Cache, table: &Table, ids: Vec<u64>) -> BTreeMap<u64, u64> {
    table.read(&ids).await.unwrap().into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn without_none_ttl_what_is_absent_is_asked_for_again_and_drives_out_what_was_stored() {
    let (cache, table) = (memory().await, Table::of([1, 2]));
    plain(&cache, &table, vec![1, 2]).await;
    table.remove(2);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(plain(&cache, &table, vec![1, 2]).await.len(), 2);
    settle().await;
    assert_eq!(plain(&cache, &table, vec![1, 2]).await, BTreeMap::from([(1, 10)]));
    assert_eq!(table.asked(), [vec![1, 2], vec![1, 2], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn stale_ones_are_served_and_refreshed_by_one_body_behind() {
    let (cache, table) = (memory().await, Table::gated(0..4));
    table.let_through(1);
    users(&cache, &table, &[0, 1, 2]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(481)).await;
    table.let_through(1);
    users(&cache, &table, &[3]).await.unwrap();
    table.asked();
    for id in 0..4 {
        table.set(id, 1_000 + id);
    }
    for _ in 0..10 {
        let answer = users(&cache, &table, &[3, 2, 1, 0]).await.unwrap();
        assert_eq!(answer, rows(0..4), "it waited for the refresh");
    }
    settle().await;
    assert_eq!(table.asked(), [[2, 1, 0]]);
    table.let_through(1);
    settle().await;
    let fresh = HashMap::from([(0, 1_000), (1, 1_001), (2, 1_002), (3, 30)]);
    assert_eq!(users(&cache, &table, &[0, 1, 2, 3]).await.unwrap(), fresh);
    assert_eq!(user_entry(&cache, 1).peek().await.unwrap().unwrap().state, State::Fresh);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_the_callers_and_leaves_no_key_blocked() {
    let (cache, table) = (memory().await, Table::of(0..5));
    users(&cache, &table, &[0]).await.unwrap();
    table.breaks(Some(Broken::Table));
    assert_eq!(users(&cache, &table, &[0, 1, 2]).await, Err(Broken::Table));
    table.breaks(None);
    let start = Instant::now();
    assert_eq!(users(&cache, &table, &[0, 1, 2]).await.unwrap(), rows(0..3));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(table.asked(), [vec![0], vec![1, 2], vec![1, 2]]);
    // Who comes behind a failure computes without storing, as a single call.
    tokio::time::sleep(Duration::from_secs(2)).await;
    users(&cache, &table, &[1, 2]).await.unwrap();
    users(&cache, &table, &[1, 2]).await.unwrap();
    assert_eq!(table.asked(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_one_key_share_the_error_of_the_batch() {
    let (cache, table) = (memory().await, Table::gated([1, 2]));
    // The single call leads the flight of its key, and the batch waits for that when its own keys have come.
    let start = Instant::now();
    let single = tokio::spawn({
        let (cache, table) = (cache.clone(), table.clone());
        async move { user(&cache, &table, 1).await }
    });
    table.body_started().await;
    let batch = call(&cache, &table, &[1, 2]);
    table.body_started().await;
    assert_eq!(start.elapsed(), Duration::ZERO, "its own key was not computed first");
    table.breaks(Some(Broken::Table));
    table.let_through(3);
    assert_eq!(single.await.unwrap(), Err(Broken::Table));
    assert_eq!(batch.await.unwrap(), Err(Broken::Table));
}

#[tokio::test(start_paused = true)]
async fn c4_a_batch_and_a_single_call_compute_once() {
    let (cache, table) = (memory().await, Table::gated([1, 2]));
    let batch = call(&cache, &table, &[1, 2]);
    table.body_started().await;
    let single = tokio::spawn({
        let (cache, table) = (cache.clone(), table.clone());
        async move { user(&cache, &table, 2).await }
    });
    let other = call(&cache, &table, &[2, 1]);
    settle().await;
    table.let_through(1);
    assert_eq!(batch.await.unwrap().unwrap(), rows([1, 2]));
    assert_eq!(single.await.unwrap(), Ok(Some(20)));
    assert_eq!(other.await.unwrap().unwrap(), rows([1, 2]));
    assert_eq!(table.asked(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn own_keys_come_first_in_whatever_order_batches_overlap() {
    for seed in 0..200_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (cache, table) = (memory().await, Table::of(0..12));
        let start = Instant::now();
        let mut calls = Vec::new();
        for _ in 0..4 {
            let mut ids: Vec<u64> = (0..12).filter(|_| random.bool()).collect();
            random.shuffle(&mut ids);
            calls.push((call(&cache, &table, &ids), ids));
            for _ in 0..random.usize(..4) {
                tokio::task::yield_now().await;
            }
        }
        for (call, ids) in calls {
            assert_eq!(call.await.unwrap().unwrap(), rows(ids), "seed {seed}");
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "seed {seed}: they waited for each other");
        let mut asked: Vec<u64> = table.asked().concat();
        asked.sort_unstable();
        asked.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1], "seed {seed}: twice"));
    }
}

#[tokio::test(start_paused = true)]
async fn c1_an_id_that_is_invalidated_meanwhile_is_not_stored_and_its_neighbours_are() {
    let (cache, table) = (memory().await, Table::gated(1..=3));
    let batch = call(&cache, &table, &[1, 2, 3]);
    table.body_started().await;
    table.set(2, 2_000);
    user_entry(&cache, 2).invalidate().await.unwrap();
    let late = call(&cache, &table, &[2]);
    settle().await;
    table.let_through(2);
    assert_eq!(batch.await.unwrap().unwrap(), rows(1..=3));
    assert_eq!(late.await.unwrap().unwrap(), HashMap::from([(2, 2_000)]));
    assert!(user_entry(&cache, 1).peek().await.unwrap().is_some());
    assert_eq!(user_entry(&cache, 2).peek().await.unwrap().unwrap().value, Some(2_000));
    assert!(user_entry(&cache, 3).peek().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c1_an_invalidated_id_is_not_served_to_who_comes_when_the_body_runs() {
    let (cache, table) = (memory().await, Table::gated(1..=2));
    let batch = call(&cache, &table, &[1, 2]);
    table.body_started().await;
    table.set(1, 1_000);
    user_entry(&cache, 1).invalidate().await.unwrap();
    let late = call(&cache, &table, &[2, 1]);
    settle().await;
    table.let_through(2);
    batch.await.unwrap().unwrap();
    assert_eq!(late.await.unwrap().unwrap(), HashMap::from([(1, 1_000), (2, 20)]));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_at_any_point_blocks_no_key() {
    for polls in 0..12 {
        for gate in 0..2 {
            let (cache, table) = (memory().await, Table::gated(0..5));
            table.let_through(gate);
            let mut dropped = Box::pin(users(&cache, &table, &[0, 1, 2]));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if dropped.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let waits = call(&cache, &table, &[2, 3, 1]);
            settle().await;
            drop(dropped);
            table.let_through(10);
            let start = Instant::now();
            assert_eq!(waits.await.unwrap().unwrap(), rows(1..4), "{polls} polls");
            assert_eq!(users(&cache, &table, &[0, 1, 4]).await.unwrap(), rows([0, 1, 4]));
            assert_eq!(start.elapsed(), Duration::ZERO, "{polls} polls: a lease was left behind");
            table.asked();
            users(&cache, &table, &[0, 1, 2, 3, 4]).await.unwrap();
            assert!(table.asked().is_empty(), "{polls} polls: {gate}: not all were stored");
        }
    }
}

#[redis_cached(key = "panics:{id}", batch(ids as id), ttl = "10m", skip(fails), cache = cache)]
async fn panics(cache: &Cache, fails: &Mutex<u32>, ids: &[u64]) -> HashMap<u64, u64> {
    tokio::task::yield_now().await;
    let fails_now = {
        let mut fails = fails.lock().unwrap();
        *fails = fails.saturating_sub(1);
        *fails > 0
    };
    assert!(!fails_now, "as it is meant to");
    ids.iter().map(|id| (*id, 10 * id)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_callers_own() {
    let (cache, fails) = (memory().await, Arc::new(Mutex::new(2)));
    let spawn = |ids: [u64; 2]| {
        let (cache, fails) = (cache.clone(), Arc::clone(&fails));
        tokio::spawn(async move { panics(&cache, &fails, &ids).await })
    };
    let start = Instant::now();
    let (first, second) = (spawn([1, 2]), spawn([2, 3]));
    assert!(first.await.is_err());
    assert_eq!(second.await.unwrap(), rows([2, 3]));
    assert_eq!(spawn([1, 2]).await.unwrap(), rows([1, 2]));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[redis_cached(
    key = "tagged:{id}", batch(ids as id), ttl = "10m", tags = ["row:{id}", "value:{ret}"], skip(table), cache = cache
)]
async fn tagged(cache: &Cache, table: &Table, ids: &[u64]) -> HashMap<u64, u64> {
    tag("all");
    table.read(ids).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn c1_tags_of_each_and_tags_of_the_body() {
    let (cache, table) = (memory().await, Table::of(0..5));
    let ids = [0, 1, 2, 3, 4];
    tagged(&cache, &table, &ids).await;
    tagged(&cache, &table, &ids).await;
    assert_eq!(table.asked().len(), 1);
    cache.invalidate_tags(["row:1"]).await.unwrap();
    tagged(&cache, &table, &ids).await;
    assert_eq!(table.asked(), [[1]]);
    cache.invalidate_tags(["value:20"]).await.unwrap();
    tagged(&cache, &table, &ids).await;
    assert_eq!(table.asked(), [[2]]);
    cache.invalidate_tags(["all"]).await.unwrap();
    tagged(&cache, &table, &ids).await;
    assert_eq!(table.asked(), [ids]);
}

#[redis_cached(key = "late:{id}", batch(ids as id), ttl = "10m", tags = ["row:{id}"], skip(table), cache = cache)]
async fn late(cache: &Cache, table: &Table, ids: &[u64]) -> HashMap<u64, u64> {
    table.read(ids).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn c1_a_tag_that_is_invalidated_while_the_body_runs_voids_only_its_own() {
    let (cache, table) = (memory().await, Table::gated(0..3));
    let batch = tokio::spawn({
        let (cache, table) = (cache.clone(), table.clone());
        async move { late(&cache, &table, &[0, 1, 2]).await }
    });
    table.body_started().await;
    cache.invalidate_tags(["row:1"]).await.unwrap();
    table.let_through(2);
    batch.await.unwrap();
    table.asked();
    late(&cache, &table, &[0, 1, 2]).await;
    assert_eq!(table.asked(), [[1]]);
}

#[redis_cached(
    key = "few:{id}", batch(ids as id), ttl = "10m", max_concurrency = 1, skip(table), cache = cache
)]
async fn few(cache: &Cache, table: &Table, ids: &[u64]) -> HashMap<u64, u64> {
    table.read(ids).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn max_concurrency_counts_a_body_and_not_its_keys() {
    let (cache, table) = (memory().await, Table::gated(0..9));
    let spawn = |ids: &[u64]| {
        let (cache, table, ids) = (cache.clone(), table.clone(), ids.to_vec());
        tokio::spawn(async move { few(&cache, &table, &ids).await })
    };
    let start = Instant::now();
    let calls = [spawn(&[0, 1, 2]), spawn(&[3, 4, 5, 0]), spawn(&[6, 7, 8, 3])];
    for _ in 0..3 {
        table.body_started().await;
        settle().await;
        table.let_through(1);
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(table.asked(), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8]]);
}

#[redis_cached(
    key = "each:{id}", batch(ids as id), ttl = "10m", cache_err_if = |error| matches!(error, Broken::Row(1)),
    err_ttl = "1m", jitter = "0%", skip(table), cache = cache
)]
async fn each(cache: &Cache, table: &Table, ids: &[u64]) -> HashMap<u64, Result<u64, Broken>> {
    let rows = table.read(ids).await.unwrap();
    ids.iter().map(|id| (*id, rows.get(id).copied().ok_or(Broken::Row(*id)))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_key_may_fail_for_itself_and_each_error_is_under_its_own_rule() {
    let (cache, table) = (memory().await, Table::of([0]));
    let expected = HashMap::from([(0, Ok(0)), (1, Err(Broken::Row(1))), (2, Err(Broken::Row(2)))]);
    for _ in 0..2 {
        assert_eq!(each(&cache, &table, &[0, 1, 2]).await, expected);
    }
    assert_eq!(table.asked(), [vec![0, 1, 2], vec![2]]);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(each(&cache, &table, &[0, 1, 2]).await, expected);
    assert_eq!(table.asked(), [[1, 2]]);
}

#[derive(Debug)]
struct Unclonable;

#[redis_cached(
    key = "kept:{id}", batch(ids as id), ttl = "1m", stale_if_error = "1h", jitter = "0%", skip(table), cache = cache
)]
async fn kept(cache: &Cache, table: &Table, ids: &[u64]) -> Result<HashMap<u64, u64>, Unclonable> {
    table.read(ids).await.map_err(|_| Unclonable)
}

#[tokio::test(start_paused = true)]
async fn an_older_value_is_served_where_there_is_one_for_each_that_fails() {
    let (cache, table) = (memory().await, Table::of([1, 2, 3]));
    kept(&cache, &table, &[1, 2]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    table.breaks(Some(Broken::Table));
    assert_eq!(kept(&cache, &table, &[1, 2]).await.unwrap(), rows([1, 2]));
    tokio::time::sleep(Duration::from_secs(61)).await;
    for ids in [[1, 3], [3, 1]] {
        assert!(kept(&cache, &table, &ids).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_computes_all_now() {
    let (cache, table) = (memory().await, Table::of([1, 2]));
    users(&cache, &table, &[1, 2]).await.unwrap();
    table.set(1, 11);
    let fresh = HashMap::from([(1, 11), (2, 20)]);
    assert_eq!(users_refresh(&cache, &table, &[1, 2]).await.unwrap(), fresh);
    assert_eq!(users(&cache, &table, &[2, 1]).await.unwrap(), fresh);
    assert_eq!(table.asked(), [[1, 2], [1, 2]]);
}

#[redis_cached(
    key = "inner:{id}", batch(ids as id), same_entries_as = inner_one, ttl = "10m", skip(table), cache = cache
)]
async fn inner(cache: &Cache, table: &Table, ids: &[u64]) -> HashMap<u64, u64> {
    let mut rows = HashMap::new();
    for id in ids {
        rows.insert(*id, Box::pin(inner_one(cache, table, *id)).await);
    }
    rows
}

#[redis_cached(key = "inner:{id}", ttl = "10m", skip(table), cache = cache)]
async fn inner_one(cache: &Cache, table: &Table, id: u64) -> u64 {
    table.read(&[id]).await.unwrap()[&id]
}

#[tokio::test(start_paused = true)]
async fn a_body_that_calls_the_function_for_one_key_does_not_wait_for_itself() {
    let (cache, table) = (memory().await, Table::of([1, 2]));
    let start = Instant::now();
    assert_eq!(inner(&cache, &table, &[1, 2]).await, rows([1, 2]));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(table.asked(), [[1], [2]]);
}

#[redis_cached(
    key = "asked:{team}:{id}", batch(ids as id), ttl = "10m", bypass_if = ids.len() > 3, no_store_if = preview,
    skip(connection), cache = cache
)]
async fn asked(
    cache: &Cache,
    connection: &mut Vec<Vec<u64>>,
    team: String,
    ids: &[u64],
    preview: bool,
) -> HashMap<u64, String> {
    connection.push(ids.to_vec());
    tokio::task::yield_now().await;
    ids.iter().map(|id| (*id, format!("{team}{id}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn other_arguments_and_how_to_call() {
    let (cache, mut connection) = (memory().await, Vec::new());
    let team = || "a".to_owned();
    asked(&cache, &mut connection, team(), &[1, 2], true).await;
    asked(&cache, &mut connection, team(), &[1, 2], false).await;
    let answer = asked(&cache, &mut connection, team(), &[2, 3], true).await;
    assert_eq!(answer, HashMap::from([(2, "a2".to_owned()), (3, "a3".to_owned())]));
    asked(&cache, &mut connection, team(), &[1, 2, 2, 1], false).await;
    asked(&cache, &mut connection, "b".to_owned(), &[1], false).await;
    assert_eq!(connection, [vec![1, 2], vec![1, 2], vec![3], vec![1, 2, 2, 1], vec![1]]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_are_looked_up_at_once_and_the_rest_behind() {
    let (cache, table) = (memory().await, Table::of(0..10_001));
    let ids: Vec<u64> = (0..10_001).collect();
    assert_eq!(users(&cache, &table, &ids).await.unwrap().len(), 10_001);
    let asked: Vec<usize> = table.asked().iter().map(Vec::len).collect();
    assert_eq!(asked, [10_000, 1]);
    users(&cache, &table, &ids).await.unwrap();
    assert!(table.asked().is_empty());
}

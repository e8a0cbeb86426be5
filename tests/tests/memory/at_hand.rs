//! What may be primed and put, and what may not: found by who looked for a way to bring old values back.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use redis_cached::private::Gathering;
use redis_cached::{Invalidation, invalidate_tags, redis_cached, redis_put, tag};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use crate::origin::{Origin, memory, settle};

const SECOND: Duration = Duration::from_secs(1);

#[redis_cached(key = "at-hand:{id}", ttl = "5m", jitter = "0%", skip(origin))]
async fn user(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// Has a life of its own, and nobody invalidates it.
#[redis_cached(key = "at-hand-served:{id}", ttl = "1h", jitter = "0%", skip(origin))]
async fn served(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "at-hand-from-a-hit:{id}", ttl = "1h", jitter = "0%", skip(gate, origin))]
async fn from_a_hit(gate: &Origin, origin: &Origin, id: u64) -> usize {
    gate.read().await;
    let read = served(origin, id).await;
    user_entry(id).prime(read);
    read
}

/// What is served was born in the millisecond in which the body began, and the invalidation came between.
#[tokio::test(start_paused = true)]
async fn c1_what_is_served_in_the_same_millisecond_may_be_older_than_the_body() {
    memory()
        .await
        .scope(async {
            let (gate, origin) = (Origin::open(), Origin::open());
            served(&origin, 1).await;
            origin.change();
            user_entry(1).invalidate().await.unwrap();
            from_a_hit(&gate, &origin, 1).await;
            assert_eq!(user(&origin, 1).await, 2);
        })
        .await;
}

/// A flight that is taken over keeps its lease, which is older than the body, and than what the journal tells.
#[tokio::test(start_paused = true)]
async fn c1_a_body_that_takes_a_lease_over_is_younger_than_it() {
    let cache = memory().await;
    let (gate, origin) = (Origin::gated(), Origin::open());
    let call = || {
        let (gate, origin) = (gate.clone(), origin.clone());
        tokio::spawn(cache.scope(async move { from_a_hit(&gate, &origin, 1).await }))
    };
    let first = call();
    gate.body_started().await;
    let second = call();
    settle().await;
    tokio::time::advance(SECOND).await;
    // A second younger than the lease of the first.
    cache.scope(served(&origin, 1)).await;
    tokio::time::advance(SECOND).await;
    origin.change();
    cache.scope(async { user_entry(1).invalidate().await }).await.unwrap();
    first.abort();
    gate.body_started().await;
    gate.let_through(2);
    second.await.unwrap();
    assert_eq!(cache.scope(user(&origin, 1)).await, 2);
}

#[redis_cached(key = "at-hand-gathers:{id}", ttl = "1h", jitter = "0%", skip(origin))]
async fn gathers(origin: &Origin, id: u64) -> usize {
    let gathering = Gathering::of_most(32);
    let mut inside = pin!(async {
        let read = served(origin, id).await;
        user_entry(id).prime(read);
        read
    });
    let read = poll_fn(|cx| gathering.within(|| inside.as_mut().poll(cx))).await;
    drop(gathering.end());
    read
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_served_while_tags_are_gathered_is_served_to_the_body() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            served(&origin, 1).await;
            tokio::time::advance(SECOND).await;
            origin.change();
            user_entry(1).invalidate().await.unwrap();
            gathers(&origin, 1).await;
            assert_eq!(user(&origin, 1).await, 2);
        })
        .await;
}

#[redis_cached(key = "at-hand-reads", ttl = "5m", skip(read, open), bypass_if = open)]
async fn reads(read: usize, open: bool) -> usize {
    yield_now().await;
    user_entry(1).prime(read);
    read
}

#[redis_cached(key = "at-hand-report:{id}", ttl = "5m", skip(origin, uncommitted))]
async fn report(origin: &Origin, id: u64, uncommitted: usize) -> usize {
    reads(uncommitted, true).await;
    origin.read().await
}

/// It may be rolled back; the body around it does not make it final.
#[tokio::test(start_paused = true)]
async fn c1_what_a_call_reads_that_bypasses_is_not_primed_through_the_body_around() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            report(&origin, 1, 99).await;
            assert_eq!(user(&origin, 1).await, 1);
        })
        .await;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    hidden: bool,
}

fn of_name(name: &str) -> Row {
    Row { id: 1, name: name.to_owned(), hidden: name == "hidden" }
}

#[redis_cached(key = "at-hand-row:{id}", ttl = "5m", cache_if = |row| !row.hidden)]
async fn row(id: u64) -> Row {
    yield_now().await;
    Row { id, ..of_name("hidden") }
}

#[redis_put(for row in &ret => row(row.id) = row, on_failure = "retry")]
async fn applies(rows: Vec<Row>) -> Vec<Row> {
    yield_now().await;
    rows
}

#[redis_cached(key = "at-hand-rows", ttl = "5m", skip(rows))]
async fn lists(rows: &[Row]) -> usize {
    yield_now().await;
    for row in rows {
        row_entry(row.id).prime(row);
    }
    rows.len()
}

/// The first one is what the row was before.
#[tokio::test(start_paused = true)]
async fn c1_of_two_values_of_one_entry_the_last_counts_also_where_it_is_refused() {
    memory()
        .await
        .scope(async {
            let rows = vec![of_name("first"), of_name("hidden")];
            lists(&rows).await;
            assert!(row_entry(1).peek().await.unwrap().is_none());
            applies(rows).await;
            assert_eq!(row(1).await.name, "hidden");
        })
        .await;
}

#[redis_cached(key = "at-hand-product:{id}", ttl = "5m", skip(origin))]
async fn product(origin: &Origin, id: u64) -> usize {
    tag("shop");
    origin.read().await
}

#[redis_put(product(id), on_failure = "retry")]
async fn sells(id: u64, value: usize) -> usize {
    let _ = id;
    yield_now().await;
    value
}

/// What is put would be without its tags.
#[tokio::test(start_paused = true)]
async fn c1_nothing_is_put_for_a_function_that_tags_inside_its_body() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            product(&origin, 1).await;
            sells(1, 1).await;
            origin.change();
            invalidate_tags(["shop"]).await.unwrap();
            assert_eq!(product(&origin, 1).await, 2);
        })
        .await;
}

#[redis_put(user(id) = 99_usize, on_failure = "retry")]
async fn writes(id: u64) {
    let _ = id;
    yield_now().await;
}

#[redis_put(user(id) = 99_usize, now, on_failure = "retry")]
async fn commits(id: u64) {
    let _ = id;
    yield_now().await;
}

/// Inside a transaction, as far as anybody has said so.
#[tokio::test(start_paused = true)]
async fn c1_nothing_is_put_while_a_transaction_gathers_its_invalidations() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            user(&origin, 1).await;
            let ((), rolled_back) = Invalidation::collect(writes(1)).await;
            rolled_back.discard();
            assert_eq!(user(&origin, 1).await, 1);
            let ((), mut committed) = Invalidation::collect(writes(1)).await;
            assert_eq!(user(&origin, 1).await, 1, "not yet");
            committed.send().await.unwrap();
            assert_eq!(user(&origin, 1).await, 1);
            assert_eq!(origin.bodies(), 2);
            let ((), nothing) = Invalidation::collect(commits(1)).await;
            assert!(nothing.is_empty());
            assert_eq!(user(&origin, 1).await, 99);
        })
        .await;
}

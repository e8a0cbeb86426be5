//! Functions that take whatever can run a query, as those written for sqlx do: a pool, a connection or a
//! transaction, by value, of which none but the pool can be cloned or outlives its lender.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis_cached::{State, redis_cached};
use serde::{Deserialize, Serialize};

use crate::stage::{MINUTE, SECOND, Stage, on_both, refreshed};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    price: u64,
}

fn item(name: &str, price: u64) -> Item {
    Item { name: name.to_owned(), price }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum DbError {
    #[error("no connection is free")]
    Exhausted,
}

#[derive(Clone)]
struct Pool {
    items: Table<u64, Item>,
    lent: Arc<AtomicUsize>,
    is_exhausted: Arc<AtomicBool>,
}

struct Connection<'p> {
    pool: &'p Pool,
    queries: usize,
}

struct Transaction<'p> {
    conn: Connection<'p>,
    written: BTreeMap<u64, Item>,
}

impl Pool {
    fn of_chairs() -> Self {
        let items = Table::new([(7, item("chair", 40)), (8, item("stool", 15))]);
        Self { items, lent: Arc::default(), is_exhausted: Arc::default() }
    }

    async fn acquire(&self) -> Result<Connection<'_>, DbError> {
        tokio::task::yield_now().await;
        if self.is_exhausted.load(Ordering::SeqCst) {
            return Err(DbError::Exhausted);
        }
        self.lent.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { pool: self, queries: 0 })
    }

    async fn begin(&self) -> Result<Transaction<'_>, DbError> {
        Ok(Transaction { conn: self.acquire().await?, written: BTreeMap::new() })
    }

    fn lent(&self) -> usize {
        self.lent.load(Ordering::SeqCst)
    }
}

impl Transaction<'_> {
    fn write(&mut self, id: u64, item: Item) {
        self.written.insert(id, item);
    }

    fn commit(self) {
        for (id, item) in self.written {
            self.conn.pool.items.write(id, item);
        }
    }
}

type Query<'e> = Pin<Box<dyn Future<Output = Result<Option<Item>, DbError>> + Send + 'e>>;

trait Executor<'e>: Sized + Send {
    fn fetch(self, id: u64) -> Query<'e>;

    fn is_transaction(&self) -> bool {
        false
    }
}

impl<'e> Executor<'e> for &'e Pool {
    fn fetch(self, id: u64) -> Query<'e> {
        Box::pin(async move { Ok(self.items.read(&id).await) })
    }
}

impl<'e> Executor<'e> for &'e mut Connection<'_> {
    fn fetch(self, id: u64) -> Query<'e> {
        self.queries += 1;
        self.pool.fetch(id)
    }
}

impl<'e> Executor<'e> for &'e mut Transaction<'_> {
    fn fetch(self, id: u64) -> Query<'e> {
        let written = self.written.get(&id).cloned();
        let committed = self.conn.fetch(id);
        Box::pin(async move { Ok(written.or(committed.await?)) })
    }

    fn is_transaction(&self) -> bool {
        true
    }
}

#[redis_cached(key = "item:{id}", ttl = "10m", skip(exec), bypass_if = exec.is_transaction())]
async fn get_item<'e, E: Executor<'e>>(exec: E, id: u64) -> Result<Option<Item>, DbError> {
    exec.fetch(id).await
}

/// The same entries, in the other spelling.
#[redis_cached(
    key = "item:{id}", ttl = "10m", skip(exec), bypass_if = exec.is_transaction(), same_entries_as = get_item
)]
async fn find_item(id: u64, exec: impl Executor<'_>) -> Result<Option<Item>, DbError> {
    exec.fetch(id).await
}

async fn every_executor_finds_what_another_has_stored(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    let chair = Ok(Some(item("chair", 40)));
    assert_eq!(a.scope(get_item(&pool, 7)).await, chair);
    assert_eq!(pool.items.reads(), 1);

    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(b.scope(get_item(&mut conn, 7)).await, chair);
    assert_eq!(b.scope(find_item(7, &mut conn)).await, chair);
    assert_eq!(a.scope(find_item(7, &pool)).await, chair);
    assert_eq!((pool.items.reads(), conn.queries), (1, 0), "hits");

    assert_eq!(b.scope(get_item(&mut conn, 8)).await, Ok(Some(item("stool", 15))));
    assert_eq!(b.scope(find_item(9, &mut conn)).await, Ok(None));
    assert_eq!((pool.items.reads(), conn.queries), (3, 2));
    assert_eq!(a.scope(get_item(&pool, 8)).await, Ok(Some(item("stool", 15))));
    assert_eq!(a.scope(get_item(&pool, 9)).await, Ok(None));
    assert_eq!(pool.items.reads(), 3);
}

async fn c1_one_handle_invalidates_for_every_executor(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    a.scope(get_item(&pool, 7)).await.unwrap();
    pool.items.write(7, item("chair", 45));
    b.scope(async { get_item_entry(7).invalidate().await }).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(a.scope(get_item(&mut conn, 7)).await, Ok(Some(item("chair", 45))));
    assert_eq!(b.scope(find_item(7, &pool)).await, Ok(Some(item("chair", 45))));
    assert_eq!(pool.items.reads(), 2);
}

async fn a_transaction_sees_its_own_rows_and_nobody_else_does(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    let (old, new) = (Ok(Some(item("chair", 40))), Ok(Some(item("chair", 45))));
    assert_eq!(a.scope(get_item(&pool, 7)).await, old);

    let mut tx = pool.begin().await.unwrap();
    assert_eq!(a.scope(get_item(&mut tx, 7)).await, old);
    assert_eq!(pool.items.reads(), 2, "not from the cache: it may be newer than the transaction");
    tx.write(7, item("chair", 45));
    tx.write(9, item("bench", 90));
    assert_eq!(a.scope(find_item(7, &mut tx)).await, new);
    assert_eq!(a.scope(get_item(&mut tx, 9)).await, Ok(Some(item("bench", 90))));
    assert_eq!(pool.items.reads(), 4);
    for cache in [a, b] {
        assert_eq!(cache.scope(get_item(&pool, 7)).await, old);
        assert!(cache.scope(async { get_item_entry(9).peek().await }).await.unwrap().is_none());
    }
    assert_eq!(pool.items.reads(), 4);

    tx.commit();
    b.scope(async { get_item_entry(7).invalidate().await }).await.unwrap();
    assert_eq!(a.scope(get_item(&pool, 7)).await, new);
    assert_eq!(pool.items.reads(), 5);
}

#[redis_cached(
    key = "price:{id}", ttl = "10m", refresh_before = "2m", jitter = "0%", skip(pool, conn),
    refresh_with(conn = pool.acquire().await?)
)]
async fn get_price(
    pool: &Pool,
    conn: &mut Connection<'_>,
    id: u64,
) -> Result<Option<u64>, DbError> {
    Ok(conn.fetch(id).await?.map(|item| item.price))
}

/// The refresh queries the pool, whatever the caller had.
#[redis_cached(
    key = "name:{id}", ttl = "10m", refresh_before = "2m", jitter = "0%", skip(pool, exec),
    refresh_with(exec = pool)
)]
async fn get_name<'e, E: Executor<'e>>(
    pool: &Pool,
    exec: E,
    id: u64,
) -> Result<Option<String>, DbError> {
    Ok(exec.fetch(id).await?.map(|item| item.name))
}

async fn a_refresh_borrows_a_connection_of_its_own(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)));
    assert_eq!((pool.items.reads(), conn.queries, pool.lent()), (1, 1, 1));

    pool.items.write(7, item("chair", 45));
    let entry = b.scope(async { get_price_entry(7).of_value() }).await;
    entry.expire().await.unwrap();
    assert_eq!(b.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)), "stale");
    refreshed(&entry).await;
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(45)));
    assert_eq!((pool.items.reads(), conn.queries, pool.lent()), (2, 1, 2));
}

async fn a_refresh_queries_with_another_kind_of_executor(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    let mut conn = pool.acquire().await.unwrap();
    let chair = Ok(Some("chair".to_owned()));
    assert_eq!(a.scope(get_name(&pool, &mut conn, 7)).await, chair);

    pool.items.write(7, item("armchair", 45));
    let entry = b.scope(async { get_name_entry(7).of_value() }).await;
    entry.expire().await.unwrap();
    assert_eq!(a.scope(get_name(&pool, &mut conn, 7)).await, chair, "stale");
    refreshed(&entry).await;
    assert_eq!(b.scope(get_name(&pool, &pool, 7)).await, Ok(Some("armchair".to_owned())));
    assert_eq!((pool.items.reads(), conn.queries), (2, 1));
}

async fn a_refresh_that_gets_no_connection_keeps_the_old_value(Stage { a, b, .. }: &Stage) {
    let pool = Pool::of_chairs();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)));
    let entry = b.scope(async { get_price_entry(7) }).await;
    entry.expire().await.unwrap();
    pool.is_exhausted.store(true, Ordering::SeqCst);
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)));
    // Returns when the refresh has ended.
    a.shutdown(MINUTE).await.unwrap();
    assert_eq!((pool.items.reads(), pool.lent()), (1, 1), "there was none to query with");
    let kept = entry.peek().await.unwrap().expect("it is stored");
    assert_eq!((kept.value, kept.state), (Some(40), State::Stale));
    assert_eq!(b.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)));
}

on_both! {
    every_executor_finds_what_another_has_stored,
    c1_one_handle_invalidates_for_every_executor,
    a_transaction_sees_its_own_rows_and_nobody_else_does,
    a_refresh_borrows_a_connection_of_its_own,
    a_refresh_queries_with_another_kind_of_executor,
    a_refresh_that_gets_no_connection_keeps_the_old_value,
}

/// A lapse of time: only where the clock is the test's.
#[tokio::test(start_paused = true)]
async fn a_price_is_refreshed_before_its_end_and_never_served_past_it() {
    let Stage { a, b, .. } = &Stage::memory().await;
    let pool = Pool::of_chairs();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)));
    pool.items.write(7, item("chair", 45));
    let entry = b.scope(async { get_price_entry(7).of_value() }).await;
    let state = async || entry.peek().await.unwrap().map(|stored| stored.state);
    tokio::time::advance(SECOND * 479).await;
    assert_eq!(state().await, Some(State::Fresh));
    tokio::time::advance(SECOND * 2).await;
    assert_eq!(state().await, Some(State::Stale));
    assert_eq!(b.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(40)), "served at once");
    assert_eq!(pool.items.reads(), 1);
    refreshed(&entry).await;
    assert_eq!(b.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(45)));
    assert_eq!((pool.items.reads(), pool.lent()), (2, 2));

    pool.items.write(7, item("chair", 50));
    tokio::time::advance(MINUTE * 10).await;
    assert_eq!(a.scope(get_price(&pool, &mut conn, 7)).await, Ok(Some(50)), "a miss");
    assert_eq!((pool.items.reads(), conn.queries), (3, 2));
}

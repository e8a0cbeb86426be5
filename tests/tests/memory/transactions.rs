//! Calls that are handed an open transaction: what is in it is not committed yet.

use std::sync::{Arc, Mutex};

use redis_cached::{Cache, redis_cached};

use crate::origin::{Origin, memory, settle};

/// As sqlx spells it.
struct Transaction<'c, Db> {
    written: Mutex<usize>,
    _of: (&'c (), std::marker::PhantomData<Db>),
}

impl<Db> Transaction<'_, Db> {
    fn begun() -> Self {
        Self { written: Mutex::new(0), _of: (&(), std::marker::PhantomData) }
    }

    /// What the transaction itself reads: with what it has written.
    async fn read(&self, origin: &Origin) -> usize {
        let committed = origin.read().await;
        committed + *self.written.lock().unwrap()
    }
}

struct Postgres;
type DatabaseTransaction = Transaction<'static, Postgres>;

#[redis_cached(key = "row:{id}", ttl = "1h", same_entries_as = row, skip(origin, tx), cache = cache)]
async fn row_inside(
    cache: &Cache,
    origin: &Origin,
    tx: &mut Transaction<'_, Postgres>,
    id: u64,
) -> usize {
    tx.read(origin).await
}

#[redis_cached(key = "row:{id}", ttl = "1h", skip(origin, tx), cache = cache)]
async fn row(cache: &Cache, origin: &Origin, tx: Option<&DatabaseTransaction>, id: u64) -> usize {
    match tx {
        Some(tx) => tx.read(origin).await,
        None => origin.read().await,
    }
}

/// Its author knows that what it reads never changes.
#[redis_cached(key = "constant:{id}", ttl = "1h", skip(origin, tx), cache = cache, bypass_if = false)]
async fn constant(
    cache: &Cache,
    origin: &Origin,
    tx: &mut Transaction<'_, Postgres>,
    id: u64,
) -> usize {
    tx.read(origin).await
}

#[tokio::test(start_paused = true)]
async fn c1_rows_that_are_not_committed_are_seen_by_their_transaction_and_published_by_none() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut tx = Transaction::<Postgres>::begun();
    assert_eq!(row(&cache, &origin, None, 1).await, 1);
    *tx.written.lock().unwrap() = 100;

    assert_eq!(row_inside(&cache, &origin, &mut tx, 1).await, 101, "its own write");
    assert_eq!(row(&cache, &origin, Some(&tx), 1).await, 101, "also where it may be handed over");
    assert_eq!(row_inside_refresh(&cache, &origin, &mut tx, 1).await, 101);
    settle().await;
    assert_eq!(origin.bodies(), 4, "each has run its body");
    assert_eq!(row(&cache, &origin, None, 1).await, 1, "and has stored nothing");
    assert_eq!(origin.bodies(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_condition_of_its_own_takes_the_place_of_the_rule() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut tx = Transaction::<Postgres>::begun();
    for _ in 0..2 {
        assert_eq!(constant(&cache, &origin, &mut tx, 1).await, 1);
    }
    assert_eq!(origin.bodies(), 1);
}

mod bank {
    pub(super) struct Transaction {
        pub(super) id: u64,
    }
}

/// Not of a database: it says which value is meant.
#[redis_cached(key = "receipt:{transaction.id}", ttl = "1h", skip(origin), cache = cache)]
async fn receipt(cache: &Cache, origin: &Origin, transaction: &bank::Transaction) -> u64 {
    origin.read().await;
    transaction.id
}

#[tokio::test(start_paused = true)]
async fn c6_a_transaction_that_is_in_the_key_is_none_of_a_database() {
    let (cache, origin) = (memory().await, Origin::open());
    for id in [1, 2, 1, 2] {
        assert_eq!(receipt(&cache, &origin, &bank::Transaction { id }).await, id);
    }
    assert_eq!(origin.bodies(), 2);
}

#[redis_cached(
    key = "preview:{id}", ttl = "1h", skip(origin, tx), bypass_if = preview, cache = cache
)]
async fn previewed(
    cache: &Cache,
    origin: &Origin,
    tx: Option<&DatabaseTransaction>,
    id: u64,
    preview: bool,
) -> usize {
    let _ = tx;
    origin.read().await
}

/// A condition that asks the transaction says it all.
#[redis_cached(
    key = "asked:{id}", ttl = "1h", skip(origin, tx), bypass_if = tx.is_none(), cache = cache
)]
async fn asked(cache: &Cache, origin: &Origin, tx: Option<&DatabaseTransaction>, id: u64) -> usize {
    let _ = tx;
    origin.read().await
}

#[redis_cached(key = "shared:{id}", ttl = "1h", skip(origin, tx), cache = cache)]
async fn of_shared(
    cache: &Cache,
    origin: &Origin,
    tx: Arc<Mutex<DatabaseTransaction>>,
    id: u64,
) -> usize {
    drop(tx);
    origin.read().await
}

#[redis_cached(key = "guarded:{id}", ttl = "1h", skip(origin, tx), cache = cache)]
async fn of_guarded(
    cache: &Cache,
    origin: &Origin,
    tx: &mut tokio::sync::OwnedMutexGuard<DatabaseTransaction>,
    id: u64,
) -> usize {
    tx.read(origin).await
}

#[redis_cached(key = "slot:{id}", ttl = "1h", skip(origin, tx), cache = cache)]
async fn of_slot(
    cache: &Cache,
    origin: &Origin,
    tx: &tokio::sync::RwLockWriteGuard<'_, Option<Arc<DatabaseTransaction>>>,
    id: u64,
) -> usize {
    match &**tx {
        Some(tx) => tx.read(origin).await,
        None => origin.read().await,
    }
}

#[tokio::test(start_paused = true)]
async fn c1_what_guards_a_transaction_publishes_nothing_of_it() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut guard = Arc::new(tokio::sync::Mutex::new(Transaction::begun())).lock_owned().await;
    of_guarded(&cache, &origin, &mut guard, 1).await;
    assert!(of_guarded_entry(&cache, 1).ttl().await.unwrap().is_none());
    for (tx, stored) in [(Some(Arc::new(Transaction::begun())), false), (None, true)] {
        let slot = tokio::sync::RwLock::new(tx);
        of_slot(&cache, &origin, &slot.write().await, 1).await;
        assert_eq!(of_slot_entry(&cache, 1).ttl().await.unwrap().is_some(), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn c1_another_condition_does_not_publish_what_is_in_a_transaction() {
    let (cache, origin) = (memory().await, Origin::open());
    let tx = Transaction::begun();
    previewed(&cache, &origin, Some(&tx), 1, false).await;
    previewed(&cache, &origin, None, 1, true).await;
    of_shared(&cache, &origin, Arc::new(Mutex::new(Transaction::begun())), 1).await;
    assert!(previewed_entry(&cache, 1).ttl().await.unwrap().is_none());
    assert!(of_shared_entry(&cache, 1).ttl().await.unwrap().is_none());
    previewed(&cache, &origin, None, 1, false).await;
    asked(&cache, &origin, Some(&tx), 1).await;
    assert!(previewed_entry(&cache, 1).ttl().await.unwrap().is_some());
    assert!(asked_entry(&cache, 1).ttl().await.unwrap().is_some());
}

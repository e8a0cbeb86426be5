//! Functions on a pool or on a transaction, as lemmy's `DbPool`: the same function is called outside of
//! transactions, where it may use the cache, and inside, where it must see what was written there.

use std::collections::BTreeMap;

use redis_cached::{Cache, Invalidation, redis_cached, redis_invalidate};
use redis_cached_tests::{Gate, Told, eventually};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Community {
    name: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum DbError {
    #[error("no such row")]
    NotFound,
}

type Communities = Table<u64, Community>;

struct Transaction {
    committed: Communities,
    written: BTreeMap<u64, Community>,
}

fn begin(communities: &Communities) -> Transaction {
    Transaction { committed: communities.clone(), written: BTreeMap::new() }
}

impl Transaction {
    fn commit(self) {
        for (id, community) in self.written {
            self.committed.write(id, community);
        }
    }
}

enum DbPool<'a> {
    Pool(&'a Communities),
    Transaction(&'a mut Transaction),
}

impl DbPool<'_> {
    fn is_transaction(&self) -> bool {
        matches!(self, Self::Transaction(_))
    }

    async fn select(&mut self, id: u64) -> Result<Community, DbError> {
        let row = match self {
            Self::Pool(communities) => communities.read(&id).await,
            Self::Transaction(tx) => {
                let committed = tx.committed.read(&id).await;
                tx.written.get(&id).cloned().or(committed)
            }
        };
        row.ok_or(DbError::NotFound)
    }

    async fn update(&mut self, id: u64, community: &Community) {
        tokio::task::yield_now().await;
        match self {
            Self::Pool(communities) => communities.write(id, community.clone()),
            Self::Transaction(tx) => {
                tx.written.insert(id, community.clone());
            }
        }
    }
}

#[redis_cached(
    key = "community:{id}", ttl = "10m", tags = ["communities"], skip(pool), bypass_if = pool.is_transaction()
)]
async fn read(pool: &mut DbPool<'_>, id: u64) -> Result<Community, DbError> {
    pool.select(id).await
}

/// Made of what others have read.
#[redis_cached(key = "names:{ids:hash}", ttl = "10m", skip(pool), bypass_if = pool.is_transaction())]
async fn names(pool: &mut DbPool<'_>, ids: &[u64]) -> Result<Vec<String>, DbError> {
    let mut names = Vec::new();
    for &id in ids {
        names.push(read(pool, id).await?.name);
    }
    Ok(names)
}

/// Reads what it changes, so that a transaction may rename twice.
#[redis_invalidate(read(id), tags = ["communities"], after_commit, on_failure = "retry")]
async fn rename(pool: &mut DbPool<'_>, id: u64, name: &str) -> Result<Community, DbError> {
    let old = read(pool, id).await?;
    let new = Community { name: name.to_owned(), version: old.version + 1 };
    pool.update(id, &new).await;
    Ok(new)
}

/// Commits what `work` has done, unless it fails.
async fn transact<T>(
    communities: &Communities,
    work: impl AsyncFnOnce(&mut DbPool<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let mut tx = begin(communities);
    let mut pool = DbPool::Transaction(&mut tx);
    let (done, mut invalidation) = Invalidation::collect(work(&mut pool)).await;
    if done.is_ok() {
        tx.commit();
        invalidation.send().await.expect("the store is there");
    } else {
        invalidation.discard();
    }
    done
}

fn community(name: &str, version: u32) -> Community {
    Community { name: name.to_owned(), version }
}

fn of_rust() -> [(u64, Community); 2] {
    [(1, community("rust", 1)), (2, community("tokio", 1))]
}

/// As a request outside of transactions does.
async fn read_at(cache: &Cache, communities: &Communities, id: u64) -> Result<Community, DbError> {
    cache.scope(read(&mut DbPool::Pool(communities), id)).await
}

async fn names_at(cache: &Cache, communities: &Communities) -> Result<Vec<String>, DbError> {
    cache.scope(names(&mut DbPool::Pool(communities), &[1, 2])).await
}

async fn a_transaction_sees_its_own_writes_and_publishes_nothing(Stage { a, b, .. }: &Stage) {
    let communities = Table::new(of_rust());
    assert_eq!(read_at(a, &communities, 1).await, Ok(community("rust", 1)));
    assert_eq!(read_at(b, &communities, 1).await, Ok(community("rust", 1)));
    assert_eq!(communities.reads(), 1);

    let mut tx = begin(&communities);
    let mut inside = DbPool::Transaction(&mut tx);
    inside.update(1, &community("ferris", 2)).await;
    inside.update(3, &community("serde", 1)).await;
    assert_eq!(a.scope(read(&mut inside, 1)).await, Ok(community("ferris", 2)));
    assert_eq!(a.scope(read(&mut inside, 3)).await, Ok(community("serde", 1)));
    assert_eq!(communities.reads(), 3, "both were asked of the database");
    let inside_names = a.scope(names(&mut inside, &[1, 2])).await;
    assert_eq!(inside_names, Ok(vec!["ferris".to_owned(), "tokio".to_owned()]));
    assert_eq!(communities.reads(), 5);

    for cache in [a, b] {
        assert_eq!(read_at(cache, &communities, 1).await, Ok(community("rust", 1)));
        for id in [2, 3] {
            let entry = cache.scope(async { read_entry(id) }).await;
            assert!(entry.peek().await.unwrap().is_none(), "{id} was published");
        }
        let entry = cache.scope(async { names_entry(&[1, 2]) }).await;
        assert!(entry.peek().await.unwrap().is_none(), "the names were published");
    }
    assert_eq!(communities.reads(), 5, "hits");
}

async fn c1_a_commit_is_final_for_every_process(Stage { a, b, .. }: &Stage) {
    let communities = Table::new(of_rust());
    assert_eq!(names_at(a, &communities).await.unwrap(), ["rust", "tokio"]);
    assert_eq!(names_at(b, &communities).await.unwrap(), ["rust", "tokio"]);
    assert_eq!(communities.reads(), 2);

    let renamed = b.scope(transact(&communities, async |pool| {
        rename(pool, 1, "crab").await?;
        let renamed = rename(pool, 1, "ferris").await?;
        assert_eq!(read(pool, 1).await, Ok(community("ferris", 3)));
        assert_eq!(names_at(a, &communities).await.unwrap(), ["rust", "tokio"], "not yet");
        Ok(renamed)
    }));
    assert_eq!(renamed.await, Ok(community("ferris", 3)));
    assert_eq!(communities.reads(), 5, "three reads inside");

    for cache in [a, b] {
        assert_eq!(read_at(cache, &communities, 1).await, Ok(community("ferris", 3)));
        assert_eq!(names_at(cache, &communities).await.unwrap(), ["ferris", "tokio"]);
    }
    assert_eq!(communities.reads(), 7, "each of the two once, and the names of them");
}

async fn what_is_rolled_back_invalidates_nothing(Stage { a, b, .. }: &Stage) {
    let communities = Table::new(of_rust());
    names_at(a, &communities).await.unwrap();
    let failed = b.scope(transact(&communities, async |pool| {
        rename(pool, 1, "ferris").await?;
        rename(pool, 9, "nobody").await
    }));
    assert_eq!(failed.await, Err(DbError::NotFound));
    assert_eq!(communities.reads(), 4, "two reads inside");
    for cache in [a, b] {
        assert_eq!(read_at(cache, &communities, 1).await, Ok(community("rust", 1)));
        assert_eq!(names_at(cache, &communities).await.unwrap(), ["rust", "tokio"]);
    }
    assert_eq!(communities.reads(), 4, "all of it is still there");
}

/// A client that goes: nobody learns whether the commit has arrived.
async fn c1_what_a_dropped_request_has_written_is_invalidated(Stage { a, b, .. }: &Stage) {
    let (communities, written) = (Table::new(of_rust()), Gate::open());
    names_at(a, &communities).await.unwrap();
    let request = b.scope(transact(&communities, async |pool| {
        rename(pool, 1, "ferris").await?;
        written.pass().await;
        std::future::pending::<Result<(), DbError>>().await
    }));
    tokio::select! {
        _ = request => unreachable!("it never ends"),
        () = written.started(1) => {}
    }
    let entry = a.scope(async { read_entry(1) }).await;
    eventually("it is invalidated", async || entry.peek().await.unwrap().is_none()).await;
    assert_eq!(names_at(a, &communities).await.unwrap(), ["rust", "tokio"]);
    assert_eq!(communities.reads(), 5, "one inside, and two that were invalidated");
}

async fn c1_a_read_under_way_at_the_commit_is_not_stored(Stage { a, b, .. }: &Stage) {
    let gate = Gate::closed();
    let communities = Table::behind(gate.clone(), of_rust());
    let commit = async {
        gate.started(1).await;
        gate.let_go(2);
        let rename = transact(&communities, async |pool| rename(pool, 1, "ferris").await);
        assert_eq!(b.scope(rename).await, Ok(community("ferris", 2)));
        gate.let_all_go();
    };
    let (old, ()) = tokio::join!(read_at(a, &communities, 1), commit);
    assert_eq!(old, Ok(community("rust", 1)), "it asked before");
    let entry = a.scope(async { read_entry(1) }).await;
    assert!(entry.peek().await.unwrap().is_none());
    for cache in [b, a] {
        assert_eq!(read_at(cache, &communities, 1).await, Ok(community("ferris", 2)));
    }
    assert_eq!(communities.reads(), 3);
}

/// Called on the pool itself it has nothing to wait for, and says so.
async fn c1_a_write_outside_of_transactions_is_gathered_or_told_of(Stage { a, b, .. }: &Stage) {
    let (told, communities) = (Told::listen(), Table::new(of_rust()));
    names_at(a, &communities).await.unwrap();
    let (renamed, mut invalidation) =
        b.scope(Invalidation::collect(rename(&mut DbPool::Pool(&communities), 1, "crab"))).await;
    assert_eq!(renamed, Ok(community("crab", 2)));
    invalidation.send().await.unwrap();
    assert_eq!(names_at(a, &communities).await.unwrap(), ["crab", "tokio"]);
    assert_eq!(communities.reads(), 4);
    assert!(!told.text().contains("ERROR"), "{}", told.text());

    let renamed = b.scope(rename(&mut DbPool::Pool(&communities), 2, "mio")).await;
    assert_eq!(renamed, Ok(community("mio", 2)));
    assert!(told.text().contains("ERROR") && told.text().contains("Invalidation::collect"));
    let entry = a.scope(async { read_entry(2) }).await;
    eventually("it is invalidated", async || entry.peek().await.unwrap().is_none()).await;
    assert_eq!(names_at(a, &communities).await.unwrap(), ["crab", "mio"]);
}

on_both! {
    a_transaction_sees_its_own_writes_and_publishes_nothing,
    c1_a_commit_is_final_for_every_process,
    what_is_rolled_back_invalidates_nothing,
    c1_what_a_dropped_request_has_written_is_invalidated,
    c1_a_read_under_way_at_the_commit_is_not_stored,
    c1_a_write_outside_of_transactions_is_gathered_or_told_of,
}

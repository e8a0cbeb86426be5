#![deny(warnings)]
//! Connections in the shapes that database crates give them: the body borrows them, and a refresh gets its own.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;

use redis_cached::redis_cached;

#[derive(Debug)]
struct Broken;

/// Neither `Clone` nor to be shared.
struct Conn(std::cell::Cell<u64>);

#[derive(Clone)]
struct Pool;

struct Pooled(Conn);

struct Transaction<'c>(Conn, PhantomData<&'c mut Conn>);

enum Db<'c> {
    Pool(Pool),
    Transaction(Transaction<'c>),
}

struct Postgres;

type BoxFuture<'e, T> = Pin<Box<dyn Future<Output = T> + Send + 'e>>;

trait Executor<'c>: Send + Sized {
    type Database;

    fn fetch<'e>(self, id: u64) -> BoxFuture<'e, Result<u64, Broken>>
    where
        'c: 'e;
}

impl<'c> Executor<'c> for &'c mut Conn {
    type Database = Postgres;

    fn fetch<'e>(self, id: u64) -> BoxFuture<'e, Result<u64, Broken>>
    where
        'c: 'e,
    {
        Box::pin(async move { Ok(id + self.0.get()) })
    }
}

impl<'p> Executor<'p> for &'_ Pool {
    type Database = Postgres;

    fn fetch<'e>(self, id: u64) -> BoxFuture<'e, Result<u64, Broken>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.fetch(id).await })
    }
}

trait Acquire<'c> {
    type Connection: DerefMut<Target = Conn> + Send;

    fn acquire(self) -> BoxFuture<'c, Result<Self::Connection, Broken>>;
}

impl<'a> Acquire<'a> for &'_ Pool {
    type Connection = Pooled;

    fn acquire(self) -> BoxFuture<'static, Result<Pooled, Broken>> {
        let pool = self.clone();
        Box::pin(async move { Pool::acquire(&pool).await })
    }
}

impl<'c> Acquire<'c> for &'c mut Conn {
    type Connection = &'c mut Conn;

    fn acquire(self) -> BoxFuture<'c, Result<&'c mut Conn, Broken>> {
        Box::pin(async move { Ok(self) })
    }
}

impl Pool {
    async fn acquire(&self) -> Result<Pooled, Broken> {
        Ok(Pooled(Conn(0.into())))
    }

    async fn begin(&self) -> Result<Transaction<'static>, Broken> {
        Ok(Transaction(Conn(0.into()), PhantomData))
    }
}

impl Pooled {
    async fn begin(&mut self) -> Result<Transaction<'_>, Broken> {
        Ok(Transaction(Conn(0.into()), PhantomData))
    }
}

impl Deref for Pooled {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl Db<'_> {
    async fn fetch(&mut self, id: u64) -> Result<u64, Broken> {
        match self {
            Self::Pool(pool) => (&*pool).fetch(id).await,
            Self::Transaction(tx) => tx.0.fetch(id).await,
        }
    }
}

mod inline {
    use super::*;

    #[redis_cached(key = "inline:conn:{id}", ttl = "5m", skip(conn))]
    pub async fn conn(conn: &mut Conn, id: u64) -> Result<u64, Broken> {
        conn.fetch(id).await
    }

    #[redis_cached(key = "inline:opaque:{id}", ttl = "5m", skip(executor))]
    pub async fn opaque(executor: impl Executor<'_>, id: u64) -> Result<u64, Broken> {
        executor.fetch(id).await
    }

    #[redis_cached(key = "inline:typed:{id}", ttl = "5m", skip(executor))]
    pub async fn typed(executor: impl Executor<'_, Database = Postgres>, id: u64) -> Result<u64, Broken> {
        executor.fetch(id).await
    }

    #[redis_cached(key = "inline:named:{id}", ttl = "5m", skip(executor))]
    pub async fn named<'e, 'c: 'e, E, D>(executor: E, id: &'e u64) -> Result<u64, Broken>
    where
        E: Executor<'c, Database = D> + 'e,
    {
        executor.fetch(*id).await
    }

    #[redis_cached(key = "inline:acquire:{id}", ttl = "5m", skip(db))]
    pub async fn acquire(db: impl Acquire<'_> + Send, id: u64) -> Result<u64, Broken> {
        db.acquire().await?.fetch(id).await
    }

    #[redis_cached(key = "inline:either:{id}", ttl = "5m", skip(db))]
    pub async fn either(db: &mut Db<'_>, id: u64) -> Result<u64, Broken> {
        db.fetch(id).await
    }

    #[redis_cached(key = "inline:transaction:{id}", ttl = "5m", skip(tx))]
    pub async fn transaction(tx: &mut Transaction<'_>, id: u64) -> Result<u64, Broken> {
        tx.0.fetch(id).await
    }
}

mod refreshed {
    use super::*;

    #[redis_cached(
        key = "refreshed:conn:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = pool.acquire().await?),
        skip(conn, pool)
    )]
    pub async fn conn(pool: &Pool, conn: &mut Conn, id: u64) -> Result<u64, Broken> {
        conn.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:owned:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = pool.acquire().await?),
        skip(conn, pool)
    )]
    pub async fn owned(pool: Pool, mut conn: Pooled, id: u64) -> Result<u64, Broken> {
        conn.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:opaque:{id}", ttl = "5m", refresh_before = "1m", refresh_with(executor = pool),
        skip(executor, pool)
    )]
    pub async fn opaque(executor: impl Executor<'_>, pool: &Pool, id: u64) -> Result<u64, Broken> {
        executor.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:typed:{id}", ttl = "5m", refresh_before = "1m", refresh_with(executor = pool),
        skip(executor, pool)
    )]
    pub async fn typed(
        executor: impl Executor<'_, Database = Postgres>, pool: &Pool, id: u64,
    ) -> Result<u64, Broken> {
        executor.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:named:{N}:{id}", ttl = "5m", refresh_before = "1m", refresh_with(executor = pool),
        skip(executor, pool)
    )]
    pub async fn named<'e, E, D, const N: u8>(executor: E, pool: Pool, id: u64) -> Result<u64, Broken>
    where
        E: Executor<'e, Database = D>,
    {
        let _ = pool;
        executor.fetch(id + u64::from(N)).await
    }

    #[redis_cached(
        key = "refreshed:acquire:{id}", ttl = "5m", refresh_before = "1m", refresh_with(db = pool), skip(db, pool)
    )]
    pub async fn acquire(db: impl Acquire<'_> + Send, (pool, _): (Pool, ()), id: u64) -> Result<u64, Broken> {
        db.acquire().await?.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:either:{id}", ttl = "5m", refresh_before = "1m", refresh_with(db = Db::Pool(pool.clone())),
        skip(db, pool)
    )]
    pub async fn either(db: &mut Db<'_>, pool: &Pool, id: u64) -> Result<u64, Broken> {
        db.fetch(id).await
    }

    #[redis_cached(
        key = "refreshed:transaction:{id}", ttl = "5m", refresh_before = "1m",
        refresh_with(tx = pool.begin().await?), skip(pool, tx)
    )]
    pub async fn transaction(pool: &Pool, tx: &mut Transaction<'_>, id: u64) -> Result<u64, Broken> {
        tx.0.fetch(id).await
    }
}

#[derive(Clone)]
pub struct Repo {
    pool: Pool,
}

impl Repo {
    #[redis_cached(
        key = "repo:shared:{id}", ttl = "5m", refresh_before = "1m", refresh_with(executor = &self.pool),
        skip(self, executor)
    )]
    async fn shared(self: Arc<Self>, executor: impl Executor<'_>, id: u64) -> Result<u64, Broken> {
        executor.fetch(id).await
    }

    #[redis_cached(
        key = "repo:load:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = self.pool.acquire().await?),
        skip(self, conn)
    )]
    async fn load(&self, conn: &mut Conn, id: u64) -> Result<u64, Broken> {
        conn.fetch(id).await
    }
}

trait Users {
    async fn find<'c>(&self, executor: impl Executor<'c>, id: u64) -> Result<u64, Broken>;
}

#[redis_cached::methods]
impl Users for Repo {
    #[redis_cached(
        key = "repo:find:{id}", ttl = "5m", refresh_before = "1m", refresh_with(executor = &self.pool),
        skip(self, executor)
    )]
    async fn find<'c>(&self, executor: impl Executor<'c>, id: u64) -> Result<u64, Broken> {
        executor.fetch(id).await
    }
}

async fn caller() -> Result<(), Broken> {
    let pool = Pool;
    let mut pooled = pool.acquire().await?;
    inline::conn(&mut pooled, 1).await?;
    inline::opaque(&mut *pooled, 1).await?;
    inline::opaque(&pool, 1).await?;
    inline::opaque_refresh(&pool, 1).await?;
    inline::typed(&mut *pooled, 1).await?;
    inline::named(&pool, &1).await?;
    inline::acquire(&pool, 1).await?;
    inline::acquire(&mut *pooled, 1).await?;
    let mut db = Db::Pool(pool.clone());
    inline::either(&mut db, 1).await?;
    let mut tx = pooled.begin().await?;
    inline::transaction(&mut tx, 1).await?;
    let mut db = Db::Transaction(tx);
    inline::either(&mut db, 1).await?;
    refreshed::either(&mut db, &pool, 1).await?;
    drop(db);
    refreshed::conn(&pool, &mut pooled, 1).await?;
    refreshed::opaque(&mut *pooled, &pool, 1).await?;
    refreshed::typed(&mut *pooled, &pool, 1).await?;
    refreshed::named::<_, _, 1>(&mut *pooled, pool.clone(), 1).await?;
    refreshed::acquire(&mut *pooled, (pool.clone(), ()), 1).await?;
    let mut other = pool.acquire().await?;
    let mut tx = other.begin().await?;
    refreshed::transaction(&pool, &mut tx, 1).await?;
    let repo = Repo { pool: pool.clone() };
    repo.load(&mut pooled, 1).await?;
    Arc::new(repo.clone()).shared(&mut *pooled, 1).await?;
    repo.find(&mut *pooled, 1).await?;
    refreshed::owned(pool, pooled, 1).await?;
    // None asks for what only skipped arguments use.
    let _ = (inline::conn_entry(1), inline::opaque_entry(1), inline::typed_entry(1), inline::named_entry(&1));
    let _ = (inline::acquire_entry(1), inline::either_entry(1), inline::transaction_entry(1));
    let _ = (refreshed::conn_entry(1), refreshed::opaque_entry(1), refreshed::named_entry::<1>(1));
    let _ = (refreshed::transaction_entry(1), Repo::load_entry(1), Repo::find_entry(1), Repo::shared_entry(1));
    Ok(())
}

fn main() {
    fn is_send(_: impl Send) {}
    is_send(caller());
}

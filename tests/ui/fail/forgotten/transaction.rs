use std::sync::{Arc, Mutex};

use redis_cached::redis_cached;

struct Transaction(u64);

trait UnitTransaction: Send + Sync {}

#[redis_cached(key = "slot:{id}", ttl = "5m", skip(tx))]
async fn in_a_slot(tx: &Arc<Mutex<Option<Transaction>>>, id: u64) -> u64 {
    tx.lock().unwrap().as_ref().map_or(id, |tx| tx.0)
}

#[redis_cached(key = "object:{id}", ttl = "5m", skip(tx), bypass_if = id == 0)]
async fn as_an_object(tx: &dyn UnitTransaction, id: u64) -> u64 {
    let _ = tx;
    id
}

#[redis_cached(key = "opaque:{id}", ttl = "5m", skip(tx))]
async fn opaque(tx: &impl UnitTransaction, id: u64) -> u64 {
    let _ = tx;
    id
}

#[redis_cached(key = "lent:{id}", ttl = "5m", skip(tx))]
async fn lent(tx: impl AsRef<Transaction> + Send + Sync, id: u64) -> u64 {
    tx.as_ref().0 + id
}

#[redis_cached(key = "generic:{id}", ttl = "5m", skip(tx, T))]
async fn generic<T>(tx: &mut T, id: u64) -> u64
where
    T: UnitTransaction,
{
    let _ = tx;
    id
}

trait Rows {
    async fn row(&self, id: u64) -> u64;
}

#[redis_cached::methods]
impl Rows for Transaction {
    #[redis_cached(key = "row:{id}", ttl = "5m", skip(self))]
    async fn row(&self, id: u64) -> u64 {
        self.0 + id
    }
}

#[redis_cached::methods]
impl Transaction {
    #[redis_cached(key = "own:{id}", ttl = "5m", skip(self))]
    async fn own(&self, id: u64) -> u64 {
        self.0 + id
    }
}

// Their authors say it.
#[redis_cached(key = "said:{id}", ttl = "5m", skip(tx), bypass_if = tx.lock().unwrap().is_some())]
async fn said(tx: &Mutex<Option<Transaction>>, id: u64) -> u64 {
    id
}

#[redis_cached(key = "never:{id}", ttl = "5m", skip(tx), bypass_if = false)]
async fn never(tx: &dyn UnitTransaction, id: u64) -> u64 {
    let _ = tx;
    id
}

fn main() {}

//! Functions that return a future instead of being async.

use std::future::Future;
use std::pin::Pin;

use redis_cached::redis_cached;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Clone)]
struct Db;

#[redis_cached(key = "futures:boxed:{id}", ttl = "5m", refresh_before = "1m", skip(db))]
fn boxed(db: &Db, id: u64) -> BoxFuture<'_, Result<u64, String>> {
    let _ = db;
    Box::pin(async move { Ok(id) })
}

#[redis_cached(key = "futures:pinned:{id}", ttl = "5m", skip(db))]
fn pinned<'a>(db: &'a Db, id: u64) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>> {
    Box::pin(async move {
        let _ = db;
        Some(id)
    })
}

#[redis_cached(key = "futures:opaque:{id}", ttl = "5m", refresh_before = "1m", none_ttl = "1s")]
fn opaque(id: u64) -> impl Future<Output = Option<u64>> + Send {
    std::future::ready(Some(id))
}

#[redis_cached(key = "futures:captures:{name}", ttl = "5m")]
fn captures<'a>(name: &'a str) -> impl Future<Output = usize> + Send + use<'a> {
    async move { name.len() }
}

#[redis_cached(key = "futures:static", ttl = "5m")]
fn of_static() -> BoxFuture<'static, ()> {
    Box::pin(async {})
}

fn main() {
    let _ = (boxed(&Db, 1), pinned(&Db, 1), opaque(1), captures("a"), of_static());
    let _ = (boxed_refresh(&Db, 1), opaque_uncached(1), captures_entry("a"), pinned_entry(1));
}

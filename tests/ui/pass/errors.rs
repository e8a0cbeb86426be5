//! Any error will do; some are shared by all who wait.

use std::fmt;

use redis_cached::redis_cached;

#[derive(Debug)]
enum NotClone {
    Io(std::io::Error),
}

impl fmt::Display for NotClone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not clone")
    }
}

impl std::error::Error for NotClone {}

impl From<std::io::Error> for NotClone {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Clone)]
struct Plain;

#[redis_cached(key = "errors:not_clone:{id}", ttl = "5m")]
async fn not_clone(id: u64) -> Result<String, NotClone> {
    Ok(std::fs::read_to_string(id.to_string())?)
}

#[redis_cached(key = "errors:plain:{id}", ttl = "5m", refresh_before = "10%")]
async fn plain(id: u64) -> Result<u64, Plain> {
    id.checked_sub(1).ok_or(Plain)
}

#[redis_cached(key = "errors:unit:{id}", ttl = "5m")]
async fn unit(id: u64) -> Result<(), ()> {
    let _ = id;
    Err(())
}

#[redis_cached(key = "errors:never:{id}", ttl = "5m")]
async fn never(id: u64) -> Result<u64, std::convert::Infallible> {
    Ok(id)
}

#[redis_cached(key = "errors:generic:{id}", ttl = "5m", skip(E))]
async fn generic<E: Send + 'static>(id: u64) -> Result<u64, E> {
    Ok(id)
}

#[redis_cached(key = "errors:static:{id}", ttl = "5m", refresh_before = "10%")]
async fn of_static(id: u64) -> Result<u64, &'static str> {
    Ok(id)
}

fn main() {
    let _ = (not_clone(1), plain(1), unit(1), never(1), generic::<Plain>(1), of_static(1));
}

//! Futures of cached functions can be spawned, whatever they borrow and return.

use std::error::Error;
use std::sync::Arc;

use redis_cached::redis_cached;

fn spawn<F: Future + Send + 'static>(_: F) {}

struct Db;

#[redis_cached(key = "send:boxed:{name}", ttl = "5m", skip(db))]
async fn boxed(db: &Db, name: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let _ = db;
    Ok(name.to_owned())
}

#[redis_cached(key = "send:anyhow:{name}", ttl = "5m", refresh_before = "10%")]
async fn any(name: &str) -> anyhow::Result<String> {
    Ok(name.to_owned())
}

#[redis_cached(key = "send:io:{name}", ttl = "5m", skip(db))]
async fn io(db: &mut Db, name: &str) -> std::io::Result<Option<String>> {
    let _ = db;
    Ok(Some(name.to_owned()))
}

#[redis_cached(key = "send:generic:{name}", ttl = "5m", skip(S, F, call))]
async fn generic<S, F, Fut>(name: S, call: F) -> String
where
    S: std::fmt::Display + Send + Sync,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    call().await;
    name.to_string()
}

fn main() {
    let name: Arc<str> = "a".into();
    spawn(async move {
        let mut db = Db;
        let _ = boxed(&db, &name).await;
        let _ = any(&name).await;
        let _ = any_refresh(&name).await;
        let _ = io(&mut db, &name).await;
        let _ = any_entry(&name).peek().await;
        let _ = generic(&name, || async {}).await;
    });
    spawn(any("a"));
}

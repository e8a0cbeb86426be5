#![deny(warnings)]
//! What the edition of 2024 has changed: captures, `unsafe` attributes, temporaries at the end.

use std::sync::Mutex;

use redis_cached::redis_cached;

// Returned futures capture all lifetimes.
#[redis_cached(key = "edition:captures:{name}", ttl = "5m", skip(lock))]
fn captures(lock: &Mutex<u64>, name: &str) -> impl Future<Output = usize> + Send {
    async move { name.len() + *lock.lock().unwrap() as usize }
}

// A temporary in the last expression is dropped before the variables.
#[redis_cached(key = "edition:temporaries:{id}", ttl = "5m")]
async fn temporaries(id: u64) -> u64 {
    let lock = Mutex::new(id);
    *lock.lock().unwrap()
}

macro_rules! of_2021 {
    ($name:ident, $ttl:expr_2021) => {
        #[redis_cached(key = "edition:expr:{id}", ttl = $ttl)]
        async fn $name(id: u64) -> u64 {
            id
        }
    };
}

of_2021!(expr, "5m");

// `gen` is reserved.
#[redis_cached(key = "edition:{gen}", ttl = "5m")]
async fn r#gen(r#gen: u64) -> u64 {
    r#gen
}

// `if let` chains in conditions.
#[redis_cached(
    key = "edition:chain:{id?}",
    ttl = "5m",
    bypass_if = if let Some(id) = id && id > 1 { true } else { false }
)]
async fn chain(id: Option<u64>) -> u64 {
    id.unwrap_or_default()
}

// Async closures.
#[redis_cached(key = "edition:closure:{id}", ttl = "5m", skip(call))]
async fn closure(call: impl AsyncFn(u64) -> u64 + Send, id: u64) -> u64 {
    let _ = call;
    id
}

fn main() {
    let _ = (captures(&Mutex::new(1), "a"), temporaries(1), expr(1), r#gen(1), chain(None));
    let _ = closure(async |id| id, 1);
}

//! What a hit costs in allocations: the key, and the bytes that are read.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use redis_cached::{Cache, redis_cached};

/// An argument that tells when it is cloned.
#[derive(Debug, Default)]
struct Pool {
    clones: Arc<AtomicUsize>,
}

impl Clone for Pool {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self { clones: Arc::clone(&self.clones) }
    }
}

#[redis_cached(key = "price:{id}", ttl = "1h", refresh_before = "1m", skip(pool), cache = cache)]
async fn price(cache: &Cache, pool: &Pool, id: u64) -> Result<u64, String> {
    // Held across an await, so that a body's future would be large, and boxing it one allocation.
    let large = [id; 64];
    tokio::task::yield_now().await;
    Ok(large[7] + pool.clones.load(Ordering::SeqCst) as u64)
}

/// A hit on the embedded store never waits.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit waited"),
    }
}

#[tokio::test]
async fn a_hit_allocates_its_key_and_the_stored_bytes_and_nothing_else() {
    let cache = Cache::builder().url("memory://").build().await.unwrap();
    let pool = Pool::default();
    price(&cache, &pool, 1).await.unwrap();
    price(&cache, &pool, 1).await.unwrap();

    let hits = 100;
    let allocated = allocation_counter::measure(|| {
        for _ in 0..hits {
            assert_eq!(at_once(price(&cache, &pool, 1)), Ok(1));
        }
    });
    assert_eq!(allocated.count_total, 2 * hits, "allocations of {hits} hits");
    assert_eq!(pool.clones.load(Ordering::SeqCst), 0, "an argument was cloned");
}

//! What a copy costs.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{RedisServer, eventually};

use crate::stage::{how, is_near, patient_cache};

#[redis_cached(key = "shared:{name}:{id}", ttl = "1h", near = "30m", cache = cache, skip(cache))]
async fn shared(name: &str, id: u64, cache: &Cache) -> Result<Arc<str>, String> {
    Ok(name.into())
}

fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a near hit waited"),
    }
}

#[tokio::test]
async fn a_near_hit_allocates_nothing() {
    let server = RedisServer::start();
    // A minute, so that it is not asked for anew meanwhile.
    let here = patient_cache(&server.url()).await;
    eventually("a copy answers", async || is_near(how(shared("a", 1, &here)).await.1)).await;
    let allocated = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert_eq!(at_once(shared("a", 1, &here)).as_deref(), Ok("a"));
        }
    });
    assert_eq!(allocated.count_total, 0);
}

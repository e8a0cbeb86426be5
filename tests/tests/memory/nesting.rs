//! Cached functions that call others, or themselves with other arguments.

use std::pin::Pin;
use std::thread;

use redis_cached::{Cache, redis_cached};

use crate::origin::memory;

/// That of a worker of tokio, and of a test.
const STACK: usize = 2 * 1024 * 1024;

#[redis_cached(key = "nested:{depth}", ttl = "1h", cache = cache)]
fn nested(cache: &Cache, depth: u32) -> Pin<Box<dyn Future<Output = u32> + Send + '_>> {
    Box::pin(async move { if depth == 0 { 0 } else { nested(cache, depth - 1).await + 1 } })
}

/// Each level is a miss inside the body of another, so all are on the stack at once.
fn deep(depth: u32, forced: bool) {
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cache = memory().await;
            let depth_found = if forced {
                nested_refresh(&cache, depth).await
            } else {
                nested(&cache, depth).await
            };
            assert_eq!(depth_found, depth);
        });
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn cached_functions_nest_fifty_deep_on_the_stack_of_a_worker() {
    deep(50, false);
    deep(50, true);
}

//! Which cache a call uses.

use std::task::{Context, Poll, Waker};

use redis_cached::{Cache, redis_cached};

use crate::origin::{Origin, memory};

#[redis_cached(key = "scoped:{id}", ttl = "1h", skip(origin))]
async fn scoped(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test]
async fn a_scope_keeps_its_values_to_itself() {
    let origin = Origin::open();
    let (one, two) = (memory().await, memory().await);
    for cache in [&one, &two, &one, &two] {
        cache.scope(scoped(&origin, 1)).await;
    }
    assert_eq!(origin.bodies(), 2);
}

#[redis_cached(key = "optional:{id}", ttl = "1h", skip(origin), cache = cache)]
async fn optional(cache: Option<&Cache>, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test]
async fn a_cache_expression_of_none_bypasses() {
    let origin = Origin::open();
    let cache = memory().await;
    for expected in [1, 2] {
        optional(None, &origin, 1).await;
        assert_eq!(origin.bodies(), expected);
    }
    optional(Some(&cache), &origin, 1).await;
    optional(Some(&cache), &origin, 1).await;
    assert_eq!(origin.bodies(), 3);
    let error = optional_entry(None, 1).invalidate().await.unwrap_err();
    assert!(error.to_string().contains("no cache"), "{error}");
}

/// A second cache can't be installed over the first; the functions go on with the first.
#[tokio::test]
async fn a_second_init_is_an_error_that_says_what_to_do() {
    let origin = Origin::open();
    redis_cached::init(memory().await).unwrap();
    let error = redis_cached::init(memory().await).unwrap_err();
    assert!(error.is_already_installed());
    assert!(error.to_string().contains("once"), "{error}");
    scoped(&origin, 9).await;
    scoped(&origin, 9).await;
    assert_eq!(origin.bodies(), 1);
}

#[redis_cached(key = "bare:{id}", ttl = "1h")]
async fn bare(id: u64) -> u64 {
    let mut first = true;
    // Pending once, so that a lease would have to be kept.
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    id
}

fn without_tokio<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

#[test]
fn outside_tokio_the_body_runs() {
    assert_eq!(without_tokio(bare(1)), 1);
    assert_eq!(without_tokio(bare_refresh(2)), 2);
}

/// Two functions of one name, inside two functions of one module.
#[tokio::test]
async fn c6_functions_of_one_name_in_different_functions_keep_apart() {
    async fn one(cache: &Cache) -> u64 {
        #[redis_cached(key = "inner:{id}", ttl = "1h", cache = cache)]
        async fn inner(cache: &Cache, id: u64) -> u64 {
            std::future::ready(id + 1).await
        }
        inner(cache, 1).await
    }
    async fn two(cache: &Cache) -> u64 {
        #[redis_cached(key = "inner:{id}", ttl = "1h", cache = cache)]
        async fn inner(cache: &Cache, id: u64) -> u64 {
            std::future::ready(id + 100).await
        }
        inner(cache, 1).await
    }
    let cache = memory().await;
    for _ in 0..2 {
        assert_eq!((one(&cache).await, two(&cache).await), (2, 101));
    }
}

//! Which cache a call uses.

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

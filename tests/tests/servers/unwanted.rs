//! Values that `cache_if` refuses, and a server that does not let the old one go.

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::RedisServer;

use crate::stage::connect;

#[redis_cached(key = "unwanted:{id}", ttl = "1h", cache_if = |value| *value < 10, cache = cache)]
async fn unwanted(cache: &Cache, id: u64) -> u64 {
    std::future::ready(id).await
}

#[tokio::test]
async fn c5_a_set_that_could_not_remove_the_old_value_does_not_say_that_it_has() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    unwanted_entry(&cache, 1).set(1).await.unwrap();
    let error = unwanted_entry(&cache, 1).set(99).await.unwrap_err();
    assert!(error.is_not_storable(), "{error}");
    assert!(unwanted_entry(&cache, 1).peek().await.unwrap().is_none());

    unwanted_entry(&cache, 1).set(1).await.unwrap();
    let mut cli = server.cli().await;
    redis::cmd("ACL").arg("SETUSER").arg("default").arg("-del").exec_async(&mut cli).await.unwrap();
    let error = unwanted_entry(&cache, 1).set(99).await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    assert_eq!(unwanted(&cache, 1).await, 1, "still served");
}

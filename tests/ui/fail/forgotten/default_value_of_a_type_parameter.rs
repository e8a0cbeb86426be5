use redis_cached::redis_cached;

use serde::{Serialize, de::DeserializeOwned};

#[redis_cached(key = "setting:{name}", ttl = "5m")]
async fn setting<T>(name: &str, default: T) -> T
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let _ = name;
    default
}

fn main() {}

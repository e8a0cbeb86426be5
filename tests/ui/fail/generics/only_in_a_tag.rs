use redis_cached::redis_cached;

#[redis_cached(key = "row", ttl = "5m", tags = ["row:{id}"])]
async fn load<T: std::fmt::Display + Send + Sync>(id: T) -> String {
    id.to_string()
}

fn main() {}

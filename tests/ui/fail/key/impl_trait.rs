use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: impl std::fmt::Display + Send) -> String {
    id.to_string()
}

fn main() {}

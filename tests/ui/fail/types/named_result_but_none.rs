use redis_cached::redis_cached;

#[derive(serde::Serialize, serde::Deserialize)]
struct SearchResult(u64);

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: u64) -> SearchResult {
    SearchResult(id)
}

fn main() {}

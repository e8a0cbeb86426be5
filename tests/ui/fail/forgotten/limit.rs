use redis_cached::redis_cached;

#[redis_cached(key = "search:{query}", ttl = "1m")]
async fn search(query: &str, limit: usize) -> Vec<String> {
    vec![query.to_owned(); limit]
}

fn main() {}

use redis_cached::redis_cached;

struct Filter {
    ids: Vec<u64>,
}

#[redis_cached(key = "list:{filter:hash}", ttl = "5m")]
async fn list(filter: Filter) -> usize {
    filter.ids.len()
}

fn main() {}

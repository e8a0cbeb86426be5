use redis_cached::redis_cached;

#[redis_cached(key = "a:{id}", ttl = "5m", stored = String)]
async fn without_both(id: u64) -> u64 {
    id
}

#[redis_cached(key = "b:{id}", ttl = "5m", save = |id| id.to_string(), load = |text| text.parse::<u64>())]
async fn without_a_type(id: u64) -> u64 {
    id
}

fn main() {}

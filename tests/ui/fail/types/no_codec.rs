use redis_cached::redis_cached;

struct Yaml;

#[redis_cached(key = "user:{id}", ttl = "5m", codec = Yaml)]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}

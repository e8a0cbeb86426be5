use redis_cached::redis_cached;

#[redis_cached(key = "user:{name}:{id}", ttl = "5m", normalize(name = name.trim().to_owned()))]
async fn load((name, id): (String, u64)) -> String {
    format!("{name}{id}")
}

fn main() {}

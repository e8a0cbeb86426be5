use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", skip(name), normalize(name = name.trim().to_owned()))]
async fn load(id: u64, name: String) -> u64 {
    let _ = name;
    id
}

fn main() {}

use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
fn load(id: u64) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || id)
}

fn main() {}

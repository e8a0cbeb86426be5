use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn load(id: u64) -> u64 {
    let held = std::rc::Rc::new(id);
    std::future::ready(()).await;
    *held
}

fn main() {}

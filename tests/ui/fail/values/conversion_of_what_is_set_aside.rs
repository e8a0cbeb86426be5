use redis_cached::redis_cached;

#[redis_cached(
    key = "thumb:{id}", ttl = "1h", accept_if = |width| *width >= at_least,
    stored = u64, save = |width| at_least.min(*width), load = |width| width
)]
async fn thumb(id: u64, at_least: u64) -> u64 {
    id
}

fn main() {}

use redis_cached::redis_cached;

trait Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m")]
    async fn load(id: u64) -> u64;
}

fn main() {}

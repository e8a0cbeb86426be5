use redis_cached::redis_cached;

struct Path<T>(T);

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn show(Path((tenant, id)): Path<(u32, u64)>) -> u64 {
    u64::from(tenant) + id
}

fn main() {}

use redis_cached::redis_cached;

#[redis_cached(key = "page", ttl = "5m")]
async fn page(tenant: u32, after: Option<u64>, fields: Vec<String>) -> usize {
    let _ = (tenant, after);
    fields.len()
}

fn main() {}

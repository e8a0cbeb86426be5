use redis_cached::redis_cached;

#[derive(Clone)]
struct Pool;

struct Conn;

impl Pool {
    async fn acquire(&self) -> Result<Conn, String> {
        Err("none".to_owned())
    }
}

// It may fail, and the function may not.
#[redis_cached(
    key = "user:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = pool.acquire().await?), skip(pool, conn)
)]
async fn fails(pool: &Pool, conn: &mut Conn, id: u64) -> u64 {
    let _ = (pool, conn);
    id
}

#[redis_cached(
    key = "group:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = pool.acquire().await), skip(pool, conn)
)]
async fn unopened(pool: &Pool, conn: &mut Conn, id: u64) -> u64 {
    let _ = (pool, conn);
    id
}

fn main() {}

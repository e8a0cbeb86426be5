use redis_cached::redis_cached;

#[derive(Clone)]
struct Pool;

struct Conn;

impl Pool {
    async fn acquire(&self) -> Option<Conn> {
        None
    }
}

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_with(conn = pool.acquire().await?), skip(pool, conn))]
async fn without_refresh(pool: &Pool, conn: &mut Conn, id: u64) -> u64 {
    let _ = (pool, conn);
    id
}

#[redis_cached(
    key = "a:{id}", ttl = "5m", refresh_before = "1m", refresh_with(con = Conn, id = 1, conn = Conn, conn = Conn),
    skip(conn)
)]
async fn names(conn: &mut Conn, id: u64) -> u64 {
    let _ = conn;
    id
}

#[redis_cached(
    key = "b:{id}", ttl = "5m", refresh_before = "1m", refresh_with(a = Conn), skip(a, b)
)]
async fn pattern((a, b): (Conn, u64), id: u64) -> u64 {
    let _ = (a, b);
    id
}

#[redis_cached(
    key = "c:{id}", ttl = "5m", refresh_before = "1m", refresh_with(conn = pool.acquire().await?), skip(pool, conn)
)]
async fn stores_none(pool: &Pool, conn: &mut Conn, id: u64) -> Option<u64> {
    let _ = (pool, conn);
    Some(id)
}

#[redis_cached(key = "d:{id}", ttl = "5m", refresh_before = "1m", refresh_with = Conn, skip(conn))]
async fn form(conn: &mut Conn, id: u64) -> u64 {
    let _ = conn;
    id
}

struct Repo;

impl Repo {
    #[redis_cached(key = "e:{id}", ttl = "5m", refresh_before = "1m", refresh_with(self = Repo), skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}

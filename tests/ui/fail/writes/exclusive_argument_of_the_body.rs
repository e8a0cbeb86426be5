use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

struct Repo {
    team: u64,
}

#[async_trait::async_trait]
trait Rows {
    async fn write(&mut self, rows: &mut Vec<u64>) -> u64;
}

#[async_trait::async_trait]
impl Rows for Repo {
    #[redis_invalidate(user(self.team + ret), user(rows[0] + ret), on_failure = "retry")]
    async fn write(&mut self, rows: &mut Vec<u64>) -> u64 {
        rows.push(1);
        self.team
    }
}

fn main() {}

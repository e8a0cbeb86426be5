use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["team:{team.}", "id:{id.0x}"])]
async fn load(team: u64, id: u64) -> u64 {
    team + id
}

fn main() {}

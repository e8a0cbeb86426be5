use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["team:{org}:{team}", "region:{region?}"])]
async fn load(org: u64, team: u64, region: Option<String>, id: u64) -> u64 {
    org + team + id + region.map_or(0, |_| 1)
}

fn main() {}

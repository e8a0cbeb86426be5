use redis_cached::redis_invalidate;

#[redis_invalidate(tags = ["team:{tem}", "org:{ret.org}"], on_failure = "retry")]
async fn rename(team: u64) -> u64 {
    team
}

fn main() {}

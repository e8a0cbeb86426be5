#[redis_cached::methods]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}

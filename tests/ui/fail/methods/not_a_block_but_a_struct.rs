#[redis_cached::methods]
struct Repo {
    id: u64,
}

fn main() {}

#[redis_cached::methods]
const USERS: u64 = 1;

fn main() {}

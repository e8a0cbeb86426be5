use redis_cached::{redis_cached, redis_put};

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn name(id: u64) -> String {
    id.to_string()
}

pub struct User {
    pub id: u64,
    pub name: String,
}

#[redis_put(name(id) = name, on_failure = "retry")]
pub async fn trims(id: u64, mut name: String) {
    name.truncate(8);
    let _ = id;
}

#[redis_put(name(user.id) = &user.name, on_failure = "retry")]
pub async fn inserts(user: &mut User) {
    user.id = 7;
}

fn main() {}

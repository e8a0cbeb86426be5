#![deny(warnings)]

use redis_cached::{Entries, redis_cached};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct User {
    team: u32,
}

#[redis_cached(key = "tags:{id}", ttl = "5m", tags = ["users", "user:{id}", "team:{ret.team}", "literal {{}}"], clearable)]
async fn load(id: u64) -> Result<User, String> {
    Ok(User { team: id as u32 })
}

#[redis_cached(key = "tags:none", ttl = "5m", tags = [])]
async fn none() {}

#[redis_cached(key = "tags:generic:{id}", ttl = "5m", clearable, skip(S))]
async fn generic<S: std::fmt::Display + Send + Sync>(id: S) -> String {
    id.to_string()
}

struct Repo;

impl Repo {
    #[redis_cached(key = "tags:repo:{id}", ttl = "5m", clearable, skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let all: [Entries; 3] = [load_all(), generic_all(), Repo::load_all()];
    let _ = (all, load(1), none(), generic(1), Repo.load(1));
}

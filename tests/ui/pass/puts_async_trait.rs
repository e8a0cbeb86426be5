#![deny(warnings, unused)]

use redis_cached::{redis_cached, redis_put};

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn name(id: u64) -> String {
    id.to_string()
}

async fn update(id: u64, name: &str) {
    let _ = (id, name);
}

/// The value is a parameter, which the body only borrows.
#[redis_put(name(id) = &new, on_failure = "retry")]
async fn rename(id: u64, new: String) {
    update(id, &new).await;
}

#[async_trait::async_trait]
trait Names {
    async fn rename_to(&self, id: u64, new: &str);
}

struct Repo;

/// In a block that is rewritten, one that is borrowed.
#[async_trait::async_trait]
impl Names for Repo {
    #[redis_put(name(id) = new.to_owned(), on_failure = "retry")]
    async fn rename_to(&self, id: u64, new: &str) {
        update(id, new).await;
    }
}

fn main() {
    drop(rename(1, String::new()));
    drop(Repo.rename_to(1, ""));
}

#![deny(warnings)]

use std::fmt::Display;

use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct User(u64);

trait Repository {
    type Id: Display + Send + Sync;
    type Row: Send;
    type Error;

    const TABLE: &'static str;

    fn load(&self, id: Self::Id) -> impl Future<Output = Result<Self::Row, Self::Error>> + Send;
    fn list(&self, ids: &str) -> impl Future<Output = Vec<Self::Row>> + Send;
}

struct Users;

#[redis_cached::methods]
impl Repository for Users {
    type Id = u64;
    type Row = User;
    type Error = std::io::Error;

    const TABLE: &'static str = "users";

    #[redis_cached(key = "associated:{Self::TABLE}:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: Self::Id) -> Result<Self::Row, Self::Error> {
        let id: Self::Id = id;
        Ok(User(id))
    }

    #[redis_cached(key = "associated:list:{ids}", ttl = "5m", skip(self))]
    async fn list(&self, ids: &str) -> Vec<<Self as Repository>::Row> {
        vec![User(ids.len() as u64)]
    }
}

// Not everything has to be cached by a method.
#[redis_cached(key = "associated:free:{id}", ttl = "5m", skip(repository, R))]
async fn free<R>(repository: &R, id: u64) -> Result<R::Row, R::Error>
where
    R: Repository<Id = u64> + Sync,
    R::Row: Serialize + serde::de::DeserializeOwned + 'static,
    R::Error: Send,
{
    repository.load(id).await
}

fn main() {
    let _ = (Users.load(1), Users::load_entry(1), Users.list("a"), free(&Users, 1));
}

#![deny(warnings)]
//! The functions that a trait provides itself.

use async_trait::async_trait;

#[redis_cached::methods]
trait Table: Sync {
    const NAME: &'static str;

    fn fetch(&self, id: u64) -> String;

    /// Loads.
    #[redis_cached(key = "provided:{Self::NAME}:{id}", ttl = "5m", skip(self))]
    fn row(&self, id: u64) -> impl Future<Output = String> + Send {
        async move { self.fetch(id) }
    }

    #[redis_cached(key = "provided:first:{Self::NAME}", ttl = "5m")]
    fn first() -> impl Future<Output = String> + Send {
        async { Self::NAME.to_owned() }
    }

    #[redis_cached(key = "provided:sized:{Self::NAME}", ttl = "5m", skip(self))]
    fn sized(self) -> impl Future<Output = u64> + Send
    where
        Self: Sized + Send,
    {
        async move { 1 }
    }
}

struct Users;

impl Table for Users {
    const NAME: &'static str = "users";

    fn fetch(&self, id: u64) -> String {
        id.to_string()
    }
}

#[async_trait]
#[redis_cached::methods(extension = Entries, vis = pub(crate))]
trait Object: Send + Sync {
    fn name(&self) -> String;

    #[redis_cached(key = "provided:object:{self.name()}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

impl Object for Users {
    fn name(&self) -> String {
        "users".to_owned()
    }
}

async fn caller(object: &dyn Object) {
    Users.row(1).await;
    Users.row_refresh(1).await;
    Users::first().await;
    Users.sized().await;
    let _ = (Users::row_entry(1), Users::first_entry());
    object.load(1).await;
    let _ = object.load_entry(1);
}

fn main() {
    let _ = caller(&Users);
}

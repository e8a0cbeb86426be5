use redis_cached::redis_cached;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

trait Executor<'e>: Send {}

struct Id<K>(K);

impl<K: Display> Display for Id<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Row<T>(T);

#[redis_cached(key = "row:{table}:{id}", ttl = "5m", skip(executor, T, N, K))]
async fn row<'e, T, K, E, const N: usize>(executor: E, table: &str, id: Id<K>) -> Row<T>
where
    T: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static,
    K: Display + Send + Sync,
    E: Executor<'e>,
{
    let _ = (executor, table, id, N);
    Row(T::default())
}

#[redis_cached(key = "refreshed:{id}", ttl = "5m", refresh_before = "10%", skip(K))]
async fn refreshed<'a, K>(id: &'a K) -> String
where
    K: Display + Clone + Send + Sync + 'static,
{
    id.to_string()
}

#[redis_cached(key = "anonymous:{id}", ttl = "5m", skip(client))]
async fn anonymous(client: impl Display + Send + Sync, id: u64) -> String {
    format!("{client}{id}")
}

fn entry() {
    let _ = row_entry::<u8, u64>("users", Id(1));
    let _ = refreshed_entry(&1);
}

fn main() {}

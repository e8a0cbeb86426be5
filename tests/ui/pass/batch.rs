//! `batch(ids as id)` in the places where functions stand, and with the parameters that they have.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis_cached::redis_cached;

#[derive(Debug)]
struct Failed;

struct Users {
    tenant: u32,
}

#[redis_cached::methods]
impl Users {
    #[redis_cached(key = "user:{self.tenant}:{id}", batch(ids as id), ttl = "5m")]
    async fn load(&self, ids: &[u64]) -> Result<HashMap<u64, String>, Failed> {
        Ok(ids.iter().map(|id| (*id, self.tenant.to_string())).collect())
    }

    #[redis_cached(
        key = "name:{self.tenant}:{name}", batch(names as name), ttl = "5m", refresh_before = "20%",
        stale_if_error = "1h", clearable
    )]
    async fn by_name(
        self: Arc<Self>,
        names: Vec<String>,
    ) -> BTreeMap<String, Result<u64, String>> {
        names.into_iter().map(|name| (name, Ok(1))).collect()
    }
}

#[redis_cached(key = "boxed:{id}", batch(ids as id), ttl = "5m", none_ttl = "1m")]
fn boxed(ids: &[u64]) -> Pin<Box<dyn Future<Output = HashMap<u64, Option<u64>>> + Send + '_>> {
    Box::pin(async move { ids.iter().map(|id| (*id, Some(*id))).collect() })
}

#[redis_cached(key = "generic:{T::KIND}:{id}", batch(ids as id), ttl = "5m", skip(connection))]
async fn generic<T: Kind>(connection: &mut T, ids: &[u64]) -> HashMap<u64, T::Value> {
    ids.iter().filter_map(|id| Some((*id, connection.get(*id)?))).collect()
}

trait Kind: Send {
    const KIND: &'static str;
    type Value: serde::Serialize + serde::de::DeserializeOwned + Send + 'static;
    fn get(&mut self, id: u64) -> Option<Self::Value>;
}

struct Numbers;

impl Kind for Numbers {
    const KIND: &'static str = "numbers";
    type Value = u64;
    fn get(&mut self, id: u64) -> Option<u64> {
        Some(id)
    }
}

fn sent<T>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    future
}

#[tokio::main]
async fn main() {
    let users = Arc::new(Users { tenant: 7 });
    assert_eq!(sent(users.load(&[1, 2])).await.unwrap().len(), 2);
    assert_eq!(users.load_entry(1).peek().await.unwrap().unwrap().value, "7");
    let names = vec!["ada".to_owned()];
    assert_eq!(sent(Arc::clone(&users).by_name(names)).await["ada"], Ok(1));
    assert_eq!(sent(boxed(&[3])).await[&3], Some(3));
    assert_eq!(sent(generic(&mut Numbers, &[4])).await[&4], 4);
    let ids = vec![5, 6];
    let spawned = tokio::spawn(async move { generic(&mut Numbers, &ids).await });
    assert_eq!(spawned.await.unwrap().len(), 2);
}

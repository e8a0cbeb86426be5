#![deny(warnings)]
//! Types that no `impl` of this crate can be added to have their siblings in a trait.

use std::sync::Arc;

trait Load {
    fn load(&self, id: u64) -> impl Future<Output = u64> + Send;
}

#[redis_cached::methods(extension = LoadOfVec)]
impl Load for Vec<u64> {
    #[redis_cached(key = "foreign:vec:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached::methods(extension = LoadOfPair, vis = pub(crate))]
impl Load for (u64, u64) {
    #[redis_cached(key = "foreign:pair:{self.0}:{self.1}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached::methods(extension = LoadOfArc)]
impl<T: Load + Send + Sync> Load for Arc<T> {
    #[redis_cached(key = "foreign:arc:{id}", ttl = "5m", skip(self, T))]
    async fn load(&self, id: u64) -> u64 {
        (**self).load(id).await
    }
}

fn main() {
    let _ = (vec![1].load(1), <Vec<u64> as LoadOfVec>::load_entry(1));
    let _ = ((1, 2).load(1), (1, 2).load_entry(1));
    let _ = Arc::new(vec![1]).load(1);
}

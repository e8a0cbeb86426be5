use redis_cached::{Cache, redis_cached};

struct State {
    cache: Cache,
    optional: Option<Cache>,
}

impl State {
    #[redis_cached(key = "state:own:{id}", ttl = "5m", cache = self.cache, skip(self))]
    async fn own(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached(key = "state:other:{id}", ttl = "5m", cache = state.optional, skip(state))]
async fn other(state: &State, id: u64) -> u64 {
    let _ = state;
    id
}

fn entry(state: &State) {
    let _ = state.own_entry(1);
    let _ = other_entry(state, 1);
}

fn main() {}

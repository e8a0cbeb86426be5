use redis_cached::redis_cached;

struct Row;

#[redis_cached(key = "a:{id}", ttl = "5m", stored = String, save = |id| id + 1, load = |text| text.parse::<u64>())]
async fn saves_another_type(id: u64) -> u64 {
    id
}

#[redis_cached(key = "b:{id}", ttl = "5m", stored = String, save = |id| id.to_string(), load = |text| text.len())]
async fn loads_another_type(id: u64) -> u64 {
    id
}

#[redis_cached(key = "c:{id}", ttl = "5m", stored = Row, save = |_| Row, load = |_| 7)]
async fn stores_what_has_no_serde(id: u64) -> u64 {
    id
}

struct Cipher;

#[redis_cached(
    key = "d:{id}", ttl = "5m", skip(cipher), stored = u64,
    save = |id| cipher.apply(*id), load = |id| cipher.apply(id)
)]
async fn saves_by_what_is_no_clone(cipher: &Cipher, id: u64) -> u64 {
    cipher.apply(id)
}

impl Cipher {
    fn apply(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}

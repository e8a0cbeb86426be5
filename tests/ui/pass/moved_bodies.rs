#![deny(warnings)]
//! What is in reach where the function stands is in reach of its body.

use std::time::Duration;

use redis_cached::redis_cached;

mod repo {
    pub trait Repo<T> {
        const TABLE: &'static str;
        fn other(&self) -> u64;
        fn load(&self, id: T) -> impl Future<Output = String> + Send;
    }
}

struct Pg;

#[redis_cached::methods]
impl repo::Repo<u64> for Pg {
    const TABLE: &'static str = "users";

    fn other(&self) -> u64 {
        1
    }

    #[redis_cached(key = "moved:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> String {
        format!("{}{}{id}", self.other(), Self::TABLE)
    }
}

struct Users;

impl Users {
    const KIND: &'static str = "users";
    const TTL: Duration = Duration::from_secs(5);

    #[redis_cached(key = "moved:{Self::KIND}:{id}", ttl = "5m")]
    async fn by_key(id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "moved:ttl:{id}", ttl = Self::TTL)]
    async fn by_ttl(id: u64) -> u64 {
        id
    }
}

macro_rules! loader {
    ($name:ident($param:ident: $ty:ty) $body:block) => {
        #[redis_cached(key = "moved:block", ttl = "5m", skip($param))]
        async fn $name($param: $ty) -> u64 $body
    };
}

loader!(of_block(id: u64) { id + 1 });

struct Limits {
    max: u64,
    config: Config,
}

struct Config {
    ttl: Duration,
}

#[redis_cached(key = "moved:{max}:{n}:{ttl}", ttl = config.ttl, skip(config), normalize(n = n.min(max)))]
async fn normalized(Limits { max, config }: Limits, n: u64, ttl: u64) -> u64 {
    let _ = config;
    n + max + ttl
}

struct Path<T>(T);

#[redis_cached(key = "moved:{id}:{force}", ttl = Duration::from_secs(id), bypass_if = id == 3, refresh_if = force)]
async fn extracted(Path(id): Path<u64>, Path((force, _)): Path<(bool, String)>) -> u64 {
    if force { id } else { 0 }
}

#[redis_cached(key = "moved:{a}:{b}:{a_b}:{first}:{rest:hash}:{text}:{__text}", ttl = "5m", normalize(text = text.trim()))]
async fn names(
    (a, b): (u8, u8),
    a_b: u8,
    [first, rest @ ..]: [u8; 3],
    text: &str,
    __text: u8,
) -> u8 {
    a + b + a_b + first + rest[0] + __text + text.len() as u8
}

fn main() {
    let limits = Limits { max: 1, config: Config { ttl: Duration::ZERO } };
    let _ = (Users::by_key(1), Users::by_ttl(1), of_block(1), normalized(limits, 1, 1));
    let _ = extracted(Path(1), Path((true, String::new())));
    let _ = names((1, 2), 3, [4, 5, 6], "", 7);
    let _ = (repo::Repo::load(&Pg, 1), Pg.load_uncached(1));
}

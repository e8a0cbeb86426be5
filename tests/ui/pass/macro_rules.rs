use std::time::Duration;

use redis_cached::{redis_cached, redis_invalidate, redis_put};
use serde::{Deserialize, Serialize};

// Names and types that come out of a `macro_rules` have another hygiene.
macro_rules! cached {
    ($name:ident, $arg:ident: $ty:ty => $value:ty, $key:literal, $ttl:literal) => {
        #[redis_cached(key = $key, ttl = $ttl, refresh_before = "10%")]
        async fn $name($arg: $ty, own: u8) -> $value {
            let _ = (&$arg, own);
            Default::default()
        }
    };
}

cached!(number, id: u64 => u64, "number:{id}:{own}", "5m");
cached!(text, name: &str => Option<String>, "text:{name}:{own}", 300);

#[derive(Clone, Default, Serialize, Deserialize)]
struct User(u64);

cached!(user, id: u64 => Vec<User>, "user:{id}:{own}", "1h");

// Names that are handed in come from outside, those of generated code from here.
macro_rules! asked {
    ($name:ident, $fresh:ident, $preview:ident, $age:ident, $least:ident, $tags:ident, $busy:ident) => {
        #[redis_cached(
            key = "asked:{id}",
            ttl = "5m",
            refresh_if = $fresh,
            no_store_if = $preview,
            max_age = $age,
            accept_if = $least,
            tags_with = $tags,
            busy = $busy
        )]
        async fn $name(
            id: u64,
            $fresh: bool,
            $preview: bool,
            $age: Duration,
            $busy: u64,
            $least: fn(&u64) -> bool,
        ) -> u64 {
            id
        }
    };
}

fn tags_of(id: &u64) -> [String; 1] {
    [format!("id:{id}")]
}

asked!(asked, fresh, preview, age, least, tags_of, busy);

macro_rules! converted {
    ($name:ident, $save:ident, $load:ident) => {
        #[redis_cached(key = "converted:{id}", ttl = "5m", stored = u64, save = $save, load = $load)]
        async fn $name(id: u64) -> User {
            User(id)
        }
    };
}

fn number_of(user: &User) -> u64 {
    user.0
}

fn user_of(id: u64) -> User {
    User(id)
}

converted!(converted, number_of, user_of);

macro_rules! written {
    ($load:ident, $write:ident, $each:ident, $put:ident, $put_each:ident, $changes:ident, $id:ident) => {
        #[redis_invalidate($load($id, 1), $load(ret, 1), when = $changes, on_failure = "retry")]
        async fn $write($id: u64, $changes: bool) -> Option<u64> {
            Some($id)
        }

        #[redis_invalidate(for $id in &ret => $load(*$id, 1), tags = ["all"], on_failure = "retry")]
        async fn $each() -> Vec<u64> {
            vec![1]
        }

        #[redis_put($load($id, 1), $load(1, 1) = $changes, when = $changes > 0, on_failure = "retry")]
        async fn $put($id: u64, $changes: u64) -> u64 {
            $id + $changes
        }

        #[redis_put(for $id in &ret => $load(*$id, 1) = $id, on_failure = "retry")]
        async fn $put_each() -> Vec<u64> {
            vec![1]
        }
    };
}

written!(number, write, write_each, put, put_each, changes, id);

macro_rules! conditions {
    ($load:ident, $ret:ident) => {
        #[redis_put($load($ret, 1), when = $ret > 0, on_failure = "retry")]
        async fn put_of_value() -> u64 {
            1
        }
    };
}

conditions!(number, ret);

fn main() {}

#![deny(warnings)]
//! A fragment of `macro_rules` is wrapped into an invisible group: each kind, in each place.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};

macro_rules! cached {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$life:lifetime>($pat:pat => $arg:ident: $arg_ty:ty, $skipped:ident: $skipped_ty:path) -> $value:ty $body:block
        key $key:literal ttl $ttl:expr, window $window:tt, none $none:literal cache $cache:expr, keep $keep:path,
        when $when:expr, entries $entries:ident, tag $tag:literal
    ) => {
        $(#[$meta])*
        #[redis_cached(
            key = $key,
            ttl = $ttl,
            refresh_before = $window,
            none_ttl = $none,
            cache = $cache,
            cache_if = $keep,
            bypass_if = $when,
            tags = [$tag],
            name = $tag,
            skip($skipped)
        )]
        $vis async fn $name<$life>($arg: &$life $arg_ty, $skipped: $skipped_ty) -> $value {
            let $pat = $arg;
            let _ = $skipped;
            $body
        }

        fn $entries(cache: &Cache) {
            let _ = cache;
        }
    };
}

fn state() -> Option<Cache> {
    None
}

cached! {
    /// With documentation.
    #[allow(dead_code)]
    pub(crate) fn first<'a>(_ => name: str, id: std::primitive::u64) -> Option<u64> { Some(1) }
    key "fragments:{name}" ttl Duration::from_secs(60), window "10%", none "5s" cache state(), keep Option::is_some,
    when 1 + 1 == 3, entries first_entries, tag "first"
}

macro_rules! items {
    ($($item:item)*) => { $($item)* };
}

items! {
    #[redis_cached(key = "fragments:item:{id}", ttl = "5m", refresh_before = "10%")]
    async fn of_item(id: u64) -> u64 {
        id
    }
}

macro_rules! whole {
    ($attr:meta, $sig_name:ident, $($param:ident: $ty:ty),* ; $($body:tt)*) => {
        #[$attr]
        async fn $sig_name($($param: $ty),*) -> u64 { $($body)* }
    };
}

whole!(redis_cached(key = "fragments:whole:{a}:{b}", ttl = "5m"), of_meta, a: u64, b: &u64; a + b);

fn main() {
    let _ = (first("a", 1), of_item(1), of_meta(1, &2), of_meta_entry(1, &2));
    let _ = first_entries;
}

//! C6: a value that was written in another form is a miss, and is left to those who wrote it.
//!
//! The two sides of a rolling deploy are two functions of one name in one module, which only blocks
//! can hold: so all that differs between them is what the test says.

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer};

use crate::stage::connect;

/// One side of a deploy: a module of types whose root is `Root`, and the attribute's `version`.
macro_rules! side {
    ($cache:expr, $gate:expr, $types:ident, $version:literal) => {{
        #[redis_cached(
                key = "thing:{id}", ttl = "5m", version = $version, cache = cache, skip(cache, gate)
            )]
        async fn thing(id: u64, cache: &Cache, gate: &Gate) -> $types::Root {
            gate.pass().await;
            $types::Root::default()
        }
        thing(1, $cache, $gate).await
    }};
}

macro_rules! types {
    ($module:ident { $($field:tt)* }) => {
        mod $module {
            use serde::{Deserialize, Serialize};

            #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
            pub(super) struct Leaf {
                $($field)*
            }

            #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
            pub(super) struct Branch {
                leaves: Option<Leaf>,
            }

            #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
            pub(super) struct Root {
                branches: Vec<Branch>,
            }
        }
    };
}

types!(original { size: u32, name: String });
types!(same { size: u32, name: String });
types!(added { size: u32, name: String, color: u8 });
types!(removed { size: u32 });
types!(renamed { width: u32, name: String });
types!(retyped { size: i32, name: String });
types!(widened { size: u64, name: String });
types!(optional { size: Option<u32>, name: String });
types!(reordered { name: String, size: u32 });

/// Both sides of a deploy call in turn: each computes once, and neither takes the other's value nor
/// removes it.
macro_rules! differs {
    ($name:ident: $types:ident, $version:literal) => {
        #[tokio::test]
        async fn $name() {
            let server = RedisServer::start();
            let cache = connect(&server.url()).await;
            let (old, new) = (Gate::open(), Gate::open());
            for _ in 0..3 {
                assert_eq!(side!(&cache, &old, original, 0), original::Root::default());
                assert_eq!(side!(&cache, &new, $types, $version), $types::Root::default());
            }
            assert_eq!((old.runs(), new.runs()), (1, 1));
        }
    };
}

differs!(c6_a_field_added_two_levels_deep: added, 0);
differs!(c6_a_field_removed: removed, 0);
differs!(c6_a_field_renamed: renamed, 0);
differs!(c6_a_field_of_another_type: retyped, 0);
differs!(c6_a_field_widened: widened, 0);
differs!(c6_a_field_made_optional: optional, 0);
differs!(c6_fields_in_another_order: reordered, 0);
differs!(c6_another_version: original, 1);

#[redis_cached(key = "shared:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn shared(id: u64, cache: &Cache, gate: &Gate) -> original::Root {
    gate.pass().await;
    original::Root::default()
}

/// Two functions that nothing tells apart share nothing in one process, as the two sides of a deploy in
/// two processes would; this one says that it does.
#[redis_cached(
    key = "shared:{id}", ttl = "5m", same_entries_as = shared, cache = cache, skip(cache, gate)
)]
async fn shared_again(id: u64, cache: &Cache, gate: &Gate) -> same::Root {
    gate.pass().await;
    same::Root::default()
}

/// What makes the tests above say something: where nothing differs, the value is shared.
#[tokio::test]
async fn the_same_form_is_shared() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    assert_eq!(shared(1, &cache, &gate).await, original::Root::default());
    assert_eq!(shared_again(1, &cache, &gate).await, same::Root::default());
    assert_eq!(gate.runs(), 1);
}

/// Room is for two: a third form takes the place of the one that was written first, and is no less
/// right.
/// Catalogue 43.
#[tokio::test]
async fn c6_three_forms_in_turn_are_never_mixed_up() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    for _ in 0..3 {
        assert_eq!(side!(&cache, &gate, original, 0), original::Root::default());
        assert_eq!(side!(&cache, &gate, added, 0), added::Root::default());
        assert_eq!(side!(&cache, &gate, removed, 0), removed::Root::default());
    }
    assert!((3..=9).contains(&gate.runs()));
}

/// An entry of a format that is yet to come: a miss here, and its readers get theirs back.
#[tokio::test]
async fn c6_another_format_version_is_a_miss() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    side!(&cache, &gate, original, 0);
    let key = "ns:{thing:1}";
    let mut bytes: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut cli).await.unwrap();
    bytes[3] = 2;
    redis::cmd("SET").arg(key).arg(&bytes).exec_async(&mut cli).await.unwrap();
    assert_eq!(side!(&cache, &gate, original, 0), original::Root::default());
    assert_eq!(gate.runs(), 2);
}

//! What is stored, in which form, and that it reads back: on the embedded store and on Redis.

use std::collections::BTreeMap;
use std::fmt::Debug;

use redis_cached::{Cache, Codec, CodecError, Entry, redis_cached};
use redis_cached_tests::{Gate, RedisServer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    note: Option<String>,
    lines: Vec<String>,
}

fn row(id: u64) -> Row {
    let lines = (0..200).map(|line| format!("line {line} of row {id}")).collect();
    Row { id, name: "a\"ü".to_owned(), note: Some(String::new()), lines }
}

/// Text, upside down.
struct Reversed;

impl Codec for Reversed {
    const NAME: &'static str = "reversed";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
        let mut bytes = serde_json::to_vec(value).map_err(CodecError::new)?;
        bytes.reverse();
        Ok(bytes)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let text: Vec<u8> = bytes.iter().rev().copied().collect();
        serde_json::from_slice(&text).map_err(CodecError::new)
    }
}

macro_rules! functions {
    ($($name:ident $key:literal [$($arguments:tt)*])+) => {$(
        #[redis_cached(key = $key, ttl = "5m", refresh_before = "1m", skip(gate), $($arguments)*)]
        async fn $name(gate: &Gate, id: u64) -> Result<Row, String> {
            gate.pass().await;
            Ok(row(id))
        }
    )+};
}

functions! {
    plain "plain:{id}" []
    msgpack "msgpack:{id}" [codec = msgpack]
    json "json:{id}" [codec = json]
    postcard "postcard:{id}" [codec = postcard]
    reversed "reversed:{id}" [codec = Reversed]
    lz4 "lz4:{id}" [compress = lz4]
    zstd "zstd:{id}" [compress = zstd(above = 10)]
    json_zstd "json-zstd:{id}" [codec = json, compress = zstd]
    too_small "too-small:{id}" [compress = lz4(above = 1000000)]
}

#[redis_cached(key = "pairs:{id}", ttl = "5m", codec = json, skip(gate))]
async fn pairs(gate: &Gate, id: u64) -> BTreeMap<(u64, u64), u64> {
    gate.pass().await;
    BTreeMap::from([((id, 1), 2)])
}

async fn computed_once<T, F>(cache: &Cache, gate: &Gate, call: impl Fn() -> F) -> T
where
    T: PartialEq + Debug,
    F: Future<Output = T>,
{
    let before = gate.runs();
    let (first, second) = (cache.scope(call()).await, cache.scope(call()).await);
    assert_eq!(first, second);
    assert_eq!(gate.runs(), before + 1, "bodies");
    first
}

async fn all_read_back(cache: &Cache) {
    let gate = Gate::open();
    macro_rules! reads_back {
        ($($name:ident)+) => {$(
            let value = computed_once(cache, &gate, || $name(&gate, 7)).await;
            assert_eq!(value, Ok(row(7)), stringify!($name));
        )+};
    }
    reads_back!(plain msgpack json postcard reversed lz4 zstd json_zstd too_small);
    // JSON has no such keys: the value goes out as named MessagePack.
    let value = computed_once(cache, &gate, || pairs(&gate, 7)).await;
    assert_eq!(value, BTreeMap::from([((7, 1), 2)]));
    // What was set by hand is written the same way.
    cache
        .scope(async {
            json_zstd_entry(8).set(row(9)).await.unwrap();
            assert_eq!(json_zstd(&gate, 8).await, Ok(row(9)));
            assert_eq!(reversed_entry(7).peek().await.unwrap().unwrap().value, row(7));
        })
        .await;
}

#[tokio::test]
async fn c6_every_codec_reads_back_on_the_embedded_store() {
    all_read_back(&Cache::builder().url("memory://").build().await.unwrap()).await;
}

/// Where the payload of an entry begins that carries no stamps.
const HEADER: usize = 76;

async fn stored<R>(server: &RedisServer, cache: &Cache, entry: impl Fn() -> Entry<R>) -> Vec<u8> {
    let key = cache.scope(async { entry().key().to_owned() }).await;
    let mut cli = server.cli().await;
    let bytes: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut cli).await.unwrap();
    bytes[HEADER..].to_vec()
}

#[tokio::test]
async fn c6_every_codec_reads_back_on_redis_and_is_what_it_says() {
    let server = RedisServer::start();
    let cache = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    all_read_back(&cache).await;

    let text = stored(&server, &cache, || json_entry(7)).await;
    assert_eq!(serde_json::from_slice::<Row>(&text).unwrap(), row(7));
    let mut text = stored(&server, &cache, || reversed_entry(7)).await;
    text.reverse();
    assert_eq!(serde_json::from_slice::<Row>(&text).unwrap(), row(7));
    let names = stored(&server, &cache, || msgpack_entry(7)).await;
    assert!(names.windows(5).any(|part| part == b"lines"), "named");
    for compact in [
        stored(&server, &cache, || postcard_entry(7)).await,
        stored(&server, &cache, || plain_entry(7)).await,
    ] {
        assert!(compact.len() < names.len() && !compact.windows(5).any(|part| part == b"lines"));
    }
    let whole = stored(&server, &cache, || plain_entry(7)).await.len();
    for small in [
        stored(&server, &cache, || lz4_entry(7)).await,
        stored(&server, &cache, || zstd_entry(7)).await,
        stored(&server, &cache, || json_zstd_entry(7)).await,
    ] {
        assert!(small.len() < whole / 2, "{} of {whole} bytes", small.len());
    }
    assert_eq!(stored(&server, &cache, || too_small_entry(7)).await.len(), whole);
}

#[derive(Serialize)]
struct Filter {
    colours: Vec<&'static str>,
    at_most: Option<u64>,
}

#[redis_cached(key = "search:{filter:hash}:{page}", ttl = "5m", skip(gate))]
async fn search(gate: &Gate, filter: &Filter, page: u64) -> usize {
    gate.pass().await + filter.colours.len() + usize::from(filter.at_most.is_some())
}

#[tokio::test]
async fn arguments_without_a_text_stand_in_the_key_by_their_digest() {
    let cache = Cache::builder().url("memory://").build().await.unwrap();
    let gate = Gate::open();
    let filters = [
        Filter { colours: vec!["red", "blue"], at_most: None },
        Filter { colours: vec!["blue", "red"], at_most: None },
        Filter { colours: vec!["redblue"], at_most: None },
        Filter { colours: vec!["red", "blue"], at_most: Some(0) },
    ];
    for _ in 0..2 {
        for filter in &filters {
            cache.scope(search(&gate, filter, 1)).await;
        }
    }
    assert_eq!(gate.runs(), filters.len());
    let key = cache.scope(async { search_entry(&filters[0], 1).key().to_owned() }).await;
    let digest = key.strip_prefix("cache:{search:").unwrap().strip_suffix(":1}").unwrap();
    assert!(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{key}");
}

//! What services return: every shape that serde can give a type, as the value of a cached function. It is stored and
//! read back as what it was, or it is not stored and that is told: never is it something else.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU8, Wrapping};
use std::ops::{Bound, RangeInclusive};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What becomes of the values of a function.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Stored,
    /// By another codec than the function's.
    StoredOtherwise,
    Refused,
}
use Fate::{Refused, Stored, StoredOtherwise};

impl Fate {
    /// Of so many calls with one argument.
    fn bodies(self, calls: usize) -> usize {
        if self == Refused { calls } else { 1 }
    }

    fn is_told(self, told: &Told) {
        let text = told.text();
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
        match (self, &warnings[..]) {
            (Stored, []) => {}
            (StoredOtherwise, [line]) if line.contains("stored as named MessagePack") => {}
            (Refused, [line]) if line.contains("every call runs the body") => {}
            _ => panic!("{self:?}: {warnings:#?}"),
        }
    }
}

/// A function for each row, called in two processes on each store. Both stores are in one test: a function is warned of
/// once in a process.
macro_rules! shapes {
    ($($name:ident: $type:ty => $fate:ident [$($value:expr),+ $(,)?])+) => {$(
        mod $name {
            #[allow(clippy::wildcard_imports, reason = "each row has other types")]
            use super::*;
            use redis_cached::{Cache, redis_cached};
            use redis_cached_tests::Gate;
            use $crate::stage::Stage;

            #[redis_cached(ttl = "1h", cache = cache, skip(bodies))]
            async fn shape(cache: &Cache, bodies: &Gate, n: usize) -> $type {
                bodies.pass().await;
                values().swap_remove(n)
            }

            fn values() -> Vec<$type> {
                vec![$($value),+]
            }

            #[tokio::test]
            async fn c6_is_never_something_else() {
                let told = Told::listen();
                for stage in [Stage::memory().await, Stage::redis().await] {
                    for (n, value) in values().into_iter().enumerate() {
                        let bodies = Gate::open();
                        for (calls, cache) in [(1, &stage.a), (2, &stage.b), (3, &stage.a)] {
                            assert_eq!(shape(cache, &bodies, n).await, value);
                            assert_eq!(bodies.runs(), $fate.bodies(calls), "{value:?}");
                        }
                        let peeked = shape_entry(&stage.b, n).peek().await.unwrap();
                        let stored = ($fate != Refused).then_some(value);
                        assert_eq!(peeked.map(|peek| peek.value), stored);
                    }
                }
                $fate.is_told(&told);
            }
        }
    )+};
}

shapes! {
    nothing: () => Stored [()]
    truth: bool => Stored [true, false]
    letter: char => Stored ['ß', '\0', '\u{10ffff}']
    large: (u128, i128) => Stored [(u128::MAX, i128::MIN), (0, -1), (1 << 64, 1 << 64)]
    whole: (u64, i64, u8, i8) => Stored [(u64::MAX, i64::MIN, 0, -1), (250, 251, 252, -128)]
    fraction: Fraction => Stored [
        Fraction(0.1), Fraction(-0.0), Fraction(f64::NAN), Fraction(-f64::NAN), Fraction(f64::INFINITY),
        Fraction(f64::MIN_POSITIVE / 2.0), Fraction(f64::from_bits(0x7ff0_0000_0000_0001)),
    ]
    text: String => Stored [String::new(), "naïve\0\r\n$3\r\nGET".to_owned(), "x".repeat(100_000)]
    boxed_text: (Box<str>, Cow<'static, str>) => Stored [("a".into(), "b".into())]
    bytes: Vec<u8> => Stored [vec![], (0..=255).collect()]
    array: ([u16; 32], [String; 2]) => Stored [([9; 32], ["a".to_owned(), String::new()])]
    nested_tuple: (u8, (String, (Option<i8>,), ())) => Stored [(1, ("a".to_owned(), (Some(-1),), ()))]
    option: Option<u32> => Stored [None, Some(0), Some(251)]
    option_of_option: Option<Option<u32>> => Stored [None, Some(None), Some(Some(0))]
    option_of_nothing: Option<()> => Stored [None, Some(())]
    options_all_the_way: Option<Option<Option<()>>> => Stored [None, Some(None), Some(Some(None)), Some(Some(Some(())))]
    results_inside: Vec<Result<u8, String>> => Stored [vec![Ok(1), Err("a".to_owned()), Ok(0)]]
    named_nothing: (Nothing, Braces, PhantomData<u8>) => Stored [(Nothing, Braces {}, PhantomData)]
    newtype: Wrapped => Stored [Wrapped(Id(7))]
    transparent: Clear => Stored [Clear { inner: None }, Clear { inner: Some(1) }]
    renamed: Renamed => Stored [Renamed { r#type: 1, user_name: "a".to_owned(), old: 2 }]
    defaults: Defaults => Stored [Defaults { a: 0, b: String::new() }, Defaults { a: 1, b: "b".to_owned() }]
    variants: Vec<Variant> => Stored [
        vec![Variant::Unit, Variant::New(1), Variant::Pair(1, -1), Variant::Fields { at: None, by: "a".to_owned() }],
    ]
    comments: Comment => Stored [thread(0), thread(5)]
    chain: Chain => Stored [chain(60)]
    generic: Paged<Paged<u8>> => Stored [Paged { items: vec![Paged { items: vec![1], next: None }], next: Some(2) }]
    list_of_maps: Vec<BTreeMap<String, Option<Vec<u8>>>> => Stored [
        vec![BTreeMap::new(), BTreeMap::from([("a".to_owned(), None), (String::new(), Some(vec![]))])],
    ]
    hash_map: HashMap<String, u64> => Stored [HashMap::new(), (0..100).map(|n| (n.to_string(), n)).collect()]
    map_by_number: BTreeMap<i64, char> => Stored [BTreeMap::from([(-1, 'a'), (i64::MAX, 'b')])]
    map_by_tuple: HashMap<(u8, String), [u8; 3]> => Stored [HashMap::from([((1, "a".to_owned()), [1; 3])])]
    map_by_struct: HashMap<Key, Option<Key>> => Stored [HashMap::from([(key(1), None), (key(2), Some(key(3)))])]
    map_by_option: BTreeMap<Option<bool>, u8> => Stored [BTreeMap::from([(None, 1), (Some(false), 2), (Some(true), 3)])]
    map_by_list: BTreeMap<Vec<u8>, u8> => Stored [BTreeMap::from([(vec![], 1), (vec![0], 2)])]
    map_by_variant: BTreeMap<Plan, u8> => Stored [BTreeMap::from([(Plan::Free, 1), (Plan::Paid { seats: 3 }, 2)])]
    sets: (BTreeSet<Key>, HashSet<u8>) => Stored [(BTreeSet::from([key(1), key(2)]), HashSet::from([1, 2, 3]))]
    queues: (VecDeque<u8>, LinkedList<String>) => Stored [(VecDeque::from([1, 2]), LinkedList::from(["a".to_owned()]))]
    times: (Duration, SystemTime) => Stored [(Duration::new(1, 2), SystemTime::UNIX_EPOCH + Duration::new(3, 4))]
    addresses: (IpAddr, PathBuf) => Stored [
        ([127, 0, 0, 1].into(), "/tmp/ä".into()), (Ipv6Addr::LOCALHOST.into(), PathBuf::new()),
    ]
    ranges: (RangeInclusive<u8>, Bound<u8>) => Stored [
        (1..=2, Bound::Unbounded), (RangeInclusive::new(2, 1), Bound::Excluded(3)),
    ]
    wrappers: (NonZeroU8, Wrapping<u8>, Reverse<u8>) => Stored [(NonZeroU8::MIN, Wrapping(255), Reverse(1))]

    skipped_if_none: Sparse => StoredOtherwise [
        sparse(None, 2, Some(3)), sparse(None, 3, None), sparse(Some(1), 2, None),
    ]
    list_of_sparse: Vec<Sparse> => StoredOtherwise [vec![sparse(None, 1, Some(1)), sparse(Some(1), 1, None)]]
    flattened_struct: FlatStruct => StoredOtherwise [
        FlatStruct { id: 1, inner: Inner { name: "a".to_owned(), at: None }, rest: None },
        FlatStruct { id: 1, inner: Inner { name: String::new(), at: Some(2) }, rest: Some(Extra { extra: 3 }) },
    ]
    flattened_map: FlatMap => StoredOtherwise [
        FlatMap { id: 1, rest: BTreeMap::new() },
        FlatMap { id: 1, rest: BTreeMap::from([("a".to_owned(), json!(null)), ("b".to_owned(), json!([1]))]) },
    ]
    internally_tagged: Vec<Internal> => StoredOtherwise [
        vec![Internal::Unit, Internal::Fields { x: u64::MAX }, Internal::New(Extra { extra: 1 })],
    ]
    adjacently_tagged: Vec<Adjacent> => StoredOtherwise [
        vec![Adjacent::Unit, Adjacent::Fields { x: 1 }, Adjacent::New(-1), Adjacent::Pair(1, None)],
    ]
    untagged: Vec<Untagged> => StoredOtherwise [
        vec![Untagged::Number(-1), Untagged::Text("1".to_owned()), Untagged::Many(vec![1]), Untagged::Fields { x: 1 }],
    ]
    tagged_in_tagged: Internal2 => StoredOtherwise [Internal2::Deep(Adjacent::Pair(1, Some(true)))]
    json_value: Value => StoredOtherwise [
        json!(null), json!(1), json!(u64::MAX), json!(i64::MIN), json!(0.1), json!("a"), json!([]), json!({}),
        json!({ "": [1, -1, 1.5, null, { "a": { "b": [[]] } }], "true": true }),
    ]
    json_inside: HashMap<String, Option<Value>> => StoredOtherwise [
        HashMap::from([("a".to_owned(), None), ("b".to_owned(), Some(json!({ "c": 1 })))]),
    ]

    option_of_null: Option<Value> => Refused [Some(json!(null))]
    skipped_without_default: Undefaulted => Refused [Undefaulted { a: vec![], b: vec![1] }]
    flattened_large_number: FlatLarge => Refused [FlatLarge { inner: Large { large: u128::MAX } }]
    written_only: WrittenOnly => Refused [WrittenOnly { a: 1, b: 1 }]
    read_only: ReadOnly => Refused [ReadOnly { a: 1, b: 1 }]
    shadowed: Shadowed => Refused [Shadowed::Wide(1)]
    before_the_epoch: SystemTime => Refused [SystemTime::UNIX_EPOCH - Duration::from_secs(1)]
    too_deep: Chain => Refused [chain(1_000)]
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
        $item
    )*};
}

types! {
    struct Nothing;
    struct Braces {}
    struct Id(u64);
    struct Wrapped(Id);
    #[serde(transparent)]
    struct Clear { inner: Option<u8> }
    #[serde(rename_all = "camelCase")]
    struct Renamed { r#type: u8, user_name: String, #[serde(rename = "new", alias = "old")] old: u8 }
    #[serde(default)]
    #[derive(Default)]
    struct Defaults { a: u8, #[serde(default)] b: String }
    enum Variant { Unit, New(u8), Pair(u8, i8), Fields { at: Option<u64>, by: String } }
    struct Comment { text: String, replies: Vec<Comment> }
    struct Chain { next: Option<Box<Chain>> }
    struct Paged<T> { items: Vec<T>, next: Option<u64> }
    #[derive(Eq, Hash, PartialOrd, Ord)]
    struct Key { a: u8, b: Option<String> }
    #[derive(Eq, PartialOrd, Ord)]
    enum Plan { Free, Paid { seats: u32 } }

    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u32>,
        b: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        c: Option<u32>,
    }
    struct Inner { name: String, at: Option<u64> }
    struct Extra { extra: u8 }
    struct FlatStruct {
        id: u64,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: Option<Extra>,
    }
    struct FlatMap { id: u64, #[serde(flatten)] rest: BTreeMap<String, Value> }
    #[serde(tag = "type")]
    enum Internal { Unit, Fields { x: u64 }, New(Extra) }
    #[serde(tag = "type", content = "content")]
    enum Adjacent { Unit, Fields { x: u8 }, New(i64), Pair(u8, Option<bool>) }
    #[serde(tag = "kind")]
    enum Internal2 { Deep(Adjacent) }
    #[serde(untagged)]
    enum Untagged { Number(i64), Text(String), Many(Vec<u8>), Fields { x: u8 } }

    struct Undefaulted { #[serde(skip_serializing_if = "Vec::is_empty")] a: Vec<u8>, b: Vec<u8> }
    struct FlatLarge { #[serde(flatten)] inner: Large }
    struct Large { large: u128 }
    struct WrittenOnly { a: u8, #[serde(skip_deserializing)] b: u8 }
    struct ReadOnly { a: u8, #[serde(skip_serializing)] b: u8 }
    #[serde(untagged)]
    enum Shadowed { Narrow(u8), Wide(u64) }
}

/// Equal where its bits are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fraction(f64);

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

fn thread(depth: usize) -> Comment {
    let replies = (0..depth).map(thread).collect();
    Comment { text: format!("{depth} below"), replies }
}

fn chain(length: usize) -> Chain {
    (0..length).fold(Chain { next: None }, |chain, _| Chain { next: Some(Box::new(chain)) })
}

fn key(a: u8) -> Key {
    Key { a, b: (a > 1).then(|| a.to_string()) }
}

fn sparse(a: Option<u32>, b: u32, c: Option<u32>) -> Sparse {
    Sparse { a, b, c }
}

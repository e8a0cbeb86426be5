use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::{Codec, DecodeError, EncodeError, MAX_VALUE, decode, encode};

/// What storing a value came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Reads(Codec),
    Refused,
    Wrong,
}
use Outcome::{Reads, Refused};

const BINCODE: Outcome = Reads(Codec::Bincode);
const MSGPACK: Outcome = Reads(Codec::MsgPack);

fn store_by<T: Serialize + DeserializeOwned>(value: &T, same: impl Fn(&T, &T) -> bool) -> Outcome {
    match encode(value) {
        Ok(encoded) => match decode::<T>(encoded.codec, &encoded.bytes) {
            Ok(read) if same(value, &read) => Reads(encoded.codec),
            _ => Outcome::Wrong,
        },
        Err(_) => Refused,
    }
}

fn store<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Outcome {
    store_by(value, T::eq)
}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
        $item
    )*};
}

types! {
    struct Plain { id: u64, name: String, tags: Vec<String>, at: Option<i32> }
    struct Id(u64);
    struct Pair(u8, String);
    struct Unit;
    struct Empty {}
    struct Page<T> { items: Vec<T> }
    enum State { New, Paid(u64), Split(u8, u8), Sent { at: u64, by: String } }
    enum Tree { Leaf(u8), Node(Box<Tree>, Box<Tree>) }
    struct List { value: u8, next: Option<Box<List>> }
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u32>,
        b: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")] c: Option<u32>,
        d: Option<u32>,
    }
    struct SparseWithoutDefault {
        #[serde(skip_serializing_if = "Vec::is_empty")] a: Vec<u8>,
        b: Vec<u8>,
    }

    struct SparseTuple(
        u8,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] Vec<u8>,
        #[serde(default)] Vec<u8>,
    );
    struct Hidden { a: u8, #[serde(skip)] b: u8 }
    struct WriteOnly { a: u8, #[serde(skip_deserializing)] b: u8 }
    struct ReadOnly { a: u8, #[serde(skip_serializing)] b: u8 }
    struct Defaults { #[serde(default)] a: u8, #[serde(rename = "type", alias = "kind")] b: u8 }
    struct Flat { a: u8, #[serde(flatten)] rest: BTreeMap<String, u64> }
    struct FlatStruct { a: u8, #[serde(flatten)] plain: Plain, #[serde(flatten)] maybe: Option<Id2> }
    struct Id2 { id2: u64 }
    struct FlatBig { #[serde(flatten)] big: Big }
    struct Big { big: u128 }
    #[serde(tag = "type")]
    enum Internal { A { x: u8 }, B(Id2), C }
    #[serde(tag = "type", content = "content")]
    enum Adjacent { A { x: u8 }, B(u64), C, D(u8, u8) }
    #[serde(untagged)]
    enum Untagged { Number(u64), Text(String), Both { a: u8, b: String } }
    #[serde(untagged)]
    enum Shadowed { Small(u8), Large(u64) }
    #[serde(transparent)]
    struct Clear { inner: Option<u8> }
    #[serde(try_from = "u8", into = "u8")]
    struct Small(u8);
    struct Bytes { #[serde(with = "as_bytes")] bytes: Vec<u8> }
    struct Floats { a: f32, b: f64 }
    #[derive(Eq, Hash, PartialOrd, Ord)]
    struct Key { a: u8, b: Option<String> }
    struct Collections { map: HashMap<String, Vec<u8>>, set: HashSet<String>, counts: HashMap<Key, u8> }
    struct Borrowed<'a> { text: Cow<'a, str>, list: Cow<'a, [u8]> }
    struct Net { ip: IpAddr, socket: SocketAddr, path: PathBuf, range: RangeInclusive<u8> }
}

impl TryFrom<u8> for Small {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        if value < 10 { Ok(Small(value)) } else { Err("not small") }
    }
}

impl From<Small> for u8 {
    fn from(Small(value): Small) -> u8 {
        value
    }
}

mod as_bytes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}

fn plain() -> Plain {
    Plain { id: 7, name: "ada".into(), tags: vec!["x".into(), String::new()], at: Some(-1) }
}

fn sparse(a: Option<u32>, b: u32, c: Option<u32>, d: Option<u32>) -> Sparse {
    Sparse { a, b, c, d }
}

fn tree(depth: usize) -> Tree {
    (0..depth).fold(Tree::Leaf(1), |tree, _| Tree::Node(Box::new(tree), Box::new(Tree::Leaf(2))))
}

fn list(length: usize) -> List {
    (0..length).fold(List { value: 0, next: None }, |list, _| List {
        value: 1,
        next: Some(Box::new(list)),
    })
}

#[test]
fn what_bincode_reads_back_is_stored_as_bincode() {
    let rows = [
        store(&true),
        store(&u64::MAX),
        store(&i64::MIN),
        store(&u128::MAX),
        store(&i128::MIN),
        store(&'ß'),
        store(&"text".to_owned()),
        store(&()),
        store(&Unit),
        store(&Empty {}),
        store(&Some(())),
        store(&Some(Some(3))),
        store(&Some(None::<u8>)),
        store(&None::<Option<u8>>),
        store(&Ok::<u8, String>(1)),
        store(&plain()),
        store(&vec![plain(); 100]),
        store(&Id(1)),
        store(&Pair(1, "b".into())),
        store(&vec![
            State::New,
            State::Paid(1),
            State::Split(1, 2),
            State::Sent { at: 1, by: "x".into() },
        ]),
        store(&Page { items: vec![Page { items: vec![1u8] }] }),
        store(&tree(40)),
        store(&list(60)),
        store(&sparse(Some(1), 2, Some(3), None)),
        store(&Hidden { a: 1, b: 0 }),
        store(&Defaults { a: 1, b: 2 }),
        store(&Clear { inner: Some(1) }),
        store(&Small(7)),
        store(&Bytes { bytes: vec![0, 255] }),
        store(&Collections {
            map: (0..100u8).map(|n| (n.to_string(), vec![n])).collect(),
            set: (0..100u8).map(|n| n.to_string()).collect(),
            counts: (0..100u8).map(|n| (Key { a: n, b: Some(n.to_string()) }, n)).collect(),
        }),
        store(&BTreeMap::from([((1u8, 2u8), [1u64; 3])])),
        store(&BTreeSet::from([Key { a: 1, b: None }])),
        store(&VecDeque::from([1, 2])),
        store(&LinkedList::from([1, 2])),
        store(&Borrowed { text: "x".into(), list: vec![1].into() }),
        store(&Duration::new(1, 2)),
        store(&SystemTime::now()),
        store(&NonZeroU32::MIN),
        store(&Net {
            ip: [127, 0, 0, 1].into(),
            socket: ([0, 0, 0, 0, 0, 0, 0, 1], 80).into(),
            path: "/tmp/x".into(),
            range: 1..=2,
        }),
        store(&Box::new((1u8, [2u16; 32], "x".to_owned()))),
    ];
    for (row, outcome) in rows.into_iter().enumerate() {
        assert_eq!(outcome, BINCODE, "row {row}");
    }
    let bits =
        |a: &Floats, b: &Floats| a.a.to_bits() == b.a.to_bits() && a.b.to_bits() == b.b.to_bits();
    for value in
        [f64::NAN, -f64::NAN, f64::INFINITY, -0.0, 0.1, f64::from_bits(0x7ff0_0000_0000_0001)]
    {
        #[expect(clippy::cast_possible_truncation, reason = "any f32 will do")]
        let floats = Floats { a: value as f32, b: value };
        assert_eq!(store_by(&floats, bits), BINCODE, "{value}");
    }
}

#[test]
fn what_bincode_garbles_is_stored_as_messagepack() {
    let rows = [
        store(&sparse(None, 2, Some(3), Some(4))),
        store(&sparse(Some(1), 2, None, None)),
        store(&sparse(None, 0, None, None)),
        store(&vec![sparse(None, 1, None, Some(1)); 3]),
        store(&Flat { a: 1, rest: BTreeMap::from([("b".into(), 1), ("c".into(), u64::MAX)]) }),
        store(&FlatStruct { a: 1, plain: plain(), maybe: None }),
        store(&FlatStruct { a: 1, plain: plain(), maybe: Some(Id2 { id2: 3 }) }),
        store(&vec![Internal::A { x: 1 }, Internal::B(Id2 { id2: 1 }), Internal::C]),
        store(&vec![Adjacent::A { x: 1 }, Adjacent::B(1), Adjacent::C, Adjacent::D(1, 2)]),
        store(&Untagged::Number(1)),
        store(&Untagged::Text("x".into())),
        store(&Untagged::Both { a: 1, b: "x".into() }),
        store(&json!({ "a": [1, -1, 1.5, null, true, "x", u64::MAX], "b": {} })),
        store(&Some(json!(1))),
    ];
    for (row, outcome) in rows.into_iter().enumerate() {
        assert_eq!(outcome, MSGPACK, "row {row}");
    }
}

#[test]
fn what_no_codec_reads_back_is_refused() {
    let raw = serde_json::value::RawValue::from_string("[1, 2]".into()).expect("valid json");
    let rows = [
        // The value that is skipped has no default.
        store(&SparseWithoutDefault { a: vec![], b: vec![1] }),
        store(&SparseTuple(1, vec![], vec![2])),
        store(&ReadOnly { a: 1, b: 1 }),
        store(&WriteOnly { a: 1, b: 1 }),
        // Comes back as `Small`.
        store(&Shadowed::Large(1)),
        // What serde buffers for `flatten` has no 128 bits.
        store(&FlatBig { big: Big { big: u128::MAX } }),
        store(&Some(json!(null))),
        store(&Small(10)),
        store(&(SystemTime::UNIX_EPOCH - Duration::from_secs(1))),
        store_by(&raw, |a, b| a.get() == b.get()),
        store(&tree(300)),
        store(&list(1_000)),
    ];
    for (row, outcome) in rows.into_iter().enumerate() {
        assert_eq!(outcome, Refused, "row {row}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Small numbers, so that a field read in another's place is a value that could be meant.
    #[test]
    fn skipped_fields_read_back(fields in proptest::collection::vec(
        (proptest::option::of(0..3u32), 0..3u32, proptest::option::of(0..3u32), proptest::option::of(0..3u32)),
        0..4,
    )) {
        let value: Vec<_> = fields.into_iter().map(|(a, b, c, d)| sparse(a, b, c, d)).collect();
        let skipped = value.iter().any(|value| value.a.is_none() || value.c.is_none());
        prop_assert_eq!(store(&value), if skipped { MSGPACK } else { BINCODE });
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn any_flipped_bit_decodes_or_fails(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut all = vec![];
        for_each_encoding(|bytes| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            all.push(bytes);
        });
        for bytes in all {
            decode_as_everything(&bytes);
        }
    }
}

fn decode_as_everything(bytes: &[u8]) {
    fn as_one<T: DeserializeOwned>(bytes: &[u8]) {
        let _ = decode::<T>(Codec::Bincode, bytes);
        let _ = decode::<T>(Codec::MsgPack, bytes);
    }
    as_one::<Plain>(bytes);
    as_one::<Vec<State>>(bytes);
    as_one::<Tree>(bytes);
    as_one::<List>(bytes);
    as_one::<Vec<Sparse>>(bytes);
    as_one::<Flat>(bytes);
    as_one::<FlatStruct>(bytes);
    as_one::<Vec<Untagged>>(bytes);
    as_one::<Vec<Internal>>(bytes);
    as_one::<Collections>(bytes);
    as_one::<Net>(bytes);
    as_one::<serde_json::Value>(bytes);
    as_one::<IgnoredAny>(bytes);
    as_one::<(SystemTime, Duration, char, u128, NonZeroU32)>(bytes);
    as_one::<HashMap<Option<String>, Vec<Option<Bytes>>>>(bytes);
}

fn for_each_encoding(mut look: impl FnMut(&[u8])) {
    fn bytes<T: Serialize + DeserializeOwned>(value: &T) -> Vec<u8> {
        encode(value).expect("can be stored").bytes
    }
    look(&bytes(&plain()));
    look(&bytes(&vec![State::New, State::Paid(1), State::Sent { at: 1, by: "x".into() }]));
    look(&bytes(&tree(5)));
    look(&bytes(&sparse(None, 1, None, Some(1))));
    look(&bytes(&json!({ "a": [1, -1, 1.5, null, true, "x"] })));
    look(&bytes(&HashMap::from([(1u8, (0.5f32, u128::MAX, 'x'))])));
}

#[test]
fn only_the_whole_bytes_are_the_value() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, codec: Codec) {
        let encoded = encode(value).expect("can be stored");
        assert_eq!(encoded.codec, codec);
        for end in 0..encoded.bytes.len() {
            assert!(
                decode::<T>(codec, &encoded.bytes[..end]).is_err(),
                "{value:?} from {end} bytes"
            );
        }
        for more in 0..=u8::MAX {
            let mut bytes = encoded.bytes.clone();
            bytes.push(more);
            assert_eq!(
                decode::<T>(codec, &bytes),
                Err(DecodeError::TrailingBytes),
                "{value:?} and {more}"
            );
        }
    }
    check(&plain(), Codec::Bincode);
    check(&(), Codec::Bincode);
    check(&Some(tree(3)), Codec::Bincode);
    check(&sparse(None, 1, None, None), Codec::MsgPack);
    check(&json!([1, { "a": "b" }]), Codec::MsgPack);
    check(&Untagged::Text("x".into()), Codec::MsgPack);
    check(&Internal::C, Codec::MsgPack);
}

#[test]
fn claimed_depth_does_not_overflow_the_stack() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Nested(Option<Box<Nested>>);
    let many = |byte| vec![byte; 1024 * 1024];
    assert_eq!(decode::<Tree>(Codec::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<List>(Codec::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<Nested>(Codec::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<serde_json::Value>(Codec::MsgPack, &many(0x91)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<Untagged>(Codec::MsgPack, &many(0x91)), Err(DecodeError::TooDeep));
    assert!(matches!(decode::<IgnoredAny>(Codec::MsgPack, &many(0x91)), Err(DecodeError::TooDeep)));
    // One-entry maps, as enums are written: {"Node": [{"Node": [...
    let node = [0x81, 0xa4, b'N', b'o', b'd', b'e', 0x92];
    assert_eq!(decode::<Tree>(Codec::MsgPack, &node.repeat(10_000)), Err(DecodeError::TooDeep));
}

#[test]
fn claimed_lengths_reserve_nothing() {
    /// What a visitor is told about the length.
    #[derive(Debug, PartialEq)]
    struct Hint(Option<usize>);
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Hint;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Hint, A::Error> {
                    Ok(Hint(seq.size_hint()))
                }
            }
            from.deserialize_seq(Visitor)
        }
    }
    let claim = [253, 255, 255, 255, 255, 255, 255, 255, 127];
    assert_eq!(decode::<Hint>(Codec::Bincode, &claim), Ok(Hint(Some(claim.len()))));
    assert_eq!(decode::<String>(Codec::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(decode::<Bytes>(Codec::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(decode::<Vec<u64>>(Codec::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(
        decode::<HashMap<String, [u64; 32]>>(Codec::Bincode, &claim),
        Err(DecodeError::Malformed)
    );
    assert_eq!(decode::<Vec<()>>(Codec::Bincode, &claim), Err(DecodeError::TooMuchMemory));
    for marker in [0xdb, 0xdd, 0xdf, 0xc6] {
        let claim = [marker, 255, 255, 255, 255];
        assert_eq!(
            decode::<serde_json::Value>(Codec::MsgPack, &claim),
            Err(DecodeError::Malformed)
        );
        assert!(decode::<Vec<u64>>(Codec::MsgPack, &claim).is_err());
    }
    // Each `None` is one byte of input and 520 bytes of memory.
    type Wide = Option<[[u64; 13]; 5]>;
    let mut nones = vec![252, 0, 0, 16, 0];
    nones.resize(5 + 1024 * 1024, 0);
    assert_eq!(decode::<Vec<Wide>>(Codec::Bincode, &nones), Err(DecodeError::TooMuchMemory));
    assert_eq!(decode::<()>(Codec::Bincode, &vec![0; MAX_VALUE + 1]), Err(DecodeError::TooLarge));
}

#[test]
fn many_small_numbers_are_no_large_value() {
    assert_eq!(store(&vec![1u64; 2_200_000]), BINCODE);
}

#[test]
fn what_is_too_large_says_its_size() {
    let length_prefix = 5;
    let fits = "x".repeat(MAX_VALUE - length_prefix);
    assert_eq!(store(&fits), BINCODE);
    let too_large = fits + "x";
    let error = encode(&too_large).err().expect("one byte too many");
    assert!(matches!(error, EncodeError::TooLarge { size } if size == MAX_VALUE + 1), "{error}");
}

#[test]
fn the_top_of_the_value_is_reported() {
    assert!(encode(&None::<u8>).is_ok_and(|encoded| encoded.none));
    assert!(encode(&Clear { inner: None }).is_ok_and(|encoded| encoded.none));
    assert!(encode(&None::<serde_json::Value>).is_ok_and(|encoded| encoded.none));
    for none in [
        encode(&Some(None::<u8>)).map(|encoded| encoded.none),
        encode(&()).map(|encoded| encoded.none),
        encode(&vec![None::<u8>]).map(|encoded| encoded.none),
        encode(&Ok::<_, ()>(None::<u8>)).map(|encoded| encoded.none),
    ] {
        assert!(!none.expect("can be stored"));
    }
    assert!(matches!(encode(&Err::<u8, u8>(1)), Err(EncodeError::IsError)));
    assert!(encode(&vec![Err::<u8, u8>(1)]).is_ok());
}

#[test]
fn errors_tell_nothing_of_the_value() {
    #[derive(Debug)]
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("SECRET"))
        }
    }
    impl<'de> Deserialize<'de> for Fails {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(D::Error::custom("SECRET"))
        }
    }
    #[derive(Serialize, Deserialize, Debug)]
    struct OnlyWrites(u8, #[serde(skip_serializing)] Fails);
    let errors = [
        encode(&Fails).err(),
        encode(&OnlyWrites(1, Fails)).err(),
        encode(&Small(10)).err(),
        encode(&tree(300)).err(),
        encode(&Err::<u8, String>("SECRET".into())).err(),
    ];
    for error in errors {
        let error = error.expect("cannot be stored");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("SECRET") && text.starts_with(char::is_lowercase), "{text}");
    }
    let error = decode::<Fails>(Codec::Bincode, &[]).expect_err("always fails");
    assert!(!format!("{error} {error:?}").contains("SECRET"));
}

#[test]
fn ids_are_read_as_they_are_written() {
    for id in 0..=u8::MAX {
        assert_eq!(Codec::from_id(id).map(Codec::id), (1..=2).contains(&id).then_some(id));
    }
}

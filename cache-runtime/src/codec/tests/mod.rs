use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(feature = "json")]
use super::Json;
#[cfg(feature = "postcard")]
use super::Postcard;
use super::{
    Bincode, DecodeError, EncodeError, Encoded, Format, Id, MsgPack, decode as decode_as,
    encode as encode_as,
};

/// What storing a value came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Reads(Id),
    Refused,
    Wrong,
}
use Outcome::{Reads, Refused};

const BINCODE: Outcome = Reads(Id::Bincode);
const MSGPACK: Outcome = Reads(Id::MsgPack);

fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<Encoded, EncodeError> {
    encode_as::<T, Bincode>(value)
}

fn decode<T: Serialize + DeserializeOwned>(id: Id, bytes: &[u8]) -> Result<T, DecodeError> {
    decode_as::<T, Bincode>(id, bytes)
}

fn store_as<T: Serialize + DeserializeOwned, F: Format>(
    value: &T,
    same: impl Fn(&T, &T) -> bool,
) -> Outcome {
    match encode_as::<T, F>(value) {
        Ok(encoded) => match decode_as::<T, F>(encoded.codec, &encoded.bytes) {
            Ok(read) if same(value, &read) => Reads(encoded.codec),
            _ => Outcome::Wrong,
        },
        Err(_) => Refused,
    }
}

/// Whatever the function's codec is, what the default stores is stored, and comes back the same.
fn store_by<T: Serialize + DeserializeOwned>(value: &T, same: impl Fn(&T, &T) -> bool) -> Outcome {
    let outcome = store_as::<T, Bincode>(value, &same);
    let sound = |outcome, own| match outcome {
        Reads(id) => id == own || id == Id::MsgPack,
        Refused => true,
        Outcome::Wrong => false,
    };
    assert!(sound(store_as::<T, MsgPack>(value, &same), Id::MsgPack));
    #[cfg(feature = "postcard")]
    assert!(sound(store_as::<T, Postcard>(value, &same), Id::Postcard));
    #[cfg(feature = "json")]
    assert!(sound(store_as::<T, Json>(value, &same), Id::Json));
    outcome
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

// Behind the macro, which they use.
mod codecs;
mod digests;
mod hostile_bytes;
mod random;
mod reads_back;

types! {
    struct Plain { id: u64, name: String, tags: Vec<String>, at: Option<i32> }
    struct Number(u64);
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

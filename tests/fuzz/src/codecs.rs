//! Codecs: whatever an entry may hold as its payload.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, SystemTime};

use redis_cached_runtime::fuzzing::{Bincode, Format, Json, MsgPack, Postcard, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::input::Input;
use crate::memory::{SLACK, within};

/// Codecs that an entry may name, the last one of none.
const IDS: [u8; 6] = [1, 2, 3, 4, 5, 6];
/// For each byte of input at any one time: what it stands for, once more while a vector grows, and once for the copy that a
/// `Deserialize` impl may make. The largest type here has less than half of that.
const BYTES_FOR_EACH: usize = 4 * 1024;

trait Value: Serialize + DeserializeOwned + PartialEq + Debug {}
impl<T: Serialize + DeserializeOwned + PartialEq + Debug> Value for T {}

macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        $item
    )*};
}

types! {
    struct User { id: u64, name: String, tags: Vec<String>, at: Option<i32>, admin: bool }
    enum State { New, Paid(u64), Split(u8, i16), Sent { at: u64, by: String } }
    enum Tree { Leaf(u8), Node(Box<Tree>, Box<Tree>) }
    struct List { value: u8, next: Option<Box<List>> }
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u32>,
        b: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")] c: Option<u32>,
    }
    struct Flat { a: u8, #[serde(flatten)] rest: BTreeMap<String, u64> }
    #[serde(tag = "type")]
    enum Internal { A { x: u8 }, B(Sparse), C }
    #[serde(tag = "type", content = "content")]
    enum Adjacent { A { x: u8 }, B(u64), C, D(u8, u8) }
    #[serde(untagged)]
    enum Untagged { Number(u64), Text(String), Both { a: u8, b: String } }
    struct Wide(Option<[[u64; 13]; 5]>);
    struct Odd(u128, i128, char, NonZeroU16, Duration, SystemTime, IpAddr, Cow<'static, str>, ());
}

type Maps = (BTreeMap<String, Vec<u8>>, HashMap<(i8, Option<bool>), String>, BTreeSet<i64>);

/// Any bytes, as any type, of any codec.
pub(crate) fn bytes(data: &[u8]) {
    let mut input = Input(data);
    let (of_function, id, of) = (input.byte(), *input.one(&IDS), input.byte());
    let bytes = input.0;
    match of_function % 4 {
        0 => read::<Bincode>(id, of, bytes),
        1 => read::<MsgPack>(id, of, bytes),
        2 => read::<Postcard>(id, of, bytes),
        _ => read::<Json>(id, of, bytes),
    }
}

fn read<F: Format>(id: u8, of: u8, bytes: &[u8]) {
    match of % 13 {
        0 => read_as::<User, F>(id, bytes),
        1 => read_as::<Vec<State>, F>(id, bytes),
        2 => read_as::<Tree, F>(id, bytes),
        3 => read_as::<List, F>(id, bytes),
        4 => read_as::<Vec<Sparse>, F>(id, bytes),
        5 => read_as::<Flat, F>(id, bytes),
        6 => read_as::<Vec<Internal>, F>(id, bytes),
        7 => read_as::<Vec<Adjacent>, F>(id, bytes),
        8 => read_as::<Vec<Untagged>, F>(id, bytes),
        9 => read_as::<Vec<Wide>, F>(id, bytes),
        10 => read_as::<Odd, F>(id, bytes),
        11 => read_as::<Maps, F>(id, bytes),
        _ => read_as::<Result<Option<Vec<()>>, String>, F>(id, bytes),
    }
}

fn read_as<T: Value, F: Format>(id: u8, bytes: &[u8]) {
    let limit = SLACK + bytes.len() * BYTES_FOR_EACH;
    if let Some(value) = within(limit, "to decode", || decode::<T, F>(id, bytes)) {
        reads_back::<T, F>(&value);
    }
}

/// Any value is stored in a form that reads back, or it is not stored.
pub(crate) fn values(data: &[u8]) {
    let mut input = Input(data);
    let of = input.byte();
    match of % 9 {
        0 => by_all(&user(&mut input)),
        1 => by_all(&list_of(&mut input, state)),
        2 => by_all(&tree(&mut input, 6)),
        3 => by_all(&list_of(&mut input, sparse)),
        4 => by_all(&Flat { a: input.byte(), rest: entries(&mut input, number) }),
        5 => by_all(&list_of(&mut input, internal)),
        6 => by_all(&list_of(&mut input, adjacent)),
        7 => by_all(&list_of(&mut input, untagged)),
        _ => by_all(&maps(&mut input)),
    }
}

fn by_all<T: Value>(value: &T) {
    reads_back::<T, Bincode>(value);
    reads_back::<T, MsgPack>(value);
    reads_back::<T, Postcard>(value);
    reads_back::<T, Json>(value);
}

fn reads_back<T: Value, F: Format>(value: &T) {
    let Some((id, bytes)) = encode::<T, F>(value) else { return };
    let back = decode::<T, F>(id, &bytes);
    assert_eq!(back.as_ref(), Some(value), "codec {id}, {bytes:?}");
    if let Some(shorter) = bytes.len().checked_sub(1) {
        assert_eq!(decode::<T, F>(id, &bytes[..shorter]), None, "codec {id}, {bytes:?}");
    }
    let longer = [&*bytes, b" "].concat();
    assert!(id == 4 || decode::<T, F>(id, &longer).is_none(), "codec {id}, {bytes:?}");
}

fn list_of<T>(input: &mut Input<'_>, one: impl Fn(&mut Input<'_>) -> T) -> Vec<T> {
    (0..input.below(8)).map(|_| one(input)).collect()
}

fn entries<T>(input: &mut Input<'_>, one: impl Fn(&mut Input<'_>) -> T) -> BTreeMap<String, T> {
    (0..input.below(8)).map(|_| (input.text(8), one(input))).collect()
}

fn option_of<T>(input: &mut Input<'_>, one: impl Fn(&mut Input<'_>) -> T) -> Option<T> {
    input.flag().then(|| one(input))
}

fn number(input: &mut Input<'_>) -> u64 {
    input.number()
}

fn flag(input: &mut Input<'_>) -> bool {
    input.flag()
}

/// The last bytes of a number.
#[expect(clippy::cast_possible_truncation, reason = "any number will do")]
fn word(input: &mut Input<'_>) -> u32 {
    input.number() as u32
}

fn user(input: &mut Input<'_>) -> User {
    User {
        id: input.number(),
        name: input.text(40),
        tags: list_of(input, |input| input.text(8)),
        at: option_of(input, |input| word(input).cast_signed()),
        admin: input.flag(),
    }
}

fn state(input: &mut Input<'_>) -> State {
    match input.byte() % 4 {
        0 => State::New,
        1 => State::Paid(input.number()),
        2 => State::Split(input.byte(), i16::from(input.byte()) - 128),
        _ => State::Sent { at: input.number(), by: input.text(8) },
    }
}

fn tree(input: &mut Input<'_>, depth: u8) -> Tree {
    if depth == 0 || !input.flag() {
        return Tree::Leaf(input.byte());
    }
    Tree::Node(Box::new(tree(input, depth - 1)), Box::new(tree(input, depth - 1)))
}

fn sparse(input: &mut Input<'_>) -> Sparse {
    Sparse { a: option_of(input, word), b: word(input), c: option_of(input, word) }
}

fn internal(input: &mut Input<'_>) -> Internal {
    match input.byte() % 3 {
        0 => Internal::A { x: input.byte() },
        1 => Internal::B(sparse(input)),
        _ => Internal::C,
    }
}

fn adjacent(input: &mut Input<'_>) -> Adjacent {
    match input.byte() % 4 {
        0 => Adjacent::A { x: input.byte() },
        1 => Adjacent::B(input.number()),
        2 => Adjacent::C,
        _ => Adjacent::D(input.byte(), input.byte()),
    }
}

fn untagged(input: &mut Input<'_>) -> Untagged {
    match input.byte() % 3 {
        0 => Untagged::Number(input.number()),
        1 => Untagged::Text(input.text(12)),
        _ => Untagged::Both { a: input.byte(), b: input.text(12) },
    }
}

fn maps(input: &mut Input<'_>) -> Maps {
    let bytes = entries(input, |input| input.bytes(20).to_vec());
    let pairs = list_of(input, |input| {
        let number = input.byte().cast_signed();
        ((number, option_of(input, flag)), input.text(8))
    });
    let numbers = list_of(input, |input| input.number().cast_signed());
    (bytes, pairs.into_iter().collect(), numbers.into_iter().collect())
}

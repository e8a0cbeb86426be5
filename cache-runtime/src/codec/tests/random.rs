//! Random values of many shapes, by every codec, and as another version of their type reads them: what comes back is
//! what went in, or it is refused.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU8;

use fastrand::Rng;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::*;
use crate::fingerprint::schema_of;

trait Random: Sized {
    /// `size` bounds how deep it is nested.
    fn random(dice: &mut Rng, size: u8) -> Self;
}

macro_rules! simple {
    ($($ty:ty: |$dice:ident, $size:ident| $make:expr;)+) => {$(
        impl Random for $ty {
            #[allow(unused_variables)]
            fn random($dice: &mut Rng, $size: u8) -> Self {
                $make
            }
        }
    )+};
}

simple! {
    bool: |dice, size| dice.bool();
    u8: |dice, size| *dice.choice(&[0, 1, 127, 128, 250, 251, 255]).unwrap();
    u16: |dice, size| dice.u16(..) >> dice.u32(0..16);
    u32: |dice, size| dice.u32(..) >> dice.u32(0..32);
    u64: |dice, size| dice.u64(..) >> dice.u32(0..64);
    u128: |dice, size| dice.u128(..) >> dice.u32(0..128);
    i8: |dice, size| dice.i8(..);
    i32: |dice, size| dice.i32(..) >> dice.u32(0..32);
    i64: |dice, size| dice.i64(..) >> dice.u32(0..64);
    i128: |dice, size| dice.i128(..) >> dice.u32(0..128);
    f32: |dice, size| f32::from_bits(dice.u32(..));
    f64: |dice, size| {
        *dice.choice(&[0.0, -0.0, 1.0, 0.1, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN]).unwrap()
    };
    char: |dice, size| dice.char(..);
    (): |dice, size| ();
    String: |dice, size| {
        let texts = ["", "a", "7", "null", "true", "\"", "a b", "naïve\u{0}", "type", "x"];
        (*dice.choice(&texts).unwrap()).to_owned()
    };
    NonZeroU8: |dice, size| NonZeroU8::new(dice.u8(1..)).unwrap();
    Value: |dice, size| match dice.u8(0..if size == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => Value::Bool(dice.bool()),
        2 => Value::from(i64::random(dice, 0)),
        3 => Value::String(Random::random(dice, 0)),
        4 => Value::Array(Random::random(dice, size - 1)),
        _ => {
            let fields = Vec::<(String, Value)>::random(dice, size - 1);
            Value::Object(fields.into_iter().collect::<Map<_, _>>())
        }
    };
    Raw: |dice, size| Raw(RawValue::from_string(Value::random(dice, size).to_string()).unwrap());
}

/// Compared by its text.
#[derive(Serialize, Deserialize, Clone, Debug)]
struct Raw(Box<RawValue>);

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl<T: Random> Random for Option<T> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        (size > 0 && dice.bool()).then(|| T::random(dice, size - 1))
    }
}

impl<T: Random> Random for Box<T> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        Box::new(T::random(dice, size))
    }
}

impl<T: Random, E: Random> Random for Result<T, E> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        if dice.bool() { Ok(T::random(dice, size)) } else { Err(E::random(dice, size)) }
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        let items = if size == 0 { 0 } else { dice.u8(0..4) };
        (0..items).map(|_| T::random(dice, size - 1)).collect()
    }
}

macro_rules! collected {
    ($($name:ident<$($of:ident: $bound:path),+> = $item:ty;)+) => {$(
        impl<$($of: Random + $bound + Eq + std::hash::Hash),+> Random for $name<$($of),+> {
            fn random(dice: &mut Rng, size: u8) -> Self {
                Vec::<$item>::random(dice, size).into_iter().collect()
            }
        }
    )+};
}

collected! {
    BTreeSet<T: Ord> = T;
    HashSet<T: Ord> = T;
    VecDeque<T: Ord> = T;
}

impl<K: Random + Ord, V: Random> Random for BTreeMap<K, V> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        Vec::<(K, V)>::random(dice, size).into_iter().collect()
    }
}

impl<K: Random + Eq + std::hash::Hash, V: Random> Random for HashMap<K, V> {
    fn random(dice: &mut Rng, size: u8) -> Self {
        Vec::<(K, V)>::random(dice, size).into_iter().collect()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: Random),+> Random for ($($name,)+) {
            fn random(dice: &mut Rng, size: u8) -> Self {
                ($($name::random(dice, size),)+)
            }
        }
    )+};
}

tuples! { A; A B; A B C; }

/// Structs and enums, with a random value of each. Of several fields or variants one may have no attributes.
macro_rules! shapes {
    () => {};
    ($(#[$meta:meta])* struct $name:ident { $($(#[$of:meta])* $field:ident: $ty:ty),* $(,)? } $($rest:tt)*) => {
        #[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
        $(#[$meta])*
        pub(super) struct $name { $($(#[$of])* pub(super) $field: $ty),* }

        impl Random for $name {
            #[allow(unused_variables)]
            fn random(dice: &mut Rng, size: u8) -> Self {
                Self { $($field: Random::random(dice, size)),* }
            }
        }
        shapes!($($rest)*);
    };
    ($(#[$meta:meta])* struct $name:ident($($(#[$of:meta])* $ty:ty),* $(,)?); $($rest:tt)*) => {
        #[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
        $(#[$meta])*
        pub(super) struct $name($($(#[$of])* pub(super) $ty),*);

        impl Random for $name {
            fn random(dice: &mut Rng, size: u8) -> Self {
                Self($(<$ty>::random(dice, size)),*)
            }
        }
        shapes!($($rest)*);
    };
    ($(#[$meta:meta])* enum $name:ident {
        $($(#[$of:meta])* $variant:ident $(($($ty:ty),*))? $({ $($field:ident: $fty:ty),* })?),* $(,)?
    } $($rest:tt)*) => {
        #[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
        $(#[$meta])*
        pub(super) enum $name { $($(#[$of])* $variant $(($($ty),*))? $({ $($field: $fty),* })?),* }

        impl Random for $name {
            fn random(dice: &mut Rng, size: u8) -> Self {
                type Make = fn(&mut Rng, u8) -> $name;
                #[allow(unused_variables)]
                let makes: &[Make] = &[$(|dice, size| $name::$variant
                    $(($(<$ty>::random(dice, size)),*))?
                    $({ $($field: <$fty>::random(dice, size)),* })?
                ),*];
                // The first one ends a recursion.
                let make = if size == 0 { &makes[0] } else { dice.choice(makes).unwrap() };
                make(dice, size.saturating_sub(1))
            }
        }
        shapes!($($rest)*);
    };
}

/// As they are now.
mod now {
    use super::*;

    shapes! {
        struct Plain { id: u64, name: String, tags: Vec<String>, at: Option<i32> }
        struct Number(u64);
        struct Pair(u8, String);
        struct Numbers { a: u128, b: i128, c: u16, d: i8, e: i64 }
        struct Floats { a: f32, b: f64 }
        struct Texts { a: char, b: String, c: Box<String> }
        struct Nothing { a: (), b: Option<()> }
        struct Empty {}
        struct Nested { plain: Plain, pair: Option<Pair>, all: Vec<Number> }
        struct Options { a: Option<Option<u8>>, b: Option<bool>, c: Option<Vec<u8>> }
        struct Results { a: Result<u8, String>, b: Vec<Result<(), u8>> }
        struct Maps { a: HashMap<String, u64>, b: BTreeMap<u8, String>, c: BTreeMap<(u8, String), bool> }
        struct Sets { a: BTreeSet<String>, b: HashSet<u64>, c: VecDeque<i32> }
        struct Tuples { a: (u8, String), b: (bool, (u8, i64), Option<u8>) }
        struct NonZero { a: NonZeroU8, b: Option<NonZeroU8> }
        struct List { value: u8, next: Option<Box<List>> }
        struct Skipped {
            #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u32>,
            b: u32,
            #[serde(default, skip_serializing_if = "Option::is_none")] c: Option<u32>,
            d: Option<u32>,
        }
        struct SkippedVec { #[serde(default, skip_serializing_if = "Vec::is_empty")] a: Vec<u8>, b: Vec<u8> }
        struct SkippedTuple(u8, #[serde(default, skip_serializing_if = "Vec::is_empty")] Vec<u8>, #[serde(default)] Vec<u8>);
        struct SkippedNoDefault { #[serde(skip_serializing_if = "Vec::is_empty")] a: Vec<u8>, b: Vec<u8> }
        struct Defaults { #[serde(default)] a: u8, #[serde(rename = "type", alias = "kind")] b: u8 }
        #[serde(default)]
        #[derive(Default)]
        struct AllDefault { a: u8, b: String }
        struct Flat { a: u8, #[serde(flatten)] rest: BTreeMap<String, u64> }
        struct FlatStruct { a: u8, #[serde(flatten)] plain: Plain }
        struct FlatMaybe { a: u8, #[serde(flatten)] number: Option<Inner> }
        struct Inner { x: u32 }
        struct FlatEnum { b: u8, #[serde(flatten)] kind: Internal }
        #[serde(transparent)]
        struct Clear { inner: Option<u8> }
        // What is skipped is not to come back, says its author.
        struct Hidden { a: u8, #[serde(skip)] b: () }
        struct Json { a: Value, b: BTreeMap<String, Value> }
        struct RawJson { a: u8, raw: Raw }
        #[serde(deny_unknown_fields)]
        struct Strict { a: u8, b: Option<u8> }
        #[serde(rename_all = "camelCase")]
        struct Renamed { first_name: String, is_new: bool }
        enum State { New, Paid(u64), Split(u8, u8), Sent { at: u64, by: String } }
        enum Tree { Leaf(u8), Node(Box<Tree>, Box<Tree>) }
        #[serde(tag = "type")]
        enum Internal { C, A { x: u8 }, B(Inner) }
        #[serde(tag = "type", content = "content")]
        enum Adjacent { C, A { x: u8 }, B(u64), D(u8, u8) }
        #[serde(untagged)]
        enum Untagged { Number(u64), Text(String), Both { a: u8, b: String }, List(Vec<u8>) }
        #[serde(untagged)]
        enum Shadowed { Small(u8), Large(u64) }
        struct Enums { a: State, b: Vec<Adjacent>, c: BTreeMap<String, Untagged> }
        #[serde(rename_all = "snake_case")]
        enum Levels { Low, #[serde(rename = "top", alias = "highest")] High(i64) }
    }
}

/// As another version of the program has them: a field renamed, moved, widened, added or taken away; a variant more,
/// less, or in another place.
mod then {
    pub(super) use super::now::Inner;
    use super::*;

    shapes! {
        struct Plain { name: String, id: u64, tags: Vec<String>, at: Option<i32> }
        struct Number(u32);
        struct Pair(String, u8);
        struct Numbers { b: u128, a: i128, c: u16, d: i8, e: i64 }
        struct Floats { b: f32, a: f64 }
        struct Texts { a: String, b: String, c: Box<String> }
        struct Nothing { b: Option<()>, a: () }
        struct Empty { a: Option<u8> }
        struct Nested { plain: Plain, pair: Option<Pair>, all: Vec<Number> }
        struct Options { a: Option<u8>, b: Option<Option<bool>>, c: Option<Vec<u8>> }
        struct Results { a: Result<String, u8>, b: Vec<Result<(), u8>> }
        struct Maps { a: HashMap<String, u64>, b: BTreeMap<u16, String>, c: BTreeMap<(u8, String), bool> }
        struct Sets { c: VecDeque<i32>, b: HashSet<u64>, a: BTreeSet<String> }
        struct Tuples { a: (String, u8), b: (bool, (u8, i64), Option<u8>) }
        struct NonZero { b: NonZeroU8, a: Option<NonZeroU8> }
        struct List { next: Option<Box<List>>, value: u8 }
        struct Skipped {
            #[serde(default, skip_serializing_if = "Option::is_none")] c: Option<u32>,
            b: u32,
            #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u32>,
            d: Option<u32>,
        }
        struct SkippedVec { #[serde(default, skip_serializing_if = "Vec::is_empty")] b: Vec<u8>, a: Vec<u8> }
        struct SkippedTuple(u8, Vec<u8>, #[serde(default)] Vec<u8>, #[serde(default)] Vec<u8>);
        struct SkippedNoDefault { b: Vec<u8>, #[serde(skip_serializing_if = "Vec::is_empty")] a: Vec<u8> }
        struct Defaults { #[serde(rename = "type")] a: u8, #[serde(default)] b: u8 }
        #[serde(default)]
        #[derive(Default)]
        struct AllDefault { b: String, a: u8, c: u8 }
        struct Flat { b: u8, #[serde(flatten)] rest: BTreeMap<String, u64> }
        struct FlatStruct { b: u8, #[serde(flatten)] plain: Plain }
        struct FlatMaybe { b: u8, #[serde(flatten)] number: Option<Inner> }
        struct FlatEnum { a: u8, #[serde(flatten)] kind: Internal }
        #[serde(transparent)]
        struct Clear { inner: Option<u16> }
        struct Hidden { #[serde(skip)] a: (), b: u8 }
        struct Json { b: Value, a: BTreeMap<String, Value> }
        struct RawJson { raw: Raw, a: u8 }
        #[serde(deny_unknown_fields)]
        struct Strict { b: u8, a: Option<u8> }
        #[serde(rename_all = "camelCase")]
        struct Renamed { last_name: String, is_new: bool }
        enum State { Paid(u64), New, Split(u8, u8), Sent { by: String, at: u64 } }
        enum Tree { Empty, Leaf(u8), Node(Box<Tree>, Box<Tree>) }
        #[serde(tag = "type")]
        enum Internal { A { x: u8 }, C, B(Inner) }
        #[serde(tag = "type", content = "content")]
        enum Adjacent { A { x: u8 }, C, B(u64), D(u8, u8) }
        #[serde(untagged)]
        enum Untagged { Text(String), Number(u64), Both { b: String, a: u8 }, List(Vec<u8>) }
        #[serde(untagged)]
        enum Shadowed { Large(u64), Small(u8) }
        struct Enums { c: BTreeMap<String, Untagged>, a: State, b: Vec<Adjacent> }
        #[serde(rename_all = "snake_case")]
        enum Levels { High(i64), #[serde(rename = "top", alias = "highest")] Low }
    }
}

/// What became of many values.
#[derive(Debug, Default)]
struct Count {
    same: usize,
    refused: usize,
}

/// `Debug` tells floats apart that are not equal to themselves.
fn is_same<T: PartialEq + Debug>(a: &T, b: &T) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}

fn read_back<T, F: Format>(values: usize, dice: &mut Rng, count: &mut Count)
where
    T: Random + Serialize + DeserializeOwned + PartialEq + Debug,
{
    for _ in 0..values {
        let value = T::random(dice, 4);
        match encode_as::<T, F>(&value) {
            Ok(encoded) => {
                let read = decode_as::<T, F>(encoded.codec, &encoded.bytes);
                assert!(
                    read.as_ref().is_ok_and(|read| is_same(read, &value)),
                    "{} {:?}: {value:?} is read as {read:?}",
                    std::any::type_name::<T>(),
                    encoded.codec
                );
                count.same += 1;
            }
            Err(_) => count.refused += 1,
        }
    }
}

/// Where the other version has the same fingerprint, its entries are read: then what is called the same is the same.
fn read_by_the_other_version<T, U, F: Format>(values: usize, dice: &mut Rng) -> bool
where
    T: Random + Serialize + DeserializeOwned,
    U: Serialize + DeserializeOwned,
{
    // In the program it is the same type, in another version.
    let schema = |schema: String| schema.replace("::then::", "::now::");
    if schema(schema_of::<T>()) != schema(schema_of::<U>()) {
        return false;
    }
    for _ in 0..values {
        let value = T::random(dice, 4);
        let Ok(encoded) = encode_as::<T, F>(&value) else { continue };
        let Ok(read) = decode_as::<U, F>(encoded.codec, &encoded.bytes) else { continue };
        let (Ok(written), Ok(read)) = (serde_json::to_value(&value), serde_json::to_value(&read))
        else {
            continue;
        };
        assert!(
            agree(&written, &read),
            "{} {:?}: {written} is read as {read}",
            std::any::type_name::<T>(),
            encoded.codec
        );
    }
    true
}

fn agree(written: &Value, read: &Value) -> bool {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            written.iter().all(|(name, value)| read.get(name).is_none_or(|read| agree(value, read)))
        }
        (written, read) => written == read,
    }
}

macro_rules! each_shape {
    ($($shape:ident)+) => {
        const SHAPES: usize = [$(stringify!($shape)),+].len();

        fn all_read_back<F: Format>(values: usize, dice: &mut Rng) -> Count {
            let mut count = Count::default();
            $(read_back::<now::$shape, F>(values, dice, &mut count);)+
            count
        }

        /// The shapes of which the other version is not told apart.
        fn all_read_by_the_other_version<F: Format>(values: usize, dice: &mut Rng) -> Vec<&'static str> {
            let mut alike = Vec::new();
            $(if read_by_the_other_version::<now::$shape, then::$shape, F>(values, dice) {
                alike.push(stringify!($shape));
            })+
            alike
        }
    };
}

each_shape! {
    Plain Number Pair Numbers Floats Texts Nothing Empty Nested Options Results Maps Sets Tuples NonZero List Skipped
    SkippedVec SkippedTuple SkippedNoDefault Defaults AllDefault Flat FlatStruct FlatMaybe FlatEnum Clear Hidden Json
    RawJson Strict Renamed State Tree Internal Adjacent Untagged Shadowed Enums Levels
}

/// The smallest example of what no codec can tell apart: these two write the same. With `PartialEq` it could be seen,
/// which nobody is asked for.
#[test]
fn values_that_serialize_alike_are_one() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Alike {
        Before(u64),
        Behind(u64),
    }
    let encoded = encode(&Alike::Behind(1)).unwrap();
    assert_eq!(decode::<Alike>(encoded.codec, &encoded.bytes), Ok(Alike::Before(1)));
    assert_eq!(store(&Alike::Before(1)), MSGPACK);
}

/// Their `Deserialize` reads whatever there is, so that nothing of their fields is known. They go out with names.
const HIDING: [&str; 7] =
    ["Flat", "FlatStruct", "FlatMaybe", "FlatEnum", "Internal", "Untagged", "Shadowed"];

/// Of each of 40 shapes by each of four codecs: a million.
const VALUES: usize = 6_250;

fn try_all<F: Format>(codec: &str) {
    let seed = fastrand::u64(..);
    println!("{codec}: seed {seed}");
    let mut dice = Rng::with_seed(seed);
    let count = all_read_back::<F>(VALUES, &mut dice);
    println!("{codec}: {count:?} of {SHAPES} shapes");
    assert!(SHAPES >= 40 && count.same > 20 * count.refused / 10, "{count:?}");
    let alike = all_read_by_the_other_version::<F>(VALUES, &mut dice);
    let tells_nothing = |shape: &&str| !HIDING.contains(shape);
    assert!(!alike.iter().any(tells_nothing), "told apart until now: {alike:?}");
}

#[test]
fn c6_what_comes_back_from_bincode_is_what_went_in() {
    try_all::<Bincode>("bincode");
}

#[test]
fn c6_what_comes_back_from_messagepack_is_what_went_in() {
    try_all::<MsgPack>("msgpack");
}

#[cfg(feature = "postcard")]
#[test]
fn c6_what_comes_back_from_postcard_is_what_went_in() {
    try_all::<Postcard>("postcard");
}

#[cfg(feature = "json")]
#[test]
fn c6_what_comes_back_from_json_is_what_went_in() {
    try_all::<Json>("json");
}

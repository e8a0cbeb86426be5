use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{fingerprint, schema_of};

/// Types declared in a module of their own, so that two can share a name.
macro_rules! types {
    ($($module:ident { $($item:item)* })*) => {$(
        mod $module {
            #![allow(dead_code)]
            use super::*;
            $(#[derive(Deserialize)] $item)*
        }
    )*};
}

types! {
    base {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String, pub(super) code: Option<u32> }
        pub(super) enum State { New, Paid(u64), Sent { at: u64, by: String }, Split(u8, u8) }
        pub(super) struct Id(pub(super) u64);
        pub(super) struct Page<T> { pub(super) items: Vec<T> }
        pub(super) struct Pair(pub(super) u8, pub(super) String);
        pub(super) struct Marker;
        pub(super) enum Tree { Leaf(u8), Node(Box<Tree>, Box<Tree>) }
        pub(super) struct List { pub(super) value: u8, pub(super) next: Option<Box<List>> }
    }
    same {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String, pub(super) code: Option<u32> }
        pub(super) enum State { New, Paid(u64), Sent { at: u64, by: String }, Split(u8, u8) }
        pub(super) enum Tree { Leaf(u8), Node(Box<Tree>, Box<Tree>) }
        pub(super) struct List { pub(super) value: u8, pub(super) next: Option<Box<List>> }
    }
    nested_type {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String, pub(super) code: Option<u64> }
        pub(super) enum State { New, Paid(u32), Sent { at: u64, by: String }, Split(u8, u8) }
        pub(super) enum Tree { Leaf(u16), Node(Box<Tree>, Box<Tree>) }
        pub(super) struct List { pub(super) value: u16, pub(super) next: Option<Box<List>> }
    }
    nested_rename {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) road: String, pub(super) code: Option<u32> }
        pub(super) enum State { New, Payed(u64), Sent { at: u64, by: String }, Split(u8, u8) }
    }
    nested_added {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String, pub(super) code: Option<u32>, pub(super) city: String }
        pub(super) enum State { New, Paid(u64), Sent { at: u64, by: String }, Split(u8, u8), Lost }
    }
    nested_removed {
        pub(super) struct User { pub(super) id: u64, pub(super) team: Team }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String }
        pub(super) enum State { New, Paid(u64), Sent { at: u64 }, Split(u8, u8) }
    }
    reordered {
        pub(super) struct User { pub(super) team: Team, pub(super) id: u64 }
        pub(super) struct Team { pub(super) name: String, pub(super) address: Address }
        pub(super) struct Address { pub(super) street: String, pub(super) code: Option<u32> }
        pub(super) enum State { Paid(u64), New, Sent { at: u64, by: String }, Split(u8, u8) }
    }
    other {
        pub(super) struct Customer { pub(super) id: u64, pub(super) team: super::base::Team }
        pub(super) struct Key(pub(super) u64);
        pub(super) struct Triple(pub(super) u8, pub(super) String, pub(super) u8);
        pub(super) struct Mark;
        #[serde(rename = "User")] pub(super) struct Renamed { pub(super) id: u64, pub(super) team: super::base::Team }
        pub(super) struct FieldRenamed { #[serde(rename = "b")] pub(super) a: u8 }
        pub(super) struct FieldPlain { pub(super) a: u8 }
        #[serde(rename = "FieldPlain")] pub(super) struct Quoted { #[serde(rename = "a\":u8,\"b")] pub(super) a: u8 }
        #[serde(transparent)] pub(super) struct Clear { pub(super) id: u64 }
        #[serde(try_from = "u8")] pub(super) struct Small(pub(super) u8);
        pub(super) struct Skips { pub(super) a: u8, #[serde(skip)] pub(super) b: u8 }
        #[serde(rename = "Skips")] pub(super) struct SkipsLess { pub(super) a: u8 }
        pub(super) struct WithFn { #[serde(deserialize_with = "super::number_in_text")] pub(super) a: u8, pub(super) b: u8 }
        #[serde(rename = "WithFn")] pub(super) struct WithoutFn { pub(super) a: u8, pub(super) b: u8 }
        pub(super) struct Flat { pub(super) a: u8, #[serde(flatten)] pub(super) rest: HashMap<String, u8> }
        #[serde(untagged)] pub(super) enum Untagged { A(u8), B(String) }
        #[serde(tag = "t")] pub(super) enum Internal { A { x: u8 }, B }
        #[serde(tag = "t", content = "c")] pub(super) enum Adjacent { A(u8), B }
        pub(super) struct Borrowed<'a> { #[serde(borrow)] pub(super) text: &'a str, #[serde(borrow)] pub(super) cow: Cow<'a, str> }
        #[serde(rename = "Borrowed")] pub(super) struct Owned { pub(super) text: String, pub(super) cow: String }
        pub(super) enum Never {}
        pub(super) struct Empty {}
    }
}

impl TryFrom<u8> for other::Small {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        if value == 7 { Ok(Self(value)) } else { Err("not seven") }
    }
}

fn number_in_text<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(de::Error::custom)
}

/// Stands for every type whose values nobody can guess.
struct Secret<const LEN: usize>;

impl<'de, const LEN: usize> Deserialize<'de> for Secret<LEN> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "open sesame" { Ok(Secret) } else { Err(de::Error::custom("wrong")) }
    }
}

/// Takes its fields in one order only, and only from a sequence.
struct Positional<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Positional<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Positional<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two fields")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                seq.next_element::<String>()?;
                seq.next_element::<T>()?;
                Ok(Positional(PhantomData))
            }
        }
        from.deserialize_struct("Positional", &["a", "b"], Fields(PhantomData))
    }
}

struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text: Result<String, _> = String::deserialize(from);
        panic!("no value: {}", text.is_err());
    }
}

/// Swallows every error, and ends no sequence by itself.
struct Swallows;

impl<'de> Deserialize<'de> for Swallows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Swallows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Swallows, A::Error> {
                for _ in 0..10 {
                    let _ = map.next_key::<String>();
                    let _ = map.next_value::<u8>();
                    let _ = map.next_value::<Vec<u16>>();
                }
                Ok(Swallows)
            }
        }
        let _ = from.deserialize_map(Fields);
        Ok(Swallows)
    }
}

struct Untouched;

impl<'de> Deserialize<'de> for Untouched {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Untouched)
    }
}

macro_rules! pairs {
    ($($a:ty, $b:ty;)*) => {
        [$((stringify!($a, $b), schema_of::<$a>(), schema_of::<$b>()),)*]
    };
}

/// Catalogue 43.
#[test]
fn different_types_have_different_schemas() {
    let pairs = pairs! {
        u8, u16;
        u8, i8;
        u64, f64;
        f32, f64;
        i128, u128;
        char, String;
        String, bool;
        (), base::Marker;
        base::Marker, other::Mark;
        Option<u8>, u8;
        Option<u8>, Option<Option<u8>>;
        Vec<u8>, Option<u8>;
        Vec<u8>, [u8; 4];
        Vec<(String, u8)>, HashMap<String, u8>;
        HashMap<String, u8>, HashMap<String, u16>;
        HashMap<u8, u8>, HashMap<u16, u8>;
        [u8; 3], [u8; 4];
        (u8, u16), (u16, u8);
        (u8, u8), (u8, u8, u8);
        ((u8, u8), u8), (u8, (u8, u8));
        (Vec<u8>, Vec<u8>, u8), (Vec<u8>, Vec<u8>, u16);
        base::Id, other::Key;
        base::Id, u64;
        base::Id, other::Clear;
        base::Pair, other::Triple;
        base::Pair, (u8, String);
        base::User, other::Customer;
        base::User, nested_type::User;
        base::User, nested_rename::User;
        base::User, nested_added::User;
        base::User, nested_removed::User;
        base::User, reordered::User;
        Option<Vec<base::User>>, Option<Vec<nested_type::User>>;
        base::State, nested_type::State;
        base::State, nested_rename::State;
        base::State, nested_added::State;
        base::State, nested_removed::State;
        base::State, reordered::State;
        base::Tree, nested_type::Tree;
        base::List, nested_type::List;
        base::Page<base::User>, base::Page<nested_type::User>;
        base::Page<u8>, base::Page<u16>;
        base::Page<base::Page<u8>>, base::Page<base::Page<u16>>;
        (base::Page<u8>, base::Page<u16>), (base::Page<u8>, base::Page<u8>);
        Result<u8, String>, Result<u16, String>;
        Result<u8, String>, Result<u8, ()>;
        (u8, base::Tree, u8), (u8, base::Tree, u16);
        (base::List, u8), (base::List, u16);
        HashMap<IpAddr, u8>, HashMap<IpAddr, u16>;
        (NonZeroU8, u8), (NonZeroU8, u16);
        other::FieldRenamed, other::FieldPlain;
        other::Quoted, other::FieldPlain;
        other::Small, u16;
        other::WithFn, other::WithoutFn;
        Duration, SystemTime;
        IpAddr, SocketAddr;
        IpAddr, String;
        Range<u8>, Range<u16>;
        PathBuf, IpAddr;
        Positional<u8>, Positional<u16>;
        other::Never, other::Empty;
        serde_json::Value, u8;
        serde_json::Value, other::Flat;
        other::Untagged, other::Flat;
        other::Adjacent, other::Untagged;
        other::Internal, other::Untagged;
    };
    for (types, a, b) in pairs {
        assert_ne!(a, b, "{types}");
    }
}

#[test]
fn types_read_from_the_same_bytes_have_the_same_schema() {
    let pairs = pairs! {
        base::User, same::User;
        base::State, same::State;
        base::Tree, same::Tree;
        base::List, same::List;
        base::Page<base::User>, base::Page<same::User>;
        base::User, other::Renamed;
        other::Skips, other::SkipsLess;
        other::Borrowed<'_>, other::Owned;
        other::Clear, u64;
        other::Small, u8;
        String, Cow<'_, str>;
        String, Box<str>;
        &str, PathBuf;
        Vec<u8>, HashSet<u8>;
        HashMap<u8, u8>, BTreeMap<u8, u8>;
        u8, NonZeroU8;
        u64, usize;
        Box<u8>, u8;
        [u8; 2], (u8, u8);
        serde_json::Value, serde_json::Value;
        other::Flat, other::Flat;
        Secret<1>, String;
    };
    for (types, a, b) in pairs {
        assert_eq!(a, b, "{types}");
    }
}

#[test]
fn the_text_says_what_is_there() {
    let rows = [
        (schema_of::<u8>(), "u8"),
        (schema_of::<PhantomData<u8>>(), r#"unit "PhantomData""#),
        (schema_of::<[u8; 0]>(), "tuple()"),
        (schema_of::<other::Never>(), r#"enum "Never"()"#),
        (schema_of::<HashMap<String, Option<u8>>>(), "map(str,option(u8))"),
        (
            schema_of::<base::User>(),
            r#"struct "User"("id":u64,"team":struct "Team"("name":str,"address":struct "Address"("street":str,"code":option(u32))))"#,
        ),
        (
            schema_of::<base::State>(),
            r#"enum "State"("New":unit,"Paid":newtype(u64),"Sent":struct("at":u64,"by":str),"Split":tuple(u8,u8))"#,
        ),
        (schema_of::<base::List>(), r#"struct "List"("value":u8,"next":option(#1))"#),
        (schema_of::<base::Tree>(), r#"enum "Tree"("Leaf":newtype(u8),"Node":tuple(#1,#1))"#),
        (schema_of::<(Secret<1>, u8, u16)>(), "tuple(str,?,?)"),
        (schema_of::<(NonZeroU8, u16)>(), "tuple(u8,u16)"),
        (schema_of::<(other::WithFn, u16)>(), r#"tuple(struct "WithFn"("a":str,"b":u8),u16)"#),
        (schema_of::<Positional<u16>>(), r#"struct "Positional"("a":str,"b":u16)"#),
        (schema_of::<other::Quoted>(), r#"struct "FieldPlain"("a\":u8,\"b":u8)"#),
    ];
    for (text, expected) in rows {
        assert!(
            text == expected || text.starts_with(&format!("{expected} ")),
            "{text}\n{expected}"
        );
    }
}

#[test]
fn what_is_hidden_is_marked_and_named() {
    let rows = [
        schema_of::<serde_json::Value>(),
        schema_of::<Box<serde_json::value::RawValue>>(),
        schema_of::<other::Flat>(),
        schema_of::<other::Untagged>(),
        schema_of::<(Secret<1>, u8)>(),
        schema_of::<(Panics, u8)>(),
        schema_of::<Untouched>(),
    ];
    for text in rows {
        assert!(text.contains('?') || text.contains("any"), "{text}");
        assert!(text.contains("::"), "no name of a Rust type in {text}");
    }
    assert!(!schema_of::<(base::User, SystemTime, Duration, IpAddr)>().contains('?'));
}

#[test]
fn a_type_that_refuses_stand_ins_hides_nothing_beside_it() {
    #[allow(dead_code)]
    #[derive(Deserialize)]
    struct Beside<S, T> {
        secret: S,
        panics: Option<Panics>,
        swallows: Swallows,
        plain: T,
    }
    assert_ne!(schema_of::<Beside<Secret<1>, u8>>(), schema_of::<Beside<Secret<1>, u16>>());
    let text = schema_of::<Beside<Secret<1>, Vec<i32>>>();
    assert!(text.contains(r#""plain":seq(i32)"#), "{text}");
    assert!(text.contains(r#""secret":str"#), "{text}");
}

#[test]
fn large_and_recursive_types_come_to_an_end() {
    macro_rules! twice {
        ($($name:ident = $of:ty;)*) => {$(
            #[allow(dead_code)]
            #[derive(Deserialize)]
            struct $name { a: Box<$of>, b: Box<$of>, c: Option<Box<$of>>, d: Vec<$of> }
        )*};
    }
    // 4^8 paths, if each were followed. (More levels, and LLVM unfolds the drop glue for minutes.)
    twice! {
        T0 = u8; T1 = T0; T2 = T1; T3 = T2; T4 = T3; T5 = T4; T6 = T5; T7 = T6;
    }
    type Wide = [[(u8, u16, [u32; 8]); 8]; 32];
    let started = Instant::now();
    let text = schema_of::<T7>();
    assert!(!text.contains("...") && !text.contains('?'), "{text}");
    assert_eq!(text, schema_of::<T7>());

    assert!(!schema_of::<Wide>().contains('?'));
    // A generous guard against an exponential search, not a measurement.
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn wide_types_are_followed_to_the_last_field() {
    /// A struct with as many fields as `LAST` says, of which the last is a `T`.
    struct Wide<T, const LAST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const LAST: usize> Deserialize<'de> for Wide<T, LAST> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Fields<T, const LAST: usize>(PhantomData<T>);
            impl<'de, T: Deserialize<'de>, const LAST: usize> Visitor<'de> for Fields<T, LAST> {
                type Value = Wide<T, LAST>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("many fields")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    while let Some(name) = map.next_key::<String>()? {
                        if name == LAST.to_string() {
                            map.next_value::<T>()?;
                        } else {
                            map.next_value::<Vec<u8>>()?;
                        }
                    }
                    Ok(Wide(PhantomData))
                }
            }
            static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
            let names = NAMES.get_or_init(|| (0..=LAST).map(|n| &*n.to_string().leak()).collect());
            from.deserialize_struct("Wide", names, Fields(PhantomData))
        }
    }
    let text = schema_of::<Wide<u8, 999>>();
    assert!(text.ends_with(r#""998":#2,"999":u8)"#), "{text}");
    assert_ne!(text, schema_of::<Wide<u16, 999>>());
}

#[test]
fn endless_types_are_cut() {
    /// Each level is another type to serde, as far as names tell.
    struct Deep;
    impl<'de> Deserialize<'de> for Deep {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            use std::sync::atomic::{AtomicUsize, Ordering};
            static CALLS: AtomicUsize = AtomicUsize::new(0);
            struct Elements;
            impl<'de> Visitor<'de> for Elements {
                type Value = Deep;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("more")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Deep, A::Error> {
                    while seq.next_element::<Deep>()?.is_some() {}
                    Ok(Deep)
                }
            }
            from.deserialize_tuple(2 + CALLS.fetch_add(1, Ordering::Relaxed), Elements)
        }
    }
    assert!(schema_of::<Deep>().contains("Deep"));
}

#[test]
fn no_two_lists_of_parts_run_together() {
    let lists: [&[&str]; 8] =
        [&[], &[""], &["", ""], &["ab"], &["a", "b"], &["b", "a"], &["ab", ""], &["", "ab"]];
    for (i, a) in lists.iter().enumerate() {
        for b in &lists[..i] {
            assert_ne!(fingerprint(a), fingerprint(b), "{a:?} {b:?}");
        }
    }
    // Part of what is stored: it must not change from one release to the next.
    assert_eq!(fingerprint(&["a", "b"]), 17_728_237_027_163_311_433);
}

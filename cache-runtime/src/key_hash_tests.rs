use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::ser::{SerializeSeq, SerializeStruct, SerializeTupleStruct};
use serde::{Serialize, Serializer};

use super::*;

fn hash<T: Serialize + ?Sized>(value: &T) -> [u8; 32] {
    key_hash(value).expect("can be serialized")
}

/// Whatever a `Serialize` impl can write.
#[derive(Clone, PartialEq, Debug)]
enum Any {
    Bool(bool),
    I8(i8),
    U8(u8),
    U16(u16),
    I64(i64),
    U64(u64),
    U128(u128),
    Char(char),
    Str(String),
    Bytes(Vec<u8>),
    None,
    Some(Box<Any>),
    Unit,
    UnitStruct(usize),
    UnitVariant(usize),
    Newtype(usize, Box<Any>),
    NewtypeVariant(usize, Box<Any>),
    Seq(Vec<Any>),
    Tuple(Vec<Any>),
    TupleStruct(usize, Vec<Any>),
    Map(BTreeMap<String, Any>),
    Struct(usize, Vec<(usize, Any)>),
}

const NAMES: [&str; 4] = ["", "a", "b", "aa"];

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Any::Bool(v) => to.serialize_bool(*v),
            Any::I8(v) => to.serialize_i8(*v),
            Any::U8(v) => to.serialize_u8(*v),
            Any::U16(v) => to.serialize_u16(*v),
            Any::I64(v) => to.serialize_i64(*v),
            Any::U64(v) => to.serialize_u64(*v),
            Any::U128(v) => to.serialize_u128(*v),
            Any::Char(v) => to.serialize_char(*v),
            Any::Str(v) => to.serialize_str(v),
            Any::Bytes(v) => to.serialize_bytes(v),
            Any::None => to.serialize_none(),
            Any::Some(v) => to.serialize_some(v),
            Any::Unit => to.serialize_unit(),
            Any::UnitStruct(name) => to.serialize_unit_struct(NAMES[*name]),
            Any::UnitVariant(n) => to.serialize_unit_variant("e", 0, NAMES[*n]),
            Any::Newtype(name, v) => to.serialize_newtype_struct(NAMES[*name], v),
            Any::NewtypeVariant(n, v) => to.serialize_newtype_variant("e", 0, NAMES[*n], v),
            Any::Seq(parts) => {
                // Without a length: it must not be what tells them apart.
                let mut seq = to.serialize_seq(None)?;
                for part in parts {
                    seq.serialize_element(part)?;
                }
                seq.end()
            }
            Any::Tuple(parts) => {
                use serde::ser::SerializeTuple;
                let mut tuple = to.serialize_tuple(parts.len())?;
                for part in parts {
                    tuple.serialize_element(part)?;
                }
                tuple.end()
            }
            Any::TupleStruct(name, parts) => {
                let mut tuple = to.serialize_tuple_struct(NAMES[*name], 0)?;
                for part in parts {
                    tuple.serialize_field(part)?;
                }
                tuple.end()
            }
            Any::Map(entries) => to.collect_map(entries),
            Any::Struct(name, fields) => {
                let mut to = to.serialize_struct(NAMES[*name], 0)?;
                for (field, value) in fields {
                    to.serialize_field(NAMES[*field], value)?;
                }
                to.end()
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Any::Bool),
        (0..2i8).prop_map(Any::I8),
        (0..2u8).prop_map(Any::U8),
        (0..2u16).prop_map(Any::U16),
        (0..2i64).prop_map(Any::I64),
        (0..2u64).prop_map(Any::U64),
        (0..2u128).prop_map(Any::U128),
        prop_oneof![Just('\0'), Just('a')].prop_map(Any::Char),
        "[a\u{0}\u{1}]{0,2}".prop_map(Any::Str),
        proptest::collection::vec(0..2u8, 0..3).prop_map(Any::Bytes),
        Just(Any::None),
        Just(Any::Unit),
        (0..4usize).prop_map(Any::UnitStruct),
        (0..4usize).prop_map(Any::UnitVariant),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 0..3);
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Any::Some),
            (0..4usize, boxed()).prop_map(|(name, v)| Any::Newtype(name, v)),
            (0..4usize, boxed()).prop_map(|(name, v)| Any::NewtypeVariant(name, v)),
            parts().prop_map(Any::Seq),
            parts().prop_map(Any::Tuple),
            (0..4usize, parts()).prop_map(|(name, v)| Any::TupleStruct(name, v)),
            proptest::collection::btree_map("[a-c]{0,1}", inner.clone(), 0..3).prop_map(Any::Map),
            (0..4usize, proptest::collection::vec((0..4usize, inner), 0..3))
                .prop_map(|(name, fields)| Any::Struct(name, fields)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn different_values_have_different_hashes(values in proptest::collection::vec(any_value(), 2..20)) {
        for (at, one) in values.iter().enumerate() {
            prop_assert_eq!(hash(one), hash(&one.clone()));
            for other in &values[..at] {
                prop_assert_eq!(hash(one) == hash(other), one == other, "{:?} {:?}", one, other);
            }
        }
    }

    #[test]
    fn the_order_of_a_map_does_not_count(entries in proptest::collection::hash_map(any::<u16>(), any::<Option<u8>>(), 0..50)) {
        let mut backwards: Vec<_> = entries.iter().collect();
        backwards.sort_by(|a, b| b.cmp(a));
        // A second map has another order of its own.
        let again: HashMap<_, _> = backwards.iter().copied().collect();
        let sorted: BTreeMap<_, _> = backwards.iter().copied().collect();
        prop_assert_eq!(hash(&entries), hash(&again));
        prop_assert_eq!(hash(&entries), hash(&sorted));
    }

    #[test]
    fn the_order_of_a_sequence_counts(mut list in proptest::collection::vec(any::<u8>(), 0..6)) {
        let before = hash(&list);
        let forwards = list.clone();
        list.reverse();
        prop_assert_eq!(hash(&list) == before, list == forwards);
    }
}

#[test]
fn what_is_left_out_is_not_what_is_none() {
    #[derive(Serialize)]
    #[expect(clippy::option_option, reason = "what no codec tells apart")]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<Option<u8>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<Option<u8>>,
        c: Option<()>,
    }
    let options = [None, Some(None), Some(Some(0)), Some(Some(1))];
    let mut hashes = vec![];
    for a in options {
        for b in options {
            hashes.extend([None, Some(())].map(|c| hash(&Sparse { a, b, c })));
        }
    }
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}

#[test]
fn where_parts_end_counts() {
    let one = || Any::U8(1);
    let seq = |parts: &[Any]| Any::Seq(parts.to_vec());
    let fields =
        |parts: &[Any]| Any::Struct(0, parts.iter().map(|part| (0, part.clone())).collect());
    let tuple = |parts: &[Any]| Any::Tuple(parts.to_vec());
    let named = |parts: &[Any]| Any::TupleStruct(0, parts.to_vec());
    for parts in [&seq as &dyn Fn(&[Any]) -> Any, &fields, &tuple, &named] {
        let forms = [
            parts(&[parts(&[one()]), one()]),
            parts(&[parts(&[one(), one()])]),
            parts(&[parts(&[]), one(), one()]),
            parts(&[one(), one(), parts(&[])]),
            parts(&[parts(&[]), parts(&[])]),
            parts(&[parts(&[parts(&[])])]),
        ];
        for (row, form) in forms.iter().enumerate() {
            assert!(!forms[..row].iter().any(|other| hash(other) == hash(form)), "{form:?}");
        }
    }
}

#[test]
fn names_and_numbers_of_variants_and_fields_count() {
    #[derive(Serialize)]
    struct Left {
        a: u8,
    }
    #[derive(Serialize)]
    struct Right {
        a: u8,
    }
    #[derive(Serialize)]
    #[serde(rename = "Left")]
    struct Renamed {
        b: u8,
    }
    let hashes = [
        hash(&Left { a: 1 }),
        hash(&Right { a: 1 }),
        hash(&Renamed { b: 1 }),
        hash(&BTreeMap::from([("a", 1u8)])),
        hash(&(1u8,)),
        hash(&[1u8][..]),
        hash("a"),
        hash(&'a'),
    ];
    for (row, one) in hashes.iter().enumerate() {
        assert!(!hashes[..row].contains(one), "row {row}");
    }
}

#[test]
fn a_hash_is_the_same_in_every_process_and_release() {
    let hex = |hash: [u8; 32]| blake3::Hash::from(hash).to_hex().to_string();
    let value = (1u8, "a", Some(BTreeMap::from([("k", [1.5f64])])), None::<()>);
    assert_eq!(
        hex(hash(&value)),
        "96d3f06adc044a9829159f0bf4333f01dad93a99d73814fe8a6838ab4b9dea10"
    );
}

#[test]
fn what_cannot_be_walked_is_an_error_that_tells_nothing() {
    #[derive(Serialize)]
    struct Deep(Option<Box<Deep>>);
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("SECRET"))
        }
    }
    let deep = (0..1_000).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));
    assert_eq!(key_hash(&deep), Err(Unwritable::TooDeep));
    let error = key_hash(&[Fails][..]).expect_err("always fails");
    assert!(!format!("{error} {error:?}").contains("SECRET"));
}

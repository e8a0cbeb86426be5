//! What is stored reads back; what does not is refused.

use std::collections::{BTreeMap, BTreeSet, LinkedList, VecDeque};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde_json::json;

use super::super::MAX_VALUE;
use super::*;

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
        store(&Number(1)),
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
    let error = decode::<Fails>(Id::Bincode, &[]).expect_err("always fails");
    assert!(!format!("{error} {error:?}").contains("SECRET"));
}

#[test]
fn ids_are_read_as_they_are_written() {
    for number in 0..=u8::MAX {
        let id = Id::from_number(number).map(Id::number);
        assert_eq!(id, (1..=5).contains(&number).then_some(number));
    }
}

use std::collections::BTreeSet;

use super::super::digest::{self, Digest};
use super::*;

#[test]
fn the_digest_tells_apart_what_has_the_same_bytes() {
    types! {
        struct Left { a: u8, b: u8 }
        struct Right { a: u8, b: u8 }
        #[serde(rename = "Left")]
        struct Renamed { a: u8, #[serde(rename = "c")] b: u8 }
        struct Wrapped(u8);
        enum Choice { A(u8), B(u8), C, D }
        #[serde(rename = "Choice")]
        enum Reordered { B(u8), A(u8), D, C }
    }
    fn of<T: Serialize>(value: &T) -> Digest {
        digest::of(value).expect("can be serialized")
    }
    let left = |a, b| Left { a, b };
    let digests = [
        of(&left(1, 2)),
        of(&left(2, 1)),
        of(&Right { a: 1, b: 2 }),
        of(&Renamed { a: 1, b: 2 }),
        of(&(1u8, 2u8)),
        of(&(2u8, 1u8)),
        of(&vec![1u8, 2]),
        of(&vec![1u8, 2, 2]),
        of(&vec![1u8, 1, 1]),
        of(&vec![1u16, 2]),
        of(&vec![vec![1u8], vec![2]]),
        of(&BTreeMap::from([(1u8, 2u8), (3, 4)])),
        of(&BTreeMap::from([(1u8, 4u8), (3, 2)])),
        of(&1u8),
        of(&1i8),
        of(&1u64),
        of(&1u128),
        of(&1i128),
        of(&true),
        of(&Some(1u8)),
        of(&Some(Some(1u8))),
        of(&Wrapped(1)),
        of(&Choice::A(1)),
        of(&Choice::B(1)),
        of(&Reordered::A(1)),
        of(&Choice::C),
        of(&Choice::D),
        of(&Reordered::C),
        of(&()),
        of(&Unit),
        of(&Empty {}),
        of(&None::<u8>),
        of(&Vec::<u8>::new()),
        of(&String::new()),
        of(&Bytes { bytes: vec![] }),
        of(&0.0f32),
        of(&0.0f64),
        of(&-0.0f64),
        of(&'a'),
        of(&"a"),
    ];
    for (row, digest) in digests.iter().enumerate() {
        assert!(!digests[..row].contains(digest), "row {row}");
    }
    assert_eq!(of(&vec![1u8, 2]), of(&vec![2u8, 1]));
    assert_eq!(of(&BTreeSet::from([1u8, 2])), of(&HashSet::from([1u8, 2])));
}

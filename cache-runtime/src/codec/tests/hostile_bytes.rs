//! Bytes that nobody's `encode` wrote.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json;

use super::super::{DecodeError, MAX_VALUE};
use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

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
    type Wide = Option<[[u64; 13]; 5]>;
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
    let mut nones = vec![252, 0, 0, 16, 0];
    nones.resize(5 + 1024 * 1024, 0);
    assert_eq!(decode::<Vec<Wide>>(Codec::Bincode, &nones), Err(DecodeError::TooMuchMemory));
    assert_eq!(decode::<()>(Codec::Bincode, &vec![0; MAX_VALUE + 1]), Err(DecodeError::TooLarge));
}

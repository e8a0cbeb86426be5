//! Bytes that nobody's `encode` wrote.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json;

use super::super::MAX_VALUE;
use super::*;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Ignored(IgnoredAny);

impl Serialize for Ignored {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_unit()
    }
}

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
    fn as_one<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
        let _ = decode::<T>(Id::Bincode, bytes);
        let _ = decode::<T>(Id::MsgPack, bytes);
        let _ = decode_as::<T, MsgPack>(Id::MsgPack, bytes);
        #[cfg(feature = "postcard")]
        let _ = decode_as::<T, Postcard>(Id::Postcard, bytes);
        #[cfg(feature = "json")]
        let _ = decode_as::<T, Json>(Id::Json, bytes);
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
    as_one::<Ignored>(bytes);
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
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, codec: Id) {
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
    check(&plain(), Id::Bincode);
    check(&(), Id::Bincode);
    check(&Some(tree(3)), Id::Bincode);
    check(&sparse(None, 1, None, None), Id::MsgPack);
    check(&json!([1, { "a": "b" }]), Id::MsgPack);
    check(&Untagged::Text("x".into()), Id::MsgPack);
    check(&Internal::C, Id::MsgPack);
}

/// Catalogue 44.
#[test]
fn claimed_depth_does_not_overflow_the_stack() {
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Nested(Option<Box<Nested>>);
    let many = |byte| vec![byte; 1024 * 1024];
    assert_eq!(decode::<Tree>(Id::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<List>(Id::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<Nested>(Id::Bincode, &many(1)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<serde_json::Value>(Id::MsgPack, &many(0x91)), Err(DecodeError::TooDeep));
    assert_eq!(decode::<Untagged>(Id::MsgPack, &many(0x91)), Err(DecodeError::TooDeep));
    assert!(matches!(decode::<Ignored>(Id::MsgPack, &many(0x91)), Err(DecodeError::TooDeep)));
    // One-entry maps, as enums are written: {"Node": [{"Node": [...
    let node = [0x81, 0xa4, b'N', b'o', b'd', b'e', 0x92];
    assert_eq!(decode::<Tree>(Id::MsgPack, &node.repeat(10_000)), Err(DecodeError::TooDeep));
}

/// Catalogue 44.
#[test]
fn claimed_lengths_reserve_nothing() {
    /// What a visitor is told about the length.
    #[derive(Debug, PartialEq, Serialize)]
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
    assert_eq!(decode::<Hint>(Id::Bincode, &claim), Ok(Hint(Some(claim.len()))));
    assert_eq!(decode::<String>(Id::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(decode::<Bytes>(Id::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(decode::<Vec<u64>>(Id::Bincode, &claim), Err(DecodeError::Malformed));
    assert_eq!(
        decode::<HashMap<String, [u64; 32]>>(Id::Bincode, &claim),
        Err(DecodeError::Malformed)
    );
    assert_eq!(decode::<Vec<()>>(Id::Bincode, &claim), Err(DecodeError::TooMuchMemory));
    for marker in [0xdb, 0xdd, 0xdf, 0xc6] {
        let claim = [marker, 255, 255, 255, 255];
        assert_eq!(decode::<serde_json::Value>(Id::MsgPack, &claim), Err(DecodeError::Malformed));
        assert!(decode::<Vec<u64>>(Id::MsgPack, &claim).is_err());
    }
    // Each `None` is one byte of input and 520 bytes of memory.
    let mut nones = vec![252, 0, 0, 16, 0];
    nones.resize(5 + 1024 * 1024, 0);
    assert_eq!(decode::<Vec<Wide>>(Id::Bincode, &nones), Err(DecodeError::TooMuchMemory));
    let mut nones = vec![0xdd, 0, 16, 0, 0];
    nones.resize(5 + 1024 * 1024, 0xc0);
    assert_eq!(decode::<Vec<Wide>>(Id::MsgPack, &nones), Err(DecodeError::TooMuchMemory));
    assert_eq!(
        decode_as::<Vec<Wide>, MsgPack>(Id::MsgPack, &nones),
        Err(DecodeError::TooMuchMemory)
    );
    let mut pairs = vec![0xdf, 0, 8, 0, 0];
    pairs.extend((0..512 * 1024u32).flat_map(|n| {
        let [a, b, c, d] = n.to_be_bytes();
        [0xce, a, b, c, d, 0xc0]
    }));
    let pairs = decode::<HashMap<u32, Wide>>(Id::MsgPack, &pairs);
    assert_eq!(pairs, Err(DecodeError::TooMuchMemory));
    assert_eq!(decode::<()>(Id::Bincode, &vec![0; MAX_VALUE + 1]), Err(DecodeError::TooLarge));
}

//! What a function's `codec` decides.

use super::super::{Codec, CodecError, Custom, MAX_VALUE};
use super::*;

fn texts<F: Format>(bytes: &[u8]) -> [Result<String, DecodeError>; 5] {
    [Id::Bincode, Id::MsgPack, Id::Postcard, Id::Json, Id::Custom]
        .map(|id| decode_as::<String, F>(id, bytes))
}

#[test]
fn a_reader_accepts_its_own_codec_and_the_fallback() {
    let malformed = || Err(DecodeError::Malformed);
    // A string of one byte in bincode, and the number 1 in `MessagePack`.
    let [bincode, msgpack, postcard, json, custom] = texts::<Bincode>(b"\x01a");
    assert_eq!(bincode, Ok("a".into()));
    assert_eq!([msgpack, postcard, json, custom], [const { Err(DecodeError::Malformed) }; 4]);
    assert_eq!(texts::<Bincode>(b"\xa1a")[1], Ok("a".into()));
    assert_eq!(texts::<MsgPack>(b"\xa1a")[1], Ok("a".into()));
    assert_eq!(texts::<MsgPack>(b"\x01a")[0], malformed());
    assert_eq!(texts::<Custom<Shouted>>(b"\xa1a")[1], Ok("a".into()));
    assert_eq!(texts::<Custom<Shouted>>(b"\"A\"")[4], Ok("a".into()));
    assert_eq!(texts::<Custom<Shouted>>(b"\x01a")[0], malformed());
}

#[test]
fn each_codec_writes_its_own() {
    assert_eq!(store_as::<_, MsgPack>(&plain(), Plain::eq), MSGPACK);
    assert_eq!(store_as::<_, MsgPack>(&sparse(None, 1, None, None), Sparse::eq), MSGPACK);
    let names = [Bincode::NAME, MsgPack::NAME, Custom::<Shouted>::NAME];
    assert_eq!(names, ["bincode", "msgpack", "shouted"]);
}

#[cfg(feature = "postcard")]
#[test]
fn postcard_falls_back_where_it_does_not_read_back() {
    assert_eq!(Postcard::<()>::NAME, "postcard");
    let postcard = Reads(Id::Postcard);
    assert_eq!(store_as::<_, Postcard>(&plain(), Plain::eq), postcard);
    assert_eq!(store_as::<_, Postcard>(&tree(40), Tree::eq), postcard);
    assert_eq!(store_as::<_, Postcard>(&u128::MAX, u128::eq), postcard);
    assert_eq!(store_as::<_, Postcard>(&Some(None::<u8>), Option::eq), postcard);
    assert_eq!(store_as::<_, Postcard>(&sparse(None, 1, None, None), Sparse::eq), MSGPACK);
    assert_eq!(store_as::<_, Postcard>(&Untagged::Number(1), Untagged::eq), MSGPACK);
    let ones = vec![1; 1024 * 1024];
    assert_eq!(decode_as::<Tree, Postcard>(Id::Postcard, &ones), Err(DecodeError::TooDeep));
    let claim = [255, 255, 255, 255, 255, 255, 255, 255, 127];
    assert_eq!(
        decode_as::<Vec<()>, Postcard>(Id::Postcard, &claim),
        Err(DecodeError::TooMuchMemory)
    );
    assert_eq!(decode_as::<Vec<u64>, Postcard>(Id::Postcard, &claim), Err(DecodeError::Malformed));
    assert_eq!(decode_as::<u8, Postcard>(Id::Postcard, &[1, 1]), Err(DecodeError::TrailingBytes));
}

#[cfg(feature = "json")]
#[test]
fn json_falls_back_where_it_does_not_read_back() {
    assert_eq!(Json::<()>::NAME, "json");
    let json = Reads(Id::Json);
    assert_eq!(store_as::<_, Json>(&plain(), Plain::eq), json);
    assert_eq!(store_as::<_, Json>(&sparse(None, 1, None, None), Sparse::eq), json);
    assert_eq!(store_as::<_, Json>(&Untagged::Number(1), Untagged::eq), json);
    assert_eq!(store_as::<_, Json>(&u128::MAX, u128::eq), json);
    assert_eq!(store_as::<_, Json>(&vec![0.1, 1e-300, -0.0, f64::MIN_POSITIVE], Vec::eq), json);
    // Read back without an error, and as something else.
    assert_eq!(store_as::<_, Json>(&vec![Some(()), None], Vec::eq), Refused);
    assert_eq!(store_as::<_, Json>(&vec![Some(f64::NAN)], |_, read| read[0].is_some()), MSGPACK);
    let keys = HashMap::from([(Key { a: 1, b: None }, 1u8)]);
    assert_eq!(store_as::<_, Json>(&keys, HashMap::eq), MSGPACK);
    let nested = "[".repeat(1024 * 1024);
    assert!(decode_as::<serde_json::Value, Json>(Id::Json, nested.as_bytes()).is_err());
    assert_eq!(decode_as::<u8, Json>(Id::Json, b"1 1"), Err(DecodeError::TrailingBytes));
    // Each `null` is four bytes of input and 520 bytes of memory.
    let nulls = format!("[{}null]", "null,".repeat(1024 * 1024));
    let read = decode_as::<Vec<Option<[[u64; 13]; 5]>>, Json>(Id::Json, nulls.as_bytes());
    assert_eq!(read, Err(DecodeError::TooMuchMemory));
}

#[cfg(feature = "json")]
#[test]
fn json_is_for_people() {
    let address = std::net::Ipv4Addr::LOCALHOST;
    let encoded = encode_as::<_, Json>(&address).expect("can be stored");
    assert_eq!(encoded.bytes, b"\"127.0.0.1\"");
    assert_eq!(store_as::<_, Json>(&address, std::net::Ipv4Addr::eq), Reads(Id::Json));
}

/// JSON in capitals: carries what has none.
enum Shouted {}

impl Codec for Shouted {
    const NAME: &'static str = "shouted";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
        let text = serde_json::to_string(value).map_err(CodecError::new)?;
        Ok(text.to_uppercase().into_bytes())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let text = str::from_utf8(bytes).map_err(CodecError::new)?;
        serde_json::from_str(&text.to_lowercase()).map_err(CodecError::new)
    }
}

#[test]
fn a_codec_of_a_user_stores_what_it_gives_back() {
    let equal = String::eq;
    assert_eq!(store_as::<_, Custom<Shouted>>(&"text".to_owned(), equal), Reads(Id::Custom));
    assert_eq!(store_as::<_, Custom<Shouted>>(&"Text".to_owned(), equal), MSGPACK);
    assert_eq!(store_as::<_, Custom<Shouted>>(&Small(10), Small::eq), Refused);
    let error =
        encode_as::<_, Custom<Shouted>>(&"x".repeat(MAX_VALUE - 1)).err().expect("too large");
    assert!(matches!(error, EncodeError::TooLarge { size } if size == MAX_VALUE + 1), "{error}");
    let error = Shouted::decode::<u8>(b"\"SECRET\"").expect_err("no number");
    assert!(!error.to_string().contains("SECRET"));
    assert!(std::error::Error::source(&error).is_some());
}

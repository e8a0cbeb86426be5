//! Codecs of users.

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How the values of a function are written, where none of the codecs that this crate has will do:
/// `#[redis_cached(codec = MyCodec, ..)]`.
///
/// Each value is decoded again and compared before it is stored, so a codec that cannot carry it
/// does no harm: what it refuses, or gives back changed, is stored as named `MessagePack` instead, as
/// with every codec. An encoded value may have 16 MiB.
///
/// ```
/// use redis_cached::{Codec, CodecError, redis_cached};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// enum Pretty {}
///
/// impl Codec for Pretty {
///     const NAME: &'static str = "pretty json";
///
///     fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
///         serde_json::to_vec_pretty(value).map_err(CodecError::new)
///     }
///
///     fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
///         serde_json::from_slice(bytes).map_err(CodecError::new)
///     }
/// }
///
/// assert_eq!(Pretty::encode(&[1]).unwrap(), b"[\n  1\n]");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec",
    label = "`codec = …` must be `bincode`, `msgpack`, `postcard`, `json`, or a type that implements `redis_cached::Codec`"
)]
pub trait Codec {
    /// Part of the fingerprint of everything stored: change it when the codec writes something else,
    /// and what was stored before is a miss.
    const NAME: &'static str;

    /// The value as bytes.
    ///
    /// # Errors
    ///
    /// For a value that this codec cannot carry.
    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value of these bytes, all of them.
    ///
    /// A checksum stands in front of it, so that the bytes are ones that [`encode`](Self::encode)
    /// returned, unless somebody who can write to the store forged them. How much memory and stack
    /// such bytes may take is this function's own care.
    ///
    /// # Errors
    ///
    /// For bytes that are no such value.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a [`Codec`] could not write or read a value.
///
/// For the codec's own tests. The cache never prints it, since it may tell something of the value.
#[derive(Debug)]
pub struct CodecError(Box<dyn Error + Send + Sync>);

impl CodecError {
    /// From another error, or from a text.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the codec could not write or read the value")
    }
}

impl Error for CodecError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

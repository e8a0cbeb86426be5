//! Values to bytes and back, in a form that is known to read back.
//!
//! Bincode writes positions only. A `Serialize` impl that leaves a field out, or a `Deserialize`
//! impl that asks the bytes what they are, breaks it, often without an error. What a type's impls do
//! cannot be asked beforehand, so each value is read back once before it may be stored: a digest of
//! what came out is compared with the digest of what went in. Where bincode, or the codec that the
//! function names, fails this, named `MessagePack` is tried; where that fails too, the value is not
//! stored.
//!
//! What no codec can see is a difference that `Serialize` does not write: `serde(skip)`, a
//! `skip_serializing_if` whose skipped values are not all equal to the default, variants of an
//! untagged enum with the same fields, the order of a sequence that `Deserialize` builds in
//! another order.

mod bounds;
pub(crate) mod compression;
mod custom;
mod digest;
mod format;
mod source;

use erased_serde::Serialize as AnySerialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use bounds::{Bounds, Exceeded};
pub use custom::{Codec, CodecError};
use digest::Digest;
pub use format::{Bincode, Custom, Format, Json, MsgPack, Postcard};
use format::{NotWritten, Sink};

use crate::digest::{Top, Unwritable};

/// The most bytes an encoded value may have.
pub(crate) const MAX_VALUE: usize = 16 * 1024 * 1024;

/// How deep a value may be nested; each struct, sequence, `Some`, newtype and variant counts. Both
/// directions recurse on the stack of the caller, which has 2 MiB on a worker of tokio: this many
/// levels of a recursive struct of 350 bytes take less than 0.75 MiB of it in a debug build.
pub(crate) const MAX_DEPTH: usize = 128;

/// Types choose their form by this (an `IpAddr` is text or four bytes), so whatever looks at a type
/// has to give the same answer: the digest, the fingerprint, and all codecs but JSON, where text is the
/// point. There the fingerprint describes the compact form, which stands for the type as well.
pub(crate) const HUMAN_READABLE: bool = false;

/// How an entry's payload is written. The number stands in the header of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Id {
    Bincode = 1,
    MsgPack = 2,
    Postcard = 3,
    Json = 4,
    /// Some [`Codec`]; which one is in the fingerprint.
    Custom = 5,
}

impl Id {
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Id::Bincode, Id::MsgPack, Id::Postcard, Id::Json, Id::Custom]
            .into_iter()
            .find(|id| id.number() == number)
    }
}

pub(crate) struct Encoded {
    pub(crate) codec: Id,
    /// The function's own codec does not carry this value.
    pub(crate) fell_back: bool,
    pub(crate) bytes: Vec<u8>,
    /// The value is a `None`.
    pub(crate) none: bool,
}

/// Why a value cannot be stored. The texts hold nothing of the value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("the value is an `Err`, and errors are not stored unless the attribute says which")]
    IsError,
    /// Of an error that was to be stored.
    #[error(transparent)]
    OfError(Box<Self>),
    #[error(
        "it takes {size} bytes and the limit is {MAX_VALUE}; \
         cache parts of it under keys of their own, or leave out what can be computed again"
    )]
    TooLarge { size: usize },
    #[error("its `save` gave nothing to store")]
    NotSaved,
    #[error("it could not be read back: {why}")]
    NotReadable { why: &'static str },
}

const TOO_DEEP: &str =
    "it is nested too deeply; store nested parts in a flat list that refers to them by index";
const TOO_MUCH_MEMORY: &str =
    "it would take more than 256 MiB of memory; cache parts of it under keys of their own";
const NOT_WRITABLE: &str = "its `Serialize` impl returned an error";
const NOT_THE_SAME: &str = "its `Deserialize` impl does not accept, or reads as something else, what its \
    `Serialize` impl writes; make the two match (fields that are skipped need `#[serde(default)]`, the variants of \
    an untagged enum must differ), or cache a plain struct made from it";

/// Why bytes are not a value of the type asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the stored bytes are not a value of this type")]
    Malformed,
    #[error("`load` made no value of what is stored")]
    NotLoaded,
    #[error("the stored bytes go on behind the end of the value")]
    TrailingBytes,
    #[error("the stored value is larger than the limit of {MAX_VALUE} bytes")]
    TooLarge,
    #[error("the stored value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the stored value would take more than 256 MiB of memory")]
    TooMuchMemory,
}

/// Encodes `value` with the codec of the function or, where that does not read back, with the
/// fallback.
pub(crate) fn encode<T: Serialize + DeserializeOwned, F: Format>(
    value: &T,
) -> Result<Encoded, EncodeError> {
    let way = F::way::<T>();
    let write = |sink: &mut Sink| (way.write)(value, sink);
    let read_back: ReadBack =
        |id, bytes| digest::of(&decode::<T, F>(id, bytes)?).map_err(|_| DecodeError::Malformed);
    encode_verified(value, way.id, &write, read_back)
}

type Write<'a> = &'a dyn Fn(&mut Sink) -> Result<(), NotWritten>;
type ReadBack = fn(Id, &[u8]) -> Result<Digest, DecodeError>;

/// Not generic: compiled once. `write` writes with the function's own codec.
fn encode_verified(
    value: &dyn AnySerialize,
    own: Id,
    write: Write<'_>,
    read_back: ReadBack,
) -> Result<Encoded, EncodeError> {
    let digest = digest::of(value).map_err(|unwritable| EncodeError::NotReadable {
        why: match unwritable {
            Unwritable::TooDeep => TOO_DEEP,
            Unwritable::Refused => NOT_WRITABLE,
        },
    })?;
    if digest.top == Top::Err {
        return Err(EncodeError::IsError);
    }
    let verified = |codec, write: Write<'_>| {
        let bytes = written(write)?;
        verify(digest, read_back(codec, &bytes))?;
        let fell_back = codec != own;
        Ok(Encoded { codec, fell_back, bytes, none: digest.top == Top::None })
    };
    match verified(own, write) {
        Err(EncodeError::NotReadable { .. }) if own != Id::MsgPack => {
            verified(Id::MsgPack, &|sink| format::write_msgpack(value, sink))
        }
        encoded => encoded,
    }
}

fn written(write: Write<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut sink = Sink::default();
    write(&mut sink).map_err(|NotWritten| EncodeError::NotReadable { why: NOT_WRITABLE })?;
    if sink.size > MAX_VALUE {
        return Err(EncodeError::TooLarge { size: sink.size });
    }
    Ok(sink.bytes)
}

fn verify(digest: Digest, read_back: Result<Digest, DecodeError>) -> Result<(), EncodeError> {
    let why = match read_back {
        Ok(read_back) if read_back == digest => return Ok(()),
        Err(DecodeError::TooDeep) => TOO_DEEP,
        Err(DecodeError::TooMuchMemory) => TOO_MUCH_MEMORY,
        Ok(_)
        | Err(
            DecodeError::Malformed
            | DecodeError::NotLoaded
            | DecodeError::TrailingBytes
            | DecodeError::TooLarge,
        ) => NOT_THE_SAME,
    };
    Err(EncodeError::NotReadable { why })
}

/// Decodes a value from exactly these bytes, of the function's own codec or the fallback.
///
/// The bytes may be anything. What is left to the type: a value takes at most its `size_of` for
/// each byte read, and code of the user runs (a `Deserialize` impl that reserves what a length
/// claims gets a claim no longer than the input). What is left to a [`Codec`] of a user is
/// everything but the length of the input.
pub(crate) fn decode<T: Serialize + DeserializeOwned, F: Format>(
    id: Id,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if bytes.len() > MAX_VALUE {
        return Err(DecodeError::TooLarge);
    }
    let bounds = Bounds::new(bytes.len());
    let way = F::way::<T>();
    let decoded = if id == way.id {
        (way.read)(bytes, &bounds)
    } else if id == Id::MsgPack {
        format::read_msgpack_erased(bytes, &bounds)
    } else {
        Err(DecodeError::Malformed)
    };
    // A visitor may have swallowed the error of the part that went too far.
    match bounds.exceeded() {
        Some(Exceeded::Depth) => Err(DecodeError::TooDeep),
        Some(Exceeded::Memory) => Err(DecodeError::TooMuchMemory),
        None => decoded,
    }
}

#[cfg(test)]
mod tests;

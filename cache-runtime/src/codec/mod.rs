//! Values to bytes and back, in a form that is known to read back.
//!
//! Bincode writes positions only. A `Serialize` impl that leaves a field out, or a `Deserialize`
//! impl that asks the bytes what they are, breaks it, often without an error. What a type's impls do
//! cannot be asked beforehand, so each value is read back once before it may be stored: a digest of
//! what came out is compared with the digest of what went in. Where bincode fails this, named
//! `MessagePack` is tried; where that fails too, the value is not stored.
//!
//! What no codec can see is a difference that `Serialize` does not write: `serde(skip)`, a
//! `skip_serializing_if` whose skipped values are not all equal to the default, variants of an
//! untagged enum with the same fields, the order of a sequence that `Deserialize` builds in
//! another order.

mod bounds;
mod digest;

use std::io;

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Serialize};

use bounds::{Bounds, Exceeded};
use digest::{Digest, Top, Unwritable};

/// The most bytes an encoded value may have.
pub(crate) const MAX_VALUE: usize = 16 * 1024 * 1024;

/// How deep a value may be nested; each struct, sequence, `Some`, newtype and variant counts. Both
/// directions recurse on the stack of the caller, which has 2 MiB on a worker of tokio: this many
/// levels of a recursive struct of 350 bytes take less than 0.75 MiB of it in a debug build.
const MAX_DEPTH: usize = 128;

/// Types choose their form by this (an `IpAddr` is text or four bytes), so whatever looks at a type
/// has to give the same answer: both codecs, the digest, the fingerprint.
pub(crate) const HUMAN_READABLE: bool = false;

/// How an entry's payload is written. The number stands in the header of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Codec {
    Bincode = 1,
    MsgPack = 2,
}

impl Codec {
    pub(crate) fn id(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Codec::Bincode),
            2 => Some(Codec::MsgPack),
            _ => None,
        }
    }
}

pub(crate) struct Encoded {
    /// Not [`Codec::Bincode`] where the fallback was needed.
    pub(crate) codec: Codec,
    pub(crate) bytes: Vec<u8>,
    /// The value is a `None`.
    pub(crate) none: bool,
}

/// Why a value cannot be stored. The texts hold nothing of the value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("the value is an `Err`, and errors are not stored unless the attribute says which")]
    IsError,
    #[error(
        "the value takes {size} bytes and the limit is {MAX_VALUE}; \
         cache parts of it under keys of their own, or leave out what can be computed again"
    )]
    TooLarge { size: usize },
    #[error("the value is not stored, because it could not be read back: {why}")]
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
    #[error("the stored bytes go on behind the end of the value")]
    TrailingBytes,
    #[error("the stored value is larger than the limit of {MAX_VALUE} bytes")]
    TooLarge,
    #[error("the stored value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the stored value would take more than 256 MiB of memory")]
    TooMuchMemory,
}

/// Encodes `value` with the first codec that reads it back.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<Encoded, EncodeError> {
    let digest = digest::of(value).map_err(|unwritable| EncodeError::NotReadable {
        why: match unwritable {
            Unwritable::TooDeep => TOO_DEEP,
            Unwritable::Refused => NOT_WRITABLE,
        },
    })?;
    if digest.top == Top::Err {
        return Err(EncodeError::IsError);
    }
    let encoded = |codec, bytes| Encoded { codec, bytes, none: digest.top == Top::None };
    match encode_verified(Codec::Bincode, value, digest) {
        Ok(bytes) => Ok(encoded(Codec::Bincode, bytes)),
        Err(EncodeError::NotReadable { .. }) => {
            let bytes = encode_verified(Codec::MsgPack, value, digest)?;
            Ok(encoded(Codec::MsgPack, bytes))
        }
        Err(error) => Err(error),
    }
}

fn encode_verified<T: Serialize + DeserializeOwned>(
    codec: Codec,
    value: &T,
    digest: Digest,
) -> Result<Vec<u8>, EncodeError> {
    let refused = |why| EncodeError::NotReadable { why };
    let mut sink = Sink::default();
    let written = match codec {
        Codec::Bincode => bincode::serde::encode_into_writer(value, &mut sink, BINCODE).is_ok(),
        Codec::MsgPack => {
            let mut serializer = rmp_serde::Serializer::new(&mut sink).with_struct_map();
            value.serialize(&mut serializer).is_ok()
        }
    };
    if !written {
        return Err(refused(NOT_WRITABLE));
    }
    if sink.size > MAX_VALUE {
        return Err(EncodeError::TooLarge { size: sink.size });
    }
    let read: T = decode(codec, &sink.bytes).map_err(|error| match error {
        DecodeError::TooDeep => refused(TOO_DEEP),
        DecodeError::TooMuchMemory => refused(TOO_MUCH_MEMORY),
        DecodeError::Malformed | DecodeError::TrailingBytes | DecodeError::TooLarge => {
            refused(NOT_THE_SAME)
        }
    })?;
    match digest::of(&read) {
        Ok(digest_read) if digest_read == digest => Ok(sink.bytes),
        _ => Err(refused(NOT_THE_SAME)),
    }
}

/// Decodes a value from exactly these bytes.
///
/// The bytes may be anything. What is left to the type: a value takes at most its `size_of` for
/// each byte read, and code of the user runs (a `Deserialize` impl that reserves what a length
/// claims gets a claim no longer than the input).
pub(crate) fn decode<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_VALUE {
        return Err(DecodeError::TooLarge);
    }
    let bounds = Bounds::new(bytes.len());
    let decoded = match codec {
        Codec::Bincode => decode_bincode(bytes, &bounds),
        Codec::MsgPack => decode_msgpack(bytes, &bounds),
    };
    // A visitor may have swallowed the error of the part that went too far.
    match bounds.exceeded() {
        Some(Exceeded::Depth) => Err(DecodeError::TooDeep),
        Some(Exceeded::Memory) => Err(DecodeError::TooMuchMemory),
        None => decoded,
    }
}

/// Little endian, variable integers. No limit: bincode counts an integer by its width, not by the
/// bytes it takes, so that a limit of 16 MiB refuses 3 MiB of small numbers. The input is checked
/// before, and `Bounds` lets no length that the bytes claim reserve memory.
const BINCODE: bincode::config::Configuration = bincode::config::standard();

fn decode_bincode<T: DeserializeOwned>(bytes: &[u8], bounds: &Bounds) -> Result<T, DecodeError> {
    let (value, length) =
        bincode::serde::seed_decode_from_slice(bounds.seed::<T>(), bytes, BINCODE)
            .map_err(|_| DecodeError::Malformed)?;
    if length == bytes.len() { Ok(value) } else { Err(DecodeError::TrailingBytes) }
}

fn decode_msgpack<T: DeserializeOwned>(bytes: &[u8], bounds: &Bounds) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    let value =
        bounds.seed::<T>().deserialize(&mut deserializer).map_err(|_| DecodeError::Malformed)?;
    // This reader does not tell its position, but what the next marker is. A number is asked for,
    // because anything with parts could end early inside.
    match u8::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(DecodeError::TrailingBytes),
    }
}

/// Keeps the first `MAX_VALUE` bytes and counts them all, so that the size of a value that is too
/// large is known without holding it in memory.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    size: usize,
}

impl Sink {
    fn push(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len());
        if self.size <= MAX_VALUE {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl bincode::enc::write::Writer for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.push(bytes);
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

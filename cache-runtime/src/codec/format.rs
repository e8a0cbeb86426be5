//! The codecs themselves: how each writes a value, and how it reads one.

use std::io;
use std::marker::PhantomData;

use erased_serde::Serialize as AnySerialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::custom::Codec;
use super::source::Bounded;
use super::{DecodeError, Id, MAX_VALUE};
use crate::erased::{Erased, Stop};
use crate::feature;

/// What a function's values are written with: one of the types here.
pub trait Format {
    /// Part of the fingerprint.
    const NAME: &'static str;
    /// A user's own, which may be called like one of ours.
    const IS_OF_USER: bool = false;

    /// How a value of this type is written and read.
    fn way<T: Serialize + DeserializeOwned>() -> Way<T>;
}

/// How a value is written and read.
#[derive(Debug)]
pub struct Way<T> {
    pub(super) id: Id,
    pub(super) write: fn(&T, &mut Sink) -> Result<(), NotWritten>,
    pub(super) read: fn(&[u8], &Bounds) -> Result<T, DecodeError>,
}

/// The value has no form in this codec.
#[derive(Debug)]
pub(super) struct NotWritten;

/// The default: compact, positions only.
#[derive(Debug)]
pub enum Bincode {}

/// Named fields; reads back every shape that serde allows, so all others fall back to it.
#[derive(Debug)]
pub enum MsgPack {}

/// Compact and with a specification, for readers in other languages.
#[derive(Debug)]
pub struct Postcard<Feature = ()>(PhantomData<Feature>);

/// To be read by people and by anything.
#[derive(Debug)]
pub struct Json<Feature = ()>(PhantomData<Feature>);

/// A user's own. Not an impl for all [`Codec`]s: beside it, the compiler would no longer say which
/// feature is missing.
#[derive(Debug)]
pub struct Custom<C>(PhantomData<C>);

impl Format for Bincode {
    const NAME: &'static str = "bincode";

    fn way<T: Serialize + DeserializeOwned>() -> Way<T> {
        Way { id: Id::Bincode, write: |value, sink| write_bincode(value, sink), read: read_bincode }
    }
}

impl Format for MsgPack {
    const NAME: &'static str = "msgpack";

    fn way<T: Serialize + DeserializeOwned>() -> Way<T> {
        Way {
            id: Id::MsgPack,
            write: |value, sink| write_msgpack(value, sink),
            read: |bytes, bounds| {
                read_msgpack(bytes, |from| {
                    bounds.seed::<T>().deserialize(from).map_err(|_| DecodeError::Malformed)
                })
            },
        }
    }
}

impl<Feature> Format for Postcard<Feature>
where
    Feature: feature::Postcard,
{
    const NAME: &'static str = "postcard";

    fn way<T: Serialize + DeserializeOwned>() -> Way<T> {
        #[cfg(not(feature = "postcard"))]
        unreachable!("the feature is not enabled, so the bound does not hold");
        #[cfg(feature = "postcard")]
        Way {
            id: Id::Postcard,
            write: |value, sink| write_postcard(value, sink),
            read: read_postcard,
        }
    }
}

impl<Feature> Format for Json<Feature>
where
    Feature: feature::Json,
{
    const NAME: &'static str = "json";

    fn way<T: Serialize + DeserializeOwned>() -> Way<T> {
        #[cfg(not(feature = "json"))]
        unreachable!("the feature is not enabled, so the bound does not hold");
        #[cfg(feature = "json")]
        Way { id: Id::Json, write: |value, sink| write_json(value, sink), read: read_json }
    }
}

impl<C: Codec> Format for Custom<C> {
    const NAME: &'static str = C::NAME;
    const IS_OF_USER: bool = true;

    fn way<T: Serialize + DeserializeOwned>() -> Way<T> {
        Way {
            id: Id::Custom,
            write: |value, sink| {
                sink.push(&C::encode(value).map_err(|_| NotWritten)?);
                Ok(())
            },
            read: |bytes, _| C::decode(bytes).map_err(|_| DecodeError::Malformed),
        }
    }
}

/// Little endian, variable integers. No limit: bincode counts an integer by its width, not by the
/// bytes it takes, so that a limit of 16 MiB refuses 3 MiB of small numbers. The input is checked
/// before, and `Bounds` lets no length that the bytes claim reserve memory.
const BINCODE: bincode::config::Configuration = bincode::config::standard();

fn write_bincode(value: &dyn AnySerialize, sink: &mut Sink) -> Result<(), NotWritten> {
    bincode::serde::encode_into_writer(value, sink, BINCODE).map_err(|_| NotWritten)
}

fn read_bincode<T: DeserializeOwned>(bytes: &[u8], bounds: &Bounds) -> Result<T, DecodeError> {
    let (value, length) =
        bincode::serde::seed_decode_from_slice(bounds.seed::<T>(), bytes, BINCODE)
            .map_err(|_| DecodeError::Malformed)?;
    if length == bytes.len() { Ok(value) } else { Err(DecodeError::TrailingBytes) }
}

pub(super) fn write_msgpack(value: &dyn AnySerialize, sink: &mut Sink) -> Result<(), NotWritten> {
    let mut serializer = rmp_serde::Serializer::new(sink).with_struct_map();
    value.serialize(&mut serializer).map_err(|_| NotWritten)
}

type MsgPackReader<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

/// As the fallback: not what hits are made of.
pub(super) fn read_msgpack_erased<T: DeserializeOwned>(
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<T, DecodeError> {
    read_msgpack(bytes, |from| {
        T::deserialize(Erased::new(&mut Bounded::new(from, bounds.level())))
            .map_err(|Stop| DecodeError::Malformed)
    })
}

fn read_msgpack<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut MsgPackReader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    let value = read(&mut deserializer)?;
    // This reader does not tell its position, but what the next marker is. A number is asked for,
    // because anything with parts could end early inside.
    match u8::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(DecodeError::TrailingBytes),
    }
}

#[cfg(feature = "postcard")]
fn write_postcard(value: &dyn AnySerialize, sink: &mut Sink) -> Result<(), NotWritten> {
    postcard::to_io(value, sink).map(drop).map_err(|_| NotWritten)
}

#[cfg(feature = "postcard")]
fn read_postcard<T: DeserializeOwned>(bytes: &[u8], bounds: &Bounds) -> Result<T, DecodeError> {
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let value =
        bounds.seed::<T>().deserialize(&mut deserializer).map_err(|_| DecodeError::Malformed)?;
    match deserializer.finalize() {
        Ok([]) => Ok(value),
        _ => Err(DecodeError::TrailingBytes),
    }
}

#[cfg(feature = "json")]
fn write_json(value: &dyn AnySerialize, sink: &mut Sink) -> Result<(), NotWritten> {
    value.serialize(&mut serde_json::Serializer::new(sink)).map_err(|_| NotWritten)
}

/// White space behind the value is no other value.
#[cfg(feature = "json")]
fn read_json<T: DeserializeOwned>(bytes: &[u8], bounds: &Bounds) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        bounds.seed::<T>().deserialize(&mut deserializer).map_err(|_| DecodeError::Malformed)?;
    deserializer.end().map_err(|_| DecodeError::TrailingBytes)?;
    Ok(value)
}

/// Keeps the first `MAX_VALUE` bytes and counts them all, so that the size of a value that is too
/// large is known without holding it in memory.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) bytes: Vec<u8>,
    pub(super) size: usize,
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

//! What the fuzz targets name (`fuzz/README.md`). Behind the feature `__fuzzing`, and no part of the API.
//!
//! Thin: what is asserted stands in the targets.

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::codec::compression::Compression;
pub use crate::codec::{Bincode, Format, Json, MsgPack, Postcard};

use crate::codec::{self, compression};
use crate::entry::{self, Label, Life};
use crate::integrity::Integrity;
use crate::key::{Key, Segment};
use crate::store::{Old, lease_text};
use crate::tags::{self, Nonce, Stamp, Standing, Tag};

/// The most bytes of a value, encoded or expanded.
pub const MAX_VALUE: usize = codec::MAX_VALUE;
/// In bytes: of a header, which every entry has.
pub const HEADER: usize = entry::HEADER;
/// The most stamps of an entry, bytes of a tag's name, and bytes of a nonce.
pub const STAMPS: [usize; 3] = [tags::MOST, tags::LONGEST_NAME, tags::LONGEST_NONCE];

/// What one entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Born-at, due-at, ttl-end, end.
    pub life: [u64; 4],
    /// A number of a codec, and one of a compression.
    pub form: [u8; 2],
    /// An error's, and not a value's.
    pub is_error: bool,
    /// Names and nonces.
    pub stamps: Vec<(&'a [u8], &'a [u8])>,
    /// What is encoded, and perhaps compressed.
    pub payload: &'a [u8],
}

/// What stored bytes are to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The entry, and where its payload stands.
    Usable(Entry<'a>, Range<usize>),
    /// Another's.
    Foreign,
    /// Nobody's.
    Damaged,
    /// Not proven to be anybody's.
    Unauthenticated,
}

/// Who writes and reads entries of one key.
#[derive(Debug)]
pub struct Party {
    key: Key,
    fingerprint: u64,
    integrity: Option<Integrity>,
}

impl Party {
    /// Of the key `ns:{key}`.
    ///
    /// # Panics
    ///
    /// Never: a literal can be written.
    #[must_use]
    pub fn new(key: &'static str, fingerprint: u64, secret: Option<&[u8; 32]>) -> Self {
        let key = Key::render("ns", &[crate::private::literal(key)]).expect("it has no arguments");
        let integrity = secret.map(|secret| Integrity::new(secret, &[]));
        Self { key, fingerprint, integrity }
    }

    /// `None` where the numbers of codec and compression are of none.
    #[must_use]
    pub fn seal(&self, entry: &Entry<'_>) -> Option<Vec<u8>> {
        let [born_at, due_at, ttl_end, end] = entry.life;
        let [codec, compressed] = entry.form;
        let stamps: Vec<_> =
            entry.stamps.iter().map(|&(name, nonce)| Stamp { name, nonce }).collect();
        let written =
            entry::Written { codec: codec::Id::from_number(codec)?, is_error: entry.is_error };
        let label = Label {
            life: Life { born_at, due_at, ttl_end, end },
            fingerprint: self.fingerprint,
            key: &self.key,
            written,
            compressed: compression::Compressed::from_number(compressed)?,
            none: false,
            stamps: &stamps,
            integrity: self.integrity.as_ref(),
        };
        Some(entry::seal(&label, entry.payload))
    }

    /// Finds its own entry.
    #[must_use]
    pub fn find<'s>(&self, stored: &'s [u8]) -> Found<'s> {
        let found = entry::find(stored, self.fingerprint, &self.key, self.integrity.as_ref());
        match found {
            entry::Found::Usable(found) => {
                let Life { born_at, due_at, ttl_end, end } = found.life;
                let place = found.place.clone();
                let entry = Entry {
                    life: [born_at, due_at, ttl_end, end],
                    form: [found.written.codec.number(), found.compressed.number()],
                    is_error: found.written.is_error,
                    stamps: found.stamps.map(|stamp| (stamp.name, stamp.nonce)).collect(),
                    payload: found.payload,
                };
                Found::Usable(entry, place)
            }
            entry::Found::Foreign(_) | entry::Found::Ended => Found::Foreign,
            entry::Found::Damaged(_) => Found::Damaged,
            entry::Found::Unauthenticated => Found::Unauthenticated,
        }
    }

    /// Makes of any bytes an entry of this party as far as whoever knows the format can.
    pub fn forge(&self, bytes: &mut Vec<u8>) {
        bytes.resize(bytes.len().max(HEADER), 0);
        entry::forge(bytes, self.fingerprint, &self.key);
    }

    /// What a commit of this party keeps of what is stored.
    #[must_use]
    pub fn keeps<'s>(&self, stored: &'s [u8]) -> Option<&'s [u8]> {
        entry::other_than(stored, self.fingerprint)
    }

    /// The names in its own entry, which nobody has checked.
    #[must_use]
    pub fn stamped_names<'s>(&self, stored: &'s [u8]) -> Vec<&'s str> {
        entry::stamped_names(stored, self.fingerprint).collect()
    }
}

/// Where `expire` patches.
#[must_use]
pub fn due_offsets(stored: &[u8]) -> Vec<usize> {
    entry::due_offsets(stored).collect()
}

/// The codec that was used, and the bytes; `None` where the value is not to be stored.
#[must_use]
pub fn encode<T: Serialize + DeserializeOwned, F: Format>(value: &T) -> Option<(u8, Vec<u8>)> {
    let encoded = codec::encode::<T, F>(value).ok()?;
    Some((encoded.codec.number(), encoded.bytes))
}

/// A value of a function with this codec, from bytes that an entry says are of the other.
#[must_use]
pub fn decode<T: Serialize + DeserializeOwned, F: Format>(codec: u8, bytes: &[u8]) -> Option<T> {
    codec::decode::<T, F>(codec::Id::from_number(codec)?, bytes).ok()
}

/// As it is stored.
#[must_use]
pub fn compress(how: Compression, plain: &[u8]) -> (u8, Cow<'_, [u8]>) {
    let (by, bytes) = compression::compress(how, plain);
    (by.number(), bytes)
}

/// As it was.
#[must_use]
pub fn expand(by: u8, stored: &[u8]) -> Option<Cow<'_, [u8]>> {
    compression::expand(compression::Compressed::from_number(by)?, stored).ok()
}

/// The full name of an entry.
#[must_use]
pub fn key(namespace: &str, segments: &[Segment<'_>]) -> Option<String> {
    Some(Key::render(namespace, segments).ok()?.name().to_owned())
}

/// A nonce, counted up.
#[must_use]
pub fn expired(nonce: &[u8]) -> Vec<u8> {
    tags::expired(nonce)
}

/// Of two nonces of one tag the one that was expired less often.
#[must_use]
pub fn older(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let (one, other) = (Nonce::new(one.to_vec())?, Nonce::new(other.to_vec())?);
    one.older(&other).map(|older| older.bytes().to_vec())
}

/// Whether an entry with this stamp is usable where the tag's nonce is the other; `Some(true)`: stale.
#[must_use]
pub fn stands(name: &str, stamp: &[u8], nonce: Option<&[u8]>) -> Option<bool> {
    let tag = [Tag::stamped("ns", name)];
    let stamps = [Stamp { name: name.as_bytes(), nonce: stamp }];
    let nonces = [nonce.and_then(|nonce| Nonce::new(nonce.to_vec()))];
    match tags::judge(&stamps.into_iter(), &tag, &tag, &nonces) {
        Standing::Current => Some(false),
        Standing::Expired => Some(true),
        Standing::Void => None,
    }
}

/// What is written into a lease, and read from it again.
#[must_use]
pub fn pass(until_ms: u64, failures: u32) -> String {
    lease_text::pass(until_ms, failures, Old::Serves)
}

/// Until when, and after how many failures.
#[must_use]
pub fn parse_pass(content: &str) -> Option<(u64, u32)> {
    let _ = lease_text::failures(content);
    lease_text::parse_pass(content).map(|(until_ms, failures, _)| (until_ms, failures))
}

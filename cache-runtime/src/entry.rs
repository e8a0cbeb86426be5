//! What is stored under one key: a header and a payload.
//!
//! All numbers are little-endian; times are milliseconds since the epoch on the server's clock.
//!
//! | at | bytes | field |
//! |---:|---:|---|
//! | 0 | 3 | magic `rce` |
//! | 3 | 1 | format version, 1 |
//! | 4 | 4 | length of all that follows here, from the magic to the end |
//! | 8 | 8 | checksum: XXH3-64 of everything else, with due-at counted as zero |
//! | 16 | 8 | due-at: from here on a hit is stale; 0 after `expire` |
//! | 24 | 8 | born-at: when the computation began |
//! | 32 | 8 | ttl-end |
//! | 40 | 8 | fingerprint of function, value type, version and codec |
//! | 48 | 16 | XXH3-128 of the full key |
//! | 64 | 1 | codec |
//! | 65 | 1 | compression |
//! | 66 | 1 | flags: 1 = `None`, 2 = an error, 4 = with a MAC |
//! | 67 | 1 | number of stamps, at most 32 |
//! | 68 | 8 | end: until then it is kept, to be served if computing a new one fails; never before ttl-end |
//! | 76 | | the stamps, one behind the other |
//! | behind them | | payload |
//! | at the end | 32 | where its flag is set: a MAC of everything else and of the full key (see `integrity.rs`), with due-at and checksum counted as zero; the checksum covers it |
//!
//! A stamp says which nonce a tag had before the computation began (see `tags.rs`):
//!
//! | bytes | field |
//! |---:|---|
//! | 1 | length of the name, 1 to 128 |
//! | 1 | length of the nonce, 1 to 64 |
//! | | name |
//! | | nonce |
//!
//! A stored string holds one entry and, behind it, at most one more of another fingerprint, so that
//! the two sides of a rolling deploy do not overwrite each other. `scripts/commit.lua` and
//! `scripts/expire.lua` read the same offsets.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::codec;
use crate::codec::compression::Compressed;
use crate::integrity::{Content, Integrity, MAC};
use crate::key::Key;
use crate::rejection::Rejection;
use crate::tags::{self, Stamp};

pub(crate) const HEADER: usize = 76;
pub(crate) const DUE_AT: usize = 16;
const MAGIC: [u8; 4] = *b"rce\x01";
const TTL_END: usize = 32;
const FINGERPRINT: Range<usize> = 40..48;
const FLAGS: usize = 66;
const STAMPS: usize = 67;
const END: usize = 68;
const FLAG_NONE: u8 = 1;
const FLAG_ERROR: u8 = 2;
const FLAG_MAC: u8 = 4;

/// The moments of an entry's life, on the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) born_at: u64,
    pub(crate) due_at: u64,
    pub(crate) ttl_end: u64,
    /// From `ttl_end` until here it is kept, and served if computing a new one fails.
    pub(crate) end: u64,
}

impl Life {
    /// Whether it may be there past its ttl.
    pub(crate) fn is_kept(&self) -> bool {
        self.end > self.ttl_end
    }
}

/// Everything an entry says about itself besides its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) life: Life,
    pub(crate) fingerprint: u64,
    pub(crate) key: &'a Key,
    pub(crate) written: Written,
    pub(crate) compressed: Compressed,
    pub(crate) none: bool,
    pub(crate) stamps: &'a [Stamp<'a>],
    /// Where entries carry a MAC.
    pub(crate) integrity: Option<&'a Integrity>,
}

/// What a payload is, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) codec: codec::Id,
    pub(crate) is_error: bool,
}

/// A usable entry inside the bytes that were read.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) life: Life,
    pub(crate) written: Written,
    pub(crate) compressed: Compressed,
    pub(crate) stamps: Stamps<'a>,
    pub(crate) payload: &'a [u8],
    /// Where the payload stands in the bytes that were read.
    pub(crate) place: Range<usize>,
}

/// The stamps of an entry, as they stand in it.
#[derive(Clone, Debug)]
pub(crate) struct Stamps<'a>(&'a [u8]);

impl<'a> Iterator for Stamps<'a> {
    type Item = Stamp<'a>;

    fn next(&mut self) -> Option<Stamp<'a>> {
        let (stamp, rest) = split_stamp(self.0)?;
        self.0 = rest;
        Some(stamp)
    }
}

/// What the bytes under a key are to one reader.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Usable(Entry<'a>),
    /// Written by another function, type, version or format: not ours to use, nor to remove.
    Foreign(Rejection),
    Damaged(Rejection),
    /// As a cache writes it, but for all that is known not one with this cache's secret, nor for this key.
    Unauthenticated,
    /// Past its end, with which Redis should have removed it.
    Ended,
}

/// Enough of a stored string to recognise it again: its first bytes and its length.
///
/// A take or a compare-and-delete goes through only where these still match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    head: [u8; HEADER],
    pub(crate) length: usize,
}

impl Judged {
    pub(crate) const ABSENT: Self = Self { head: [0; HEADER], length: 0 };

    pub(crate) fn of(stored: &[u8]) -> Self {
        let mut head = [0; HEADER];
        let known = stored.len().min(HEADER);
        head[..known].copy_from_slice(&stored[..known]);
        Self { head, length: stored.len() }
    }

    /// The fingerprint of the first entry, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        (self.length >= HEADER).then(|| u64_at(&self.head, FINGERPRINT.start))
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head[..self.length.min(HEADER)]
    }
}

/// Lays out one entry as it is stored.
pub(crate) fn seal(label: &Label<'_>, payload: &[u8]) -> Vec<u8> {
    let of_stamps: usize =
        label.stamps.iter().map(|stamp| 2 + stamp.name.len() + stamp.nonce.len()).sum();
    let of_mac = if label.integrity.is_some() { MAC } else { 0 };
    let length = HEADER + of_stamps + payload.len() + of_mac;
    let stored_length = u32::try_from(length)
        .expect("the codec refuses values above its limit, which is far below 4 GiB");
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&stored_length.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&label.life.due_at.to_le_bytes());
    out.extend_from_slice(&label.life.born_at.to_le_bytes());
    out.extend_from_slice(&label.life.ttl_end.to_le_bytes());
    out.extend_from_slice(&label.fingerprint.to_le_bytes());
    out.extend_from_slice(&label.key.digest().to_le_bytes());
    let none = if label.none { FLAG_NONE } else { 0 };
    let error = if label.written.is_error { FLAG_ERROR } else { 0 };
    let mac = if label.integrity.is_some() { FLAG_MAC } else { 0 };
    let count = one_byte(label.stamps.len(), tags::MOST);
    let (codec, compressed) = (label.written.codec.number(), label.compressed.number());
    out.extend_from_slice(&[codec, compressed, none | error | mac, count]);
    out.extend_from_slice(&label.life.end.to_le_bytes());
    for stamp in label.stamps {
        out.push(one_byte(stamp.name.len(), tags::LONGEST_NAME));
        out.push(one_byte(stamp.nonce.len(), tags::LONGEST_NONCE));
        out.extend_from_slice(stamp.name);
        out.extend_from_slice(stamp.nonce);
    }
    out.extend_from_slice(payload);
    if let Some(integrity) = label.integrity {
        let mac = integrity.mac(label.key, content(&out));
        out.extend_from_slice(&mac);
    }
    let sum = checksum(&out);
    out[8..16].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Finds the reader's own entry among the one or two that are stored. With `integrity` it has to prove who wrote it.
pub(crate) fn find<'s>(
    stored: &'s [u8],
    fingerprint: u64,
    key: &Key,
    integrity: Option<&Integrity>,
) -> Found<'s> {
    let mut rest = stored;
    for _ in 0..2 {
        let Some(entry) = split_first(rest) else {
            // A format we do not know is somebody's newer one; anything else is broken.
            let newer = rest.len() >= 4 && rest[..3] == MAGIC[..3] && rest[3] != MAGIC[3];
            let begins = rest.len() >= HEADER && rest[..4] == MAGIC;
            return match (newer, begins) {
                (true, _) => Found::Foreign(Rejection::Format),
                (false, true) => Found::Damaged(Rejection::Length),
                (false, false) => Found::Damaged(Rejection::Magic),
            };
        };
        if u64_at(entry, FINGERPRINT.start) == fingerprint {
            return open(entry, stored.len() - rest.len(), key, integrity);
        }
        rest = &rest[entry.len()..];
        if rest.is_empty() {
            break;
        }
    }
    Found::Foreign(Rejection::Fingerprint)
}

/// The names in the stamps of the reader's own entry, which nobody has checked yet.
pub(crate) fn stamped_names(stored: &[u8], fingerprint: u64) -> impl Iterator<Item = &str> {
    let stamps = own(stored, fingerprint).and_then(split_stamps);
    let stamps = stamps.map_or(Stamps(&[]), |(stamps, _)| stamps);
    stamps.filter_map(|stamp| std::str::from_utf8(stamp.name).ok())
}

fn own(stored: &[u8], fingerprint: u64) -> Option<&[u8]> {
    let first = split_first(stored);
    let second = first.and_then(|first| split_first(&stored[first.len()..]));
    let mut both = [first, second].into_iter().flatten();
    both.find(|entry| u64_at(entry, FINGERPRINT.start) == fingerprint)
}

/// The live entry of another fingerprint that a commit has to keep behind its own.
pub(crate) fn other_than(stored: &[u8], fingerprint: u64) -> Option<&[u8]> {
    let first = split_first(stored)?;
    if u64_at(first, FINGERPRINT.start) != fingerprint {
        return Some(first);
    }
    let second = split_first(&stored[first.len()..])?;
    (u64_at(second, FINGERPRINT.start) != fingerprint).then_some(second)
}

/// The offsets of due-at in every entry stored, for `expire`.
pub(crate) fn due_offsets(stored: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let first = split_first(stored).map(<[u8]>::len);
    let second = first.filter(|&length| split_first(&stored[length..]).is_some());
    [first.map(|_| DUE_AT), second.map(|length| length + DUE_AT)].into_iter().flatten()
}

/// The fingerprint in a sealed entry, which a commit names to the store.
pub(crate) fn fingerprint_of(sealed: &[u8]) -> u64 {
    u64_at(sealed, FINGERPRINT.start)
}

/// The end of an entry's own ttl, whatever stands beside it.
pub(crate) fn ttl_end_of(entry: &[u8]) -> u64 {
    u64_at(entry, TTL_END)
}

/// Until when an entry is to be there.
pub(crate) fn end_of(entry: &[u8]) -> u64 {
    u64_at(entry, END)
}

/// Whether the reader's own entry may be there past its ttl, so that the server's time has to be known. Nobody has
/// checked it yet.
pub(crate) fn may_be_past(stored: &[u8], fingerprint: u64) -> bool {
    own(stored, fingerprint).is_some_and(|entry| end_of(entry) > ttl_end_of(entry))
}

fn open<'s>(entry: &'s [u8], offset: usize, key: &Key, integrity: Option<&Integrity>) -> Found<'s> {
    let (Some(codec), Some(compressed)) =
        (codec::Id::from_number(entry[64]), Compressed::from_number(entry[65]))
    else {
        return Found::Foreign(Rejection::Codec);
    };
    if u64_at(entry, 8) != checksum(entry) {
        return Found::Damaged(Rejection::Checksum);
    }
    if entry[48..64] != key.digest().to_le_bytes() {
        return Found::Damaged(Rejection::Key);
    }
    let parts = split_mac(entry)
        .and_then(|(covered, mac)| split_stamps(covered).map(|parts| (covered, mac, parts)));
    let Some((covered, mac, (stamps, payload))) = parts else {
        return Found::Damaged(Rejection::Layout);
    };
    if let Some(integrity) = integrity
        && !mac.is_some_and(|mac| integrity.accepts(key, content(covered), mac))
    {
        return Found::Unauthenticated;
    }
    let payload_at = covered.len() - payload.len();
    Found::Usable(Entry {
        life: Life {
            due_at: u64_at(entry, DUE_AT),
            born_at: u64_at(entry, 24),
            ttl_end: u64_at(entry, TTL_END),
            end: u64_at(entry, END),
        },
        written: Written { codec, is_error: entry[FLAGS] & FLAG_ERROR != 0 },
        compressed,
        stamps,
        payload,
        place: offset + payload_at..offset + covered.len(),
    })
}

/// An entry without its MAC, and that, if it has one; `None` where there is no room for what its flags say.
fn split_mac(entry: &[u8]) -> Option<(&[u8], Option<&[u8; MAC]>)> {
    if entry[FLAGS] & FLAG_MAC == 0 {
        return Some((entry, None));
    }
    let (covered, mac) = entry.split_last_chunk()?;
    (covered.len() >= HEADER).then_some((covered, Some(mac)))
}

/// The stamps of an entry and its payload; `None` where they are not as any entry has them.
fn split_stamps(entry: &[u8]) -> Option<(Stamps<'_>, &[u8])> {
    let count = usize::from(entry[STAMPS]);
    if count > tags::MOST {
        return None;
    }
    let behind = &entry[HEADER..];
    let mut payload = behind;
    for _ in 0..count {
        payload = split_stamp(payload)?.1;
    }
    Some((Stamps(&behind[..behind.len() - payload.len()]), payload))
}

fn split_stamp(bytes: &[u8]) -> Option<(Stamp<'_>, &[u8])> {
    let &[of_name, of_nonce, ref rest @ ..] = bytes else { return None };
    let (of_name, of_nonce) = (usize::from(of_name), usize::from(of_nonce));
    let allowed = (1..=tags::LONGEST_NAME).contains(&of_name)
        && (1..=tags::LONGEST_NONCE).contains(&of_nonce);
    let (name, rest) = rest.split_at_checked(of_name).filter(|_| allowed)?;
    let (nonce, rest) = rest.split_at_checked(of_nonce)?;
    Some((Stamp { name, nonce }, rest))
}

fn one_byte(length: usize, most: usize) -> u8 {
    debug_assert!(length <= most, "{length} is more than an entry may hold");
    u8::try_from(length).expect("what stands in a stamp is limited where it is made")
}

fn split_first(stored: &[u8]) -> Option<&[u8]> {
    if stored.len() < HEADER || stored[..4] != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes([stored[4], stored[5], stored[6], stored[7]]) as usize;
    (HEADER..=stored.len()).contains(&length).then(|| &stored[..length])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// Makes of any bytes, a header at least, an entry that all but a MAC speaks for.
#[cfg(feature = "__fuzzing")]
pub(crate) fn forge(bytes: &mut [u8], fingerprint: u64, key: &Key) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[FINGERPRINT].copy_from_slice(&fingerprint.to_le_bytes());
    bytes[48..64].copy_from_slice(&key.digest().to_le_bytes());
    let sum = checksum(bytes);
    bytes[8..16].copy_from_slice(&sum.to_le_bytes());
}

/// What a MAC is of: an entry in front of it, as it is whatever becomes of its checksum and of due-at.
fn content(covered: &[u8]) -> Content {
    Content::of([&covered[..8], &[0; 16], &covered[DUE_AT + 8..]])
}

fn checksum(entry: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&entry[..8]);
    hash.update(&[0; 8]);
    hash.update(&entry[DUE_AT + 8..]);
    hash.digest()
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;

//! Tags: names shared by many entries, which are invalidated together.
//!
//! Pure. Under a tag's key the store keeps a nonce, which never comes back once it is gone. An entry
//! carries as stamps the nonces that its tags had when its body began, and is usable only while each of
//! them is still there. So to invalidate a tag is to remove one key, and whatever else removes it
//! (eviction, the end of its life, `FLUSHALL`) errs on the safe side. To expire a tag is to count its
//! nonce up: `nonce~1` says that what carries `nonce` is stale.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use crate::faults::{self, Fault};
use crate::key::{self, Piece, Segment};

/// An entry has at most this many.
pub(crate) const MOST: usize = 32;
/// Above this many bytes, a digest takes the place of what is behind the head of a name.
pub(crate) const LONGEST_NAME: usize = 128;
/// What the store makes is 49 bytes, until microseconds have 17 digits, and what counts it up a few more.
pub(crate) const LONGEST_NONCE: usize = 64;
/// With the brace and the digest, 65 bytes, it stays within the longest name.
const HEAD: usize = LONGEST_NAME / 2 - 1;

/// One tag, and where its nonce is stored: `ns.tag:{team:7}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    key: String,
    /// Where in the key the name begins.
    start: usize,
}

impl Tag {
    /// The tag that is called so.
    ///
    /// Whoever invalidates a tag writes it as a text, with `format!`. So a name is a function of the
    /// text as a whole, and not, as in a key, of its pieces: two tags that read alike are one. The error
    /// is on the safe side, that too much is invalidated.
    pub(crate) fn named(namespace: &str, text: &str) -> Self {
        Self::stamped(namespace, &name(text))
    }

    /// The tag whose name, as it stands in a stamp, is this.
    pub(crate) fn stamped(namespace: &str, name: &str) -> Self {
        let key = format!("{namespace}.tag:{{{name}}}");
        let start = namespace.len() + ".tag:{".len();
        Self { key, start }
    }

    /// What stands in a stamp: the key without what is the same for all.
    pub(crate) fn name(&self) -> &str {
        &self.key[self.start..self.key.len() - 1]
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// What a template says for some arguments; `None` where one of them is, and so there is no such tag.
pub(crate) fn text(segments: &[Segment<'_>]) -> Result<Option<String>, fmt::Error> {
    let mut text = String::new();
    for segment in segments {
        match segment.0 {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Value(value) => write!(text, "{value}")?,
            Piece::Absent => return Ok(None),
        }
    }
    Ok(Some(text))
}

/// The name of the tag of all entries of a cache. No text gives it: a `%` of theirs is escaped.
pub(crate) const EVERYTHING: &str = "%all";

/// What a tag that is written so is called in the store and in stamps.
pub(crate) fn name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '%') || c.is_whitespace() || c.is_control() {
            key::push_escaped(&mut name, c);
        } else {
            name.push(c);
        }
    }
    if name.is_empty() {
        // A stamp has a name. Behind a `%` of a text stand two hexadecimal digits.
        name.push_str("%empty");
    }
    if name.len() > LONGEST_NAME {
        let digest = blake3::hash(name.as_bytes()).to_hex();
        let head = (0..=HEAD).rev().find(|&at| name.is_char_boundary(at));
        name.truncate(head.unwrap_or(0));
        // No text leaves a raw brace, so none can be chosen to look like the digest of another.
        name.push('{');
        name.push_str(&digest);
    }
    name
}

/// What is stored under a tag. Made unique by the server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Nonce(Bytes);

impl Nonce {
    /// `None` for what no store has made: it could not be told from another in a stamp.
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        (1..=LONGEST_NONCE).contains(&bytes.len()).then_some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What an entry may carry that depends on both: the one that was expired less often. `None` where
    /// the tag was invalidated between the two.
    pub(crate) fn older<'n>(&'n self, other: &'n Self) -> Option<&'n Self> {
        let ((mine, count), (theirs, other_count)) = (parts(&self.0), parts(&other.0));
        (mine == theirs).then_some(if count <= other_count { self } else { other })
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", String::from_utf8_lossy(&self.0))
    }
}

/// The nonce itself, and how often it was expired.
fn parts(nonce: &[u8]) -> (&[u8], u64) {
    let Some(at) = nonce.iter().rposition(|&byte| byte == b'~') else { return (nonce, 0) };
    let count = std::str::from_utf8(&nonce[at + 1..]).ok().and_then(|count| count.parse().ok());
    count.map_or((nonce, 0), |count| (&nonce[..at], count))
}

/// The nonce after it has been expired once more; `capture.lua` and `expire_tags.lua` know the same form.
pub(crate) fn expired(nonce: &[u8]) -> Vec<u8> {
    let (nonce, count) = parts(nonce);
    let mut next = nonce.to_vec();
    next.extend_from_slice(format!("~{}", count.saturating_add(1)).as_bytes());
    next
}

/// What an entry says of one of its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) nonce: &'a [u8],
}

/// What an entry is, as far as its tags are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None of its tags has been invalidated since its body began.
    Current,
    /// Nor that; but one was expired.
    Expired,
    Void,
}

/// Judges an entry by its stamps and by the nonces that were read with it.
///
/// A nonce that is missing, a stamp whose tag was not asked for, and a tag of `declared` without a stamp
/// all make it void: nothing is known of them.
pub(crate) fn judge<'s>(
    stamps: &(impl Iterator<Item = Stamp<'s>> + Clone),
    declared: &[Tag],
    asked: &[Tag],
    read: &[Option<Nonce>],
) -> Standing {
    let mut standing = Standing::Current;
    if faults::on(Fault::StampsUnread) {
        return standing;
    }
    for stamp in stamps.clone() {
        let is_its = |(tag, _): &(&Tag, _)| tag.name().as_bytes() == stamp.name;
        let read = asked.iter().zip(read).find(is_its).and_then(|(_, nonce)| nonce.as_ref());
        match read {
            Some(nonce) if nonce.0 == stamp.nonce => {}
            None if faults::on(Fault::MissingNonceMatches) => {}
            Some(nonce) if parts(&nonce.0).0 == parts(stamp.nonce).0 => {
                standing = Standing::Expired;
            }
            _ => return Standing::Void,
        }
    }
    let has_stamp = |tag: &Tag| stamps.clone().any(|stamp| stamp.name == tag.name().as_bytes());
    let complete = declared.iter().all(has_stamp) || faults::on(Fault::UndeclaredAccepted);
    if complete { standing } else { Standing::Void }
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;

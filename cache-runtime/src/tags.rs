//! Tags: names shared by many entries, which are invalidated together.
//!
//! Pure. Under a tag's key the store keeps a nonce, which never comes back once it is gone. An entry
//! carries as stamps the nonces that were captured before its body began, and is usable only while
//! each of them is still there. So to invalidate a tag is to remove one key, and whatever else removes
//! it (eviction, the end of its life, `FLUSHALL`) errs on the safe side.

use std::fmt;

use crate::key::{self, Segment};

/// An entry has at most this many.
pub(crate) const MOST: usize = 32;
/// Above this many bytes, a digest takes the place of the values in a name.
pub(crate) const LONGEST_NAME: usize = 128;
/// What the store makes is 49 bytes, until microseconds have 17 digits.
pub(crate) const LONGEST_NONCE: usize = 64;

/// One tag, and where its nonce is stored: `ns.tag:{team:7}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    key: String,
    /// Where in the key the name begins.
    start: usize,
}

impl Tag {
    /// Renders a tag as a key is rendered: different arguments give different tags.
    pub(crate) fn render(namespace: &str, segments: &[Segment<'_>]) -> Result<Self, fmt::Error> {
        let mut key = String::with_capacity(namespace.len() + 64);
        key.push_str(namespace);
        key.push_str(".tag:{");
        let start = key.len();
        key::render_between(&mut key, start, segments, LONGEST_NAME)?;
        key.push('}');
        Ok(Self { key, start })
    }

    /// What stands in a stamp: the key without what is the same for all.
    pub(crate) fn name(&self) -> &[u8] {
        &self.key.as_bytes()[self.start..self.key.len() - 1]
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Which of several connections carries requests that concern this tag only.
    pub(crate) fn lane(&self, lanes: usize) -> usize {
        key::lane_of(&self.key, lanes)
    }
}

/// What is stored under a tag. Made unique by the server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Nonce(Vec<u8>);

impl Nonce {
    /// `None` for what no store has made: it could not be told from another in a stamp.
    pub(crate) fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=LONGEST_NONCE).contains(&bytes.len()).then_some(Self(bytes))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", String::from_utf8_lossy(&self.0))
    }
}

/// What an entry says of one of its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) nonce: &'a [u8],
}

/// The stamps of an entry whose computation begins now.
pub(crate) fn stamps<'a>(tags: &'a [Tag], captured: &'a [Nonce]) -> Vec<Stamp<'a>> {
    let stamp = |(tag, nonce): (&'a Tag, &'a Nonce)| Stamp { name: tag.name(), nonce: &nonce.0 };
    tags.iter().zip(captured).map(stamp).collect()
}

/// Whether an entry is usable, as far as its tags are concerned: it has a stamp for each tag that was
/// asked for, and each of its stamps equals the nonce that was read for it, by the same request as the
/// entry.
///
/// A stamp whose tag was not asked for is one too many: nothing is known of it.
pub(crate) fn hold<'s>(
    stamps: &(impl Iterator<Item = Stamp<'s>> + Clone),
    asked: &[Tag],
    read: &[Option<Nonce>],
) -> bool {
    let is_current = |stamp: Stamp<'_>| {
        let mut read = asked.iter().zip(read).filter(|(tag, _)| tag.name() == stamp.name);
        read.any(|(_, nonce)| nonce.as_ref().is_some_and(|nonce| nonce.0 == stamp.nonce))
    };
    stamps.clone().all(is_current)
        && asked.iter().all(|tag| stamps.clone().any(|stamp| stamp.name == tag.name()))
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;

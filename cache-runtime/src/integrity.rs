//! Keyed integrity: who has written an entry, and for which key.
//!
//! Pure. An entry ends in a MAC that only those can make who have the secret: keyed BLAKE3 of the full key and of the
//! entry as it was written. What `expire` patches, due-at, is counted as zero, and so is the checksum, which comes later.
//!
//! A MAC says that a cache with this secret has written these bytes for this key. That they are the last it has written
//! it does not say: against one who puts an older entry back there is only its `ttl_end`, which is under the MAC.

use std::fmt;

use crate::key::Key;

/// In bytes: of a MAC.
pub(crate) const MAC: usize = 32;
/// In bytes. What is shorter could be guessed from one entry.
pub(crate) const SHORTEST_SECRET: usize = 32;
/// Secrets that are accepted besides one's own: as many MACs are made for a forged entry.
pub(crate) const MOST_ACCEPTED: usize = 4;

/// So that one secret may serve other ends as well. Another format of entries gets another text.
const CONTEXT: &str = "redis-cached 2026-12 integrity of entries, format 1";

/// What is made of a secret, which itself is not kept.
struct MacKey([u8; blake3::KEY_LEN]);

impl MacKey {
    fn of(secret: &[u8]) -> Self {
        Self(blake3::derive_key(CONTEXT, secret))
    }
}

/// By what this cache makes MACs, and whose it accepts.
pub(crate) struct Integrity {
    own: MacKey,
    accepted: Vec<MacKey>,
}

/// What an entry says besides its MAC, in one value: however many secrets are tried, its bytes are read once.
#[derive(Clone, Copy)]
pub(crate) struct Content(blake3::Hash);

impl Content {
    /// Of what is left when these parts of an entry are put one behind the other.
    pub(crate) fn of(parts: [&[u8]; 3]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize())
    }
}

impl Integrity {
    pub(crate) fn new(own: &[u8], accepted: &[Vec<u8>]) -> Self {
        let accepted = accepted.iter().map(|secret| MacKey::of(secret)).collect();
        Self { own: MacKey::of(own), accepted }
    }

    pub(crate) fn mac(&self, key: &Key, content: Content) -> [u8; MAC] {
        *mac(&self.own, key, content).as_bytes()
    }

    /// In constant time for each secret.
    pub(crate) fn accepts(&self, key: &Key, content: Content, given: &[u8; MAC]) -> bool {
        let given = blake3::Hash::from_bytes(*given);
        std::iter::once(&self.own).chain(&self.accepted).any(|of| mac(of, key, content) == given)
    }
}

/// The content is of one length, so nothing of the key can be taken for a part of it.
fn mac(with: &MacKey, key: &Key, Content(content): Content) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&with.0);
    hasher.update(content.as_bytes());
    hasher.update(key.name().as_bytes());
    hasher.finalize()
}

impl fmt::Debug for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Integrity({} accepted)", 1 + self.accepted.len())
    }
}

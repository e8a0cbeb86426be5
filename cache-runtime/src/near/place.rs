//! Where the copy of a call's value is: a hash of the function and its arguments, for which no key is rendered.

use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::key::{Piece, Segment};
use crate::site::Site;

/// Of this process and random: arguments come from users, who must not be able to choose two that meet.
#[derive(Clone, Copy)]
pub(crate) struct Secret(pub(super) u64, pub(super) u64);

/// What a call's value is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u128);

impl Default for Secret {
    /// By the generator that the operating system seeds for maps.
    fn default() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0_u64), random.hash_one(1_u64))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn hasher(self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }

    /// `None` where an argument's `Display` fails.
    ///
    /// By the function itself, and not by what tells its entries apart: what two functions make of one entry
    /// (`same_entries_as`, `load`) may differ.
    pub(crate) fn place(
        self,
        site: &'static Site,
        owner: &str,
        segments: &[Segment<'_>],
    ) -> Option<Place> {
        let mut hasher = self.hasher();
        hasher.write_usize(std::ptr::from_ref(site).addr());
        write_whole(&mut hasher, owner.as_bytes());
        write_all(&mut hasher, segments).ok()?;
        Some(Place(hasher.finish128().as_u128()))
    }

    /// The same of a call with these tags: what differs in them is another entry.
    pub(crate) fn tagged(self, place: Place, tags: &[&[Segment<'_>]]) -> Option<Place> {
        let mut hasher = self.hasher();
        hasher.write(&place.0.to_le_bytes());
        for segments in tags {
            write_all(&mut hasher, segments).ok()?;
        }
        Some(Place(hasher.finish128().as_u128()))
    }
}

/// Behind each piece stands a byte that no text holds, so that no two lists of pieces give the same bytes.
fn write_all(hasher: &mut SipHasher13, segments: &[Segment<'_>]) -> fmt::Result {
    for segment in segments {
        match segment.0 {
            Piece::Literal(text) => write_whole(hasher, text.as_bytes()),
            Piece::Value(value) => {
                write!(Hashed(hasher), "{value}")?;
                hasher.write_u8(END);
            }
            Piece::Absent => hasher.write_u8(ABSENT),
        }
    }
    hasher.write_u8(END);
    Ok(())
}

/// No byte of UTF-8 is one of these.
const END: u8 = 0xFF;
const ABSENT: u8 = 0xFE;

fn write_whole(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write(bytes);
    hasher.write_u8(END);
}

struct Hashed<'h>(&'h mut SipHasher13);

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a keyed hash already, of which no half says anything of the other.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        state.write_u64(self.0 as u64);
    }
}

/// Takes a [`Place`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a place writes one number")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

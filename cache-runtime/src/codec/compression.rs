//! Makes what is stored smaller. What the calls of one process share stays as it is.
//!
//! A compressed payload begins with the length of the plain one, in four bytes, little-endian.

use std::borrow::Cow;

use super::{DecodeError, MAX_VALUE};
use crate::feature;

/// How a function's payloads are compressed, where that makes them smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast: hits hardly notice.
    Lz4 {
        /// Payloads of fewer bytes stay as they are.
        above: usize,
    },
    /// Smaller, at several times the cost of `lz4`.
    Zstd {
        /// Payloads of fewer bytes stay as they are.
        above: usize,
    },
}

/// Compression by LZ4. Generated code gives `()` for the feature.
#[must_use]
pub const fn lz4<Feature: feature::Lz4>(above: usize) -> Compression {
    Compression::Lz4 { above }
}

/// Compression by Zstandard. Generated code gives `()` for the feature.
#[must_use]
pub const fn zstd<Feature: feature::Zstd>(above: usize) -> Compression {
    Compression::Zstd { above }
}

/// Half of what there is to gain, and more than twice as fast as what would gain the next tenth.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// How one payload is compressed. The number stands in the header of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Compressed {
    Not = 0,
    Lz4 = 1,
    Zstd = 2,
}

impl Compressed {
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// Only what this build can expand. Entries of another are a miss, not damage: the process
    /// that wrote them has a feature more.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Compressed::Not),
            1 if cfg!(feature = "lz4") => Some(Compressed::Lz4),
            2 if cfg!(feature = "zstd") => Some(Compressed::Zstd),
            _ => None,
        }
    }
}

const LENGTH: usize = 4;

/// The payload as it is stored.
pub(crate) fn compress(how: Compression, plain: &[u8]) -> (Compressed, Cow<'_, [u8]>) {
    let compressed = match how {
        Compression::Lz4 { above } if plain.len() >= above => compress_lz4(plain),
        Compression::Zstd { above } if plain.len() >= above => compress_zstd(plain),
        _ => None,
    };
    match compressed {
        Some((by, bytes)) if bytes.len() < plain.len() => (by, bytes.into()),
        _ => (Compressed::Not, plain.into()),
    }
}

/// The payload as it was before. The bytes may be anything; they get no more memory than the largest
/// value has.
pub(crate) fn expand(by: Compressed, stored: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    if by == Compressed::Not {
        return Ok(stored.into());
    }
    let (length, compressed) =
        stored.split_first_chunk::<LENGTH>().ok_or(DecodeError::Malformed)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_VALUE {
        return Err(DecodeError::TooLarge);
    }
    let plain = match by {
        Compressed::Lz4 => expand_lz4(compressed, length),
        Compressed::Zstd => expand_zstd(compressed, length),
        Compressed::Not => None,
    };
    match plain {
        Some(plain) if plain.len() == length => Ok(plain.into()),
        _ => Err(DecodeError::Malformed),
    }
}

#[cfg(any(feature = "lz4", feature = "zstd"))]
fn with_length(plain: &[u8], longest: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LENGTH + longest);
    bytes.extend_from_slice(&u32::try_from(plain.len()).ok()?.to_le_bytes());
    Some(bytes)
}

#[cfg(feature = "lz4")]
fn compress_lz4(plain: &[u8]) -> Option<(Compressed, Vec<u8>)> {
    let longest = lz4_flex::block::get_maximum_output_size(plain.len());
    let mut bytes = with_length(plain, longest)?;
    bytes.resize(LENGTH + longest, 0);
    let length = lz4_flex::block::compress_into(plain, &mut bytes[LENGTH..]).ok()?;
    bytes.truncate(LENGTH + length);
    Some((Compressed::Lz4, bytes))
}

#[cfg(feature = "lz4")]
fn expand_lz4(compressed: &[u8], length: usize) -> Option<Vec<u8>> {
    // No byte of LZ4 stands for more than 255: a claim above that would reserve memory for nothing.
    if length > compressed.len().saturating_mul(255) {
        return None;
    }
    lz4_flex::block::decompress(compressed, length).ok()
}

#[cfg(feature = "zstd")]
fn compress_zstd(plain: &[u8]) -> Option<(Compressed, Vec<u8>)> {
    let frame = ::zstd::bulk::compress(plain, ZSTD_LEVEL).ok()?;
    let mut bytes = with_length(plain, frame.len())?;
    bytes.extend_from_slice(&frame);
    Some((Compressed::Zstd, bytes))
}

#[cfg(feature = "zstd")]
fn expand_zstd(compressed: &[u8], length: usize) -> Option<Vec<u8>> {
    ::zstd::bulk::decompress(compressed, length).ok()
}

/// Nobody asks for what is not there: its constructor does not compile, and its entries are foreign.
#[cfg(not(feature = "lz4"))]
mod no_lz4 {
    pub(super) fn compress_lz4(_: &[u8]) -> Option<(super::Compressed, Vec<u8>)> {
        None
    }

    pub(super) fn expand_lz4(_: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }
}
#[cfg(not(feature = "lz4"))]
use no_lz4::{compress_lz4, expand_lz4};

/// As above.
#[cfg(not(feature = "zstd"))]
mod no_zstd {
    pub(super) fn compress_zstd(_: &[u8]) -> Option<(super::Compressed, Vec<u8>)> {
        None
    }

    pub(super) fn expand_zstd(_: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }
}
#[cfg(not(feature = "zstd"))]
use no_zstd::{compress_zstd, expand_zstd};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 3] =
        [Compression::None, Compression::Lz4 { above: 1024 }, Compression::Zstd { above: 1024 }];

    fn text(length: usize) -> Vec<u8> {
        b"a line that comes again. ".iter().copied().cycle().take(length).collect()
    }

    fn known() -> impl Iterator<Item = Compressed> {
        (0..=u8::MAX).filter_map(Compressed::from_number)
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for by in known() {
            assert_eq!(Compressed::from_number(by.number()), Some(by));
        }
        let features = [cfg!(feature = "lz4"), cfg!(feature = "zstd")];
        assert_eq!(known().count(), 1 + features.into_iter().filter(|enabled| *enabled).count());
    }

    #[test]
    fn what_does_not_get_smaller_stays_as_it_is() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(5_000).collect();
        for how in ALL {
            for plain in [&noise[..], &text(1023), b""] {
                assert_eq!(compress(how, plain), (Compressed::Not, plain.into()), "{how:?}");
            }
        }
    }

    #[cfg(all(feature = "lz4", feature = "zstd"))]
    #[test]
    fn what_gets_smaller_reads_back() {
        for (how, by) in ALL.into_iter().zip([Compressed::Not, Compressed::Lz4, Compressed::Zstd]) {
            for length in [1024, 100_000, MAX_VALUE] {
                let plain = text(length);
                let (used, stored) = compress(how, &plain);
                assert_eq!(used, by);
                assert!(by == Compressed::Not || stored.len() < length / 10, "{how:?}");
                assert_eq!(expand(used, &stored).as_deref(), Ok(&plain[..]), "{how:?}");
            }
        }
    }

    #[cfg(all(feature = "lz4", feature = "zstd"))]
    #[test]
    fn a_bomb_gets_no_memory() {
        for how in &ALL[1..] {
            let bomb = vec![0; MAX_VALUE + 1];
            let (by, stored) = compress(*how, &bomb);
            assert!(stored.len() < bomb.len() / 200);
            assert_eq!(expand(by, &stored), Err(DecodeError::TooLarge), "{how:?}");
            // The same bytes, and lies about their length.
            for claim in [0, 1, MAX_VALUE / 2, MAX_VALUE] {
                let mut lie = stored.to_vec();
                let claim = u32::try_from(claim).expect("small");
                lie[..LENGTH].copy_from_slice(&claim.to_le_bytes());
                assert_eq!(expand(by, &lie), Err(DecodeError::Malformed), "{how:?} {claim}");
            }
            for claim in [1 << 24, u32::MAX] {
                assert!(expand(by, &claim.to_le_bytes()).is_err());
                assert!(expand(by, &[&claim.to_le_bytes()[..], b"few bytes"].concat()).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_expand_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300), claim in 0..5_000u32) {
            for by in known() {
                let _ = expand(by, &bytes);
                let _ = expand(by, &[&claim.to_le_bytes()[..], &bytes].concat());
            }
        }

        #[test]
        fn a_flipped_bit_expands_or_fails(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            for how in ALL {
                let plain = text(3_000);
                let (by, stored) = compress(how, &plain);
                let mut stored = stored.into_owned();
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
                let _ = expand(by, &stored);
            }
        }

        #[test]
        fn any_bytes_read_back(bytes in proptest::collection::vec(0..4u8, 0..5_000)) {
            for how in ALL {
                let (by, stored) = compress(how, &bytes);
                let plain = expand(by, &stored);
                prop_assert_eq!(plain.as_deref(), Ok(&bytes[..]));
            }
        }
    }
}

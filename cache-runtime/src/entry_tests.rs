use proptest::prelude::*;

use super::*;

const MINE: u64 = 11;
const THEIRS: u64 = 22;
const KEY: u128 = 0xABCD;

fn label(fingerprint: u64) -> Label {
    Label {
        life: Life { born_at: 1_000, due_at: 2_000, ttl_end: 3_000 },
        fingerprint,
        key_digest: KEY,
        codec: Codec::Bincode,
        none: false,
    }
}

fn sealed(fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    seal(&label(fingerprint), payload)
}

fn payload(stored: &[u8]) -> Option<&[u8]> {
    match find(stored, MINE, KEY) {
        Found::Usable(entry) => Some(entry.payload),
        Found::Foreign | Found::Damaged => None,
    }
}

#[test]
fn an_entry_reads_back() {
    let stored = sealed(MINE, b"value");
    let Found::Usable(entry) = find(&stored, MINE, KEY) else { panic!("not usable") };
    assert_eq!(entry.payload, b"value");
    assert_eq!(entry.life, label(MINE).life);
    assert_eq!(entry.codec, Codec::Bincode);
}

#[test]
fn each_of_two_readers_finds_its_own() {
    let both = [sealed(THEIRS, b"theirs"), sealed(MINE, b"mine")].concat();
    let Found::Usable(entry) = find(&both, MINE, KEY) else { panic!("not usable") };
    assert_eq!((entry.payload, &both[entry.place]), (&b"mine"[..], &b"mine"[..]));
    assert!(matches!(find(&both, 33, KEY), Found::Foreign));
    assert_eq!(other_than(&both, MINE), Some(&sealed(THEIRS, b"theirs")[..]));
    assert_eq!(other_than(&both, THEIRS), Some(&sealed(MINE, b"mine")[..]));
    assert_eq!(other_than(&sealed(MINE, b"mine"), MINE), None);
}

#[test]
fn another_key_another_codec_and_another_format_are_misses() {
    let stored = sealed(MINE, b"value");
    assert!(matches!(find(&stored, MINE, KEY + 1), Found::Damaged));
    let mut unknown_codec = stored.clone();
    unknown_codec[64] = 99;
    assert!(matches!(find(&unknown_codec, MINE, KEY), Found::Foreign));
    let mut newer_format = stored.clone();
    newer_format[3] = 2;
    assert!(matches!(find(&newer_format, MINE, KEY), Found::Foreign));
    assert!(matches!(find(b"somebody else's text", MINE, KEY), Found::Damaged));
}

#[test]
fn expire_patches_every_entry_and_leaves_the_checksum_right() {
    let mut both = [sealed(THEIRS, b"theirs"), sealed(MINE, b"mine")].concat();
    let offsets: Vec<_> = due_offsets(&both).collect();
    assert_eq!(offsets, [DUE_AT, HEADER + 6 + DUE_AT]);
    for at in offsets {
        both[at..at + 8].fill(0);
    }
    for fingerprint in [MINE, THEIRS] {
        let Found::Usable(entry) = find(&both, fingerprint, KEY) else { panic!("not usable") };
        assert_eq!(entry.life.due_at, 0);
    }
}

#[test]
fn what_was_judged_is_recognised_and_anything_else_is_not() {
    let stored = sealed(MINE, b"value");
    let judged = Judged::of(&stored);
    assert_eq!(judged, Judged::of(&stored));
    assert_ne!(judged, Judged::of(&sealed(MINE, b"other")));
    assert_ne!(judged, Judged::ABSENT);
    assert_eq!(Judged::of(b""), Judged::ABSENT);
    assert_eq!(Judged::of(b"short").head(), b"short");
}

proptest! {
    #[test]
    fn c6_a_flipped_bit_is_never_a_wrong_value(
        value in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let mut stored = sealed(MINE, &value);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        // Due-at may be patched by `expire`, so it alone is outside the checksum; it carries no value.
        let patched = (DUE_AT..DUE_AT + 8).contains(&at);
        prop_assert_eq!(payload(&stored), patched.then_some(&value[..]));
    }

    #[test]
    fn c6_truncated_or_foreign_bytes_are_never_a_value(
        value in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let stored = sealed(MINE, &value);
        prop_assert_eq!(payload(&stored[..cut.index(stored.len())]), None);
        prop_assert_eq!(payload(&noise), None);
        let _ = (other_than(&noise, MINE), due_offsets(&noise).count());
    }

    #[test]
    fn bytes_behind_an_entry_do_no_harm(
        value in proptest::collection::vec(any::<u8>(), 0..50),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let stored = [sealed(MINE, &value), noise].concat();
        prop_assert_eq!(payload(&stored), Some(&value[..]));
    }
}

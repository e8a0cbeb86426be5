use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const MINE: u64 = 11;
const THEIRS: u64 = 22;

fn key_of(id: u32) -> Key {
    let segments = [crate::private::literal("user:"), crate::private::value(&id)];
    Key::render("ns", &segments).unwrap()
}

static KEY: LazyLock<Key> = LazyLock::new(|| key_of(42));

fn find(stored: &[u8], fingerprint: u64) -> Found<'_> {
    super::find(stored, fingerprint, &KEY, None)
}

fn label(fingerprint: u64) -> Label<'static> {
    Label {
        life: Life { born_at: 1_000, due_at: 2_000, ttl_end: 3_000, end: 4_000 },
        fingerprint,
        key: &KEY,
        written: Written { codec: codec::Id::Bincode, is_error: false },
        compressed: Compressed::Not,
        none: false,
        stamps: &[],
        integrity: None,
    }
}

fn sealed(fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    seal(&label(fingerprint), payload)
}

fn payload(stored: &[u8]) -> Option<&[u8]> {
    match find(stored, MINE) {
        Found::Usable(entry) => Some(entry.payload),
        _ => None,
    }
}

#[test]
fn an_entry_reads_back() {
    let stored = sealed(MINE, b"value");
    let Found::Usable(entry) = find(&stored, MINE) else { panic!("not usable") };
    assert_eq!(entry.payload, b"value");
    assert_eq!(entry.life, label(MINE).life);
    assert_eq!(entry.written, label(MINE).written);
}

#[test]
fn a_stored_error_is_known_as_one() {
    for (none, is_error, flags) in [(false, false, 0), (true, false, 1), (false, true, 2)] {
        let written = Written { codec: codec::Id::MsgPack, is_error };
        let stored = seal(&Label { written, none, ..label(MINE) }, b"payload");
        assert_eq!(stored[FLAGS], flags);
        let Found::Usable(entry) = find(&stored, MINE) else { panic!("not usable") };
        assert_eq!(entry.written, written);
    }
}

#[test]
fn each_of_two_readers_finds_its_own() {
    let both = [sealed(THEIRS, b"theirs"), sealed(MINE, b"mine")].concat();
    let Found::Usable(entry) = find(&both, MINE) else { panic!("not usable") };
    assert_eq!((entry.payload, &both[entry.place]), (&b"mine"[..], &b"mine"[..]));
    assert!(matches!(find(&both, 33), Found::Foreign(_)));
    assert_eq!(other_than(&both, MINE), Some(&sealed(THEIRS, b"theirs")[..]));
    assert_eq!(other_than(&both, THEIRS), Some(&sealed(MINE, b"mine")[..]));
    assert_eq!(other_than(&sealed(MINE, b"mine"), MINE), None);
}

fn stamp<'a>(name: &'a [u8], nonce: &'a [u8]) -> Stamp<'a> {
    Stamp { name, nonce }
}

fn stamped(fingerprint: u64, stamps: &[Stamp<'_>], payload: &[u8]) -> Vec<u8> {
    seal(&Label { stamps, ..label(fingerprint) }, payload)
}

/// A sealed entry whose bytes behind the header are these, with a checksum that is right.
fn forged(count: u8, behind: &[u8]) -> Vec<u8> {
    let mut stored = sealed(MINE, behind);
    stored[STAMPS] = count;
    let sum = checksum(&stored);
    stored[8..16].copy_from_slice(&sum.to_le_bytes());
    stored
}

#[test]
fn stamps_read_back_and_the_payload_stands_behind_them() {
    let longest = (&[b'n'; tags::LONGEST_NAME][..], &[b'x'; tags::LONGEST_NONCE][..]);
    let many = [stamp(longest.0, longest.1); tags::MOST];
    for stamps in
        [&[][..], &[stamp(b"team:7", b"n.1")], &[stamp(b"a", b"1"), stamp(b"b", b"2")], &many]
    {
        for behind in [&b""[..], &sealed(THEIRS, b"theirs")] {
            let mine = stamped(MINE, stamps, b"value");
            assert_eq!(split_first(&mine).map(<[u8]>::len), Some(mine.len()));
            for stored in [[&mine, behind].concat(), [behind, &mine].concat()] {
                let Found::Usable(entry) = find(&stored, MINE) else { panic!("not usable") };
                assert_eq!(entry.stamps.collect::<Vec<_>>(), stamps);
                assert_eq!((entry.payload, &stored[entry.place]), (&b"value"[..], &b"value"[..]));
                assert_eq!(due_offsets(&stored).count(), if behind.is_empty() { 1 } else { 2 });
            }
        }
    }
}

#[test]
fn an_entry_without_stamps_is_what_it_was_before_there_were_any() {
    let stored = sealed(MINE, b"value");
    assert_eq!((stored.len(), stored[STAMPS]), (HEADER + 5, 0));
    assert_eq!(&stored[HEADER..], b"value");
}

#[test]
fn c6_stamps_that_no_entry_has_are_damage() {
    assert!(matches!(find(&forged(1, b"\x01\x01ab"), MINE), Found::Usable(_)));
    let too_many: Vec<u8> = b"\x01\x01ab".repeat(33);
    for (count, behind) in [
        (1, &b""[..]),
        (1, b"\x01"),
        (1, b"\x01\x01a"),
        (1, b"\x00\x01ab"),
        (1, b"\x01\x00ab"),
        (1, b"\xFF\x01ab"),
        (1, &[&[129, 1][..], &[b'x'; 300]].concat()),
        (1, &[&[1, 65][..], &[b'x'; 300]].concat()),
        (2, b"\x01\x01ab\x01\x01a"),
        (33, &too_many),
        (255, &too_many),
    ] {
        let stored = forged(count, behind);
        assert!(matches!(find(&stored, MINE), Found::Damaged(_)), "{count} {behind:?}");
    }
}

#[test]
fn another_key_codec_compression_or_format_is_a_miss() {
    let stored = sealed(MINE, b"value");
    assert!(matches!(super::find(&stored, MINE, &key_of(43), None), Found::Damaged(_)));
    let mut unknown_codec = stored.clone();
    unknown_codec[64] = 99;
    assert!(matches!(find(&unknown_codec, MINE), Found::Foreign(_)));
    let mut unknown_compression = stored.clone();
    unknown_compression[65] = 99;
    assert!(matches!(find(&unknown_compression, MINE), Found::Foreign(_)));
    let mut newer_format = stored.clone();
    newer_format[3] = 2;
    assert!(matches!(find(&newer_format, MINE), Found::Foreign(_)));
    assert!(matches!(find(b"somebody else's text", MINE), Found::Damaged(_)));
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
        let Found::Usable(entry) = find(&both, fingerprint) else { panic!("not usable") };
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

fn integrity_of(own: u8, accepted: &[u8]) -> Integrity {
    let accepted: Vec<_> = accepted.iter().map(|&secret| vec![secret; 32]).collect();
    Integrity::new(&[own; 32], &accepted)
}

static WITH: LazyLock<Integrity> = LazyLock::new(|| integrity_of(1, &[]));

fn authentic(fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    let stamps = &[stamp(b"team:7", b"n.1")];
    seal(&Label { stamps, integrity: Some(&WITH), ..label(fingerprint) }, payload)
}

fn find_authentic<'s>(stored: &'s [u8], integrity: &Integrity) -> Found<'s> {
    super::find(stored, MINE, &KEY, Some(integrity))
}

/// As a writer makes it who knows the format and not the secret.
fn with_a_right_checksum(mut entry: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(entry.len()).unwrap();
    entry[4..8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&entry);
    entry[8..16].copy_from_slice(&sum.to_le_bytes());
    entry
}

#[test]
fn an_authentic_entry_is_read_with_its_secret_and_without_any() {
    let mine = authentic(MINE, b"value");
    assert_eq!((mine.len(), mine[FLAGS]), (HEADER + 11 + 5 + MAC, FLAG_MAC));
    for stored in [
        mine.clone(),
        [mine.clone(), sealed(THEIRS, b"theirs")].concat(),
        [authentic(THEIRS, b"theirs"), mine].concat(),
    ] {
        for found in [find_authentic(&stored, &WITH), find(&stored, MINE)] {
            let Found::Usable(entry) = found else { panic!("not usable") };
            assert_eq!((entry.payload, &stored[entry.place]), (&b"value"[..], &b"value"[..]));
            assert_eq!(entry.stamps.count(), 1);
        }
    }
}

#[test]
fn c6_what_somebody_without_the_secret_makes_is_not_authentic() {
    let mine = authentic(MINE, b"value");
    let without_mac = {
        let mut entry = mine[..mine.len() - MAC].to_vec();
        entry[FLAGS] = 0;
        entry
    };
    let of_another_key = {
        let mut entry =
            seal(&Label { key: &key_of(43), integrity: Some(&WITH), ..label(MINE) }, b"value");
        entry[48..64].copy_from_slice(&KEY.digest().to_le_bytes());
        entry
    };
    let of_another_function = {
        let mut entry = authentic(THEIRS, b"value");
        entry[FINGERPRINT].copy_from_slice(&MINE.to_le_bytes());
        entry
    };
    let of_another_secret = {
        let integrity = &integrity_of(2, &[]);
        seal(&Label { integrity: Some(integrity), ..label(MINE) }, b"value")
    };
    // The header has a digest of the key, not a cryptographic one: the MAC must not rely on it.
    let of_a_key_of_equal_digest = {
        let covered = &mine[..mine.len() - MAC];
        [covered, &WITH.mac(&key_of(43), content(covered))].concat()
    };
    for (what, forged) in [
        ("a MAC for another key", of_a_key_of_equal_digest),
        ("without a MAC", without_mac.clone()),
        ("a MAC of zeros", [&mine[..mine.len() - MAC], &[0; MAC]].concat()),
        ("a MAC that is payload", [without_mac, vec![0; MAC]].concat()),
        ("another key's", of_another_key),
        ("another function's", of_another_function),
        ("another secret's", of_another_secret),
    ] {
        for behind in [&b""[..], &authentic(THEIRS, b"theirs")] {
            let stored = [&with_a_right_checksum(forged.clone()), behind].concat();
            let found = find_authentic(&stored, &WITH);
            assert!(matches!(found, Found::Unauthenticated), "{what}: {found:?}");
        }
    }
    let mut no_room = sealed(MINE, b"value");
    no_room[FLAGS] = FLAG_MAC;
    let no_room = with_a_right_checksum(no_room);
    assert!(matches!(find_authentic(&no_room, &WITH), Found::Damaged(_)));
    assert!(matches!(find(&no_room, MINE), Found::Damaged(_)));
}

#[test]
fn c6_every_bit_of_an_authentic_entry_counts_but_those_of_due_at() {
    let mine = authentic(MINE, b"value");
    for bit in 0..mine.len() * 8 {
        let at = bit / 8;
        let mut flipped = mine.clone();
        flipped[at] ^= 1 << (bit % 8);
        // The length has to be right to get as far as the MAC, and so has the checksum.
        if !(4..16).contains(&at) {
            flipped = with_a_right_checksum(flipped);
        }
        let usable = matches!(find_authentic(&flipped, &WITH), Found::Usable(_));
        assert_eq!(usable, (DUE_AT..DUE_AT + 8).contains(&at), "bit {bit}");
    }
}

#[test]
fn secrets_change_one_after_the_other() {
    let [old, new] = [integrity_of(1, &[]), integrity_of(2, &[])];
    let [old_too, new_too] = [integrity_of(2, &[9, 1]), integrity_of(1, &[2])];
    let by = |integrity| seal(&Label { integrity: Some(integrity), ..label(MINE) }, b"value");
    let usable =
        |stored: &[u8], integrity| matches!(find_authentic(stored, integrity), Found::Usable(_));
    assert_eq!(by(&old), by(&new_too), "what is accepted is not written");
    for (reader, of_old, of_new) in
        [(&old, true, false), (&new_too, true, true), (&old_too, true, true), (&new, false, true)]
    {
        assert_eq!(usable(&by(&old), reader), of_old, "{reader:?}");
        assert_eq!(usable(&by(&new), reader), of_new, "{reader:?}");
    }
}

proptest! {
    #[test]
    fn any_stamps_read_back(
        stamps in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 1..=128), proptest::collection::vec(any::<u8>(), 1..=64)), 0..=32,
        ),
        value in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let stamps: Vec<Stamp<'_>> = stamps.iter().map(|(name, nonce)| stamp(name, nonce)).collect();
        let stored = stamped(MINE, &stamps, &value);
        let Found::Usable(entry) = find(&stored, MINE) else { panic!("not usable") };
        prop_assert_eq!(entry.stamps.collect::<Vec<_>>(), stamps);
        prop_assert_eq!(entry.payload, &value[..]);
    }

    #[test]
    fn c6_hostile_stamps_with_a_right_checksum_do_no_harm(
        count in any::<u8>(), behind in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..300),
    ) {
        let stored = forged(count, &behind);
        match find(&stored, MINE) {
            Found::Usable(entry) => {
                prop_assert_eq!(&stored[entry.place.clone()], entry.payload);
                prop_assert_eq!(entry.stamps.count(), usize::from(count));
                prop_assert!(count <= 32);
            }
            Found::Damaged(_) => {}
            other => prop_assert!(false, "it is this function's: {other:?}"),
        }
    }

    #[test]
    fn c6_a_flipped_bit_in_stamps_is_never_a_wrong_stamp(
        value in proptest::collection::vec(any::<u8>(), 0..50), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let mut stored = stamped(MINE, &[stamp(b"team:7", b"n.1"), stamp(b"b", b"2")], &value);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        prop_assert_eq!(payload(&stored).is_some(), (DUE_AT..DUE_AT + 8).contains(&at));
    }

    /// Catalogue 45.
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

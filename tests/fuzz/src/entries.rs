//! Entries: whatever is stored under a key.

use std::sync::LazyLock;

use redis_cached_runtime::fuzzing::{self, Entry, Found, HEADER, Party, STAMPS};

use crate::input::Input;
use crate::memory::{SLACK, within};

const SECRET: [u8; 32] = [7; 32];
/// Where a MAC does not reach: the checksum, which it has itself, and due-at, which `expire` patches.
const UNCOVERED: std::ops::Range<usize> = 8..24;
const DUE_AT: std::ops::Range<usize> = 16..24;

static MINE: LazyLock<Party> = LazyLock::new(|| Party::new("user:1", 11, None));
static THEIRS: LazyLock<Party> = LazyLock::new(|| Party::new("user:1", 22, None));
static OF_ANOTHER_KEY: LazyLock<Party> = LazyLock::new(|| Party::new("user:2", 11, None));
static KEYED: LazyLock<Party> = LazyLock::new(|| Party::new("user:1", 11, Some(&SECRET)));

/// Any bytes, some of which look like an entry.
pub(crate) fn bytes(data: &[u8]) {
    let mut input = Input(data);
    let forged = input.byte() % 4;
    let mut stored = input.0.to_vec();
    if forged > 0 {
        let at = if forged == 1 { 0 } else { input.below(stored.len()) };
        let mut behind = stored.split_off(at);
        if forged == 3 {
            THEIRS.forge(&mut stored);
        }
        MINE.forge(&mut behind);
        stored.extend(behind);
    }
    for party in [&MINE, &THEIRS] {
        within(SLACK, "to find an entry", || read(party, &stored));
    }
    // Nobody here has the secret.
    assert!(!matches!(read(&KEYED, &stored), Found::Usable(..)));
}

fn read<'s>(party: &Party, stored: &'s [u8]) -> Found<'s> {
    let found = party.find(stored);
    if let Found::Usable(entry, place) = &found {
        assert_eq!(&stored[place.clone()], entry.payload);
        assert!(entry.stamps.len() <= STAMPS[0]);
        for (name, nonce) in &entry.stamps {
            assert!((1..=STAMPS[1]).contains(&name.len()));
            assert!((1..=STAMPS[2]).contains(&nonce.len()));
        }
    }
    assert!(party.stamped_names(stored).len() <= STAMPS[0]);
    if let Some(kept) = party.keeps(stored) {
        assert!(kept.len() >= HEADER && kept.len() <= stored.len());
    }
    let offsets = fuzzing::due_offsets(stored);
    assert!(offsets.len() <= 2 && offsets.iter().all(|at| at + 8 <= stored.len()));
    found
}

/// What writers have written is read, what others do to it is seen.
pub(crate) fn writers(data: &[u8]) {
    let mut input = Input(data);
    let party = *input.one(&[&*MINE, &*KEYED]);
    let is_keyed = std::ptr::eq(party, &raw const *KEYED);
    let stamps: Vec<(&[u8], &[u8])> =
        (0..input.below(STAMPS[0] + 1)).map(|_| stamp(&mut input)).collect();
    let entry = Entry {
        life: [input.number(), input.number(), input.number(), input.number()],
        form: [*input.one(&[1, 2, 3, 4, 5]), *input.one(&[0, 1, 2])],
        is_error: input.flag(),
        stamps,
        payload: input.bytes(1_000),
    };
    let mine = party.seal(&entry).expect("these numbers are known");
    let beside = THEIRS.seal(&Entry { payload: b"theirs", ..entry.clone() }).expect("the same");
    for stored in [mine.clone(), [&*mine, &beside].concat(), [&*beside, &mine].concat()] {
        let Found::Usable(found, place) = read(party, &stored) else { panic!("not usable") };
        assert_eq!((&found, &stored[place]), (&entry, entry.payload));
        assert!(matches!(read(&MINE, &stored), Found::Usable(..)), "a MAC is read past");
        if !is_keyed {
            assert_eq!(read(&KEYED, &stored), Found::Unauthenticated);
        }
        assert!(!matches!(read(&OF_ANOTHER_KEY, &stored), Found::Usable(..)));
        let mut expired = stored;
        for at in fuzzing::due_offsets(&expired) {
            expired[at..at + 8].fill(0);
        }
        let Found::Usable(found, _) = read(party, &expired) else { panic!("not usable") };
        assert_eq!(
            found,
            Entry { life: [entry.life[0], 0, entry.life[2], entry.life[3]], ..entry.clone() }
        );
    }

    let mut changed = mine.clone();
    let at = input.below(changed.len());
    changed[at] ^= input.byte();
    let is_changed = changed != mine && !DUE_AT.contains(&at);
    assert!(!is_changed || !matches!(read(party, &changed), Found::Usable(..)));
    if is_keyed && is_changed {
        // By one who knows how a checksum is made.
        MINE.forge(&mut changed);
        let is_undone = UNCOVERED.contains(&at) || changed == mine;
        assert!(is_undone || !matches!(read(party, &changed), Found::Usable(..)));
    }
}

fn stamp<'a>(input: &mut Input<'a>) -> (&'a [u8], &'a [u8]) {
    let (name, nonce) = (input.bytes(STAMPS[1]), input.bytes(STAMPS[2]));
    (if name.is_empty() { b"n" } else { name }, if nonce.is_empty() { b"1" } else { nonce })
}

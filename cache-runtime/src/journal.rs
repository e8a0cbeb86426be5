//! The journals: which tags were invalidated lately, for entries whose tags are known only after the body, and which
//! keys, for values that the body of another function has at hand.
//!
//! Pure. The position is taken before the body; before the commit the journal must say that nothing of the
//! entry was invalidated since. Absence means refuse: leaders create a journal, and an
//! invalidation adds to it only if it is there. In Redis each is a sorted set (`position.lua`,
//! `note.lua` and `clean.lua`), in the embedded store this.

use std::collections::BTreeMap;

use crate::faults::{self, Fault};

/// What a journal is about. Apart, so that whoever invalidates very many keys does not have tags forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Tags,
    Keys,
}

/// More names than this are not remembered; the oldest are trimmed, and the floor says up to where.
pub(crate) const MOST: usize = 8192;
/// How many are trimmed at once.
pub(crate) const TRIMMED: usize = MOST / 4;

/// Where the journal was when a body began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Tells this journal from one that was made after it was lost.
    pub(crate) identity: String,
    pub(crate) sequence: u64,
    /// The server's time then.
    pub(crate) server_ms: u64,
}

/// The journal of the embedded store.
#[derive(Debug)]
pub(crate) struct Journal {
    identity: String,
    sequence: u64,
    /// The newest invalidation that was trimmed: of those up to it nothing is known.
    floor: u64,
    /// The last invalidation of each name.
    last: BTreeMap<String, u64>,
}

impl Journal {
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, sequence: 0, floor: 0, last: BTreeMap::new() }
    }

    pub(crate) fn position(&self, server_ms: u64) -> Position {
        Position { identity: self.identity.clone(), sequence: self.sequence, server_ms }
    }

    /// To be called before what is named is touched.
    pub(crate) fn add<'t>(&mut self, names: impl Iterator<Item = &'t str>) {
        self.sequence += 1;
        self.last.extend(names.map(|name| (name.to_owned(), self.sequence)));
        if self.last.len() > MOST {
            let mut sequences: Vec<u64> = self.last.values().copied().collect();
            sequences.sort_unstable();
            // One invalidation of very many is kept or goes as a whole.
            self.floor = sequences[TRIMMED];
            self.last.retain(|_, sequence| *sequence > self.floor);
        }
    }

    /// As if there were no more room. `false` where there is nothing to trim.
    #[cfg(test)]
    pub(crate) fn trim_all(&mut self) -> bool {
        self.floor = self.sequence;
        !std::mem::take(&mut self.last).is_empty()
    }

    /// Whether none of these was invalidated since the position was taken.
    pub(crate) fn is_clean<'t>(
        &self,
        since: &Position,
        mut names: impl Iterator<Item = &'t str>,
    ) -> bool {
        (self.identity == since.identity || faults::on(Fault::JournalWithoutIdentity))
            && (self.floor <= since.sequence || faults::on(Fault::JournalWithoutFloor))
            && names.all(|name| self.last.get(name).is_none_or(|last| *last <= since.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_the_journal_is_clean_of_what_was_not_invalidated_since() {
        let mut journal = Journal::new("a".to_owned());
        journal.add(["x"].into_iter());
        let position = journal.position(0);
        journal.add(["y", "z"].into_iter());
        for (tags, clean) in
            [(&["x"][..], true), (&["y"], false), (&["x", "z"], false), (&["w"], true), (&[], true)]
        {
            assert_eq!(journal.is_clean(&position, tags.iter().copied()), clean, "{tags:?}");
        }
        assert!(journal.is_clean(&journal.position(0), ["y"].into_iter()));
    }

    #[test]
    fn c1_a_journal_that_was_lost_says_nothing() {
        let before = Journal::new("a".to_owned()).position(0);
        assert!(!Journal::new("b".to_owned()).is_clean(&before, ["x"].into_iter()));
    }

    #[test]
    fn c1_what_was_trimmed_is_refused_and_the_rest_is_bounded() {
        let mut journal = Journal::new("a".to_owned());
        let early = journal.position(0);
        let names: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        for name in &names {
            journal.add([name.as_str()].into_iter());
        }
        assert!(journal.last.len() <= MOST);
        assert!(!journal.is_clean(&early, ["never"].into_iter()), "unknown by now");
        assert!(journal.is_clean(&journal.position(0), names.iter().map(String::as_str)));
        journal.add(names.iter().map(String::as_str));
        assert!(journal.last.len() <= MOST, "also after one of more than it holds");
    }
}

//! Which parties meet.

use super::parties::Party::{
    self, Expirer, Looker, Putter, Reader, ReaderTwice, Refresher, Setter, Writer, WriterFrom,
};
use super::run::{ENTRIES_AGE, ENTRIES_END, LEASES_END, Scenario};
use super::world::Function::{
    Kept, KeptSoftly, KeptTagged, Late, Newer, OtherwiseTagged, Outer, OuterLate, OuterTagged,
    Plain, Priming, PrimingTagged, PrimingValued, Shaky, Tagged, Valued,
};
use super::world::Invalidation::{Both, Everything, Key, Tag};
use crate::store::memory::loss::Loss;

pub(super) const fn of(name: &'static str, parties: &'static [Party]) -> Scenario {
    Scenario {
        name,
        processes: 2,
        before: &[],
        parties,
        losses: &[],
        faults: 0,
        drops: 0,
        pauses: &[],
        kills: 0,
        cuts: 0,
        slow_replies: false,
        late: 0,
        after: &[],
    }
}

/// Small enough that every order is tried.
pub(crate) const SMALL: &[Scenario] = &[
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of("a reader, a writer of its key", &[Reader(Plain, 0), Writer(Key(Plain))])
    },
    Scenario {
        after: &[Looker(Tagged, 0)],
        ..of("a reader, a writer of its tag", &[Reader(Tagged, 0), Writer(Tag("a"))])
    },
    Scenario {
        after: &[Looker(Late, 0)],
        ..of("a reader, a writer of its late tag", &[Reader(Late, 0), Writer(Tag("a"))])
    },
    Scenario {
        after: &[Looker(Valued, 0)],
        ..of("a reader, a writer of its value's tag", &[Reader(Valued, 0), Writer(Tag("a"))])
    },
    Scenario {
        before: &[Reader(Tagged, 1)],
        after: &[Looker(Outer, 0)],
        ..of("an inner hit, a writer", &[Reader(Outer, 0), Writer(Tag("a"))])
    },
    Scenario {
        before: &[Reader(Plain, 0)],
        after: &[Looker(Plain, 0)],
        ..of(
            "a forced refresh, a set, a writer",
            &[Refresher(Plain, 0), Setter(Plain, 1), Writer(Key(Plain))],
        )
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of(
            "two processes, a writer of their key",
            &[Reader(Plain, 0), Reader(Plain, 1), Writer(Key(Plain))],
        )
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of(
            "two callers, a writer of their key",
            &[Reader(Plain, 0), Reader(Plain, 0), Writer(Key(Plain))],
        )
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of("a set, a writer", &[Setter(Plain, 0), Writer(Key(Plain))])
    },
    Scenario {
        after: &[Looker(Tagged, 0)],
        ..of("a set, a writer of its tag", &[Setter(Tagged, 0), Writer(Tag("a"))])
    },
    Scenario {
        before: &[Reader(Plain, 0)],
        after: &[Looker(Plain, 0)],
        ..of("an expiry, a writer", &[Expirer(Key(Plain)), Writer(Key(Plain))])
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of("a reader, an expiry", &[Reader(Plain, 0), Expirer(Key(Plain))])
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of("a value at hand, a writer of its key", &[Reader(Priming, 0), Writer(Key(Plain))])
    },
    Scenario {
        before: &[Reader(Plain, 0)],
        after: &[Looker(Plain, 0)],
        ..of("a value at hand, an expiry", &[Reader(Priming, 0), Expirer(Key(Plain))])
    },
    Scenario {
        after: &[Looker(Plain, 0)],
        ..of("a writer that puts, a writer", &[Putter(Plain, 0), Writer(Key(Plain))])
    },
];

/// From random seeds.
pub(crate) const LARGE: &[Scenario] = &[
    Scenario {
        losses: &[(Loss::Value, Plain), (Loss::Lease, Plain)],
        faults: 2,
        drops: 1,
        pauses: &[LEASES_END],
        late: 2,
        after: &[Looker(Plain, 0), Reader(Plain, 1)],
        ..of(
            "keys",
            &[
                Reader(Plain, 0),
                ReaderTwice(Plain, 0),
                ReaderTwice(Plain, 1),
                Refresher(Plain, 1),
                Writer(Key(Plain)),
                Writer(Key(Plain)),
            ],
        )
    },
    Scenario {
        losses: &[(Loss::Value, Plain), (Loss::Lease, Plain)],
        before: &[Reader(Plain, 0)],
        faults: 1,
        after: &[Looker(Plain, 0), Looker(Plain, 0)],
        ..of(
            "sets and expiries",
            &[
                ReaderTwice(Plain, 0),
                Reader(Plain, 1),
                Setter(Plain, 1),
                Setter(Plain, 0),
                Expirer(Key(Plain)),
                Writer(Key(Plain)),
                Looker(Plain, 0),
            ],
        )
    },
    Scenario {
        losses: &[(Loss::Nonce, Tagged), (Loss::Nonce, Tagged), (Loss::Lease, Tagged)],
        faults: 2,
        drops: 1,
        pauses: &[LEASES_END],
        late: 2,
        after: &[Looker(Tagged, 0), Looker(OtherwiseTagged, 0)],
        ..of(
            "tags",
            &[
                ReaderTwice(Tagged, 0),
                ReaderTwice(Tagged, 1),
                Reader(OtherwiseTagged, 1),
                Writer(Tag("a")),
                Writer(Tag("a")),
                Writer(Tag("b")),
                Writer(Key(Tagged)),
            ],
        )
    },
    Scenario {
        late: 2,
        after: &[Looker(Plain, 0)],
        ..of("takes that arrive late", &[Reader(Plain, 0), Writer(Key(Plain)), Reader(Plain, 1)])
    },
    Scenario {
        late: 2,
        before: &[Reader(Tagged, 0)],
        after: &[Looker(Tagged, 0)],
        ..of("captures that arrive late", &[Writer(Tag("a")), Reader(Tagged, 1)])
    },
    Scenario {
        losses: &[(Loss::Lease, Plain)],
        faults: 1,
        after: &[Looker(Plain, 0), Looker(Newer, 1)],
        ..of(
            "two versions of a program",
            &[
                ReaderTwice(Plain, 0),
                ReaderTwice(Newer, 1),
                Reader(Newer, 0),
                Setter(Plain, 1),
                Expirer(Key(Newer)),
                Writer(Key(Plain)),
                Writer(Key(Newer)),
            ],
        )
    },
    Scenario {
        faults: 2,
        after: &[Looker(Plain, 0)],
        ..of(
            "a store that is away",
            &[Reader(Plain, 0), Reader(Plain, 0), Reader(Plain, 0), Writer(Key(Plain))],
        )
    },
    Scenario {
        before: &[Reader(Tagged, 0)],
        after: &[Looker(OtherwiseTagged, 0)],
        ..of(
            "tags of others",
            &[Reader(OtherwiseTagged, 0), Reader(Tagged, 1), Writer(Tag("b")), Writer(Tag("b"))],
        )
    },
    Scenario {
        losses: &[
            (Loss::Nonce, Late),
            (Loss::Journal, Late),
            (Loss::Trim, Late),
            (Loss::Journal, Late),
        ],
        faults: 2,
        drops: 1,
        after: &[Looker(Late, 0), Looker(Valued, 0)],
        ..of(
            "late tags",
            &[
                ReaderTwice(Late, 0),
                ReaderTwice(Late, 1),
                Reader(Valued, 0),
                Writer(Tag("a")),
                Writer(Tag("a")),
                Writer(Key(Late)),
            ],
        )
    },
    Scenario {
        losses: &[(Loss::Nonce, Late), (Loss::Trim, Late)],
        after: &[Looker(Late, 0)],
        ..of("trims", &[Reader(Late, 0), Writer(Tag("a")), ReaderTwice(Late, 1)])
    },
    Scenario {
        losses: &[(Loss::Journal, Late), (Loss::Nonce, Late)],
        after: &[Looker(Late, 0)],
        ..of(
            "journals that are lost",
            &[Reader(Late, 0), Writer(Tag("a")), Reader(Valued, 1), Reader(Late, 1)],
        )
    },
    Scenario {
        losses: &[(Loss::Nonce, Tagged), (Loss::Value, Tagged), (Loss::Lease, Outer)],
        faults: 2,
        drops: 1,
        after: &[Looker(Outer, 0), Looker(OuterTagged, 0), Looker(OuterLate, 0)],
        ..of(
            "functions in functions",
            &[
                ReaderTwice(Outer, 0),
                Reader(Outer, 1),
                Reader(OuterTagged, 1),
                Reader(OuterLate, 0),
                Reader(Tagged, 1),
                Writer(Tag("a")),
                Writer(Tag("a")),
                Writer(Key(Tagged)),
            ],
        )
    },
    Scenario {
        before: &[Reader(Tagged, 0)],
        faults: 1,
        after: &[Looker(OuterTagged, 0), Looker(Outer, 0)],
        ..of(
            "inner hits",
            &[Reader(OuterTagged, 0), Reader(Outer, 1), Writer(Tag("a")), Reader(Tagged, 1)],
        )
    },
    Scenario {
        before: &[Reader(Tagged, 0)],
        after: &[Looker(Tagged, 0), Looker(Outer, 0)],
        ..of(
            "expired tags",
            &[
                ReaderTwice(Tagged, 0),
                Reader(Outer, 1),
                Reader(Late, 0),
                Expirer(Tag("a")),
                Expirer(Tag("a")),
                Writer(Tag("a")),
                Looker(Tagged, 1),
                Looker(Late, 1),
            ],
        )
    },
    Scenario {
        faults: 1,
        drops: 1,
        after: &[Looker(Shaky, 0)],
        ..of(
            "bodies that fail",
            &[
                ReaderTwice(Shaky, 0),
                ReaderTwice(Shaky, 1),
                Reader(Shaky, 0),
                Setter(Shaky, 0),
                Writer(Key(Shaky)),
                Writer(Key(Shaky)),
            ],
        )
    },
    Scenario {
        before: &[Reader(Shaky, 0)],
        after: &[Looker(Shaky, 0)],
        ..of("misses behind a failure", &[Reader(Shaky, 0), Reader(Shaky, 1)])
    },
    Scenario {
        before: &[Reader(Kept, 0), Expirer(Key(Kept))],
        losses: &[(Loss::Lease, Kept)],
        faults: 1,
        drops: 1,
        pauses: &[2, ENTRIES_END],
        kills: 1,
        slow_replies: true,
        after: &[Looker(Kept, 0), Reader(Kept, 1)],
        ..of(
            "values past their ttl",
            &[
                ReaderTwice(Kept, 0),
                Reader(Kept, 0),
                ReaderTwice(Kept, 1),
                Setter(Kept, 1),
                Writer(Key(Kept)),
                WriterFrom(Key(Kept), 1),
                Expirer(Key(Kept)),
            ],
        )
    },
    Scenario {
        before: &[Reader(KeptTagged, 0), Expirer(Tag("a"))],
        losses: &[(Loss::Nonce, KeptTagged)],
        faults: 1,
        drops: 1,
        after: &[Looker(KeptTagged, 0), Reader(KeptTagged, 1)],
        ..of(
            "values past their ttl that have tags",
            &[
                ReaderTwice(KeptTagged, 0),
                Reader(KeptTagged, 0),
                Reader(KeptTagged, 1),
                Writer(Tag("a")),
                Writer(Tag("a")),
                WriterFrom(Key(KeptTagged), 1),
            ],
        )
    },
    Scenario {
        before: &[Reader(KeptSoftly, 0), Expirer(Key(KeptSoftly))],
        faults: 1,
        drops: 1,
        pauses: &[1, LEASES_END],
        slow_replies: true,
        after: &[Looker(KeptSoftly, 0), Reader(KeptSoftly, 1)],
        ..of(
            "callers that do not wait for long",
            &[
                ReaderTwice(KeptSoftly, 0),
                Reader(KeptSoftly, 0),
                ReaderTwice(KeptSoftly, 1),
                Writer(Key(KeptSoftly)),
                WriterFrom(Key(KeptSoftly), 1),
            ],
        )
    },
    Scenario {
        before: &[Reader(Plain, 0)],
        losses: &[(Loss::Lease, Plain)],
        faults: 1,
        drops: 1,
        pauses: &[2, LEASES_END, ENTRIES_AGE, ENTRIES_END],
        kills: 2,
        cuts: 2,
        slow_replies: true,
        late: 1,
        after: &[Looker(Plain, 0), Reader(Plain, 1)],
        ..of(
            "all that can happen to a key",
            &[
                ReaderTwice(Plain, 0),
                Reader(Plain, 0),
                ReaderTwice(Plain, 1),
                Refresher(Plain, 1),
                Setter(Plain, 0),
                Writer(Key(Plain)),
                WriterFrom(Key(Plain), 1),
            ],
        )
    },
    Scenario {
        losses: &[
            (Loss::Value, Plain),
            (Loss::JournalOfKeys, Plain),
            (Loss::TrimOfKeys, Plain),
            (Loss::JournalOfKeys, Plain),
            (Loss::Lease, Plain),
        ],
        faults: 2,
        drops: 1,
        late: 1,
        after: &[Looker(Plain, 0), Reader(Plain, 1)],
        ..of(
            "values at hand",
            &[
                ReaderTwice(Priming, 0),
                Reader(Priming, 1),
                Reader(Plain, 1),
                Setter(Plain, 0),
                Refresher(Priming, 1),
                Writer(Key(Plain)),
                WriterFrom(Key(Plain), 1),
                Expirer(Key(Plain)),
            ],
        )
    },
    Scenario {
        losses: &[
            (Loss::Nonce, Tagged),
            (Loss::Journal, Tagged),
            (Loss::Trim, Tagged),
            (Loss::JournalOfKeys, Plain),
        ],
        faults: 1,
        drops: 1,
        after: &[Looker(Tagged, 0), Looker(Valued, 1)],
        ..of(
            "values at hand that have tags",
            &[
                Reader(PrimingTagged, 0),
                ReaderTwice(PrimingValued, 1),
                Reader(Valued, 1),
                Writer(Tag("a")),
                Writer(Both),
                WriterFrom(Key(Tagged), 1),
                WriterFrom(Everything, 1),
            ],
        )
    },
    Scenario {
        losses: &[(Loss::Value, Plain), (Loss::JournalOfKeys, Plain), (Loss::TrimOfKeys, Plain)],
        faults: 2,
        drops: 2,
        pauses: &[LEASES_END, ENTRIES_END],
        kills: 1,
        cuts: 1,
        slow_replies: true,
        late: 1,
        after: &[Looker(Plain, 0), Reader(Plain, 1)],
        ..of(
            "writers that put",
            &[
                Putter(Plain, 0),
                Putter(Plain, 1),
                Putter(Plain, 0),
                ReaderTwice(Plain, 1),
                Reader(Priming, 0),
                WriterFrom(Key(Plain), 1),
            ],
        )
    },
    Scenario {
        losses: &[(Loss::Nonce, Tagged), (Loss::JournalOfKeys, Plain)],
        faults: 1,
        drops: 1,
        after: &[Looker(Tagged, 0), Looker(Valued, 0)],
        ..of(
            "writers that put what has tags",
            &[
                Putter(Tagged, 0),
                Putter(Valued, 1),
                Reader(Tagged, 1),
                Writer(Tag("a")),
                WriterFrom(Both, 1),
            ],
        )
    },
    Scenario {
        before: &[Reader(Tagged, 0), Reader(Valued, 1)],
        losses: &[(Loss::Nonce, Tagged), (Loss::Journal, Late), (Loss::Trim, Late)],
        faults: 1,
        drops: 1,
        pauses: &[LEASES_END, ENTRIES_AGE],
        kills: 1,
        cuts: 2,
        slow_replies: true,
        late: 1,
        after: &[Looker(Tagged, 0), Looker(Valued, 1), Looker(Late, 0), Looker(Outer, 1)],
        ..of(
            "all that can happen to tags",
            &[
                Reader(Tagged, 0),
                ReaderTwice(Valued, 1),
                ReaderTwice(Late, 0),
                Reader(Outer, 1),
                Setter(Late, 1),
                WriterFrom(Both, 1),
                Writer(Tag("a")),
                Expirer(Both),
                WriterFrom(Everything, 1),
            ],
        )
    },
];

//! Parties of which every order is tried that keeps them from going on a few times only: one order more
//! or less is enough to break what has no rule for it.

use super::parties::Party::{
    Expirer, Looker, Putter, Reader, Refresher, Setter, Writer, WriterFrom,
};
use super::run::{ENTRIES_AGE, LEASES_END, Scenario};
use super::scenarios::of;
use super::world::Function::{
    KeptTagged, Late, Newer, Outer, OuterTagged, Plain, Priming, PrimingTagged, Shaky, Tagged,
    Valued,
};
use super::world::Invalidation::{Both, Everything, Key, Tag};
use crate::store::memory::loss::Loss;

/// How often a party is kept from going on, and who the parties are.
pub(crate) const BOUNDED: &[(usize, Scenario)] = &[
    (
        2,
        Scenario {
            before: &[Reader(KeptTagged, 0), Expirer(Key(KeptTagged))],
            after: &[Looker(KeptTagged, 0)],
            ..of(
                "two callers of what is past its ttl, a writer",
                &[Reader(KeptTagged, 0), Reader(KeptTagged, 0), Writer(Key(KeptTagged))],
            )
        },
    ),
    (
        2,
        Scenario {
            before: &[Reader(KeptTagged, 0), Expirer(Key(KeptTagged))],
            after: &[Looker(KeptTagged, 0)],
            ..of(
                "a caller of what is past its ttl, a writer of its tag",
                &[Reader(KeptTagged, 0), Writer(Tag("a")), Reader(KeptTagged, 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0)],
            ..of("a body with a value at hand, a writer", &[Reader(Priming, 0), Writer(Key(Plain))])
        },
    ),
    (
        2,
        Scenario {
            before: &[Reader(Plain, 0)],
            after: &[Looker(Plain, 0)],
            ..of(
                "a body with a value at hand, an expiry",
                &[Reader(Priming, 0), Expirer(Key(Plain))],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0)],
            ..of("a writer that puts, a reader", &[Putter(Plain, 0), Reader(Plain, 1)])
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0)],
            ..of("two writers that put", &[Putter(Plain, 0), Putter(Plain, 1)])
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0)],
            ..of("a writer that puts, a value at hand", &[Putter(Plain, 0), Reader(Priming, 1)])
        },
    ),
    (
        1,
        Scenario {
            losses: &[(Loss::JournalOfKeys, Plain)],
            after: &[Looker(Plain, 0)],
            ..of(
                "a value at hand, a journal that is lost",
                &[Reader(Priming, 0), Writer(Key(Plain)), Reader(Priming, 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Tagged, 0)],
            ..of(
                "values at hand, a writer of their tag",
                &[Reader(PrimingTagged, 0), Writer(Tag("a"))],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0)],
            ..of("a value at hand, all goes", &[Reader(Priming, 0), WriterFrom(Everything, 1)])
        },
    ),
    (
        1,
        Scenario {
            cuts: 2,
            after: &[Looker(Plain, 1)],
            ..of(
                "a process that loses the store",
                &[Reader(Plain, 0), Reader(Plain, 0), WriterFrom(Key(Plain), 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            kills: 1,
            after: &[Looker(Plain, 0)],
            ..of(
                "a process that is killed",
                &[Reader(Plain, 0), Reader(Plain, 1), WriterFrom(Key(Plain), 1)],
            )
        },
    ),
    (
        1,
        Scenario {
            slow_replies: true,
            after: &[Looker(Plain, 0)],
            ..of(
                "replies that take their time",
                &[Reader(Plain, 1), Reader(Plain, 0), Reader(Plain, 0), Writer(Key(Plain))],
            )
        },
    ),
    (
        2,
        Scenario {
            slow_replies: true,
            after: &[Looker(Plain, 0)],
            ..of(
                "a look for all",
                &[Reader(Plain, 0), Setter(Plain, 1), WriterFrom(Key(Plain), 1), Reader(Plain, 0)],
            )
        },
    ),
    (
        1,
        Scenario {
            pauses: &[2, LEASES_END],
            after: &[Looker(Plain, 0)],
            ..of(
                "leases that end",
                &[Reader(Plain, 0), Reader(Plain, 1), WriterFrom(Key(Plain), 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            drops: 1,
            after: &[Looker(Plain, 0)],
            ..of(
                "a caller that is dropped",
                &[Reader(Plain, 0), Reader(Plain, 0), Reader(Plain, 1)],
            )
        },
    ),
    (
        1,
        Scenario {
            before: &[Reader(Plain, 0)],
            pauses: &[ENTRIES_AGE],
            after: &[Looker(Plain, 0)],
            ..of(
                "entries that are due",
                &[
                    Reader(Plain, 0),
                    Reader(Plain, 1),
                    Expirer(Key(Plain)),
                    WriterFrom(Key(Plain), 1),
                ],
            )
        },
    ),
    (
        1,
        Scenario {
            before: &[Reader(Plain, 0)],
            after: &[Looker(Plain, 0)],
            ..of(
                "two sets, an expiry, a writer",
                &[
                    Setter(Plain, 0),
                    Setter(Plain, 1),
                    Expirer(Key(Plain)),
                    WriterFrom(Key(Plain), 1),
                ],
            )
        },
    ),
    (
        1,
        Scenario {
            late: 1,
            after: &[Looker(Plain, 0)],
            ..of(
                "a take that arrives late",
                &[Reader(Plain, 0), Writer(Key(Plain)), Reader(Plain, 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Plain, 0), Looker(Newer, 1)],
            ..of(
                "two versions of a program",
                &[Reader(Plain, 0), Reader(Newer, 1), Writer(Key(Plain))],
            )
        },
    ),
    (
        1,
        Scenario {
            after: &[Looker(Shaky, 0)],
            ..of(
                "a body that fails",
                &[Reader(Shaky, 0), Reader(Shaky, 1), Refresher(Shaky, 1), Writer(Key(Shaky))],
            )
        },
    ),
    (
        1,
        Scenario {
            losses: &[(Loss::Nonce, Tagged)],
            after: &[Looker(Tagged, 0)],
            ..of(
                "a nonce that is lost",
                &[Reader(Tagged, 0), Reader(Tagged, 1), Writer(Tag("a")), WriterFrom(Tag("a"), 1)],
            )
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Tagged, 0), Looker(Valued, 1)],
            ..of("two entries, two tags", &[Reader(Tagged, 0), Reader(Valued, 1), Writer(Both)])
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Tagged, 0), Looker(Late, 0)],
            ..of("all is cleared", &[Reader(Tagged, 0), Reader(Late, 1), Writer(Everything)])
        },
    ),
    (
        2,
        Scenario {
            losses: &[(Loss::Trim, Late)],
            after: &[Looker(Late, 0)],
            ..of("a journal that is trimmed", &[Reader(Late, 0), Writer(Tag("a"))])
        },
    ),
    (
        1,
        Scenario {
            losses: &[(Loss::Journal, Late)],
            after: &[Looker(Late, 0)],
            ..of("a journal that is lost", &[Reader(Late, 0), Writer(Tag("a")), Reader(Valued, 1)])
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Late, 0)],
            ..of("a set with tags", &[Reader(Late, 0), Setter(Late, 1), Writer(Tag("a"))])
        },
    ),
    (
        1,
        Scenario {
            faults: 1,
            after: &[Looker(Outer, 0)],
            ..of("an inner call that can't store", &[Reader(Outer, 0), Writer(Tag("a"))])
        },
    ),
    (
        2,
        Scenario {
            after: &[Looker(Outer, 0), Looker(OuterTagged, 0)],
            ..of("inner values of others", &[Reader(Outer, 0), Writer(Tag("a")), Reader(Tagged, 1)])
        },
    ),
    (
        2,
        Scenario {
            before: &[Reader(Tagged, 1)],
            after: &[Looker(OuterTagged, 0)],
            ..of(
                "inner values under a tag of one's own",
                &[Reader(OuterTagged, 0), Writer(Tag("a")), Reader(Tagged, 1)],
            )
        },
    ),
    (
        1,
        Scenario {
            before: &[Reader(Tagged, 1)],
            after: &[Looker(Outer, 0)],
            ..of(
                "inner values that expire",
                &[Reader(Outer, 0), Expirer(Tag("a")), Reader(Tagged, 1)],
            )
        },
    ),
];

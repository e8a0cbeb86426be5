//! Histories by hand: those that violate a promise are found, and no others.

use crate::checker::{Broken, Checker};
use crate::record::{Body, Event, Fault, Function, Read, Write, line, parse};

use Function::{Live, Plain, Tagged};

const SECOND: u64 = 1_000_000_000;

fn read(start: u64, version: u64) -> Read {
    Read {
        process: 0,
        start,
        end: start + 5,
        function: Plain,
        registers: vec![1],
        register: 1,
        version,
        born: start,
        seen: start,
        forced: false,
        oldest: SECOND,
    }
}

fn write(end: u64, version: u64) -> Write {
    Write {
        process: 1,
        start: end.saturating_sub(5),
        end,
        how: "invalidate",
        functions: &[Plain],
        registers: vec![(1, version)],
        acknowledged: true,
    }
}

/// What is broken, where all is judged at once.
fn broken(events: impl IntoIterator<Item = Event>) -> Vec<Broken> {
    let mut checker = Checker::default();
    events.into_iter().for_each(|event| checker.add(event));
    checker.settle(u64::MAX).iter().map(|violation| violation.broken().clone()).collect()
}

fn c1(version: u64, at: u64) -> Broken {
    Broken::Invalidated { version, at, how: "invalidate" }
}

#[test]
fn a_value_from_before_an_acknowledged_invalidation_is_found() {
    assert_eq!(broken([Event::Write(write(10, 2)), Event::Read(read(11, 1))]), [c1(2, 10)]);
}

#[test]
fn what_a_failover_may_have_lost_is_not_counted_and_nothing_else() {
    let after = |failover: Option<(u64, u64)>, at| {
        let mut checker = Checker::default();
        if let Some((from, until)) = failover {
            checker.fails_over(from);
            checker.has_failed_over(until);
        }
        checker.add(Event::Write(write(at, 2)));
        checker.add(Event::Read(read(200, 1)));
        (checker.settle(u64::MAX).len(), checker.lost())
    };
    assert_eq!(after(None, 100), (1, 0));
    for (at, expected) in [(99, (1, 0)), (100, (0, 1)), (112, (0, 1)), (115, (0, 1)), (116, (1, 0))]
    {
        assert_eq!(after(Some((100, 110)), at), expected, "{at}");
    }
}

#[test]
fn a_newer_value_or_the_same_is_fine() {
    let history = [
        Event::Write(write(10, 2)),
        Event::Read(read(11, 2)),
        Event::Read(read(12, 3)),
        Event::Read(read(9, 0)),
    ];
    assert_eq!(broken(history), []);
}

/// Which of two came first at one instant, nobody knows.
#[test]
fn an_acknowledgement_at_the_very_instant_binds_nobody() {
    assert_eq!(broken([Event::Write(write(10, 2)), Event::Read(read(10, 1))]), []);
    let both = [Event::Write(write(10, 3)), Event::Write(write(10, 2)), Event::Read(read(11, 2))];
    assert_eq!(broken(both), [c1(3, 10)], "of two at one instant both bind");
    let both = [Event::Write(write(10, 2)), Event::Write(write(10, 3)), Event::Read(read(11, 2))];
    assert_eq!(broken(both), [c1(3, 10)], "in whichever order they arrive");
}

/// The call overlaps the invalidation: either value will do.
#[test]
fn a_read_that_began_before_the_acknowledgement_is_fine() {
    let mut long = read(8, 1);
    long.end = 50;
    assert_eq!(broken([Event::Write(write(10, 2)), Event::Read(long)]), []);
}

#[test]
fn what_was_not_acknowledged_binds_nobody() {
    let mut failed = write(10, 2);
    failed.acknowledged = false;
    assert_eq!(broken([Event::Write(failed), Event::Read(read(11, 1))]), []);
}

#[test]
fn only_registers_and_functions_that_were_invalidated_are_bound() {
    let mut of_group = write(10, 2);
    of_group.registers = vec![(0, 5), (1, 7)];
    of_group.functions = &[Tagged, Live];
    let of =
        |function, register, version| Event::Read(Read { function, register, ..read(11, version) });
    let history = |read| [Event::Write(of_group.clone()), read];
    assert_eq!(broken(history(of(Plain, 1, 1))), []);
    assert_eq!(broken(history(of(Tagged, 2, 1))), []);
    assert_eq!(broken(history(of(Tagged, 0, 5))), []);
    assert_eq!(broken(history(of(Tagged, 1, 5))), [c1(7, 10)]);
    assert_eq!(broken(history(of(Live, 0, 4))), [c1(5, 10)]);
}

/// Its body began before the invalidation was issued, and read the new version nevertheless.
#[test]
fn a_value_that_began_before_the_invalidation_is_found_though_it_is_new() {
    let begun = |born, seen| Event::Read(Read { born, seen, ..read(11, 2) });
    let early = || Broken::BegunBefore { issued: 5, at: 10, how: "invalidate" };
    let history = |read| [Event::Write(write(10, 2)), read];
    assert_eq!(broken(history(begun(4, 4))), [early()]);
    assert_eq!(broken(history(begun(5, 5))), [], "at one instant nobody knows");
    assert_eq!(broken(history(begun(4, 6))), [early()], "the outer body counts");
    assert_eq!(broken(history(begun(6, 4))), [early()], "and so does the inner");
    let overlapping = Event::Read(Read { born: 4, seen: 4, ..read(10, 2) });
    assert_eq!(broken(history(overlapping)), []);
}

/// One that was issued earlier and acknowledged later takes nothing back.
#[test]
fn what_was_issued_last_is_due() {
    let long = Write { start: 1, ..write(20, 3) };
    let read = Read { born: 3, seen: 3, ..read(21, 3) };
    let early = Broken::BegunBefore { issued: 5, at: 10, how: "invalidate" };
    assert_eq!(
        broken([Event::Write(write(10, 2)), Event::Write(long), Event::Read(read)]),
        [early]
    );
}

/// A value that is set is begun when it is; the set is final for older values like an invalidation.
#[test]
fn what_was_set_is_bound_like_what_was_computed() {
    let set = Event::Write(Write { start: 20, how: "set", ..write(30, 3) });
    let value =
        |start, version, born| Event::Read(Read { born, seen: born, ..read(start, version) });
    let invalidated = || Event::Write(write(10, 2));
    assert_eq!(broken([invalidated(), set.clone(), value(31, 3, 20)]), []);
    let found = broken([set.clone(), value(31, 2, 12)]);
    assert_eq!(found, [Broken::Invalidated { version: 3, at: 30, how: "set" }]);
    let found = broken([set.clone(), value(31, 3, 19)]);
    assert_eq!(found, [Broken::BegunBefore { issued: 20, at: 30, how: "set" }]);
    let found = broken([set, Event::Write(write(40, 4)), value(41, 3, 20)]);
    assert_eq!(found, [c1(4, 40)]);
}

/// Records come from several processes; one may have been stopped before it told.
#[test]
fn records_may_arrive_in_any_order() {
    let history = [
        Event::Read(read(25, 2)),
        Event::Write(write(20, 3)),
        Event::Read(read(15, 1)),
        Event::Write(write(10, 2)),
        Event::Write(write(5, 1)),
    ];
    assert_eq!(broken(history), [c1(3, 20), c1(2, 10)]);
}

/// An older version that is acknowledged later takes nothing back.
#[test]
fn the_newest_acknowledged_version_is_due() {
    let history =
        [Event::Write(write(10, 5)), Event::Write(write(20, 4)), Event::Read(read(21, 4))];
    assert_eq!(broken(history), [c1(5, 10)]);
}

#[test]
fn what_is_too_old_is_found() {
    let at = 5 * SECOND;
    let aged = |age| Event::Read(Read { born: at - age, ..read(at, 1) });
    assert_eq!(broken([aged(SECOND)]), []);
    assert_eq!(broken([aged(SECOND + 1)]), [Broken::TooOld { nanoseconds: SECOND + 1 }]);
}

#[test]
fn a_forced_read_must_begin_its_body_itself() {
    let forced = |born| Event::Read(Read { born, forced: true, ..read(10, 1) });
    assert_eq!(broken([forced(10), forced(12)]), []);
    assert_eq!(broken([forced(9)]), [Broken::NotForced]);
}

/// What is due is kept for as long as a read may need it, and one step of it for ever.
#[test]
fn what_is_judged_in_pieces_is_judged_the_same() {
    let mut checker = Checker::default();
    for at in 1..1_000 {
        checker.add(Event::Write(write(at * SECOND, at)));
        checker.add(Event::Read(read(at * SECOND + 1, at)));
        assert!(checker.settle((at - 1) * SECOND).is_empty(), "at {at}");
    }
    checker.add(Event::Read(read(2_000 * SECOND, 998)));
    // A call that took forty seconds.
    checker.add(Event::Read(read(960 * SECOND + 1, 959)));
    checker.add(Event::Read(read(960 * SECOND + 1, 960)));
    let found = checker.settle(u64::MAX);
    let found: Vec<_> = found.iter().map(|violation| violation.broken().clone()).collect();
    assert_eq!(found, [c1(999, 999 * SECOND), c1(960, 960 * SECOND)]);
    assert_eq!(checker.judged(), 999 + 3);
}

#[test]
fn an_acknowledgement_that_comes_too_late_is_counted() {
    let mut checker = Checker::default();
    checker.settle(100);
    checker.add(Event::Write(write(100, 2)));
    assert_eq!(checker.late(), 0, "it binds those only that begin later");
    checker.add(Event::Write(write(99, 3)));
    assert_eq!(checker.late(), 1);
}

/// Half an hour, of which nothing is held but the last minute.
#[test]
fn memory_is_bounded() {
    let mut checker = Checker::default();
    for at in 1..=18_000 {
        let now = at * SECOND / 10;
        checker.add(Event::Write(write(now, at)));
        checker.add(Event::Read(read(now + 1, at)));
        assert!(checker.settle(now - SECOND / 20).is_empty(), "at {at}");
        assert!(checker.held() < 2_000, "{} at {at}", checker.held());
    }
}

#[test]
fn the_history_around_a_violation_is_told() {
    let mut checker = Checker::default();
    for at in 0..90 {
        checker.add(Event::Read(read(at, 1)));
        checker.add(Event::Read(Read { registers: vec![2], register: 2, ..read(at, 1) }));
    }
    checker.add(Event::Write(write(100, 2)));
    let what = "Flush".to_owned();
    checker.add(Event::Fault(Fault { start: 101, end: 102, what }));
    let registers = vec![1];
    checker.add(Event::Body(Body { process: 2, start: 90, end: 103, function: Plain, registers }));
    checker.add(Event::Read(read(110, 1)));
    checker.add(Event::Read(read(200, 2)));
    let violations = checker.settle(u64::MAX);
    let [violation] = &violations[..] else { panic!("{violations:?}") };
    assert_eq!(violation.history().len(), 30, "the last of them");
    let text = violation.to_string();
    assert!(
        text.contains(
            "returned version 1 of register 1, but version 2 was acknowledged by invalidate"
        ),
        "{text}"
    );
    let last: Vec<_> = text.lines().rev().take(5).collect();
    let [read, body, flush, write, before] = last[..] else { panic!("{text}") };
    assert!(before.contains("0 read Plain[1], register 1 = 1"), "{text}");
    assert!(write.contains("1 wrote [(1, 2)], invalidate: acknowledged"), "{text}");
    assert!(flush.contains("Flush"), "{text}");
    assert!(body.contains("2 ran the body of Plain[1]"), "{text}");
    assert!(read.contains("0 read Plain[1], register 1 = 1"), "{text}");
}

#[test]
fn a_line_that_a_killed_process_left_unfinished_is_nothing() {
    let lines = [
        line("r", &[100, 200, 0, 150, 150, 0, 3, 42, 3]),
        line("w", &[100, 200, 0, 1, 3, 42, 43]),
        line("b", &[100, 200, 0, 3, 4]),
        line("count", &[1, 20]),
    ];
    for whole in lines {
        assert!(parse(0, &whole).is_some(), "{whole}");
        for length in 0..whole.len() {
            assert!(parse(0, &whole[..length]).is_none(), "{length} of {whole}");
        }
    }
}

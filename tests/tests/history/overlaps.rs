//! C4: how many bodies ran for one key at the same time. Counted, and not judged: it is best effort.

use std::collections::BTreeMap;

use crate::record::{Body, Function};

type Key = (Function, Vec<u64>);

#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    pending: Vec<Body>,
    /// Until when a body of the key runs.
    running: BTreeMap<Key, u64>,
    pub(crate) bodies: u64,
    /// Those that began while another one of their key was running.
    pub(crate) concurrent: u64,
}

impl Overlaps {
    pub(crate) fn add(&mut self, body: Body) {
        self.pending.push(body);
    }

    /// Counts those that began before `until`.
    pub(crate) fn settle(&mut self, until: u64) {
        let (mut due, pending): (Vec<_>, _) =
            std::mem::take(&mut self.pending).into_iter().partition(|body| body.start < until);
        self.pending = pending;
        due.sort_by_key(|body| body.start);
        for body in due {
            self.bodies += 1;
            let end = self.running.entry((body.function, body.registers)).or_insert(0);
            self.concurrent += u64::from(body.start < *end);
            *end = body.end.max(*end);
        }
        self.running.retain(|_, end| *end >= until);
    }
}

#[test]
fn bodies_of_one_key_that_overlap_are_counted() {
    let body = |start, end, register| Body {
        process: 0,
        start,
        end,
        function: Function::Plain,
        registers: vec![register],
    };
    let mut overlaps = Overlaps::default();
    // Not in order: the second overlaps the first, the third begins as the first ends.
    for body in [body(20, 30, 1), body(5, 15, 1), body(0, 20, 1), body(6, 7, 2), body(29, 40, 1)] {
        overlaps.add(body);
    }
    overlaps.settle(21);
    assert_eq!((overlaps.bodies, overlaps.concurrent), (4, 1));
    overlaps.settle(u64::MAX);
    assert_eq!((overlaps.bodies, overlaps.concurrent), (5, 2));
}

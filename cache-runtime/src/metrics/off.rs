//! Without the feature `metrics`: the same calls, that come to nothing.

#![expect(clippy::unused_self, reason = "as the others that they stand for")]

mod words;

use std::time::Duration;

use ::redis::{Cmd, Value};

use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::site::{Site, Warning};
use crate::store::{Commit, StoreError, Touch};

pub(crate) use words::{Access, Awaited, Ran, Refreshed, Subject};

#[derive(Clone, Copy)]
pub(crate) struct Timer;

impl Timer {
    pub(crate) fn start() -> Self {
        Self
    }
}

pub(crate) fn called(_: &Site, _: Outcome, _: impl FnOnce() -> bool) {}

pub(crate) fn looked(_: &Site, _: Timer) {}

pub(crate) fn ran(_: &Site, _: Timer, _: impl FnOnce() -> Ran) {}

pub(crate) fn waited(_: &Site, _: Timer, _: Awaited) {}

pub(crate) fn refreshed(_: &Site, _: Refreshed) {}

pub(crate) fn refresh_begins(_: &Site, _: Duration) {}

pub(crate) fn committed(_: &Site, _: &Result<Commit, StoreError>) {}

pub(crate) fn rejected(_: &Site, _: Rejection) {}

pub(crate) fn warned(_: &Site, _: Warning) {}

pub(crate) struct OfCache;

impl OfCache {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn invalidated(&self, _: Touch, _: Subject, _: usize, _: bool) {}
}

#[derive(Default)]
pub(crate) struct Pending;

impl Pending {
    pub(crate) fn changed(&self, _: usize, _: usize) {}

    pub(crate) fn lost(&self, _: usize) {}
}

pub(crate) struct OfServer;

impl OfServer {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    pub(crate) fn left_alone(&self, _: Access) {}

    pub(crate) fn ended(&self, _: Timer, _: Access, _: &Cmd, _: &Result<Value, StoreError>) {}

    pub(crate) fn breaker(&self, _: Access) -> Open {
        Open
    }
}

#[derive(Debug, Default)]
pub(crate) struct Open;

impl Open {
    pub(crate) fn set(&self, _: bool) {}
}

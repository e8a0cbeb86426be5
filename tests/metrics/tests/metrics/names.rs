//! Dashboards and alerts ask for these names: to change one breaks them.

use crate::heard::Heard;
use redis_cached::Cache;

type Pinned = (&'static str, &'static str, &'static str, &'static [&'static str]);

pub(crate) const PINNED: &[Pinned] = &[
    ("redis_cached.body.duration", "histogram", "s", &["function", "module", "result"]),
    ("redis_cached.calls", "counter", "", &["function", "module", "outcome"]),
    ("redis_cached.commits", "counter", "", &["function", "module", "result"]),
    ("redis_cached.hit.age", "histogram", "s", &["function", "module"]),
    ("redis_cached.invalidations", "counter", "", &["operation", "subject", "result"]),
    ("redis_cached.invalidations_lost", "counter", "", &[]),
    ("redis_cached.invalidations_pending", "gauge", "", &[]),
    ("redis_cached.lookup.duration", "histogram", "s", &["function", "module"]),
    ("redis_cached.refresh.lag", "histogram", "s", &["function", "module"]),
    ("redis_cached.refreshes", "counter", "", &["function", "module", "result"]),
    ("redis_cached.rejections", "counter", "", &["function", "module", "reason"]),
    ("redis_cached.store.breaker", "gauge", "", &["server", "access"]),
    ("redis_cached.store.io", "counter", "B", &["server", "direction"]),
    ("redis_cached.store.operation.duration", "histogram", "s", &["server", "access"]),
    ("redis_cached.store.operations", "counter", "", &["server", "access", "result"]),
    ("redis_cached.wait.duration", "histogram", "s", &["function", "module", "awaited"]),
    ("redis_cached.warnings", "counter", "", &["function", "module", "warning"]),
];

pub(crate) fn must_be_pinned(name: &str, labels: &[&str]) {
    let pinned = PINNED.iter().find(|(pinned, ..)| *pinned == name);
    let (.., pinned) = pinned.unwrap_or_else(|| panic!("{name} is not pinned"));
    assert_eq!(labels, *pinned, "{name}");
}

#[tokio::test]
async fn names_kinds_and_units_are_pinned() {
    let heard = Heard::listen();
    Cache::builder().url("memory://").build().await.unwrap();
    let described = heard.described();
    let described: Vec<_> =
        described.iter().map(|(name, (kind, unit))| (&**name, *kind, *unit)).collect();
    let pinned: Vec<_> = PINNED.iter().map(|(name, kind, unit, _)| (*name, *kind, *unit)).collect();
    assert_eq!(described, pinned);
}

//! All metrics there are. `docs/operations.md` has the same table, for who reads them.

use ::metrics::{KeyName, SharedString, Unit};

/// One metric: what it is called, and what its labels are.
pub(super) struct Metric {
    pub(super) name: &'static str,
    kind: Kind,
    unit: Unit,
    /// In their order.
    pub(super) labels: &'static [&'static str],
    what: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal, $unit:ident, [$($label:literal),*], $what:literal;)*) => {
        $(pub(super) static $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            what: $what,
        };)*
        pub(super) static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    CALLS = Counter "redis_cached.calls", Count, ["function", "module", "outcome"],
        "calls that were answered";
    HIT_AGE = Histogram "redis_cached.hit.age", Seconds, ["function", "module"],
        "how long ago the computation of a value began that was found stored";
    LOOKUP = Histogram "redis_cached.lookup.duration", Seconds, ["function", "module"],
        "asking the store for an entry and the nonces of its tags";
    BODY = Histogram "redis_cached.body.duration", Seconds, ["function", "module", "result"],
        "bodies that have ended, in the background too";
    WAIT = Histogram "redis_cached.wait.duration", Seconds, ["function", "module", "awaited"],
        "what a call waited for instead of computing";
    REFRESHES = Counter "redis_cached.refreshes", Count, ["function", "module", "result"],
        "what became of background refreshes";
    REFRESH_LAG = Histogram "redis_cached.refresh.lag", Seconds, ["function", "module"],
        "how long after it was due a refresh began";
    COMMITS = Counter "redis_cached.commits", Count, ["function", "module", "result"],
        "what became of values on their way into the store";
    REJECTIONS = Counter "redis_cached.rejections", Count, ["function", "module", "reason"],
        "stored entries that were not used";
    WARNINGS = Counter "redis_cached.warnings", Count, ["function", "module", "warning"],
        "what is told once for each function, as often as it happens";
    INVALIDATIONS = Counter "redis_cached.invalidations", Count, ["operation", "subject", "result"],
        "keys and tags that were invalidated or expired, each time one was sent";
    PENDING = Gauge "redis_cached.invalidations_pending", Count, [],
        "keys and tags that were left behind callers, and that no server has confirmed yet";
    LOST = Counter "redis_cached.invalidations_lost", Count, [],
        "keys and tags left behind callers that were given up";
    OPERATIONS = Counter "redis_cached.store.operations", Count, ["server", "access", "result"],
        "operations on a server";
    OPERATION = Histogram "redis_cached.store.operation.duration", Seconds, ["server", "access"],
        "operations that a server was asked for, with waiting for a connection";
    IO = Counter "redis_cached.store.io", Bytes, ["server", "direction"],
        "arguments sent and values received, without what the protocol adds";
    BREAKER = Gauge "redis_cached.store.breaker", Count, ["server", "access"],
        "runtimes of this process that leave a server alone, since it does not answer";
}

#[cfg(test)]
impl Metric {
    pub(super) fn kind_and_unit(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        match self.unit.as_canonical_label() {
            "" => kind,
            unit => format!("{kind}, {unit}"),
        }
    }
}

/// Tells the recorder what all of them are.
pub(crate) fn describe() {
    ::metrics::with_recorder(|recorder| {
        for metric in ALL {
            let (name, what) =
                (KeyName::from_const_str(metric.name), SharedString::const_str(metric.what));
            let unit = Some(metric.unit);
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, what),
                Kind::Gauge => recorder.describe_gauge(name, unit, what),
                Kind::Histogram => recorder.describe_histogram(name, unit, what),
            }
        }
    });
}

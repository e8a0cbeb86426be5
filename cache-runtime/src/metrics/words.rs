//! What stands in labels: fixed words, so that no metric grows with data.

/// How a body ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ran {
    Value,
    /// An error that is a failure, as `stale_if` says.
    Error,
    TimedOut,
}

/// What a call waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// Another process, that computes.
    Lease,
    /// Another call of this process.
    Flight,
    /// A place under `max_concurrency`.
    Place,
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refreshed {
    Computed,
    Failed,
    /// To another process, or to whoever has just changed the entry.
    Left,
    /// The entry was not due: this process had been in doubt about the time.
    NotDue,
    /// The store could not be asked.
    Unreachable,
    /// As many as may be were under way.
    Dropped,
}

/// What is invalidated, or expired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Key,
    Tag,
    /// Everything there is.
    All,
}

/// What an operation on a server may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    Read,
    Write,
}

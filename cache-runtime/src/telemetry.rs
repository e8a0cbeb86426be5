//! What is told to `tracing`, by function name and key digest, never the key; and, where it is counted, to `metrics`.

use crate::cache::Inner;
use crate::key::Key;
use crate::metrics::{self, Ran, Refreshed, Subject, Timer};
use crate::observe;
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::site::{Site, Warning};
use crate::store::{StoreError, Touch};

macro_rules! told {
    ($site:expr, $key:expr, $($rest:tt)*) => {
        tracing::debug!(
            target: "redis_cached",
            function = $site.function(),
            module = $site.module(),
            key_digest = %format_args!("{:032x}", $key.digest()),
            $($rest)*
        )
    };
}

/// `failed`: by an error in place of which an old value may be served.
pub(crate) fn answered(site: &Site, key: &Key, outcome: Outcome, failed: impl FnOnce() -> bool) {
    observe::note(site, outcome);
    metrics::called(site, outcome, failed);
    told!(site, key, outcome = outcome.text(), "answered");
}

/// Without a cache, or a key.
pub(crate) fn bypassed(site: &Site, timer: Timer, mut failed: impl FnMut() -> bool) {
    observe::note(site, Outcome::Bypassed);
    metrics::ran(site, timer, || if failed() { Ran::Error } else { Ran::Value });
    metrics::called(site, Outcome::Bypassed, failed);
}

/// What is stored is of no use to the call.
pub(crate) fn rejected(site: &Site, key: &Key, why: Rejection) {
    metrics::rejected(site, why);
    told!(site, key, step = why.text(), reason = why.reason(), "step");
    match why {
        Rejection::Unauthenticated => warn_once(site, Warning::Unauthenticated, ""),
        Rejection::NotLoaded => warn_once(site, Warning::NotLoaded, ""),
        _ => {}
    }
}

pub(crate) fn refreshed(site: &Site, key: &Key, refreshed: Refreshed) {
    metrics::refreshed(site, refreshed);
    match refreshed {
        Refreshed::Left => step(site, key, "refresh left to another"),
        Refreshed::Failed => step(site, key, "refresh failed"),
        Refreshed::Dropped => step(site, key, "too many refreshes under way"),
        Refreshed::Computed | Refreshed::NotDue | Refreshed::Unreachable => {}
    }
}

/// So many keys or tags were invalidated, or expired, or it is not known whether they were.
pub(crate) fn touched<E>(
    cache: &Inner,
    touch: Touch,
    subject: Subject,
    count: usize,
    result: &Result<(), E>,
) {
    cache.metrics.invalidated(touch, subject, count, result.is_ok());
}

/// As [`answered`]: for a copy no key is rendered.
pub(crate) fn answered_near(site: &Site, outcome: Outcome) {
    observe::note(site, outcome);
    metrics::called(site, outcome, || false);
    tracing::debug!(
        target: "redis_cached",
        function = site.function(),
        module = site.module(),
        outcome = outcome.text(),
        "answered"
    );
}

/// A value past its ttl was served. Said once, until one is stored again.
pub(crate) fn kept_served(site: &Site) {
    if site.fails(true) {
        tracing::warn!(
            target: "redis_cached",
            function = site.function(),
            module = site.module(),
            "computing fails or takes too long, and values are served that are past their ttl, for as long as \
             `stale_if_error` says"
        );
    }
}

/// A value was stored, and so computing does not fail any more, if it did.
pub(crate) fn computes_again(site: &Site) {
    if site.policy.keeps() && site.fails(false) {
        tracing::info!(
            target: "redis_cached",
            function = site.function(),
            module = site.module(),
            "computing works again"
        );
    }
}

/// A step of the protocol that the caller does not see.
pub(crate) fn step(site: &Site, key: &Key, step: &'static str) {
    told!(site, key, step, "step");
}

pub(crate) fn store_trouble(site: &Site, key: &Key, error: &StoreError) {
    told!(site, key, %error, "the store could not be asked");
    // An outage is silent here, the connection tells of it. A refusal is the operator's to mend.
    if let StoreError::Server(text) = error {
        warn_once(site, Warning::Server, text);
    }
}

/// Two functions of one program meet under one key.
pub(crate) fn clash(site: &Site, other: &Site) {
    let detail = format!("{} and {}", site.template(), other.template());
    metrics::warned(site, Warning::Clash);
    if site.first_warning(Warning::Clash) {
        tracing::warn!(
            target: "redis_cached",
            function = site.function(),
            module = site.module(),
            other = other.function(),
            other_module = other.module(),
            detail,
            "two functions can meet under one key: neither is served the other's value, but each \
             invalidates the other's, and a third would drive one out; begin their keys with words of \
             their own, or write `same_entries_as` if they are to share"
        );
    }
}

/// Two functions of one program can't be told apart.
pub(crate) fn same_identity(site: &Site, [module, function, place]: &[&'static str; 3]) {
    tracing::error!(
        target: "redis_cached",
        function = site.function(),
        module = site.module(),
        other = function,
        other_module = module,
        other_place = place,
        "two functions are known by one name and have one type of value: this one keeps its entries to this \
         process, or it would be served the other's; give each a `name` of its own, or write \
         `same_entries_as` if they are to share"
    );
}

/// Said once for each function: what its author should know and change.
pub(crate) fn warn_once(site: &Site, warning: Warning, detail: &str) {
    metrics::warned(site, warning);
    if !site.first_warning(warning) {
        return;
    }
    let text = match warning {
        Warning::SlowerThanTtl => {
            "the body took longer than the ttl of what it returned, which was not stored; raise the ttl"
        }
        Warning::SlowerThanLease => {
            "the body took longer than a lease is renewed for, 60 s without a `timeout`, so its value was not stored; make it faster, load in parts, or say a `timeout`"
        }
        Warning::Fallback => {
            "the value does not read back from the compact codec and is stored as named MessagePack, which is larger"
        }
        Warning::NotStorable => "the value can't be stored, so every call runs the body",
        Warning::NotLoaded => {
            "`load` made no value of what is stored, so the body runs; where that is so for every value, no call is a hit"
        }
        Warning::ErrorNotStorable => {
            "an error that `cache_err_if` wants stored can't be, so every call that ends in it runs the body"
        }
        Warning::Recursion => {
            "the body called its own function with the same key; the inner call ran without the cache"
        }
        Warning::Key => {
            "the `Display` of an argument failed, so there is no key and the body runs without the cache"
        }
        Warning::Server => {
            "the server refuses what the cache asks of it; until that is mended, values are not stored"
        }
        Warning::Policy => {
            "a duration that is known only at run time is outside of what is allowed, and was brought into it"
        }
        Warning::Overdue => {
            "waited for a place under `max_concurrency` until no body ended for as long as `wait`, or for six times as long; another was started above it"
        }
        Warning::Tags => {
            "the value's tags can't be kept, so it is not stored, and every call runs the body"
        }
        Warning::Unauthenticated => {
            "an entry is not one that a cache with this `integrity_key` has written for its key, so it is removed and the body runs; some process has another secret or none, or somebody else writes to the server"
        }
        Warning::Put => {
            "a value that a function has written is not put, and its entry is invalidated"
        }
        Warning::Primed => "a value that `prime` was called with is not stored",
        Warning::Near => "`near` has no effect: each call is answered by the store",
        Warning::Clash => "two functions can meet under one key",
        Warning::Runtime => "called outside a tokio runtime, so the body runs without the cache",
    };
    tracing::warn!(
        target: "redis_cached",
        function = site.function(),
        module = site.module(),
        detail,
        "{text}"
    );
}

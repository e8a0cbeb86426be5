#![deny(warnings, missing_docs)]
//! Attributes of the user stand where they belong.

use redis_cached::redis_cached;

/// Loads.
///
/// # Errors
///
/// Never.
#[redis_cached(key = "attributes:{a}", ttl = "5m", skip(b))]
#[deprecated = "use something else"]
#[must_use]
#[inline]
#[allow(unused_variables)]
pub async fn deprecated(a: u64, b: u64) -> u64 {
    a
}

/// Expects.
#[redis_cached(key = "attributes:expected", ttl = "5m")]
#[expect(unused_variables, reason = "an expectation is met once")]
pub async fn expected() -> u64 {
    let x = 1;
    2
}

#[redis_cached(key = "attributes:gone:{a}", ttl = "5m")]
#[cfg(any())]
pub async fn gone(a: Missing) -> Missing {
    a
}

fn main() {}

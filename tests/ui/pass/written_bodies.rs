//! Bodies of functions that write, which compile as those of any function.

#![deny(warnings, unused)]

use std::error::Error;
use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;

use redis_cached::{redis_cached, redis_invalidate, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

#[derive(Debug)]
struct Invalid;

impl Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid")
    }
}

impl Error for Invalid {}

trait Shape: Send + Sync {}

struct Square;

impl Shape for Square {}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn coerced_value(id: u64) -> Result<Box<dyn Shape>, std::io::Error> {
    std::future::ready(()).await;
    if id == 0 {
        return Err(std::io::Error::other("no"));
    }
    Ok(Box::new(Square))
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn coerced_error(id: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    if id == 0 {
        return Err(Box::new(Invalid));
    }
    "7".parse::<u64>()?;
    Ok(())
}

#[redis_invalidate(user(id), when = !ret.is_empty(), on_failure = "retry")]
async fn coerced_slices(id: u64) -> Option<&'static [u8]> {
    if id == 0 {
        return Some(b"a");
    }
    Some(&[1, 2])
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn coerced_functions(id: u64) -> Vec<fn(u64) -> u64> {
    let _ = id;
    vec![|x| x + 1, |x| x + 2]
}

#[redis_invalidate(user(ret.1), on_failure = "retry")]
async fn coerced_borrowed(name: &str) -> Result<(&str, u64), Box<dyn Error + Send + Sync + '_>> {
    Ok((name, name.parse()?))
}

#[redis_put(user(id) = ret.0, on_failure = "retry")]
async fn coerced_and_put(id: u64) -> (u64, Box<dyn Shape>) {
    (id, Box::new(Square))
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn unfinished(id: u64) -> Result<u64, std::io::Error> {
    let _ = id;
    todo!()
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn one_expression(id: u64) -> u64 {
    id
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn nothing(id: u64) {
    let _ = id;
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn empty(id: u64) {}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn inner_attribute(id: u64) -> u64 {
    #![allow(unused_variables)]
    let x = 1;
    id
}

#[redis_invalidate(user(id), on_failure = "retry")]
fn boxed_inner_attribute(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    #![allow(unused_variables, reason = "a test")]
    let x = 1;
    Box::pin(async move { id })
}

#[redis_cached(key = "cached:{id}", ttl = "5m")]
async fn cached_inner_attribute(id: u64) -> u64 {
    #![allow(unused_variables)]
    let x = 1;
    id
}

fn sendable<F: Future + Send>(_: F) {}

fn main() {
    sendable(coerced_value(1));
    sendable(coerced_error(1));
    sendable(coerced_slices(1));
    sendable(coerced_functions(1));
    sendable(coerced_borrowed("7"));
    sendable(coerced_and_put(1));
    sendable(unfinished(1));
    sendable(one_expression(1));
    sendable(nothing(1));
    sendable(empty(1));
    sendable(inner_attribute(1));
    sendable(boxed_inner_attribute(1));
    sendable(cached_inner_attribute(1));
}

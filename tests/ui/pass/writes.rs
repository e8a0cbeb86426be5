#![deny(warnings, unused)]

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;

use redis_cached::{InvalidateError, redis_cached, redis_invalidate, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m", clearable)]
async fn user(id: u64) -> u64 {
    id
}

/// An error that borrows, and can be cloned.
#[derive(Clone, Debug)]
struct Invalid<'a>(#[allow(dead_code)] &'a str);

#[redis_invalidate(user(ret), on_failure = "retry")]
async fn borrowing_error(name: &str) -> Result<u64, Invalid<'_>> {
    name.parse().map_err(|_| Invalid(name))
}

#[redis_invalidate(user(1), on_failure = "retry")]
async fn borrowing_value(name: &str) -> Option<&str> {
    name.get(1..)
}

/// Sent from thread to thread, but not shared.
#[redis_invalidate(user(id), on_failure = "retry")]
async fn not_sync(id: u64, cell: Cell<u32>) -> u32 {
    cell.set(cell.get() + 1);
    cell.get()
}

#[redis_invalidate(user(**id), for n in numbers.clone() => user(n), on_failure = "retry")]
async fn opaque_arguments(
    id: &(impl std::ops::Deref<Target = u64> + Sync),
    numbers: impl Iterator<Item = u64> + Clone + Send,
    mut more: Vec<u64>,
    (first, _): (u8, u8),
) -> usize {
    more.extend(numbers);
    more.len() + usize::from(first) + usize::from(**id > 0)
}

/// A `return`, a `?` and a `break` end the body, and not what is behind it.
#[redis_invalidate(user(1), on_failure = "error")]
async fn early(n: u64) -> Result<u64, Failed> {
    if n == 0 {
        return Ok(0);
    }
    let ret = loop {
        if n > 1 {
            break u64::from_str_radix("x", 10)?;
        }
        return Err(Failed);
    };
    Ok(ret)
}

#[derive(Debug)]
struct Failed;

impl From<std::num::ParseIntError> for Failed {
    fn from(_: std::num::ParseIntError) -> Self {
        Self
    }
}

impl From<InvalidateError> for Failed {
    fn from(_: InvalidateError) -> Self {
        Self
    }
}

type Answer<T> = Result<T, Failed>;

struct Service<T> {
    of: T,
}

impl<T: Debug + Clone + Send + Sync> Service<T> {
    #[redis_cached(key = "service:{of:hash}:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64, of: u8) -> u64 {
        let _ = (&self.of, of);
        id
    }

    #[redis_invalidate(Self::load(id, 1), user(..), tags = ["of:{self.tag()}:{id}:{ret}"], on_failure = "error")]
    async fn change<'a>(&'a mut self, id: u64, of: T) -> Answer<&'a str>
    where
        T: 'a,
    {
        self.of = of;
        Ok("changed")
    }

    fn tag(&self) -> String {
        format!("{:?}", self.of)
    }

    #[redis_invalidate(user(1), on_failure = "retry")]
    async fn consumed(self) -> T {
        self.of
    }
}

/// Names of generated code are its own.
#[redis_invalidate(user(__value), when = ret > 0, on_failure = "retry")]
async fn names(__value: u64, __returned: u64) -> u64 {
    let __writing = __value + __returned;
    __writing
}

#[redis_cached(key = "named:{name}", ttl = "5m")]
async fn named(name: &str) -> usize {
    name.len()
}

struct Filter {
    ret: u64,
}

impl Filter {
    fn first(&self) -> u64 {
        self.ret
    }
}

/// `ret` is known wherever it stands for a value, and nowhere else.
#[redis_invalidate(
    for n in 0..ret => user(n),
    for n in 0..=ret => named(&format!("{n} of {ret:?}")),
    user(Filter { ret: id }.ret + Filter { ret }.first()),
    user(vec![id, ret].len() as u64 + [1, 2][..1].len() as u64),
    named(&format!("{ret}")),
    named(concat(&[&format!("{id} {ret:>5}"), &ret.to_string()]).as_str()),
    when = format!("{ret}") != "0" && (1..ret).count() > 1,
    on_failure = "retry"
)]
async fn places_of_ret(id: u64) -> u64 {
    id
}

#[redis_put(user(id) = format!("{ret}").len() as u64, user(ret) = 1, on_failure = "retry")]
async fn put_texts(id: u64) -> u64 {
    id
}

#[redis_put(for id in &ids => user(*id) = ret, on_failure = "retry")]
async fn put_of_many(ids: Vec<u64>) -> u64 {
    ids.len() as u64
}

#[redis_put(for id in &ids => user(*id + team) = ret, on_failure = "retry")]
fn put_of_many_boxed(
    ids: Vec<u64>,
    mut team: u64,
) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
    team += 1;
    Box::pin(async move { ids.len() as u64 + team })
}

fn concat(parts: &[&str]) -> String {
    parts.concat()
}

fn sendable<F: Future + Send>(_: F) {}

fn main() {
    sendable(borrowing_error("7"));
    sendable(borrowing_value("7"));
    sendable(not_sync(1, Cell::new(1)));
    sendable(opaque_arguments(&Box::new(1), 0..3, vec![1], (1, 2)));
    sendable(early(1));
    sendable(names(1, 2));
    sendable(places_of_ret(1));
    sendable(put_texts(1));
    sendable(put_of_many(vec![1]));
    sendable(put_of_many_boxed(vec![1], 1));
    let mut service = Service { of: 1_u8 };
    sendable(service.change(1, 2));
    sendable(service.consumed());
}

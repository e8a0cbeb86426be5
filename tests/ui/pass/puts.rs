#![deny(warnings, unused)]

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis_cached::{InvalidateError, redis_cached, redis_invalidate, redis_put};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[redis_cached(key = "user:{id}", ttl = "5m", clearable)]
async fn user(id: u64) -> Result<User, Failed> {
    Ok(User { id, name: String::new() })
}

#[redis_cached(key = "maybe:{id}", ttl = "5m")]
async fn maybe(id: u64) -> Option<User> {
    user(id).await.ok()
}

#[redis_cached(key = "shared:{id}", ttl = "5m")]
async fn shared(id: u64) -> Arc<User> {
    Arc::new(User { id, name: String::new() })
}

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn name(id: &str) -> String {
    id.to_owned()
}

#[derive(Debug)]
struct Failed;

impl From<InvalidateError> for Failed {
    fn from(_: InvalidateError) -> Self {
        Self
    }
}

/// An error that borrows.
#[derive(Clone, Debug)]
struct Invalid<'a>(#[allow(dead_code)] &'a str);

struct Saved {
    user: User,
    many: Vec<User>,
    by_name: HashMap<String, User>,
    first: Option<User>,
}

#[redis_put(user(ret.id), on_failure = "retry")]
async fn plain(user: User) -> User {
    user
}

#[redis_put(user(ret.id), on_failure = "error")]
async fn of_a_result(user: User) -> Result<User, Failed> {
    Ok(user)
}

#[redis_put(user(ret.id), maybe(ret.id) = Some(ret.clone()), on_failure = "error")]
async fn of_an_option(user: Option<User>) -> Result<Option<User>, Failed> {
    Ok(user)
}

#[redis_put(shared(ret.id), user(ret.id) = &*ret, on_failure = "retry")]
async fn of_an_arc(user: User) -> Arc<User> {
    Arc::new(user)
}

#[redis_put(
    user(ret.user.id) = &ret.user,
    for user in &ret.many => user(user.id) = user,
    for user in ret.many.iter().filter(|user| !user.name.is_empty()) => maybe(user.id) = Some(user.clone()),
    for (name, user) in &ret.by_name => name(name) = &user.name,
    for user in &ret.first => shared(user.id) = Arc::new(user.clone()),
    for User { id, .. } in ret.first.iter() => name(&id.to_string()) = format!("user {id}"),
    on_failure = "retry"
)]
async fn parts(user: User) -> Saved {
    let many = vec![user.clone()];
    Saved { by_name: HashMap::new(), first: Some(user.clone()), many, user }
}

#[redis_put(user(1), on_failure = "retry")]
async fn borrowing_error(name: &str) -> Result<User, Invalid<'_>> {
    if name.is_empty() { Err(Invalid(name)) } else { Ok(User { id: 1, name: name.to_owned() }) }
}

#[redis_put(name(key) = ret.to_owned(), on_failure = "retry")]
async fn borrowing_value<'a>(key: &str, name: &'a str) -> Option<&'a str> {
    let _ = key;
    name.get(1..)
}

/// Sent from thread to thread, but not shared.
#[redis_put(name("x") = ret.take(), on_failure = "retry")]
async fn not_sync(cell: Cell<String>) -> Cell<String> {
    cell
}

#[redis_put(user(**id), for n in numbers.clone() => maybe(n) = None, on_failure = "retry")]
async fn opaque_arguments(
    id: &(impl std::ops::Deref<Target = u64> + Sync),
    numbers: impl Iterator<Item = u64> + Clone + Send,
    mut more: Vec<u64>,
    (first, _): (u8, u8),
) -> User {
    more.extend(numbers.clone());
    User { id: **id + u64::from(first), name: format!("{more:?}") }
}

/// A parameter that the body takes is named by its handle all the same.
#[redis_put(name(&taken) = ret.name.clone(), user(id), on_failure = "retry")]
async fn taken(taken: String, mut id: u64) -> User {
    id += 1;
    User { id, name: taken }
}

#[redis_invalidate(user(..), on_failure = "retry")]
#[redis_put(user(ret.id), when = ret.id > 0, on_failure = "retry")]
async fn beside(user: User) -> User {
    user
}

/// A `return`, a `?` and a `break` end the body, and not what is behind it.
#[redis_put(user(ret.id), on_failure = "error")]
async fn early(n: u64) -> Result<User, Failed> {
    if n == 0 {
        return Ok(User { id: 0, name: String::new() });
    }
    let ret = loop {
        if n > 1 {
            break user(n).await?;
        }
        return Err(Failed);
    };
    Ok(ret)
}

#[redis_put(user(ret.id), on_failure = "retry")]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = User> + Send>> {
    Box::pin(async move { User { id, name: String::new() } })
}

#[redis_put(user(ret.id), on_failure = "retry")]
fn opaque(id: u64) -> impl Future<Output = User> + Send {
    async move { User { id, name: String::new() } }
}

#[redis_cached(key = "generic:{id}", ttl = "5m", skip(value, T, I))]
async fn generic<T, I: Display + Sync>(id: &I, value: T) -> T
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let _ = id;
    value
}

#[redis_put(generic::<T, I>(id), on_failure = "retry")]
async fn put_generic<T, I>(id: &I, value: T) -> T
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    I: Display + Sync,
{
    let _ = id;
    value
}

struct Service<T> {
    of: T,
}

impl<T: Debug + Clone + Send + Sync> Service<T> {
    #[redis_cached(key = "service:{of:hash}:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64, of: u8) -> User {
        let _ = (&self.of, of);
        User { id, name: String::new() }
    }

    #[redis_put(Self::load(ret.id, 1), on_failure = "error")]
    async fn change<'a>(&'a mut self, user: User, of: T) -> Result<User, Failed>
    where
        T: 'a,
    {
        self.of = of;
        Ok(user)
    }

    #[redis_put(user(ret.id), on_failure = "retry")]
    async fn consumed(self, user: User) -> User {
        drop(self.of);
        user
    }
}

struct Repo(u32);

#[redis_cached::methods]
impl Repo {
    #[redis_cached(key = "of:{self.0}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> User {
        User { id, name: String::new() }
    }
}

#[async_trait::async_trait]
trait Writes {
    async fn save(&self, user: User) -> Result<User, Failed>;
    async fn rename(&mut self, id: u64, name: &str) -> User;
}

#[async_trait::async_trait]
impl Writes for Repo {
    #[redis_put(self.load(user.id), user(ret.id), on_failure = "error")]
    async fn save(&self, user: User) -> Result<User, Failed> {
        Ok(user)
    }

    #[redis_put(self.load(id), name(name) = &ret.name, on_failure = "retry")]
    async fn rename(&mut self, id: u64, name: &str) -> User {
        self.0 += 1;
        User { id, name: name.to_owned() }
    }
}

struct Transaction;

/// Commits itself.
#[redis_put(user(ret.id), now, on_failure = "retry")]
async fn commits(_tx: Transaction, user: User) -> User {
    user
}

/// Inside a body, with all that is lent.
#[redis_cached(key = "list:{users:hash}", ttl = "5m")]
async fn list(users: &[User]) -> usize {
    for one in users {
        user_entry(one.id).prime(one);
        user_entry(one.id).of_value().prime(one.clone());
        maybe_entry(one.id).prime(Some(one.clone()));
        name_entry(&one.name).prime(&one.name);
        let shared = Arc::new(one.clone());
        shared_entry(one.id).prime(&shared);
        user_entry(one.id).prime(shared);
    }
    users.len()
}

fn sendable<F: Future + Send>(_: F) {}

fn main() {
    let one = || User { id: 1, name: String::new() };
    sendable(plain(one()));
    sendable(of_a_result(one()));
    sendable(of_an_option(None));
    sendable(of_an_arc(one()));
    sendable(parts(one()));
    sendable(borrowing_error("7"));
    sendable(borrowing_value("7", "8"));
    sendable(not_sync(Cell::new(String::new())));
    sendable(opaque_arguments(&Box::new(1), 0..3, vec![1], (1, 2)));
    sendable(taken(String::new(), 1));
    sendable(list(&[one()]));
    sendable(beside(one()));
    sendable(early(1));
    sendable(boxed(1));
    sendable(opaque(1));
    sendable(put_generic(&1, 2_u8));
    sendable(commits(Transaction, one()));
    let mut repo = Repo(1);
    sendable(repo.save(one()));
    sendable(repo.rename(1, "x"));
    let mut service = Service { of: 1_u8 };
    sendable(service.change(one(), 2));
    sendable(service.consumed(one()));
}

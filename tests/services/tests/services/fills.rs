//! People who are looked up by number and by address: whoever has read a row by the one has what the other asks for, and
//! whoever writes one puts it under both.

use std::convert::Infallible;

use redis_cached::{Cache, redis_cached, redis_invalidate, redis_put, tag};
use redis_cached_tests::{Gate, in_time};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    id: u64,
    email: String,
    team: u32,
}

#[derive(Clone)]
struct People {
    cache: Cache,
    /// By number.
    rows: Table<u64, Person>,
}

impl People {
    #[redis_cached(
        key = "person:{id}", ttl = "1h", skip(self), cache = self.cache, tags = ["team:{ret.team}"]
    )]
    async fn by_id(&self, id: u64) -> Option<Person> {
        let person = self.rows.read(&id).await?;
        self.by_email_entry(&person.email).prime(Some(person.clone()));
        Some(person)
    }

    #[redis_cached(
        key = "person-at:{email}", ttl = "1h", skip(self), cache = self.cache, tags = ["team:{ret.team}"]
    )]
    async fn by_email(&self, email: &str) -> Option<Person> {
        let person = self.find(email).await?;
        self.by_id_entry(person.id).prime(Some(person.clone()));
        Some(person)
    }

    /// Each of them has an entry of its own.
    #[redis_cached(key = "team:{team}", ttl = "1h", skip(self), cache = self.cache)]
    async fn of_team(&self, team: u32) -> Vec<Person> {
        tag("teams");
        let mut people = Vec::new();
        for id in 1..=3 {
            people.extend(self.rows.read(&id).await.filter(|person| person.team == team));
        }
        for person in &people {
            self.by_id_entry(person.id).prime(Some(person.clone()));
            self.by_email_entry(&person.email).prime(Some(person.clone()));
        }
        people
    }

    /// No rows are found by an address but by reading.
    async fn find(&self, email: &str) -> Option<Person> {
        let id = email.trim_start_matches("new").bytes().next().map(|first| first - b'a' + 1)?;
        self.rows.read(&u64::from(id)).await.filter(|person| person.email == email)
    }

    #[redis_put(
        self.by_id(id) = Some(ret.clone()), self.by_email(&ret.email) = Some(ret.clone()),
        cache = self.cache, on_failure = "retry"
    )]
    #[redis_invalidate(self.by_email(old), self.of_team(ret.team), on_failure = "retry")]
    async fn moves(&self, id: u64, old: &str, email: &str) -> Result<Person, Infallible> {
        let person = Person { id, email: email.to_owned(), team: 1 };
        self.rows.write(id, person.clone());
        self.rows.gate().pass().await;
        Ok(person)
    }
}

fn people(Stage { a, b, .. }: &Stage, gate: Gate) -> [People; 2] {
    let row = |id, email: &str, team| (id, Person { id, email: email.to_owned(), team });
    let rows = Table::behind(gate, [row(1, "ada", 1), row(2, "bob", 1), row(3, "cyd", 2)]);
    [a, b].map(|cache| People { cache: cache.clone(), rows: rows.clone() })
}

async fn one_read_is_a_hit_by_both(stage: &Stage) {
    let [a, b] = people(stage, Gate::open());
    let ada = a.by_id(1).await;
    assert_eq!(ada.as_ref().unwrap().email, "ada");
    assert_eq!(b.by_email("ada").await, ada);
    assert_eq!(a.by_id(1).await, ada);
    assert_eq!(a.rows.reads(), 1);
    let bob = b.by_email("bob").await;
    assert_eq!(a.by_id(2).await, bob);
    assert_eq!(b.by_email("bob").await, bob);
    assert_eq!(a.rows.reads(), 2);
    // Nobody is stored under an address that nobody has.
    assert_eq!(a.by_id(9).await, None);
    assert_eq!(b.by_email("ill").await, None);
    assert_eq!(a.rows.reads(), 4);
}

async fn a_list_fills_the_entries_of_all_in_it(stage: &Stage) {
    let [a, b] = people(stage, Gate::open());
    assert_eq!(a.of_team(1).await.len(), 2);
    assert_eq!(a.rows.reads(), 3);
    for process in [&b, &a] {
        assert_eq!(process.by_id(1).await.unwrap().email, "ada");
        assert_eq!(process.by_email("bob").await.unwrap().id, 2);
    }
    assert_eq!(a.rows.reads(), 3);
    // One of another team is not in there.
    assert_eq!(b.by_id(3).await.unwrap().email, "cyd");
    assert_eq!(a.rows.reads(), 4);
    // What they carry is of their own function, and what the body has read.
    for (reads, invalidated) in [(5, "teams"), (6, "team:1")] {
        b.cache.invalidate_tags([invalidated]).await.unwrap();
        assert_eq!(a.by_id(2).await.unwrap().email, "bob");
        assert_eq!(a.rows.reads(), reads, "{invalidated}");
    }
}

/// The other entry is invalidated, in another process, between the read and the end of the body.
async fn c1_what_was_invalidated_meanwhile_is_not_filled_again(stage: &Stage) {
    let [a, b] = people(stage, Gate::closed());
    for (read, tag) in [(1, None), (3, Some("team:1"))] {
        let reading = tokio::spawn({
            let a = a.clone();
            async move { a.by_id(1).await }
        });
        a.rows.gate().started(read).await;
        b.rows.write(
            1,
            Person { id: 1, email: "ada".to_owned(), team: 1 + u32::from(tag.is_some()) },
        );
        match tag {
            None => b.by_email_entry("ada").invalidate().await.unwrap(),
            Some(tag) => b.cache.invalidate_tags([tag]).await.unwrap(),
        }
        a.rows.gate().let_go(read);
        in_time("it is read", reading).await.unwrap();
        assert!(b.by_email_entry("ada").peek().await.unwrap().is_none(), "{tag:?}");
        a.rows.gate().let_go(read + 1);
        let read = b.by_email("ada").await.unwrap();
        assert_eq!(Some(read), a.rows.read_now(&1), "{tag:?}");
        b.by_id_entry(1).invalidate().await.unwrap();
        b.by_email_entry("ada").invalidate().await.unwrap();
    }
}

/// Its value stands right behind the `Ok`, in both processes, and under both names; the old name is gone.
async fn c1_what_is_written_is_served_under_both_names(stage: &Stage) {
    let [a, b] = people(stage, Gate::open());
    a.by_id(1).await;
    let moved = b.moves(1, "ada", "newada").await.unwrap();
    let reads = a.rows.reads();
    for process in [&a, &b] {
        assert_eq!(process.by_id(1).await.as_ref(), Some(&moved));
        assert_eq!(process.by_email("newada").await.as_ref(), Some(&moved));
    }
    assert_eq!(a.rows.reads(), reads);
    assert_eq!(a.by_email("ada").await, None);
    assert_eq!(a.rows.reads(), reads + 1);
}

/// They commit in one order and come back in the other.
async fn c1_of_two_writers_the_last_one_stays(stage: &Stage) {
    let [a, b] = people(stage, Gate::closed());
    let first = tokio::spawn({
        let a = a.clone();
        async move { a.moves(1, "ada", "ada1").await }
    });
    a.rows.gate().started(1).await;
    let second = tokio::spawn({
        let b = b.clone();
        async move { b.moves(1, "ada", "ada2").await }
    });
    a.rows.gate().started(2).await;
    a.rows.gate().let_go(2);
    in_time("the second is written", second).await.unwrap().unwrap();
    a.rows.gate().let_go(1);
    in_time("the first is written", first).await.unwrap().unwrap();
    a.rows.gate().let_all_go();
    for process in [&b, &a] {
        assert_eq!(process.by_id(1).await.unwrap().email, "ada2");
    }
}

on_both!(
    one_read_is_a_hit_by_both,
    a_list_fills_the_entries_of_all_in_it,
    c1_what_was_invalidated_meanwhile_is_not_filled_again,
    c1_what_is_written_is_served_under_both_names,
    c1_of_two_writers_the_last_one_stays,
);

//! A directory whose entries belong to what their values tell: an organisation that may not be there, and any
//! number of authors.

use std::collections::BTreeSet;

use redis_cached::{Cache, invalidate_tags, redis_cached};
use redis_cached_tests::{Gate, Told};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    org: Org,
    /// None or one, and so is the tag.
    manager: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Org {
    id: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Post {
    author: u32,
    text: String,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum DirectoryError {
    #[error("the directory takes no numbers above 1000")]
    OutOfRange,
}

#[derive(Clone)]
struct Directory {
    cache: Cache,
    users: Table<u32, User>,
    posts: Table<u32, Vec<Post>>,
}

impl Directory {
    #[redis_cached(
        key = "user:{id}", ttl = "1h", skip(self), cache = self.cache,
        tags = ["user:{id}", "org:{ret.org.id}", "reports-to:{ret.manager?}"]
    )]
    async fn user(&self, id: u32) -> Result<Option<User>, DirectoryError> {
        if id > 1_000 {
            return Err(DirectoryError::OutOfRange);
        }
        Ok(self.users.read(&id).await)
    }

    #[redis_cached(
        key = "feed:{page}", ttl = "1h", skip(self), cache = self.cache, tags = ["feed"],
        tags_with = |posts| posts.iter().map(|post| format!("user:{}", post.author))
    )]
    async fn feed(&self, page: u32) -> Vec<Post> {
        self.posts.read(&page).await.unwrap_or_default()
    }

    /// Fills everything, by two processes in turn.
    async fn fill(&self, other: &Self) {
        for id in 1..=4 {
            self.user(id).await.unwrap();
            other.feed(id).await;
        }
    }

    /// Which of it is stored.
    async fn stored(&self) -> BTreeSet<String> {
        let mut stored = BTreeSet::new();
        for id in 1..=4 {
            if self.user_entry(id).peek().await.unwrap().is_some() {
                stored.insert(format!("user {id}"));
            }
            if self.feed_entry(id).peek().await.unwrap().is_some() {
                stored.insert(format!("feed {id}"));
            }
        }
        stored
    }

    /// As another process that has changed something does.
    async fn changed(&self, tags: &[&str]) {
        self.cache.scope(invalidate_tags(tags)).await.unwrap();
    }

    fn bodies(&self) -> usize {
        self.users.reads() + self.posts.reads()
    }
}

fn user(name: &str, org: u32, manager: Option<u32>) -> User {
    User { name: name.to_owned(), org: Org { id: org }, manager }
}

fn posts(authors: impl IntoIterator<Item = u32>) -> Vec<Post> {
    let of = |author| Post { author, text: format!("by {author}") };
    authors.into_iter().map(of).collect()
}

/// Users 1 to 3 and feeds 1 to 3; there is no fourth of either.
fn directories(Stage { a, b, .. }: &Stage, gate: Gate) -> [Directory; 2] {
    let users = Table::behind(
        gate,
        [(1, user("Ada", 1, None)), (2, user("Bob", 1, Some(1))), (3, user("Eve", 2, Some(1)))],
    );
    let posts = Table::new([(1, posts([1, 2, 1, 1])), (2, posts([3])), (3, posts([2, 3]))]);
    [a, b].map(|cache| Directory {
        cache: cache.clone(),
        users: users.clone(),
        posts: posts.clone(),
    })
}

async fn c1_a_tag_takes_back_what_carries_it_and_nothing_else(stage: &Stage) {
    let [a, b] = directories(stage, Gate::open());
    a.fill(&b).await;
    let all = b.stored().await;
    assert_eq!((all.len(), a.bodies()), (8, 8));
    let rows: &[(&[&str], &[&str])] = &[
        (&["org:1"], &["user 1", "user 2"]),
        (&["org:2"], &["user 3"]),
        (&["org:3"], &[]),
        (&["reports-to:1"], &["user 2", "user 3"]),
        (&["reports-to:2"], &[]),
        (&["user:1"], &["feed 1", "user 1"]),
        (&["user:2"], &["feed 1", "feed 3", "user 2"]),
        (&["user:4"], &["user 4"]),
        (&["org:2", "user:1"], &["feed 1", "user 1", "user 3"]),
        (&["feed"], &["feed 1", "feed 2", "feed 3", "feed 4"]),
        (
            &[
                "org",
                "user",
                "org:",
                "org:{ret.org.id}",
                "org:1:",
                "ORG:1",
                " org:1",
                "reports-to:",
                "reports-to:%none",
            ],
            &[],
        ),
    ];
    for (tags, expected) in rows {
        b.changed(tags).await;
        for process in [&a, &b] {
            let stored = process.stored().await;
            let gone: Vec<_> = all.difference(&stored).map(String::as_str).collect();
            assert_eq!(gone, *expected, "{tags:?}");
        }
        let before = a.bodies();
        a.fill(&b).await;
        assert_eq!(a.bodies(), before + expected.len(), "{tags:?}");
    }
}

async fn c1_tags_follow_the_value(stage: &Stage) {
    let [a, b] = directories(stage, Gate::open());
    assert_eq!(a.user(2).await, Ok(Some(user("Bob", 1, Some(1)))));
    let moved = user("Bob", 2, None);
    a.users.write(2, moved.clone());
    b.changed(&["org:1"]).await;
    assert_eq!(a.user(2).await, Ok(Some(moved.clone())));
    b.changed(&["org:1", "reports-to:1"]).await;
    assert_eq!(a.user(2).await, Ok(Some(moved.clone())), "it belongs there no more");
    assert_eq!(a.bodies(), 2);
    b.changed(&["org:2"]).await;
    assert_eq!(b.user(2).await, Ok(Some(moved)));
    assert_eq!(a.bodies(), 3);

    // One that is set by hand tells of itself as well.
    b.user_entry(2).set(Some(user("Bob", 7, None))).await.unwrap();
    a.changed(&["org:2"]).await;
    assert_eq!(a.user(2).await, Ok(Some(user("Bob", 7, None))));
    a.changed(&["org:7"]).await;
    assert!(b.user_entry(2).peek().await.unwrap().is_none());
}

async fn c1_who_was_not_there_has_the_tags_of_the_call_only(stage: &Stage) {
    let [a, b] = directories(stage, Gate::open());
    assert_eq!(a.user(9).await, Ok(None));
    b.changed(&["org:1", "org:2", "org:", "org:%none", "reports-to:1"]).await;
    assert_eq!(b.user(9).await, Ok(None));
    assert_eq!(a.bodies(), 1);
    a.users.write(9, user("Zoe", 1, None));
    b.changed(&["user:9"]).await;
    assert_eq!(a.user(9).await, Ok(Some(user("Zoe", 1, None))));
    for bodies in [2, 2] {
        assert_eq!(b.user(1_001).await, Err(DirectoryError::OutOfRange));
        assert_eq!(a.bodies(), bodies);
    }
}

/// Nobody knew this tag when the body began.
async fn c1_a_tag_of_the_value_is_invalidated_while_it_is_read(stage: &Stage) {
    for tag in ["org:1", "reports-to:1", "user:2"] {
        let [a, b] = directories(stage, Gate::closed());
        let change = async {
            a.users.gate().started(1).await;
            a.users.write(2, user("Bob", 2, None));
            b.changed(&[tag]).await;
            a.users.gate().let_all_go();
        };
        let (early, ()) = tokio::join!(a.user(2), change);
        assert_eq!(early, Ok(Some(user("Bob", 1, Some(1)))), "it asked before");
        assert!(b.user_entry(2).peek().await.unwrap().is_none(), "{tag}");
        assert_eq!(a.user(2).await, Ok(Some(user("Bob", 2, None))), "{tag}");
        assert_eq!(b.user(2).await, Ok(Some(user("Bob", 2, None))), "{tag}");
        assert_eq!(a.bodies(), 2, "{tag}");
        b.user_entry(2).invalidate().await.unwrap();
    }
}

async fn a_feed_of_too_many_authors_is_served_and_not_stored(stage: &Stage) {
    let [a, b] = directories(stage, Gate::open());
    // With `feed` it is 32 tags.
    a.posts.write(1, posts(1..=31));
    for process in [&a, &b] {
        assert_eq!(process.feed(1).await.len(), 31);
    }
    assert_eq!(a.bodies(), 1);
    a.posts.write(2, posts(1..=32));
    for bodies in [2, 3] {
        assert_eq!(b.feed(2).await.len(), 32);
        assert_eq!(a.bodies(), bodies);
    }
    assert!(a.feed_entry(2).peek().await.unwrap().is_none());
    a.changed(&["user:31"]).await;
    a.posts.write(1, posts([]));
    assert_eq!(b.feed(1).await, []);
}

on_both! {
    c1_a_tag_takes_back_what_carries_it_and_nothing_else,
    c1_tags_follow_the_value,
    c1_who_was_not_there_has_the_tags_of_the_call_only,
    c1_a_tag_of_the_value_is_invalidated_while_it_is_read,
    a_feed_of_too_many_authors_is_served_and_not_stored,
}

/// A function of its own: each is told of once in a process.
#[redis_cached(
    key = "crowd:{size}", ttl = "1h", cache = cache, tags_with = |crowd| crowd.iter().map(u32::to_string)
)]
async fn crowd(cache: &Cache, size: u32) -> Vec<u32> {
    tokio::task::yield_now().await;
    (0..size).collect()
}

#[tokio::test(start_paused = true)]
async fn c6_too_many_tags_are_told_of_once() {
    let (told, Stage { a, .. }) = (Told::listen(), &Stage::memory().await);
    crowd(a, 32).await;
    assert!(!told.text().contains("WARN"), "{}", told.text());
    crowd(a, 33).await;
    crowd(a, 34).await;
    let text = told.text();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("function=\"crowd\""), "{text}");
}

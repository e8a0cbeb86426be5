//! A forum whose threads are trees: a function that calls itself for every reply, each level kept for itself, and
//! made of what is below.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use redis_cached::{Cache, Entry, invalidate_tags, redis_cached, tag};
use redis_cached_tests::Gate;
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both};
use crate::table::Table;

#[derive(Clone)]
struct Comment {
    text: &'static str,
    replies: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    text: String,
    replies: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum ForumError {
    #[error("there is no comment {0}")]
    NotFound(u32),
}

#[derive(Clone)]
struct Forum {
    cache: Cache,
    comments: Table<u32, Comment>,
}

type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

impl Forum {
    /// Down to `depth` levels of replies.
    #[redis_cached(
        key = "tree:{id}:{depth}", ttl = "1h", skip(self), cache = self.cache, tags = ["comment:{id}"]
    )]
    fn tree(&self, id: u32, depth: u8) -> BoxFuture<'_, Result<Tree, ForumError>> {
        Box::pin(async move {
            let comment = self.comments.read(&id).await.ok_or(ForumError::NotFound(id))?;
            let mut replies = Vec::new();
            if let Some(depth) = depth.checked_sub(1) {
                for reply in comment.replies {
                    replies.push(self.tree(reply, depth).await?);
                }
            }
            Ok(Tree { text: comment.text.to_owned(), replies })
        })
    }

    /// Counts by a helper of its own, which is no cached function but says what it has read.
    #[redis_cached(key = "count:{id}", ttl = "1h", skip(self), cache = self.cache)]
    async fn count(&self, id: u32) -> usize {
        self.count_below(id).await
    }

    fn count_below(&self, id: u32) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            tag(format!("comment:{id}"));
            let replies = self.comments.read(&id).await.map_or(vec![], |comment| comment.replies);
            let mut count = 1;
            for reply in replies {
                count += self.count_below(reply).await;
            }
            count
        })
    }

    /// The page around it all.
    #[redis_cached(key = "page:{id}", ttl = "1h", skip(self), cache = self.cache)]
    async fn page(&self, id: u32) -> Result<String, ForumError> {
        let tree = self.tree(id, 9).await?;
        Ok(format!("{}: {}", tree.text, self.count(id).await))
    }

    /// Which of the trees of full depth are stored.
    async fn stored(&self) -> BTreeSet<u32> {
        let mut stored = BTreeSet::new();
        for (id, depth) in [(1, 9), (2, 8), (3, 8), (4, 7), (5, 7), (6, 6)] {
            if self.tree_entry(id, depth).peek().await.unwrap().is_some() {
                stored.insert(id);
            }
        }
        stored
    }

    async fn edit(&self, id: u32, text: &'static str, replies: &[u32]) {
        self.comments.write(id, Comment { text, replies: replies.to_vec() });
        self.cache.scope(invalidate_tags([format!("comment:{id}")])).await.unwrap();
    }

    fn page_handle(&self) -> Entry<String> {
        self.page_entry(1).of_value()
    }
}

/// 1 has the replies 2 and 3, 2 has 4 and 5, and 5 has 6.
fn forums(Stage { a, b, .. }: &Stage, gate: Gate) -> [Forum; 2] {
    let rows: [(u32, &'static str, &[u32]); 6] = [
        (1, "one", &[2, 3]),
        (2, "two", &[4, 5]),
        (3, "three", &[]),
        (4, "four", &[]),
        (5, "five", &[6]),
        (6, "six", &[]),
    ];
    let of =
        |(id, text, replies): (_, _, &[u32])| (id, Comment { text, replies: replies.to_vec() });
    let comments = Table::behind(gate, rows.map(of));
    [a, b].map(|cache| Forum { cache: cache.clone(), comments: comments.clone() })
}

fn tree(text: &str, replies: Vec<Tree>) -> Tree {
    Tree { text: text.to_owned(), replies }
}

/// With this text of 6.
fn whole(six: &str) -> Tree {
    let two = tree("two", vec![tree("four", vec![]), tree("five", vec![tree(six, vec![])])]);
    tree("one", vec![two, tree("three", vec![])])
}

async fn each_level_is_kept_and_used_by_others(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    assert_eq!(a.tree(1, 9).await, Ok(whole("six")));
    assert_eq!(b.tree(1, 9).await, Ok(whole("six")));
    assert_eq!(a.comments.reads(), 6);
    // What was computed inside is found by who asks for it alone.
    let five = tree("five", vec![tree("six", vec![])]);
    assert_eq!(b.tree(5, 7).await, Ok(five.clone()));
    assert_eq!(a.comments.reads(), 6);
    // And the other way round: of another depth, all but the lowest level is new.
    assert_eq!(b.tree(5, 1).await, Ok(five));
    assert_eq!(a.comments.reads(), 8);
    let two = tree("two", vec![tree("four", vec![]), tree("five", vec![tree("six", vec![])])]);
    assert_eq!(a.tree(2, 2).await, Ok(two));
    assert_eq!(a.comments.reads(), 10, "2 and 4; 5 was there");
    assert_eq!(a.tree(1, 0).await, Ok(tree("one", vec![])));
    assert_eq!(a.comments.reads(), 11);
}

async fn c1_a_leaf_takes_back_all_that_contains_it(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    a.tree(1, 9).await.unwrap();
    let rows: [(u32, &[u32]); 6] = [
        (6, &[1, 2, 5, 6]),
        (5, &[1, 2, 5]),
        (4, &[1, 2, 4]),
        (3, &[1, 3]),
        (2, &[1, 2]),
        (1, &[1]),
    ];
    for (id, contain_it) in rows {
        assert_eq!(a.stored().await.len(), 6);
        b.cache.scope(invalidate_tags([format!("comment:{id}")])).await.unwrap();
        let gone: Vec<_> = (1..=6).filter(|id| !contain_it.contains(id)).collect();
        assert_eq!(a.stored().await.into_iter().collect::<Vec<_>>(), gone, "{id}");
        let reads = a.comments.reads();
        assert_eq!(b.tree(1, 9).await, Ok(whole("six")));
        assert_eq!(a.comments.reads(), reads + contain_it.len(), "{id}");
    }
    b.edit(6, "SIX", &[]).await;
    assert_eq!(a.tree(1, 9).await, Ok(whole("SIX")));
    b.edit(6, "six", &[7]).await;
    assert_eq!(a.tree(1, 9).await, Err(ForumError::NotFound(7)));
    assert_eq!(a.tree(3, 8).await, Ok(tree("three", vec![])));
}

/// Their tags come by three ways: a cached function, one inside it, and `tag` in a helper.
async fn c1_what_is_around_a_recursion_depends_on_all_of_it(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    for process in [&a, &b] {
        assert_eq!(process.page(1).await.unwrap(), "one: 6");
        assert_eq!(process.count(1).await, 6);
    }
    assert_eq!(a.comments.reads(), 12, "each comment for the tree and for the count");
    for (at, id) in (1..=6).enumerate() {
        b.cache.scope(invalidate_tags([format!("comment:{id}")])).await.unwrap();
        assert!(a.page_handle().peek().await.unwrap().is_none(), "{id}");
        assert!(a.count_entry(1).peek().await.unwrap().is_none(), "{id}");
        let reads = a.comments.reads();
        assert_eq!(b.page(1).await.unwrap(), "one: 6");
        let containing = [1, 2, 2, 3, 3, 4][at];
        assert_eq!(a.comments.reads(), reads + containing + 6, "{id}");
    }
    b.cache.scope(invalidate_tags(["comment:7"])).await.unwrap();
    assert!(a.page_handle().peek().await.unwrap().is_some());
    b.comments.write(9, Comment { text: "nine", replies: vec![] });
    b.edit(3, "three", &[9]).await;
    assert_eq!(a.page(1).await.unwrap(), "one: 7");
}

/// Its inner calls have returned already: what is made of them is not stored either.
async fn c1_a_leaf_is_changed_while_the_root_is_computed(stage: &Stage) {
    let [a, b] = forums(stage, Gate::closed());
    let change = async {
        // 1, 2, 4, 5 and 6 have been read, 3 is held.
        for read in 1..=5 {
            a.comments.gate().let_go(read);
        }
        a.comments.gate().started(6).await;
        b.edit(6, "SIX", &[]).await;
        a.comments.gate().let_all_go();
    };
    let (early, ()) = tokio::join!(a.tree(1, 9), change);
    assert_eq!(early, Ok(whole("six")), "it asked before");
    assert_eq!(b.stored().await, BTreeSet::from([3, 4]));
    assert_eq!(b.tree(1, 9).await, Ok(whole("SIX")));
    assert_eq!(a.tree(1, 9).await, Ok(whole("SIX")));
    assert_eq!(a.comments.reads(), 10);
}

async fn by_its_key_only_one_level_is_taken_back(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    a.tree(1, 9).await.unwrap();
    b.tree_entry(6, 6).invalidate().await.unwrap();
    assert_eq!(a.stored().await, BTreeSet::from([1, 2, 3, 4, 5]));
    a.tree(1, 9).await.unwrap();
    assert_eq!(a.comments.reads(), 6);
    b.tree_entry(1, 9).invalidate().await.unwrap();
    a.tree(1, 9).await.unwrap();
    assert_eq!(a.comments.reads(), 7);
}

/// A comment that replies to itself, as broken data has it.
async fn a_circle_ends_with_the_depth(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    a.comments.write(1, Comment { text: "one", replies: vec![2] });
    a.comments.write(2, Comment { text: "two", replies: vec![1] });
    let levels = ["two", "one", "two", "one"].into_iter();
    let expected = levels.fold(tree("one", vec![]), |below, text| tree(text, vec![below]));
    for (depth, reads) in [(4, 5), (2, 5), (0, 5)] {
        let got = a.tree(1, depth).await.unwrap();
        assert_eq!(got == expected, depth == 4);
        assert_eq!(b.tree(1, depth).await, Ok(got));
        assert_eq!(a.comments.reads(), reads);
    }
    b.cache.scope(invalidate_tags(["comment:2"])).await.unwrap();
    a.tree(1, 4).await.unwrap();
    assert_eq!(a.comments.reads(), 9, "all but the lowest");
}

/// Each of its branches is stored, so that what is above costs one body.
async fn a_thread_with_more_comments_than_tags_is_made_of_branches_that_are_kept(stage: &Stage) {
    let [a, b] = forums(stage, Gate::open());
    for branch in 1..=6 {
        let replies: Vec<u32> = (branch * 10..branch * 10 + 6).collect();
        for &id in &replies {
            a.comments.write(id, Comment { text: "-", replies: vec![] });
        }
        a.comments.write(branch, Comment { text: "-", replies });
    }
    a.comments.write(0, Comment { text: "-", replies: (1..=6).collect() });
    for (process, reads) in [(&a, 43), (&b, 44), (&a, 45)] {
        assert_eq!(process.tree(0, 2).await.unwrap().replies.len(), 6);
        assert_eq!(a.comments.reads(), reads);
    }
    assert!(b.tree_entry(0, 2).peek().await.unwrap().is_none());
    b.edit(34, "changed", &[]).await;
    let branch = &a.tree(0, 2).await.unwrap().replies[2];
    assert_eq!(branch.replies[4].text, "changed");
    assert_eq!(a.comments.reads(), 48, "it, its branch, and the root");
    // Of four branches there are 29 tags.
    b.edit(0, "-", &[1, 2, 3, 4]).await;
    // For a while nobody tries to store what could not be stored, unless told that it has changed.
    b.tree_entry(0, 2).invalidate().await.unwrap();
    for process in [&a, &b] {
        assert_eq!(process.tree(0, 2).await.unwrap().replies.len(), 4);
        assert_eq!(a.comments.reads(), 49);
    }
}

on_both! {
    each_level_is_kept_and_used_by_others,
    c1_a_leaf_takes_back_all_that_contains_it,
    c1_what_is_around_a_recursion_depends_on_all_of_it,
    c1_a_leaf_is_changed_while_the_root_is_computed,
    by_its_key_only_one_level_is_taken_back,
    a_circle_ends_with_the_depth,
    a_thread_with_more_comments_than_tags_is_made_of_branches_that_are_kept,
}

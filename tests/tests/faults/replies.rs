//! Replies that are lost, or are not what the server said, or not to what was asked.

use std::time::Duration;

use redis_cached::Cache;
use redis_cached_tests::{Proxy, RedisServer, eventually, in_time};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{
    Origin, ROWS, builder, cache, cache_on_one_connection, live, live_entry, page, row, row_entry,
};
use crate::trial::Trial;

/// All that a call and an invalidation send, and whose replies say something.
const ASKED: [&str; 9] =
    ["GET", "MGET", "take", "capture", "position", "commit", "clean", "invalidate", "tags"];

struct Stage {
    server: RedisServer,
    proxy: Proxy,
    /// Behind the proxy, on one connection.
    cache: Cache,
    origin: Origin,
}

impl Stage {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::before(&server).await;
        let cache = cache_on_one_connection(&proxy.url()).await;
        Self { server, proxy, cache, origin: Origin::default() }
    }

    /// Every row has another version, so that each value tells whose it is, and all are stored.
    async fn filled(&self) {
        for id in 0..ROWS {
            for _ in 0..id {
                self.origin.change(id);
            }
            self.is_right(id).await;
        }
    }

    async fn is_right(&self, id: usize) {
        let due = self.origin.version(id);
        let calls = async {
            tokio::join!(
                row(id, &self.cache, &self.origin),
                page(id, &self.cache, &self.origin),
                live(id, &self.cache, &self.origin),
            )
        };
        assert_eq!(in_time("the calls return", calls).await, (due, due, due), "row {id}");
    }

    async fn hits_again(&self) {
        self.proxy.heal().await;
        for id in 0..ROWS {
            eventually("calls are answered without a body", async || {
                let before = self.origin.bodies();
                self.is_right(id).await;
                // A refresh behind a stale hit counts for itself.
                self.origin.bodies() <= before + 1
            })
            .await;
        }
    }
}

/// Catalogue 41. Each of two callers of one function gets the other's reply.
#[tokio::test]
async fn c6_two_replies_are_swapped() {
    let stage = Stage::new().await;
    stage.filled().await;
    let (cache, origin) = (&stage.cache, &stage.origin);
    for id in 0..ROWS - 1 {
        let due = (origin.version(id), origin.version(id + 1));
        let swapped = stage.proxy.when("GET").once().swap_replies();
        let rows = async { tokio::join!(row(id, cache, origin), row(id + 1, cache, origin)) };
        assert_eq!(in_time("both are answered", rows).await, due);
        swapped.struck(1).await;
        let swapped = stage.proxy.when("MGET").once().swap_replies();
        let pages = async { tokio::join!(page(id, cache, origin), page(id + 1, cache, origin)) };
        assert_eq!(in_time("both are answered", pages).await, due);
        swapped.struck(1).await;
    }
    stage.hits_again().await;
}

/// Catalogue 41. What is no value is not taken for one, nor for a miss: the question is asked again.
#[tokio::test]
async fn c6_a_read_is_answered_by_no_other_reply() {
    let stage = Stage::new().await;
    stage.filled().await;
    let before = stage.origin.bodies();
    for reply in [":1\r\n", "+OK\r\n", "*1\r\n:1\r\n"] {
        let misled = stage.proxy.when("GET").once().answer_instead(reply);
        assert_eq!(row(3, &stage.cache, &stage.origin).await, 3);
        misled.struck(1).await;
    }
    for reply in [":1\r\n", "+OK\r\n", "$-1\r\n"] {
        let misled = stage.proxy.when("MGET").once().answer_instead(reply);
        assert_eq!(page(3, &stage.cache, &stage.origin).await, 3);
        misled.struck(1).await;
    }
    assert_eq!(stage.origin.bodies(), before);
}

/// Catalogue 41. What is confirmed is done: the reply to something else is no confirmation.
#[tokio::test]
async fn c1_an_invalidation_is_confirmed_by_no_other_reply() {
    let stage = Stage::new().await;
    stage.filled().await;
    for reply in ["$-1\r\n", "$3\r\nrow\r\n", "*2\r\n$-1\r\n$-1\r\n", "+OK\r\n", ":0\r\n"] {
        for name in ["invalidate", "expire", "tags"] {
            let id = 3;
            let new = stage.origin.change(id);
            let before = stage.proxy.seen(name);
            let misled = stage.proxy.when(name).once().answer_instead(reply);
            let entry = row_entry(id, &stage.cache);
            let invalidated = match name {
                "invalidate" => entry.invalidate().await,
                "expire" => live_entry(id, &stage.cache).expire().await,
                _ => stage.cache.invalidate_tags([format!("row:{id}")]).await,
            };
            misled.struck(1).await;
            match invalidated {
                Err(error) => assert!(error.is_unconfirmed(), "{error}"),
                Ok(()) if name == "invalidate" => {
                    assert_eq!(row(id, &stage.cache, &stage.origin).await, new, "{reply:?}");
                }
                Ok(()) if name == "tags" => {
                    assert_eq!(page(id, &stage.cache, &stage.origin).await, new, "{reply:?}");
                }
                // A stale value may be served.
                Ok(()) => assert_eq!(stage.proxy.seen(name), before + 2, "it is sent once more"),
            }
            eventually("it is confirmed", async || entry.invalidate().await.is_ok()).await;
            stage.cache.invalidate_tags([format!("row:{id}")]).await.unwrap();
            stage.is_right(id).await;
        }
    }
    stage.hits_again().await;
}

/// Catalogue 41. A reply is missing: from then on each answers the request before its own. Nobody gets another's value,
/// and the connection is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_all_replies_answer_another_request() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let cache = cache_on_one_connection(&proxy.url()).await;
    let mut trial = Trial::of([cache]).await;
    for name in ["GET", "MGET", "take", "commit", "capture"] {
        let before = trial.bodies();
        proxy.when(name).once().skip_reply().struck(1).await;
        trial.hits(50).await;
        trial.acknowledges(5).await;
        // Not only when the load happens to pause: by then every call has run its body.
        let bodies = trial.bodies() - before;
        assert!(bodies < 500, "{bodies} bodies until the connection was given up: {name}");
    }
    trial.recovers().await;
}

/// Catalogue 41. The same where all replies look alike, and only the values tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_all_values_answer_another_request() {
    let stage = Stage::new().await;
    stage.filled().await;
    let before = stage.origin.bodies();
    let moved = stage.proxy.when("GET").once().skip_reply();
    let mut calls = JoinSet::new();
    for caller in 0..8 {
        let (cache, origin) = (stage.cache.clone(), stage.origin.clone());
        calls.spawn(async move {
            for number in 0..500 {
                let id = (caller * 7 + number) % ROWS;
                assert_eq!(row(id, &cache, &origin).await, origin.version(id));
            }
        });
    }
    in_time("all are answered", calls.join_all()).await;
    moved.struck(1).await;
    let bodies = stage.origin.bodies() - before;
    assert!(bodies < 200, "{bodies} bodies until the connection was given up");
    stage.hits_again().await;
}

/// Catalogue 41. A reply too many, as where that to a request that was given up is taken for the next one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_all_replies_answer_the_request_behind_their_own() {
    let stage = Stage::new().await;
    stage.filled().await;
    for name in ["GET", "MGET"] {
        let repeated = stage.proxy.when(name).times(3).repeat_reply();
        let mut calls = JoinSet::new();
        for caller in 0..8 {
            let (cache, origin) = (stage.cache.clone(), stage.origin.clone());
            calls.spawn(async move {
                for number in 0..50 {
                    let id = (caller * 7 + number) % ROWS;
                    assert_eq!(row(id, &cache, &origin).await, origin.version(id));
                    assert_eq!(page(id, &cache, &origin).await, origin.version(id));
                }
            });
        }
        in_time("all are answered", calls.join_all()).await;
        assert!(repeated.strikes() > 0, "{name}");
    }
    stage.hits_again().await;
}

/// Catalogue 42. It may have been carried out, or not.
#[tokio::test]
async fn c5_the_reply_to_an_invalidation_is_lost() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let (near, far) = (cache(&proxy.url()).await, cache(&server.url()).await);
    let origin = Origin::default();
    let invalidate = async |name: &str| match name {
        "invalidate" => row_entry(3, &near).invalidate().await,
        "expire" => live_entry(3, &near).expire().await,
        _ => near.invalidate_tags(["row:3"]).await,
    };
    for name in ["invalidate", "expire", "tags"] {
        for carried_out in [true, false] {
            let read = async |cache| match name {
                "invalidate" => row(3, cache, &origin).await,
                _ => page(3, cache, &origin).await,
            };
            let old = read(&far).await;
            live(3, &far, &origin).await;
            let new = origin.change(3);
            let rule = proxy.when(name).once();
            let lost = if carried_out { Ok(rule.drop_reply()) } else { Err(rule.hold()) };
            let started = Instant::now();
            let error = invalidate(name).await.expect_err("nothing was confirmed");
            assert!(error.is_unconfirmed(), "{name}: {error}");
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
            match lost {
                Ok(lost) => lost.struck(1).await,
                Err(lost) => lost.caught().await,
            }
            if name != "expire" {
                let read = read(&far).await;
                assert_eq!(read, if carried_out { new } else { old }, "{name}");
            }
            // Safe to repeat, until it is confirmed.
            eventually("it is confirmed", async || invalidate(name).await.is_ok()).await;
            if name != "expire" {
                assert_eq!(read(&near).await, new, "{name}");
            }
        }
    }
}

/// Catalogue 42. A connection that is cut behind the request: it is sent once more, and then confirmed.
#[tokio::test]
async fn c5_the_reply_to_an_invalidation_is_cut_off() {
    let stage = Stage::new().await;
    let far = cache(&stage.server.url()).await;
    for bytes in [0, 1, 2, 3] {
        let old = row(3, &far, &stage.origin).await;
        stage.origin.change(3);
        let cut = stage.proxy.when("invalidate").once().cut_in_reply(bytes);
        row_entry(3, &stage.cache).invalidate().await.unwrap();
        cut.struck(1).await;
        assert_eq!(row(3, &far, &stage.origin).await, old + 1);
    }
}

/// Catalogue 45. Framed as it should be, and half of it is missing.
#[tokio::test]
async fn c6_replies_are_truncated() {
    for name in ASKED {
        let stage = Stage::new().await;
        stage.filled().await;
        let truncated = stage.proxy.when(name).truncate_reply();
        for id in 0..3 {
            stage.is_right(id).await;
            stage.origin.change(id);
            let _ = row_entry(id, &stage.cache).invalidate().await;
            let _ = stage.cache.invalidate_tags([format!("row:{id}")]).await;
        }
        truncated.end();
        // What was confirmed although its reply was damaged must have been done.
        for id in 0..3 {
            stage.is_right(id).await;
        }
        stage.hits_again().await;
    }
}

/// Catalogue 45. One bit of a reply, or of a request, is another.
#[tokio::test]
async fn c6_bits_are_flipped() {
    for name in ASKED {
        let stage = Stage::new().await;
        stage.filled().await;
        for bit in 0..48 {
            let flipped = stage.proxy.when(name).flip_bit(bit * 53);
            stage.is_right(bit % ROWS).await;
            flipped.end();
        }
        stage.hits_again().await;
    }
}

/// Catalogue 45.
#[tokio::test]
async fn c6_bits_of_what_is_stored_are_flipped() {
    let stage = Stage::new().await;
    for bit in 0..96 {
        let flipped = stage.proxy.when("commit").flip_bit_of_request(bit * 13);
        stage.is_right(bit % ROWS).await;
        stage.is_right(bit % ROWS).await;
        flipped.end();
        row_entry(bit % ROWS, &stage.cache).invalidate().await.unwrap();
        stage.cache.invalidate_tags([format!("row:{}", bit % ROWS)]).await.unwrap();
    }
    stage.hits_again().await;
}

/// Catalogue 29. A connection that ends in the middle of any reply is made anew.
#[tokio::test]
async fn c5_connections_end_in_the_middle_of_replies() {
    let stage = Stage::new().await;
    stage.filled().await;
    for name in ASKED {
        for bytes in [0, 1, 7, 60] {
            let cut = stage.proxy.when(name).once().cut_in_reply(bytes);
            for id in 0..ROWS {
                stage.is_right(id).await;
                // One of both may be cut off.
                let _ = row_entry(id, &stage.cache).invalidate().await;
                let _ = stage.cache.invalidate_tags([format!("row:{id}")]).await;
                if cut.strikes() > 0 {
                    break;
                }
            }
            assert!(cut.strikes() > 0 || matches!(name, "position" | "clean"), "{name}");
            cut.end();
        }
    }
    stage.hits_again().await;
}

/// Catalogue 30. Every call of the crate, one after another, on a connection that is silent from there on.
#[tokio::test]
async fn c5_any_reply_is_lost() {
    let server = RedisServer::start();
    for name in ASKED {
        let proxy = Proxy::before(&server).await;
        let cache = builder(&proxy.url()).build().await.unwrap();
        let mut trial = Trial::of([cache]).await;
        let lost = proxy.when(name).times(3).drop_reply();
        lost.struck(3).await;
        trial.answers(20).await;
        trial.recovers().await;
    }
}

//! Requests that are lost, sent again, or arrive late, on a connection whose client has gone.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Held, Proxy, RedisServer, eventually, in_time};
use tokio::time::Instant;

use crate::stage::{
    LOCK, Origin, cache_on_one_connection, live, live_entry, order, page, page_entry, patient, row,
    row_entry, row_refresh,
};

struct Stage {
    server: RedisServer,
    proxy: Proxy,
    /// Behind the proxy.
    near: Cache,
    /// Another process, with another network.
    far: Cache,
    origin: Origin,
}

impl Stage {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::before(&server).await;
        let near = cache_on_one_connection(&proxy.url()).await;
        Self::with(server, proxy, near).await
    }

    /// Whose deadline is far away: what it sends is in time, however late it arrives.
    async fn patient() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::before(&server).await;
        let near = patient(&proxy.url()).connections(1).build().await.expect("the server is up");
        Self::with(server, proxy, near).await
    }

    async fn with(server: RedisServer, proxy: Proxy, near: Cache) -> Self {
        // A busy machine must not fail the test.
        let far = patient(&server.url()).build().await.expect("the server is up");
        let stage = Self { server, proxy, near, far, origin: Origin::default() };
        // All scripts are known, and what has late tags is known to have them.
        row_entry(3, &stage.far).set(0).await.unwrap();
        for _ in 0..2 {
            stage.reads(&stage.near).await;
            stage.invalidates().await;
        }
        stage
    }

    async fn reads(&self, cache: &Cache) -> [u64; 3] {
        let calls = async {
            tokio::join!(
                row(3, cache, &self.origin),
                page(3, cache, &self.origin),
                live(3, cache, &self.origin)
            )
        };
        in_time("the calls return", calls).await.into()
    }

    /// By who has nothing to do with the network that is bad.
    async fn invalidates(&self) {
        row_entry(3, &self.far).invalidate().await.unwrap();
        live_entry(3, &self.far).invalidate().await.unwrap();
        self.far.invalidate_tags(["row:3"]).await.unwrap();
    }

    async fn stored(&self) -> [Option<u64>; 3] {
        let row = row_entry(3, &self.far).peek().await.unwrap();
        let page = page_entry(3, &self.far).peek().await.unwrap();
        let live = live_entry(3, &self.far).peek().await.unwrap();
        [row, page, live].map(|seen| seen.map(|seen| seen.value))
    }

    /// Within the time of a lease that nobody works under.
    async fn hits_again(&self) {
        let started = Instant::now();
        eventually("calls are answered without bodies", async || {
            let before = self.origin.bodies();
            for cache in [&self.near, &self.far] {
                row(3, cache, &self.origin).await;
                page(3, cache, &self.origin).await;
            }
            self.origin.bodies() == before
        })
        .await;
        assert!(started.elapsed() < 2 * LOCK + Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

/// All that a computation sends, with its begin and end.
const SENT: [&str; 5] = ["take", "capture", "position", "clean", "commit"];

/// Catalogue 8. What is late meets what is newer: it changes nothing of that.
#[tokio::test]
async fn c1_a_request_arrives_when_its_value_was_invalidated() {
    for name in SENT {
        for cut in [false, true] {
            let stage = Stage::new().await;
            let rule = stage.proxy.when(name).once();
            let late: Held = if cut { rule.cut_and_hold() } else { rule.hold() };
            let old = stage.origin.version(3);
            assert_eq!(stage.reads(&stage.near).await, [old; 3]);
            late.caught().await;
            let new = stage.origin.change(3);
            stage.invalidates().await;
            let reply = late.deliver().await;
            println!("{name}: {reply:?}");
            for stored in stage.stored().await {
                assert!(stored.is_none_or(|version| version >= new), "{name}: {stored:?}");
            }
            // Whoever comes now is not answered with anything older, and not held for long by a lease of nobody.
            let started = Instant::now();
            assert_eq!(stage.reads(&stage.far).await, [new; 3], "{name}");
            assert_eq!(stage.reads(&stage.near).await, [new; 3], "{name}");
            assert!(started.elapsed() < 2 * LOCK + Duration::from_secs(2), "{name}");
            stage.hits_again().await;
        }
    }
}

/// Catalogue 8. The same behind a newer value that is stored already.
#[tokio::test]
async fn c1_a_request_arrives_when_there_is_a_newer_value() {
    for name in SENT {
        let stage = Stage::new().await;
        let late = stage.proxy.when(name).once().hold();
        stage.reads(&stage.near).await;
        late.caught().await;
        let new = stage.origin.change(3);
        stage.invalidates().await;
        assert_eq!(stage.reads(&stage.far).await, [new; 3], "{name}");
        let before = stage.stored().await;
        late.deliver().await;
        assert_eq!(stage.stored().await, before, "{name}");
        assert_eq!(stage.reads(&stage.near).await, [new; 3], "{name}");
        stage.hits_again().await;
    }
}

/// Catalogue 8. The server runs all of it twice: what was granted is recognised, and all is stored.
#[tokio::test]
async fn c4_requests_are_sent_twice() {
    for name in SENT {
        let stage = Stage::new().await;
        let twice = stage.proxy.when(name).forward_twice();
        let before = stage.origin.bodies();
        stage.reads(&stage.near).await;
        assert!(twice.strikes() > 0, "{name}");
        // A reply to the second commit says that there is no lease any more, which is true.
        assert_eq!(stage.origin.bodies(), before + 3, "nobody waits for itself: {name}");
        stage.reads(&stage.far).await;
        let behind_the_stale = 1;
        assert!(stage.origin.bodies() <= before + 3 + behind_the_stale, "{name}: it is stored");
        assert!(stage.stored().await.iter().all(Option::is_some), "{name}");
        twice.end();
        stage.hits_again().await;
    }
}

/// Catalogue 8. A take is lost on the way, sent again, and granted; that lease ends; then the first arrives, with the
/// same random part. What was computed under the second is refused all the same: the server makes each lease another.
#[tokio::test]
async fn c1_a_late_take_does_not_revive_the_lease_of_its_repetition() {
    let stage = Stage::patient().await;
    let late = stage.proxy.when("take").about("ns:{row:3}").once().cut_and_hold();
    let commit = stage.proxy.when("commit").about("ns:{row:3}").once().hold();
    let (near, origin) = (stage.near.clone(), stage.origin.clone());
    let caller = tokio::spawn(async move { row(3, &near, &origin).await });
    late.caught().await;
    commit.caught().await;
    let new = stage.origin.change(3);
    row_entry(3, &stage.far).invalidate().await.unwrap();
    let reply = late.deliver().await;
    assert!(reply.contains("granted"), "it arrives where nobody has the lease: {reply}");
    assert!(commit.deliver().await.contains("refused"), "but that is another lease");
    caller.abort();
    assert_eq!(stage.stored().await[0], None);
    // Its own connection is silent for as long as it is patient.
    eventually("calls are answered without bodies", async || {
        assert_eq!(row(3, &stage.far, &stage.origin).await, new);
        stage.stored().await[0] == Some(new)
    })
    .await;
}

/// Computed alone for longer than any test waits.
#[redis_cached(key = "rare:{id}", ttl = "5m", lock_ttl = "1h", cache = cache, skip(cache, origin))]
async fn rare(id: usize, cache: &Cache, origin: &Origin) -> u64 {
    origin.read(id).await
}

/// Catalogue 8. Whoever has asked for it computes without it by then. A lease of nobody would hold all others up.
#[tokio::test]
async fn c4_what_arrives_late_takes_no_lease() {
    let stage = Stage::new().await;
    let late = stage.proxy.when("take").about("ns:{rare:3}").once().hold();
    rare(3, &stage.near, &stage.origin).await;
    assert!(late.deliver().await.contains("late"));
    assert_eq!(rare(3, &stage.far, &stage.origin).await, 0);
    assert!(rare_entry(3, &stage.far).peek().await.unwrap().is_some(), "nobody stood in its way");
}

/// Catalogue 8, 30. The reply to a take is lost, and then the request that gives its lease back, as where the server
/// stands still and the connection is given up.
#[tokio::test]
async fn c4_a_lease_is_given_back_though_the_first_attempts_are_lost() {
    let stage = Stage::new().await;
    let lost = stage.proxy.when("release").times(4).cut_before();
    let granted = stage.proxy.when("take").about("ns:{rare:3}").once().drop_reply();
    rare(3, &stage.near, &stage.origin).await;
    granted.struck(1).await;
    lost.struck(4).await;
    let mut cli = stage.server.cli().await;
    eventually("it is given back", async || {
        let held: bool =
            redis::cmd("EXISTS").arg("ns:{rare:3}.lease").query_async(&mut cli).await.unwrap();
        !held
    })
    .await;
    assert_eq!(rare(3, &stage.far, &stage.origin).await, 0);
}

/// The server's clock is not where it was when it was looked at: what comes in time is granted all the same.
#[tokio::test]
async fn c4_a_clock_that_was_set_holds_no_lease_back() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    // In 1970, as far as this process can see.
    let wrong = proxy.when("TIME").answer_instead("*2\r\n$1\r\n9\r\n$1\r\n9\r\n");
    let cache = patient(&proxy.url()).build().await.expect("the server is up");
    assert!(wrong.strikes() > 0);
    let origin = Origin::default();
    let mut takes = Vec::new();
    for id in 0..3 {
        rare(id, &cache, &origin).await;
        assert!(rare_entry(id, &cache).peek().await.unwrap().is_some(), "it was stored");
        takes.push(proxy.seen("take"));
    }
    assert!(takes[0] > 1, "the first was late");
    assert_eq!(takes[2], takes[0] + 2, "the time is known again");
}

/// Catalogue 8. The nonce of a tag that was captured late, or twice, makes nothing valid again.
#[tokio::test]
async fn c1_a_late_capture_revives_no_entry() {
    let stage = Stage::new().await;
    let late = stage.proxy.when("capture").once().cut_and_hold();
    let old = page(3, &stage.near, &stage.origin).await;
    late.caught().await;
    assert_eq!(stage.stored().await[1], Some(old), "it was sent again, and stored");
    let new = stage.origin.change(3);
    stage.far.invalidate_tags(["row:3"]).await.unwrap();
    // The same random part: were the nonce nothing else, the old entry would be valid again.
    late.deliver().await;
    assert_eq!(stage.stored().await[1], None);
    assert_eq!(page(3, &stage.far, &stage.origin).await, new);
}

/// Catalogue 8. A value is set, or a computation forced: what takes a lease by force, and arrives late.
#[tokio::test]
async fn c1_a_late_seizure_stores_nothing() {
    let stage = Stage::new().await;
    for forced in [false, true] {
        let late = stage.proxy.when("seize").once().hold();
        if forced {
            let version = stage.origin.version(3);
            assert_eq!(row_refresh(3, &stage.near, &stage.origin).await, version);
        } else {
            let error = row_entry(3, &stage.near).set(0).await.unwrap_err();
            assert!(error.is_unconfirmed(), "{error}");
        }
        let new = stage.origin.change(3);
        row_entry(3, &stage.far).invalidate().await.unwrap();
        assert_eq!(row(3, &stage.far, &stage.origin).await, new);
        assert!(late.deliver().await.contains("late"), "nothing is granted to who has gone");
        assert_eq!(stage.stored().await[0], Some(new));
        assert_eq!(row(3, &stage.far, &stage.origin).await, new);
        row_entry(3, &stage.far).invalidate().await.unwrap();
        stage.hits_again().await;
    }
}

/// Catalogue 8. An invalidation that arrives late removes what is newer than it, which is computed once more.
#[tokio::test]
async fn c4_a_late_invalidation_costs_a_body_and_no_more() {
    let stage = Stage::new().await;
    let late = stage.proxy.when("invalidate").once().hold();
    assert!(row_entry(3, &stage.near).invalidate().await.unwrap_err().is_unconfirmed());
    let new = stage.origin.change(3);
    row_entry(3, &stage.far).invalidate().await.unwrap();
    assert_eq!(row(3, &stage.far, &stage.origin).await, new);
    let before = stage.origin.bodies();
    late.deliver().await;
    assert_eq!(row(3, &stage.far, &stage.origin).await, new);
    assert_eq!(row(3, &stage.far, &stage.origin).await, new);
    assert_eq!(stage.origin.bodies(), before + 1);
}

/// Catalogue 40. The lease is evicted in the middle of a body, whose commit arrives late, when the server has forgotten
/// everything else as well.
#[tokio::test]
async fn c1_a_late_commit_meets_nothing() {
    let stage = Stage::new().await;
    let late = stage.proxy.when("commit").about("ns:{row:3}").once().hold();
    row(3, &stage.near, &stage.origin).await;
    late.caught().await;
    let mut cli = stage.server.cli().await;
    order(&mut cli, "FLUSHALL").await;
    assert!(late.deliver().await.contains("refused"), "absence means refuse");
    assert_eq!(stage.stored().await, [None; 3]);
}

#[redis_cached(
    key = "soft:{id}", ttl = "5m", stale_if_error = "1h", soft_timeout = "5ms", cache = cache, skip(cache, origin)
)]
async fn soft(id: usize, cache: &Cache, origin: &Origin) -> u64 {
    origin.read(id).await
}

/// The store may be slower than callers are patient: their bodies begin all the same.
#[tokio::test]
async fn a_slow_store_keeps_no_body_from_beginning() {
    let stage = Stage::new().await;
    assert_eq!(soft(3, &stage.near, &stage.origin).await, 0);
    soft_entry(3, &stage.far).expire().await.unwrap();
    let new = stage.origin.change(3);
    let _slow = stage.proxy.when("take").delay_reply(Duration::from_millis(100));
    eventually("a new value is stored", async || {
        soft(3, &stage.near, &stage.origin).await;
        soft_entry(3, &stage.far).peek().await.unwrap().is_some_and(|seen| seen.value == new)
    })
    .await;
}

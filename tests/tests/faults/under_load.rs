//! What becomes of callers and writers while something is wrong for a while.

use std::time::Duration;

use redis_cached_tests::{Proxy, RedisServer};
use tokio::task::JoinSet;

use crate::stage::{Origin, ROWS, builder, cache, order, row, row_entry};
use crate::trial::Trial;

/// A proxy, a cache behind it, and one that has the server to itself: another process with another network.
async fn divided(server: &RedisServer) -> (Proxy, Trial) {
    let proxy = Proxy::before(server).await;
    let caches = [cache(&proxy.url()).await, cache(&server.url()).await];
    (proxy, Trial::of(caches).await)
}

async fn of_two(server: &RedisServer) -> Trial {
    Trial::of([cache(&server.url()).await, cache(&server.url()).await]).await
}

/// Catalogue 29.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_server_is_killed_and_started_again() {
    let mut server = RedisServer::start();
    let mut trial = of_two(&server).await;
    for _ in 0..3 {
        server.stop();
        trial.refuses(0, 3).await;
        trial.answers(100).await;
        server.restart();
        trial.hits(50).await;
        trial.acknowledges(3).await;
    }
    trial.recovers().await;
}

/// Catalogue 30.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_server_stands_still() {
    let server = RedisServer::start();
    let mut trial = of_two(&server).await;
    for _ in 0..2 {
        server.pause();
        trial.refuses(1, 3).await;
        trial.answers(100).await;
        server.resume();
        trial.hits(50).await;
    }
    trial.recovers().await;
}

/// Catalogue 31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_writes_are_paused() {
    let server = RedisServer::start();
    let mut trial = of_two(&server).await;
    let mut cli = server.cli().await;
    order(&mut cli, "CLIENT PAUSE 60000 WRITE").await;
    trial.refuses(0, 2).await;
    trial.hits(50).await;
    order(&mut cli, "CLIENT UNPAUSE").await;
    trial.recovers().await;
}

/// Catalogue 31. A server that holds a request back holds all that stands behind it on its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_no_hit_waits_behind_a_write_that_is_held() {
    let server = RedisServer::start();
    // A hit that takes so long on a busy machine is none that waits behind a write.
    let hasty = builder(&server.url()).deadline(Duration::from_millis(500));
    let (cache, origin) = (hasty.build().await.unwrap(), Origin::default());
    let stored = 0..ROWS / 2;
    for id in stored.clone() {
        row(id, &cache, &origin).await;
    }
    let mut cli = server.cli().await;
    order(&mut cli, "CLIENT PAUSE 60000 WRITE").await;
    let (mut writes, missing) = (JoinSet::new(), Origin::default());
    // Many writes in a row that are not answered, and no read among them, say nothing of reads.
    for id in ROWS / 2..ROWS {
        let (cache, missing) = (cache.clone(), missing.clone());
        writes.spawn(async move { row(id, &cache, &missing).await });
    }
    writes.join_all().await;
    let before = origin.bodies();
    row(0, &cache, &origin).await;
    assert_eq!(origin.bodies(), before);
    let mut writes = JoinSet::new();
    for id in ROWS / 2..ROWS {
        let (cache, missing) = (cache.clone(), missing.clone());
        writes.spawn(async move {
            loop {
                row_entry(id, &cache).invalidate().await.unwrap_err();
                row(id, &cache, &missing).await;
            }
        });
    }
    while missing.bodies() < 30 {
        for id in stored.clone() {
            row(id, &cache, &origin).await;
        }
    }
    assert_eq!(origin.bodies(), before);
    writes.shutdown().await;
    order(&mut cli, "CLIENT UNPAUSE").await;
}

/// Catalogue 32.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_memory_is_full() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let mut trial = of_two(&server).await;
    let mut cli = server.cli().await;
    order(&mut cli, "CONFIG SET maxmemory 1").await;
    trial.acknowledges(20).await;
    trial.answers(100).await;
    order(&mut cli, "CONFIG SET maxmemory 0").await;
    trial.recovers().await;
}

/// Catalogue 37.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_server_loads_its_data() {
    let mut server = RedisServer::start();
    let mut cli = server.cli().await;
    for key in 0..1_000 {
        order(&mut cli, &format!("SET junk:{key} x")).await;
    }
    // Nothing that a cache has stored yet: what comes back with an old snapshot is another matter.
    order(&mut cli, "SAVE").await;
    let mut trial = of_two(&server).await;
    server.stop();
    server.restart_loading(Duration::from_millis(2));
    trial.refuses(0, 3).await;
    trial.answers(100).await;
    trial.recovers().await;
}

/// Catalogue 17, 38, 39, 40. Again and again, in whatever is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_what_the_server_knows_is_lost() {
    let server = RedisServer::start();
    let mut trial = of_two(&server).await;
    let mut cli = server.cli().await;
    for round in 0..20 {
        for loss in ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal SKIPME yes"] {
            order(&mut cli, loss).await;
            trial.answers(5).await;
        }
        for id in 0..12 {
            let evicted = ["ns:{row:%}.lease", "ns:{live:%}.lease", "ns.tag:{row:%}"][round % 3];
            order(&mut cli, &format!("DEL {}", evicted.replace('%', &id.to_string()))).await;
        }
    }
    trial.recovers().await;
}

/// A server that has no place for one more says so, and closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_server_takes_no_more_clients() {
    let server = RedisServer::start();
    let mut trial = of_two(&server).await;
    let mut cli = server.cli().await;
    order(&mut cli, "CONFIG SET maxclients 1").await;
    order(&mut cli, "CLIENT KILL TYPE normal SKIPME yes").await;
    trial.refuses(0, 3).await;
    trial.answers(100).await;
    order(&mut cli, "CONFIG SET maxclients 1000").await;
    trial.recovers().await;
}

/// Catalogue 53. The password is another one, and later the old one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_password_is_rotated() {
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    order(&mut cli, "ACL SETUSER app on >old ~* &* +@all").await;
    let url = server.url_as("app:old");
    let mut trial = Trial::of([cache(&url).await, cache(&url).await]).await;
    order(&mut cli, "ACL SETUSER app <old >new").await;
    trial.acknowledges(5).await;
    // Who is connected stays so until the connection ends.
    order(&mut cli, "CLIENT KILL USER app").await;
    trial.refuses(0, 3).await;
    trial.answers(100).await;
    order(&mut cli, "ACL SETUSER app >old").await;
    trial.recovers().await;
}

/// Catalogue 53. A password where there was none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_password_is_asked_for() {
    let server = RedisServer::start();
    let mut trial = of_two(&server).await;
    let mut cli = server.cli().await;
    order(&mut cli, "CONFIG SET requirepass secret").await;
    order(&mut cli, "CLIENT KILL TYPE normal SKIPME yes").await;
    trial.refuses(1, 3).await;
    trial.answers(100).await;
    redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).exec_async(&mut cli).await.unwrap();
    trial.recovers().await;
}

/// Catalogue 53. Rights that are taken away: what does not need them goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_right_is_taken_away() {
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    order(&mut cli, "ACL SETUSER app on >old ~* &* +@all").await;
    let url = server.url_as("app:old");
    let mut trial = Trial::of([cache(&url).await, cache(&url).await]).await;
    order(&mut cli, "ACL SETUSER app -get -mget").await;
    trial.acknowledges(5).await;
    trial.answers(50).await;
    order(&mut cli, "ACL SETUSER app +get +mget -evalsha -eval").await;
    trial.refuses(0, 3).await;
    trial.hits(50).await;
    order(&mut cli, "ACL SETUSER app +@all").await;
    trial.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_network_answers_nothing() {
    let server = RedisServer::start();
    let (proxy, mut trial) = divided(&server).await;
    proxy.half_open();
    trial.refuses(0, 3).await;
    trial.answers(100).await;
    proxy.heal().await;
    trial.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_network_refuses_connections() {
    let server = RedisServer::start();
    let (proxy, mut trial) = divided(&server).await;
    proxy.refuse().await;
    trial.refuses(0, 3).await;
    trial.answers(100).await;
    proxy.heal().await;
    trial.recovers().await;
}

/// Just within a deadline: everything works, only slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_network_is_slow() {
    let server = RedisServer::start();
    let (proxy, mut trial) = divided(&server).await;
    let slow = proxy.always().delay_reply(Duration::from_millis(200));
    slow.struck(20).await;
    trial.answers(30).await;
    proxy.heal().await;
    trial.recovers().await;
}

/// Some replies are lost, late, cut off, or come to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_network_is_bad() {
    let server = RedisServer::start();
    let (proxy, mut trial) = divided(&server).await;
    let rules = [
        proxy.always().after(40).times(2).drop_reply(),
        proxy.always().after(80).times(3).cut_in_reply(3),
        proxy.always().after(120).times(3).cut_before(),
        proxy.always().after(160).times(3).delay_reply(Duration::from_millis(300)),
        proxy.when("take").after(40).times(5).forward_twice(),
        proxy.when("commit").after(40).times(5).forward_twice(),
        proxy.when("capture").after(20).times(5).forward_twice(),
    ];
    trial.answers(400).await;
    for rule in &rules {
        rule.struck(1).await;
    }
    proxy.heal().await;
    trial.recovers().await;
}

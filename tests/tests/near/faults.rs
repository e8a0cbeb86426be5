//! A connection that is dead, silent or late, and servers that forget.

use std::time::Duration;

use redis_cached::{Answer, Cache};
use redis_cached_tests::{Gate, Proxy, RedisServer, eventually};

use crate::stage::{
    BOUND, asked, bound_is_over, cache, is_near, near, patient, patient_cache, row_entry,
};

/// One that does not wait for a server long.
async fn hasty(url: &str) -> Cache {
    let builder = patient(url).deadline(Duration::from_millis(300)).near_bound(BOUND);
    builder.build().await.expect("the server is up")
}

/// Catalogue 25.
#[tokio::test]
async fn c2_a_connection_that_is_killed_takes_its_copies_with_it() {
    let server = RedisServer::start();
    let (here, there) = (patient_cache(&server.url()).await, cache(&server.url()).await);
    let gate = Gate::open();
    let old = near(&here, &gate).await;
    let mut cli = server.cli().await;
    let list: String = ::redis::cmd("CLIENT").arg("LIST").query_async(&mut cli).await.unwrap();
    let tracks = |line: &&str| {
        line.split(' ').any(|field| field.starts_with("flags=") && field.contains('t'))
    };
    let mut killed = 0;
    for client in list.lines().filter(tracks) {
        let id = client.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap();
        let mut kill = ::redis::cmd("CLIENT");
        killed += kill.arg("KILL").arg("ID").arg(id).query_async::<usize>(&mut cli).await.unwrap();
    }
    assert_eq!(killed, 2, "each cache has one that tracks");
    row_entry(1, 1, &there).invalidate().await.unwrap();
    // The bound is a minute: it is the end of the connection that tells.
    eventually("the copy is gone", async || asked(&here, &gate).await.0 > old).await;
    assert_eq!(near(&here, &gate).await, 2, "there are copies again");
}

/// Catalogue 25.
#[tokio::test]
async fn c2_a_connection_that_is_silent_vouches_for_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let (here, there) = (hasty(&proxy.url()).await, cache(&server.url()).await);
    let gate = Gate::open();
    let old = near(&here, &gate).await;
    proxy.half_open();
    row_entry(1, 1, &there).invalidate().await.unwrap();
    bound_is_over().await;
    let (new, answer) = asked(&here, &gate).await;
    assert!(new > old && !is_near(answer), "{old} is served by {answer:?}");
    proxy.heal().await;
    near(&here, &gate).await;
}

/// Catalogue 25.
#[tokio::test]
async fn c2_a_server_that_stands_still_vouches_for_nothing() {
    let server = RedisServer::start();
    let (here, gate) = (hasty(&server.url()).await, Gate::open());
    near(&here, &gate).await;
    server.pause();
    bound_is_over().await;
    let (_, answer) = asked(&here, &gate).await;
    server.resume();
    assert!(matches!(answer, Answer::Computed { stored: false }), "{answer:?}");
}

/// Catalogue 26.
#[tokio::test]
async fn c2_what_was_invalidated_before_its_reply_came_is_not_kept() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let (here, there) = (patient_cache(&proxy.url()).await, cache(&server.url()).await);
    let gate = Gate::open();
    // Something is served by copies: the connection is known to tell.
    near(&here, &gate).await;
    for way in ["key", "tag"] {
        row_entry(1, 1, &there).invalidate().await.unwrap();
        let mut old = 0;
        eventually("the copy is gone", async || {
            let (value, answer) = asked(&here, &gate).await;
            old = value;
            !is_near(answer)
        })
        .await;
        // Stored, and in no copy: it was computed. The next call reads it.
        let late = proxy.when("MGET").once().delay_reply(Duration::from_secs(1));
        let overtaken = async {
            late.struck(1).await;
            match way {
                "key" => row_entry(1, 1, &there).invalidate().await.unwrap(),
                _ => there.invalidate_tags(["table:1"]).await.unwrap(),
            }
        };
        let (answer, ()) = tokio::join!(asked(&here, &gate), overtaken);
        assert_eq!(answer.0, old, "it had begun before");
        // The bound is a minute: what tells of it is the stream, and the reply came by it before.
        let (new, _) = asked(&here, &gate).await;
        assert!(new > old, "{way}");
    }
}

/// Catalogue 27.
#[tokio::test]
async fn c2_copies_end_with_what_the_server_forgets() {
    let server = RedisServer::start();
    let (here, gate) = (patient_cache(&server.url()).await, Gate::open());
    let mut cli = server.cli().await;
    for (forgets, argument) in [("FLUSHALL", None), ("PEXPIRE", Some("1"))] {
        let old = near(&here, &gate).await;
        let mut command = ::redis::cmd(forgets);
        if let Some(argument) = argument {
            command.arg("ns:{row:1}").arg(argument);
        }
        command.exec_async(&mut cli).await.unwrap();
        eventually(forgets, async || asked(&here, &gate).await.0 > old).await;
    }
}

/// A user that may not have its reads tracked has none, and all else.
#[tokio::test]
async fn who_may_not_track_has_no_copies() {
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    let mut user = ::redis::cmd("ACL");
    user.arg(&["SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"]);
    user.exec_async(&mut cli).await.unwrap();
    let (here, gate) = (cache(&server.url_as("app:secret")).await, Gate::open());
    for _ in 0..10 {
        assert!(!is_near(asked(&here, &gate).await.1));
    }
    assert_eq!(gate.runs(), 1);
}

//! The proxy before a real server, and a client that knows nothing of caches.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, RedisResult, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{PATIENCE, Proxy, RedisServer, eventually, in_time};

/// Far longer than an answer takes that comes at all.
const NEVER: Duration = Duration::from_millis(300);

async fn client(proxy: &Proxy, protocol: ProtocolVersion) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(None);
    let url = format!(
        "{}?protocol={}",
        proxy.url(),
        if protocol == ProtocolVersion::RESP3 { "resp3" } else { "resp2" }
    );
    let client = Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

async fn stage() -> (RedisServer, Proxy, MultiplexedConnection) {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let client = client(&proxy, ProtocolVersion::RESP3).await;
    (server, proxy, client)
}

async fn echo(client: &MultiplexedConnection, text: &str) -> RedisResult<String> {
    redis::cmd("ECHO").arg(text).query_async(&mut client.clone()).await
}

async fn incr(client: &MultiplexedConnection) -> RedisResult<i64> {
    redis::cmd("INCR").arg("n").query_async(&mut client.clone()).await
}

async fn stored(server: &RedisServer) -> i64 {
    let stored: Option<i64> =
        redis::cmd("GET").arg("n").query_async(&mut server.cli().await).await.unwrap();
    stored.unwrap_or(0)
}

#[tokio::test]
async fn what_no_rule_is_for_goes_through() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let client = client(&proxy, protocol).await;
        let large = "x".repeat(3 << 20);
        assert_eq!(echo(&client, &large).await.unwrap(), large);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200 {
            let client = client.clone();
            calls.spawn(async move {
                let text = number.to_string();
                assert_eq!(echo(&client, &text).await.unwrap(), text);
            });
        }
        calls.join_all().await;
    }
    assert_eq!(proxy.seen("ECHO"), 402);
    proxy.answered("ECHO", 402).await;
}

#[tokio::test]
async fn pushes_go_by_and_answer_nothing() {
    let (server, proxy, mut client) = stage().await;
    let on = ["TRACKING", "ON", "BCAST"];
    redis::cmd("CLIENT").arg(&on).exec_async(&mut client).await.unwrap();
    let late = proxy.when("ECHO").delay_reply(Duration::from_millis(20));
    let mut cli = server.cli().await;
    for number in 0..20 {
        let push = redis::cmd("SET").arg("watched").arg(number).clone();
        let text = number.to_string();
        let (pushed, echoed) = tokio::join!(push.exec_async(&mut cli), echo(&client, &text));
        pushed.unwrap();
        assert_eq!(echoed.unwrap(), text);
    }
    assert_eq!(late.strikes(), 20);
}

#[tokio::test]
async fn a_rule_is_for_those_that_it_names() {
    let (_server, proxy, client) = stage().await;
    let rule = proxy.when("ECHO").about("b").after(1).times(2).flip_bit(0);
    for (text, heard) in
        [("a", "a"), ("b", "b"), ("b1", "c1"), ("a", "a"), ("b2", "c2"), ("b", "b")]
    {
        assert_eq!(echo(&client, text).await.unwrap(), heard);
    }
    rule.struck(2).await;
    assert_eq!(rule.strikes(), 2);
    let first = proxy.always().flip_bit(1);
    let second = proxy.always().flip_bit(0);
    assert_eq!(echo(&client, "a").await.unwrap(), "c");
    first.end();
    assert_eq!(echo(&client, "b").await.unwrap(), "c");
    assert_eq!((first.strikes(), second.strikes()), (1, 1));
    proxy.heal().await;
    assert_eq!(echo(&client, "b").await.unwrap(), "b");
}

#[tokio::test]
async fn a_dropped_reply_and_all_behind_it_are_not_heard() {
    let (server, proxy, client) = stage().await;
    let lost = proxy.when("INCR").once().drop_reply();
    assert!(timeout(NEVER, incr(&client)).await.is_err());
    assert!(timeout(NEVER, incr(&client)).await.is_err());
    lost.struck(1).await;
    assert_eq!(stored(&server).await, 1, "what comes behind a hole is not sent either");
    let other = super::tests::client(&proxy, ProtocolVersion::RESP3).await;
    assert_eq!(incr(&other).await.unwrap(), 2, "another connection is another one");
}

#[tokio::test]
async fn a_late_reply_holds_up_those_behind_it_and_no_longer() {
    let (_server, proxy, client) = stage().await;
    let late = Duration::from_millis(200);
    proxy.when("ECHO").about("slow").delay_reply(late);
    let started = Instant::now();
    let (slow, behind) = tokio::join!(biased; echo(&client, "slow"), echo(&client, "behind"));
    assert_eq!((&*slow.unwrap(), &*behind.unwrap()), ("slow", "behind"));
    assert!(started.elapsed() >= late);
    // All of them are late, each by the same time.
    let (started, many) = (Instant::now(), 20);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..many {
        let client = client.clone();
        calls.spawn(async move { echo(&client, "slow").await.unwrap() });
    }
    calls.join_all().await;
    assert!(started.elapsed() < late * many / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn two_replies_are_swapped() {
    let (_server, proxy, client) = stage().await;
    proxy.when("ECHO").once().swap_replies();
    let (a, b) = tokio::join!(biased; echo(&client, "a"), echo(&client, "b"));
    assert_eq!((&*a.unwrap(), &*b.unwrap()), ("b", "a"));
    assert_eq!(echo(&client, "c").await.unwrap(), "c");
}

#[tokio::test]
async fn a_reply_that_is_left_out_moves_all_others() {
    let (_server, proxy, client) = stage().await;
    proxy.when("ECHO").once().skip_reply();
    let (a, b) = tokio::join!(biased; echo(&client, "a"), async {
        let (b, ()) = tokio::join!(biased; timeout(NEVER, echo(&client, "b")), async {
            let _ = timeout(NEVER, echo(&client, "c")).await;
        });
        b
    });
    assert_eq!((&*a.unwrap(), &*b.unwrap().unwrap()), ("b", "c"));
}

#[tokio::test]
async fn a_reply_that_comes_twice_answers_the_next_request() {
    let (_server, proxy, client) = stage().await;
    proxy.when("ECHO").once().repeat_reply();
    let (a, b) = tokio::join!(biased; echo(&client, "a"), echo(&client, "b"));
    assert_eq!((&*a.unwrap(), &*b.unwrap()), ("a", "a"));
}

#[tokio::test]
async fn replies_are_truncated_and_cut() {
    let (_server, proxy, client) = stage().await;
    proxy.when("ECHO").about("whole").truncate_reply();
    assert_eq!(echo(&client, "whole words").await.unwrap(), "whole");
    proxy.when("ECHO").about("cut").cut_in_reply(6);
    assert!(in_time("it is told", echo(&client, "cut off")).await.is_err());
    // On the wire: so many bytes, and then the end.
    for (most, heard) in [(0, &b""[..]), (6, b"$7\r\ncu"), (99, b"$7\r\ncut off\r")] {
        proxy.heal().await;
        proxy.when("ECHO").cut_in_reply(most);
        let mut raw = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        raw.write_all(b"ECHO \"cut off\"\r\n").await.unwrap();
        let mut bytes = Vec::new();
        // A connection that is cut may end in an error.
        let _ = in_time("it is cut", raw.read_to_end(&mut bytes)).await;
        assert_eq!(bytes, heard);
    }
}

#[tokio::test]
async fn a_request_is_cut_sent_twice_or_changed() {
    let (server, proxy, mut client) = stage().await;
    let twice = proxy.when("INCR").once().forward_twice();
    assert_eq!(incr(&client).await.unwrap(), 2, "the second reply");
    assert_eq!(echo(&client, "a").await.unwrap(), "a", "each has its own");
    twice.struck(1).await;
    proxy.when("SET").flip_bit_of_request(0);
    redis::cmd("SET").arg("word").arg("beer").exec_async(&mut client).await.unwrap();
    let word: String = redis::cmd("GET").arg("word").query_async(&mut client).await.unwrap();
    assert_eq!(word, "ceer");
    let answered = proxy.when("INCR").once().answer_instead("-READONLY for now\r\n");
    let (error, text) = tokio::join!(biased; incr(&client), echo(&client, "behind"));
    assert_eq!(error.unwrap_err().code(), Some("READONLY"));
    assert_eq!(text.unwrap(), "behind");
    answered.struck(1).await;
    let cut = proxy.when("INCR").cut_before();
    assert!(in_time("it is told", incr(&client)).await.is_err());
    cut.struck(1).await;
    assert_eq!(stored(&server).await, 2);
}

#[tokio::test]
async fn a_request_is_delivered_when_its_client_has_gone() {
    let (server, proxy, first) = stage().await;
    let held = proxy.when("INCR").once().hold();
    assert!(timeout(NEVER, incr(&first)).await.is_err());
    held.caught().await;
    assert_eq!(stored(&server).await, 0);
    drop(first);
    assert_eq!(held.deliver().await, ":1\r\n");
    assert_eq!(stored(&server).await, 1);
    let held = proxy.when("INCR").once().cut_and_hold();
    let second = client(&proxy, ProtocolVersion::RESP3).await;
    assert!(in_time("it is told", incr(&second)).await.is_err());
    assert_eq!(held.deliver().await, ":2\r\n");
}

#[tokio::test]
async fn a_half_open_connection_answers_nothing_and_does_not_close() {
    let (mut server, proxy, used) = stage().await;
    let idle = client(&proxy, ProtocolVersion::RESP3).await;
    proxy.half_open();
    assert!(timeout(NEVER, incr(&used)).await.is_err());
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    raw.write_all(b"PING\r\n").await.unwrap();
    server.stop();
    let mut bytes = [0; 10];
    assert!(timeout(NEVER, raw.read(&mut bytes)).await.is_err(), "neither an answer nor an end");
    server.restart();
    proxy.heal().await;
    assert!(timeout(NEVER, incr(&used)).await.is_err(), "what was sent is lost");
    drop(idle);
    assert_eq!(incr(&client(&proxy, ProtocolVersion::RESP3).await).await.unwrap(), 1);
}

#[tokio::test]
async fn connections_are_refused_and_made_again() {
    let (_server, proxy, first) = stage().await;
    assert_eq!(proxy.connections(), 1);
    for _ in 0..3 {
        proxy.refuse().await;
        assert!(TcpStream::connect(("127.0.0.1", proxy.port)).await.is_err());
        proxy.heal().await;
        let again = client(&proxy, ProtocolVersion::RESP3).await;
        assert_eq!(echo(&again, "a").await.unwrap(), "a");
    }
    assert!(echo(&first, "a").await.is_err(), "it was cut");
    proxy.cut();
    eventually("all are cut", async || proxy.connections() == 0).await;
}

/// What it says before it closes reaches the client, as without a proxy.
#[tokio::test]
async fn a_server_that_is_gone_is_told_at_once() {
    let (mut server, proxy, client) = stage().await;
    server.stop();
    assert!(in_time("it is told", echo(&client, "a")).await.is_err());
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let mut bytes = Vec::new();
    assert_eq!(in_time("it ends", raw.read_to_end(&mut bytes)).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn resp3_is_spoken_through_it() {
    let (_server, _proxy, mut client) = stage().await;
    redis::cmd("HSET").arg(&["h", "a", "1"]).exec_async(&mut client).await.unwrap();
    let all: Value = redis::cmd("HGETALL").arg("h").query_async(&mut client).await.unwrap();
    assert!(matches!(all, Value::Map(_)), "{all:?}");
}

//! C5, C1: behind sentinels a new master is found without a restart of the program, and by all connections.
//! The numbers are those of the faults in the design: 33 is `READONLY` after a failover.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::Cache;
use redis_cached_tests::{
    Certificates, Gate, Monitor, RedisServer, Sentinel, Service, Setup, Told, eventually, in_time,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::outages::{SOON, order, works_again};
use crate::stage::{connect, connect_hastily, hits, load, load_entry, patient};

/// So many go through every connection of a cache.
const MANY: u64 = 64;

/// Every one of many invalidations by each is final for the other, through every connection.
async fn agree(first: &Cache, second: &Cache, gate: &Gate) {
    for id in 0..MANY {
        for (reader, writer) in [(first, second), (second, first)] {
            let before = load(id, reader, gate).await;
            let sent = load_entry(id, writer).invalidate().await;
            assert!(sent.is_ok(), "of {id}: {sent:?}");
            for cache in [reader, writer] {
                assert!(
                    load(id, cache, gate).await > before,
                    "{id} is older than its invalidation"
                );
            }
        }
    }
}

async fn role(cli: &mut MultiplexedConnection) -> String {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(cli).await.expect("it is up");
    redis::from_redis_value_ref(&role[0]).expect("it is a text")
}

/// Whether calls through all connections go to this server. What it is told by its own master does not count.
async fn is_used(server: &RedisServer, cache: &Cache, gate: &Gate) -> bool {
    let mut monitor = Monitor::start(server).await;
    for id in 0..MANY {
        hits(id, cache, gate).await;
    }
    monitor.seen().await.iter().any(|words| words[0] == "GET")
}

/// Calls and invalidations, all the time; ends with the value.
struct Load {
    tasks: JoinSet<()>,
    end: watch::Sender<bool>,
}

impl Load {
    fn on(cache: &Cache, gate: &Gate) -> Self {
        let (end, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (cache, gate, ended) = (cache.clone(), gate.clone(), ended.clone());
            tasks.spawn(async move {
                let mut id = task;
                while !*ended.borrow() {
                    id = (id + 1) % MANY;
                    let started = Instant::now();
                    load(id, &cache, &gate).await;
                    // It may fail meanwhile.
                    let _ = load_entry(id, &cache).invalidate().await;
                    assert!(started.elapsed() < 2 * SOON, "{:?}", started.elapsed());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        Self { tasks, end }
    }

    async fn end(mut self) {
        self.end.send_replace(true);
        while let Some(task) = in_time("the calls return", self.tasks.join_next()).await {
            task.expect("none of them was held up");
        }
    }
}

/// Catalogue 33.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_33_a_planned_failover_is_followed_under_load() {
    let service = Service::start().await;
    let (first, second) =
        (connect_hastily(&service.url()).await, connect_hastily(&service.url()).await);
    let gate = Gate::open();
    agree(&first, &second, &gate).await;
    let load = Load::on(&first, &gate);
    service.fail_over().await;
    service.is_demoted().await;
    load.end().await;
    for cache in [&first, &second] {
        works_again(cache, &gate).await;
    }
    agree(&first, &second, &gate).await;
    assert!(is_used(&service.servers[1], &first, &gate).await);
}

/// Catalogue 33. For some seconds an old master does not know that it is none, and goes on taking writes. This one for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_no_connection_stays_with_a_master_that_was_replaced() {
    let service = Service::start_with(Setup { stubborn: true, ..Setup::default() }).await;
    let (first, second) =
        (connect_hastily(&service.url()).await, connect_hastily(&service.url()).await);
    let gate = Gate::open();
    agree(&first, &second, &gate).await;
    service.fail_over().await;
    for cache in [&first, &second] {
        eventually("the old master is left", async || {
            !is_used(&service.servers[0], cache, &gate).await
        })
        .await;
        works_again(cache, &gate).await;
    }
    agree(&first, &second, &gate).await;
    assert!(!is_used(&service.servers[0], &first, &gate).await);
    assert_eq!(role(&mut service.servers[0].cli().await).await, "master", "else it proves nothing");
}

/// Catalogue 33.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_33_a_killed_master_is_replaced_under_load() {
    let mut service = Service::start().await;
    let (first, second) =
        (connect_hastily(&service.url()).await, connect_hastily(&service.url()).await);
    let gate = Gate::open();
    agree(&first, &second, &gate).await;
    let load = Load::on(&first, &gate);
    service.servers[0].stop();
    service.has_failed_over().await;
    for cache in [&first, &second] {
        works_again(cache, &gate).await;
    }
    load.end().await;
    agree(&first, &second, &gate).await;
}

/// Catalogue 33. It was on its way when the master was stopped, and is carried out when it goes on: by a server that nobody reads any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_what_an_old_master_acknowledges_is_not_ok() {
    let service = Service::start_with(Setup { stubborn: true, ..Setup::default() }).await;
    let (cache, gate) = (connect(&service.url()).await, Gate::open());
    load(42, &cache, &gate).await;
    let there = async || -> bool {
        let mut cli = service.servers[1].cli().await;
        redis::cmd("EXISTS").arg("ns:{user:42}").query_async(&mut cli).await.expect("it is up")
    };
    eventually("the replica has the entry", there).await;
    service.servers[0].pause();
    let waiting = {
        let cache = cache.clone();
        tokio::spawn(async move { load_entry(42, &cache).invalidate().await })
    };
    service.has_failed_over().await;
    eventually("the new master is used", async || {
        // Through a connection of before it would wait for as long as its deadline.
        let asked = tokio::time::timeout(Duration::from_millis(50), hits(43, &cache, &gate)).await;
        asked == Ok(true)
    })
    .await;
    assert!(there().await && !waiting.is_finished(), "else it proves nothing");
    service.servers[0].resume();
    in_time("it is answered", waiting).await.unwrap().unwrap();
    assert!(!there().await);
}

/// Catalogue 33. When it goes on it takes itself for the master, until it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_a_stopped_master_that_goes_on_is_not_used_again() {
    let service = Service::start_with(Setup { stubborn: true, ..Setup::default() }).await;
    let (first, second) =
        (connect_hastily(&service.url()).await, connect_hastily(&service.url()).await);
    let gate = Gate::open();
    agree(&first, &second, &gate).await;
    let load = Load::on(&first, &gate);
    service.servers[0].pause();
    service.has_failed_over().await;
    works_again(&first, &gate).await;
    service.servers[0].resume();
    load.end().await;
    // It was idle all the time, so its connections to the old master still stand.
    eventually("the old master is left", async || {
        !is_used(&service.servers[0], &second, &gate).await
    })
    .await;
    works_again(&second, &gate).await;
    agree(&first, &second, &gate).await;
    assert!(!is_used(&service.servers[0], &first, &gate).await);
    assert_eq!(role(&mut service.servers[0].cli().await).await, "master", "else it proves nothing");
}

/// Catalogue 33. It was cut off from the others during the failover, and is the first that is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_33_a_sentinel_that_names_the_old_master_is_not_believed() {
    let service = Service::start().await;
    let stale = Sentinel::cut_off(&service.servers).await;
    service.fail_over().await;
    service.is_demoted().await;
    assert_eq!(stale.master().await, service.servers[0].port());
    let url = service.url_of(&[&stale, &service.sentinels[0]], "shop");
    let (cache, gate) = (connect(&url).await, Gate::open());
    assert!(!hits(42, &cache, &gate).await && hits(42, &cache, &gate).await);
    load_entry(42, &cache).invalidate().await.unwrap();
    assert!(is_used(&service.servers[1], &cache, &gate).await);
}

/// Catalogue 33. As before, and the old master takes itself for one, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_an_old_master_that_an_old_sentinel_names_is_left() {
    let service = Service::start_with(Setup { stubborn: true, ..Setup::default() }).await;
    let stale = Sentinel::cut_off(&service.servers).await;
    service.fail_over().await;
    let url = service.url_of(&[&stale, &service.sentinels[0]], "shop");
    let (cache, gate) = (connect_hastily(&url).await, Gate::open());
    eventually("the old master is left", async || {
        !is_used(&service.servers[0], &cache, &gate).await
    })
    .await;
    assert!(is_used(&service.servers[1], &cache, &gate).await);
    assert_eq!(stale.master().await, service.servers[0].port(), "else it proves nothing");
    assert_eq!(role(&mut service.servers[0].cli().await).await, "master", "else it proves nothing");
}

/// Catalogue 33. Whoever has heard of the new master does not go back to the old one because nobody else is left to be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_an_old_master_is_not_gone_back_to() {
    let mut service = Service::start_with(Setup { stubborn: true, ..Setup::default() }).await;
    let stale = Sentinel::cut_off(&service.servers).await;
    service.fail_over().await;
    let url = service.url_of(&[&stale, &service.sentinels[0]], "shop");
    let (cache, gate) = (connect_hastily(&url).await, Gate::open());
    eventually("the new master is used", async || {
        is_used(&service.servers[1], &cache, &gate).await
    })
    .await;
    service.sentinels[0].stop();
    order(&mut service.servers[1].cli().await, "CLIENT KILL TYPE normal SKIPME yes").await;
    // Longer than it takes to try all that there is.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        assert!(!is_used(&service.servers[0], &cache, &gate).await);
    }
    service.sentinels[0].restart();
    works_again(&cache, &gate).await;
    assert!(!is_used(&service.servers[0], &cache, &gate).await);
    assert_eq!(role(&mut service.servers[0].cli().await).await, "master", "else it proves nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_without_sentinels_connections_go_on() {
    let mut service = Service::start().await;
    let (cache, gate) = (connect_hastily(&service.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    service.sentinels[0].pause();
    service.sentinels[1..].iter_mut().for_each(Sentinel::stop);
    // Longer than they are left unasked.
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        load_entry(42, &cache).invalidate().await.unwrap();
        assert!(!hits(42, &cache, &gate).await && hits(42, &cache, &gate).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// New ones count failovers from the beginning: theirs is not an older answer, since no other is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_sentinels_that_were_set_up_anew_are_believed() {
    let mut service = Service::start().await;
    service.fail_over().await;
    let (cache, gate) = (connect_hastily(&service.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    let Service { servers, sentinels } = &mut service;
    for sentinel in sentinels {
        sentinel.restart_anew(&servers[1]);
    }
    order(&mut servers[1].cli().await, "CLIENT KILL TYPE normal SKIPME yes").await;
    works_again(&cache, &gate).await;
}

/// The connection over which the last question went is closed by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_sentinel_that_was_restarted_is_asked_at_once() {
    let mut service = Service::start().await;
    let url = service.url_of(&[&service.sentinels[0]], "shop");
    let (cache, gate) = (connect(&url).await, Gate::open());
    load(42, &cache, &gate).await;
    service.sentinels[0].stop();
    service.sentinels[0].restart();
    order(&mut service.servers[0].cli().await, "CLIENT KILL TYPE normal SKIPME yes").await;
    assert!(hits(42, &cache, &gate).await);
    load_entry(42, &cache).invalidate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_the_sentinels_are_absent_at_start() {
    let mut service = Service::start().await;
    service.sentinels.iter_mut().for_each(Sentinel::stop);
    let (cache, gate) = (connect_hastily(&service.url()).await, Gate::open());
    let started = Instant::now();
    assert_eq!(load(42, &cache, &gate).await, 1);
    assert!(load_entry(42, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    assert!(cache.ping().await.unwrap_err().is_unavailable());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    // One is enough, and the last.
    service.sentinels[2].restart();
    works_again(&cache, &gate).await;
}

#[tokio::test]
async fn a_service_that_no_sentinel_knows_is_loud() {
    let mut service = Service::start().await;
    service.sentinels[0].stop();
    let url = service.url_of(&service.sentinels.iter().collect::<Vec<_>>(), "shoop");
    let error = Cache::builder().url(url).build().await.unwrap_err();
    assert!(error.is_service() && error.to_string().contains("\"shoop\""), "{error}");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let setup = Setup { sentinel_password: Some("s3cret"), ..Setup::default() };
    let service = Service::start_with(setup).await;
    let url = format!("{}?sentinelPassword=s3cret", service.url());
    let (cache, gate) = (connect(&url).await, Gate::open());
    assert!(!hits(42, &cache, &gate).await && hits(42, &cache, &gate).await);
    for wrong in
        ["", "?sentinelPassword=s3cretive", "?sentinelUsername=app&sentinelPassword=s3cret"]
    {
        let url = format!("{}{wrong}", service.url());
        let error = Cache::builder().url(url).build().await.unwrap_err();
        assert!(error.is_authentication(), "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("the sentinel 127.0.0.1") && !text.contains("s3cret"), "{text}");
    }
    // And the master's is for the master.
    let url = url.replace("://", "://app:wr0ng@");
    let error = Cache::builder().url(url).build().await.unwrap_err();
    assert!(error.is_authentication(), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("wr0ng") && !text.contains("s3cret"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed_over_tls() {
    let certificates = Certificates::new();
    let setup = Setup { certificates: Some(&certificates), ..Setup::default() };
    let mut service = Service::start_with(setup).await;
    let read = |name| certificates.read(name);
    let builder = patient()
        .url(service.url())
        .tls_root_certificates(read("root.pem"))
        .tls_client_certificate(read("client.pem"), read("client.key"));
    let (cache, gate) = (builder.build().await.unwrap(), Gate::open());
    works_again(&cache, &gate).await;
    service.servers[0].stop();
    service.has_failed_over().await;
    works_again(&cache, &gate).await;
    // Without a certificate none of the sentinels is trusted.
    let error = Cache::builder().url(service.url()).build().await.unwrap_err();
    assert!(error.is_certificate(), "{error}");
}

/// Each is told once, and without what is secret.
#[tokio::test]
async fn a_failover_is_told_once() {
    let service =
        Service::start_with(Setup { sentinel_password: Some("s3cret"), ..Setup::default() }).await;
    let told = Told::listen();
    let url = format!("{}?sentinelPassword=s3cret", service.url());
    let (cache, gate) = (connect_hastily(&url).await, Gate::open());
    works_again(&cache, &gate).await;
    service.fail_over().await;
    eventually("the new master is used", async || {
        is_used(&service.servers[1], &cache, &gate).await
    })
    .await;
    works_again(&cache, &gate).await;
    let text = told.text();
    assert_eq!(text.matches("the service has another master").count(), 1, "{text}");
    assert!(text.matches("the store can't be used").count() <= 1, "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

/// An address behind which another server can stand, as behind a name or a balancer. Connections that stand stay.
struct Balancer {
    url: String,
    target: watch::Sender<u16>,
}

impl Balancer {
    async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("redis://{}/", listener.local_addr().expect("it is bound"));
        let (target, now) = watch::channel(server.port());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let port = *now.borrow();
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { url, target }
    }
}

/// Its connections stay open, and only a write shows that it is no longer the master.
async fn demote(server: &RedisServer, master: &RedisServer) {
    order(&mut server.cli().await, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
}

/// Catalogue 33.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_33_a_write_that_a_replica_refuses_reaches_the_new_master() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let balancer = Balancer::to(&old).await;
    let (cache, gate) = (connect(&balancer.url).await, Gate::open());
    for id in 0..MANY {
        load(id, &cache, &gate).await;
    }
    demote(&old, &new).await;
    balancer.target.send_replace(new.port());
    // At once, and with it every other connection.
    load_entry(42, &cache).invalidate().await.unwrap();
    assert!(!is_used(&old, &cache, &gate).await);
    assert!(is_used(&new, &cache, &gate).await);
}

/// Catalogue 33. Nor is a commit lost: a replica has not carried it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_33_a_computation_goes_on_with_the_new_master() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    order(&mut new.cli().await, &format!("REPLICAOF 127.0.0.1 {}", old.port())).await;
    let balancer = Balancer::to(&old).await;
    let (cache, gate) = (connect(&balancer.url).await, Gate::closed());
    let fail_over = async {
        gate.started(1).await;
        let mut cli = new.cli().await;
        eventually("the lease is there, too", async || {
            let held: bool =
                redis::cmd("EXISTS").arg("ns:{user:42}.lease").query_async(&mut cli).await.unwrap();
            held
        })
        .await;
        order(&mut cli, "REPLICAOF NO ONE").await;
        demote(&old, &new).await;
        balancer.target.send_replace(new.port());
        gate.let_all_go();
    };
    tokio::join!(load(42, &cache, &gate), fail_over);
    assert!(hits(42, &cache, &gate).await);
}

/// Catalogue 33. That a server stays a replica is not a reason to connect to it all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_33_a_server_that_stays_a_replica_is_not_connected_to_again_and_again() {
    let (server, master) = (RedisServer::start(), RedisServer::start());
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    demote(&server, &master).await;
    let mut cli = server.cli().await;
    let connections = async |cli: &mut MultiplexedConnection| {
        let info: String = redis::cmd("INFO").arg("stats").query_async(cli).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.expect("it is there").trim().parse::<u64>().expect("a number")
    };
    let (before, began) = (connections(&mut cli).await, Instant::now());
    let gate = Arc::new(gate);
    for id in 0..300 {
        let error = load_entry(id, &cache).invalidate().await.unwrap_err();
        assert!(error.is_unconfirmed(), "{error}");
        load(id, &cache, &gate).await;
    }
    let made = connections(&mut cli).await - before;
    // Four for reads, two for writes and one for leases at once, twice a second.
    let most = 7 * (1 + began.elapsed().as_millis() / 500);
    assert!(u128::from(made) <= most, "{made} connections, and not {most}");
    order(&mut cli, "REPLICAOF NO ONE").await;
    works_again(&cache, &gate).await;
}

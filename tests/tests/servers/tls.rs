//! `rediss://`: whom it trusts, who trusts it, and that all else is the same.

use std::time::Duration;

use redis_cached::{BuildError, Builder, Cache};
use redis_cached_tests::{Certificates, Gate, RedisServer, eventually, in_time};

use crate::stage::{hits, load, load_entry, patient};

fn trusting(server: &RedisServer, certificates: &Certificates) -> Builder {
    patient().url(server.url()).tls_root_certificates(certificates.read("root.pem"))
}

async fn built(builder: Builder) -> Result<Cache, BuildError> {
    in_time("it is built, or not", builder.build()).await
}

fn is_refused(built: Result<Cache, BuildError>, because: &str) {
    let Err(error) = built else { panic!("it is trusted: {because}") };
    assert!(error.is_certificate(), "{because}: {error}");
}

#[tokio::test]
async fn c1_what_is_invalidated_over_tls_is_gone_for_all() {
    let certificates = Certificates::new();
    let server = RedisServer::start_with_tls(&certificates, false);
    let a = built(trusting(&server, &certificates)).await.unwrap();
    let (b, gate) = (built(trusting(&server, &certificates)).await.unwrap(), Gate::closed());
    // One waits for the other, by a push of the server.
    let both = async { tokio::join!(load(42, &a, &gate), load(42, &b, &gate)) };
    let go = async {
        gate.started(1).await;
        gate.let_all_go();
    };
    let ((one, other), ()) = in_time("both are answered", async { tokio::join!(both, go) }).await;
    assert_eq!((one, other), (1, 1));
    assert!(hits(42, &b, &gate).await);
    load_entry(42, &a).invalidate().await.unwrap();
    assert_eq!(load(42, &b, &gate).await, 2);
}

#[tokio::test]
async fn c5_a_server_is_reached_over_tls_again() {
    let certificates = Certificates::new();
    let mut server = RedisServer::start_with_tls(&certificates, false);
    let hasty = Cache::builder()
        .url(server.url())
        .namespace("ns")
        .tls_root_certificates(certificates.read("root.pem"));
    let (cache, gate) = (built(hasty).await.unwrap(), Gate::open());
    eventually("it is there", async || cache.ping().await.is_ok()).await;
    server.stop();
    let runs = gate.runs();
    assert_eq!(load(42, &cache, &gate).await, runs + 1);
    server.restart();
    eventually("a call is answered without a body", async || hits(42, &cache, &gate).await).await;
}

/// Catalogue 53.
#[tokio::test]
async fn c5_a_server_that_is_not_trusted_is_told_of_at_once() {
    let certificates = Certificates::new();
    let server = RedisServer::start_with_tls(&certificates, false);
    is_refused(built(patient().url(server.url())).await, "no authority of this machine");
    is_refused(built(trusting(&server, &Certificates::new())).await, "another authority");
    let elsewhere = server.url().replace("127.0.0.1", "localhost");
    is_refused(built(trusting(&server, &certificates).url(elsewhere)).await, "another name");
}

/// Catalogue 53.
#[tokio::test]
async fn c5_a_client_that_is_not_trusted_is_told_of_at_once() {
    let certificates = Certificates::new();
    let server = RedisServer::start_with_tls(&certificates, true);
    let shown = |of: &Certificates| {
        trusting(&server, &certificates)
            .tls_client_certificate(of.read("client.pem"), of.read("client.key"))
    };
    built(shown(&certificates)).await.unwrap().ping().await.unwrap();
    is_refused(built(trusting(&server, &certificates)).await, "none is shown");
    is_refused(built(shown(&Certificates::new())).await, "of another authority");
}

/// What speaks no TLS answers nothing that TLS understands, and the other way round.
#[tokio::test]
async fn c5_a_server_that_speaks_no_tls_is_not_used() {
    let certificates = Certificates::new();
    let plain = RedisServer::start();
    let url = plain.url().replace("redis://", "rediss://");
    let hasty = Cache::builder().url(url).connect_timeout(Duration::from_millis(100));
    let spoken = hasty.tls_root_certificates(certificates.read("root.pem"));
    let cache = match built(spoken).await {
        Err(error) => return assert!(error.is_certificate(), "{error}"),
        Ok(cache) => cache,
    };
    assert!(cache.ping().await.is_err());
}

/// Not silently without.
#[tokio::test]
async fn what_is_no_certificate_is_told_of() {
    let server = RedisServer::start();
    let url = server.url().replace("redis://", "rediss://");
    for (root, client) in [(&b"no PEM"[..], None), (&[], Some(b"no PEM"))] {
        let builder = patient().url(&url).tls_root_certificates(root);
        let builder = match client {
            Some(pem) => builder.tls_client_certificate(pem, pem),
            None => builder,
        };
        let error = built(builder).await.unwrap_err();
        println!("{error}");
        assert!(error.is_certificate(), "{error}");
    }
}

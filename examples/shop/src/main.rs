//! A shop's service: axum in front of an SQL database, its reads cached in Redis.
//!
//! | environment | default | |
//! |---|---|---|
//! | `SHOP_ADDR` | `127.0.0.1:8080` | where it listens; port 0 takes a free one, and it prints which |
//! | `SHOP_DB` | `target/shop.db` | the SQLite file, made and filled when it is not there |
//! | `SHOP_SCALE` | `1` | how much a new file is filled with: 1 is 100,000 products and 1,000,000 order lines |
//! | `REDIS_URL` | `memory://` | where the cache is |
//! | `SHOP_LOG` | `warn` | `redis_cached=debug` tells how each call was answered |

mod catalog;
mod db;
mod fill;
mod http;

use std::env;
use std::io;
use std::time::Duration;

use anyhow::Context;
use redis_cached::Cache;
use tokio::net::TcpListener;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::db::Db;
use crate::http::App;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let log: Targets = setting("SHOP_LOG", "warn").parse().context("SHOP_LOG")?;
    let print = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    tracing_subscriber::registry().with(print).with(log).init();

    let cache =
        Cache::builder().url(setting("REDIS_URL", "memory://")).namespace("shop").build().await?;
    redis_cached::init(cache.clone())?;

    let scale = setting("SHOP_SCALE", "1").parse().context("SHOP_SCALE")?;
    let db = Db::open(setting("SHOP_DB", "target/shop.db"), scale).await?;

    let addr = setting("SHOP_ADDR", "127.0.0.1:8080");
    let listener = TcpListener::bind(&addr)
        .await
        .with_context(|| format!("SHOP_ADDR: can't listen on {addr}"))?;
    println!("listening on http://{}", listener.local_addr()?);

    let app = App { db, cache: cache.clone() };
    axum::serve(listener, http::routes(app)).with_graceful_shutdown(told_to_stop()).await?;

    // Requests have been answered; background refreshes get a moment to end.
    if let Err(error) = cache.shutdown(Duration::from_secs(5)).await {
        eprintln!("{error}");
    }
    println!("stopped");
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Waits for ctrl-c or, as service managers send it, SIGTERM.
async fn told_to_stop() {
    let ctrl_c = async {
        tokio::signal::ctrl_c().await.expect("the handler of ctrl-c can be installed");
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut signals =
            signal(SignalKind::terminate()).expect("the handler of SIGTERM can be installed");
        signals.recv().await;
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();

    tokio::select! {
        () = ctrl_c => {}
        () = terminate => {}
    }
}

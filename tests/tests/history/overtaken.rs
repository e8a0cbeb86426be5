//! A `set`, and an invalidation of its tag that comes second.
//!
//! Of two that overlap nobody can tell from outside which came first, and a value that is set may be older than
//! an invalidation that did. So this one is issued when the `set` is seen to have its key's lease. Not one of
//! the key: where the reply is lost, the lease is asked for again, and that may come behind it.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use redis::{Client, RedisResult};

use crate::functions::{Context, REGISTERS, Reading, put_entry};
use crate::record::now;
use crate::targets::{Run, WRITERS, Writer};

/// In which a request arrives, mostly; where it does not, the order is another, which is no harm.
const STEP: Duration = Duration::from_millis(1);

/// The invalidation.
pub(crate) struct Second {
    /// Nobody else's, so that nobody else has the lease.
    pub(crate) register: u64,
    pub(crate) version: u64,
    /// Its place among the writers.
    pub(crate) writer: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) acknowledged: bool,
}

/// `None`: the `set` was not seen to have the lease.
pub(crate) async fn overtake(
    context: &Context,
    nodes: &[Client],
    rng: &mut fastrand::Rng,
) -> RedisResult<Option<Second>> {
    let (register, version) = (rng.u64(REGISTERS..u64::MAX), 1);
    let entry = put_entry(register, context.clone());
    let lease = format!("{}.lease", entry.key());
    let mut set = pin!(entry.set(Reading { register, version: 0, born: now() }));
    redis::cmd("INCR")
        .arg(format!("register:{register}"))
        .exec_async(&mut context.origin.clone())
        .await?;
    // Of its own: the fleet's connections to its servers are cut now and then.
    let mut witnesses = Vec::new();
    for node in nodes {
        // One that is down has nothing to tell.
        witnesses.extend(node.get_multiplexed_async_connection().await);
    }
    loop {
        // One step, and no other until it is known where that has led.
        let step = std::future::poll_fn(|cx| Poll::Ready(set.as_mut().poll(cx)));
        if step.await.is_ready() {
            return Ok(None);
        }
        tokio::time::sleep(STEP).await;
        let mut answers = Vec::new();
        for witness in &mut witnesses {
            // A node of a cluster that has not the key says so by an error.
            answers.extend(redis::cmd("EXISTS").arg(&lease).query_async::<bool>(witness).await);
        }
        match answers[..] {
            [] => return Ok(None),
            _ if answers.contains(&true) => break,
            _ => {}
        }
    }
    let is_its = |writer: &Writer| writer.name == "invalidate_tags(put)";
    let writer = WRITERS.iter().position(is_its).expect("it is one of them");
    let start = now();
    let Run::Behind(run) = WRITERS[writer].run else { unreachable!("it invalidates") };
    let acknowledged = run(context, register, version).await.is_ok();
    let end = now();
    // Stored or not: what it may not be is served.
    let _ = set.await;
    Ok(Some(Second { register, version, writer, start, end, acknowledged }))
}

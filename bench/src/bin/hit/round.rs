//! One contestant for a while, or for so many calls.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::spawn;
use tokio::time::sleep;

use crate::Result;
use crate::contestants::{
    Contestant, Keys, Stage, Tags, floor, large, medium, most_tags, one_tag, small, three_tags,
};
use crate::user::Size;

/// What each of the callers asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) contestant: Contestant,
    pub(crate) size: Size,
    pub(crate) keys: Keys,
    pub(crate) callers: usize,
}

#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Calls(u64),
}

/// What the callers of a round share.
struct Shared {
    calls: AtomicU64,
    most: u64,
    ended: AtomicBool,
}

impl Shared {
    /// Whether one more call is to be made.
    fn one_more(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
            && self.calls.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

/// How many calls it was, and how long it took.
pub(crate) async fn round(stage: &Stage, ask: Ask, until: Until) -> Result<(u64, Duration)> {
    let most = match until {
        Until::Time(_) => u64::MAX,
        Until::Calls(calls) => calls,
    };
    let shared = Arc::new(Shared { calls: AtomicU64::new(0), most, ended: AtomicBool::new(false) });
    let began = Instant::now();
    let mut callers = Vec::new();
    for caller in 0..ask.callers {
        let numbers = ask.keys.draw(&mut fastrand::Rng::with_seed(caller as u64));
        callers.push(spawn(call(stage.clone(), ask, numbers, Arc::clone(&shared))));
    }
    if let Until::Time(time) = until {
        sleep(time).await;
        shared.ended.store(true, Ordering::Relaxed);
    }
    for caller in callers {
        caller.await??;
    }
    Ok((shared.calls.load(Ordering::Relaxed), began.elapsed()))
}

/// As long as the round goes on. A macro, since a closure can't say that its futures are `Send`.
macro_rules! repeat {
    ($numbers:ident, $shared:ident, $id:ident => $read:expr) => {{
        for $id in $numbers.into_iter().cycle() {
            if !$shared.one_more() {
                break;
            }
            black_box($read);
        }
        Ok(())
    }};
}

async fn call(stage: Stage, ask: Ask, numbers: Vec<u64>, shared: Arc<Shared>) -> Result<()> {
    let Ask { contestant, size, .. } = ask;
    let mut connection = stage.connection;
    match (contestant, size) {
        (Contestant::Floor, size) => {
            repeat!(numbers, shared, id => floor(&mut connection, id, size).await?)
        }
        (Contestant::Ours(Tags::None), Size::Small) => {
            repeat!(numbers, shared, id => small(id).await)
        }
        (Contestant::Ours(Tags::None), Size::Medium) => {
            repeat!(numbers, shared, id => medium(id).await)
        }
        (Contestant::Ours(Tags::None), Size::Large) => {
            repeat!(numbers, shared, id => large(id).await)
        }
        (Contestant::Ours(Tags::One), _) => repeat!(numbers, shared, id => one_tag(id).await),
        (Contestant::Ours(Tags::Three), _) => {
            repeat!(numbers, shared, id => three_tags(id).await)
        }
        (Contestant::Ours(Tags::Most), _) => repeat!(numbers, shared, id => most_tags(id).await),
    }
}

//! Who does something in a run.

use std::sync::Arc;

use tokio::time::Instant;

use super::scheduler::point;
use super::world::{Call, Function, IN_VAIN, Invalidation, World};
use crate::State;
use crate::private::{Writing, chosen};

/// One party; each acts in a task of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Party {
    /// Calls a function from a process.
    Reader(Function, usize),
    /// Two calls, one behind the other.
    ReaderTwice(Function, usize),
    /// Computes anew, by force.
    Refresher(Function, usize),
    /// Changes the origin, and invalidates.
    Writer(Invalidation),
    /// The same, from another process than the first.
    WriterFrom(Invalidation, usize),
    /// Changes the origin, and expires.
    Expirer(Invalidation),
    /// Reads the origin, and sets.
    Setter(Function, usize),
    /// Changes the origin, and puts what it has written.
    Putter(Function, usize),
    /// Looks without computing.
    Looker(Function, usize),
}

impl Party {
    pub(crate) fn process(self) -> usize {
        match self {
            Self::Reader(_, process)
            | Self::ReaderTwice(_, process)
            | Self::Refresher(_, process)
            | Self::WriterFrom(_, process)
            | Self::Setter(_, process)
            | Self::Putter(_, process)
            | Self::Looker(_, process) => process,
            Self::Writer(_) | Self::Expirer(_) => 0,
        }
    }

    pub(crate) async fn act(self, world: Arc<World>) {
        match self {
            Self::Reader(function, process) => read(&world, function, process, false).await,
            Self::ReaderTwice(function, process) => {
                read(&world, function, process, false).await;
                read(&world, function, process, false).await;
            }
            Self::Refresher(function, process) => read(&world, function, process, true).await,
            Self::Writer(what) => write(&world, what, 0, false).await,
            Self::WriterFrom(what, process) => write(&world, what, process, false).await,
            Self::Expirer(what) => write(&world, what, 0, true).await,
            Self::Setter(function, process) => set(&world, function, process).await,
            Self::Putter(function, process) => put(&world, function, process).await,
            Self::Looker(function, process) => look(&world, function, process).await,
        }
    }
}

async fn read(world: &Arc<World>, function: Function, process: usize, forced: bool) {
    point("a call").await;
    let (due, _) = world.due(function);
    let what = if forced { "a forced refresh of" } else { "a call of" };
    world.told(format!("{what} {function:?} begins in {process}, due {due}"));
    let began = Instant::now();
    let call = Call { world: Arc::clone(world), function, process };
    if let Ok(version) = call.answered(forced).await {
        world.returned(what, function, version, due);
    }
    if world.is_smooth && began.elapsed() > IN_VAIN {
        world.breaks(format!("{what} {function:?} waited in vain"));
    }
}

async fn write(world: &World, invalidation: Invalidation, process: usize, expired: bool) {
    point("a change").await;
    let version = world.change();
    let cache = world.cache(process);
    let done = match (invalidation, expired) {
        (Invalidation::Key(function), false) => world.entry(function, process).invalidate().await,
        (Invalidation::Key(function), true) => world.entry(function, process).expire().await,
        (Invalidation::Tag(tag), false) => cache.invalidate_tags([tag]).await,
        (Invalidation::Tag(tag), true) => cache.expire_tags([tag]).await,
        (Invalidation::Both, false) => cache.invalidate_tags(["a", "b"]).await,
        (Invalidation::Both, true) => cache.expire_tags(["a", "b"]).await,
        (Invalidation::Everything, _) => cache.clear().await,
    };
    if done.is_ok() {
        world.acknowledge(invalidation, version, expired);
    }
}

async fn set(world: &World, function: Function, process: usize) {
    point("a set").await;
    let value = world.value_to_set();
    let entry = world.entry(function, process);
    // Superseded, or lost: both are answers.
    let done = match function {
        Function::Late => entry.set_with_tags(value, ["a"]).await,
        _ => entry.set(value).await,
    };
    world.told(format!("{function:?} is set to {value}: {done:?}"));
}

/// As generated code does.
async fn put(world: &World, function: Function, process: usize) {
    point("a writer that puts").await;
    let cache = chosen(&world.cache(process));
    let mut writing = Writing::putting(cache, false).await;
    let entry = world.entry(function, process);
    writing.add(&entry);
    point("its body").await;
    let version = world.change();
    point("its body ends").await;
    entry.__redis_cached_put_by(&mut writing, &version);
    if writing.sent(true).await.is_ok() {
        world.acknowledge(Invalidation::Key(function), version, false);
    }
}

async fn look(world: &World, function: Function, process: usize) {
    point("a look").await;
    let (due, fresh_due) = world.due(function);
    let Ok(Some(seen)) = world.entry(function, process).peek().await else { return };
    world.returned("a look at", function, seen.value, due);
    let version = world.version(seen.value);
    if seen.state == State::Fresh && version < fresh_due {
        world.breaks(format!(
            "{function:?} is fresh with {version}, which was expired by {fresh_due} before"
        ));
    }
}

//! `max_concurrency`: how many bodies of one function run at once in this process.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::frame;
use crate::metrics::{self, Awaited, Timer};
use crate::request::Request;
use crate::site::Warning;
use crate::telemetry;

/// The places of one function.
#[derive(Debug)]
pub(crate) struct Places {
    free: Semaphore,
    /// How many bodies have left their place: while it grows, the queue moves.
    left: AtomicU64,
}

impl Places {
    pub(crate) fn new(most: u32) -> Self {
        Self { free: Semaphore::new(most as usize), left: AtomicU64::new(0) }
    }
}

/// The right to run a body now. Ends when it is dropped.
pub(crate) struct Place {
    /// None where the function has no limit, where this task is inside one of its bodies and so has a
    /// place, and where there was none in time.
    held: Option<(SemaphorePermit<'static>, &'static Places)>,
    /// What was found before may be old news.
    pub(crate) was_waited_for: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((_, places)) = &self.held {
            places.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All places are taken.
pub(crate) struct Full(&'static Places);

/// How often a caller waits for as long as `wait` while others go on; then it goes on without a place.
const MOST_WAITS: u32 = 6;

/// Whether this task has a place of the function already, being inside one of its bodies.
pub(crate) fn inside(request: &Request) -> bool {
    request.site.places().is_some() && frame::inside_function(request.site)
}

/// A place, if there is one now.
pub(crate) fn now(request: &Request) -> Result<Place, Full> {
    let without = Place { held: None, was_waited_for: false };
    let Some(places) = request.site.places() else { return Ok(without) };
    // Of a batch, it is the body that has a place, whatever the number of its keys.
    if request.part.is_some() || inside(request) || Handle::try_current().is_err() {
        return Ok(without);
    }
    match places.free.try_acquire() {
        Ok(permit) => Ok(Place { held: Some((permit, places)), was_waited_for: false }),
        Err(_) => Err(Full(places)),
    }
}

/// Waits for a place, in the order of asking. Not for ever: bodies that never end must not end all calls.
/// Whoever has waited for `wait` in which no body has left its place goes on without one, and after
/// six times as long in any case.
pub(crate) async fn wait(request: &Request) -> Place {
    let full = match now(request) {
        Ok(place) => return place,
        Err(full) => full,
    };
    request.begins_to_wait();
    let timer = Timer::start();
    let place = wait_for(request, full).await;
    metrics::waited(request.site, timer, Awaited::Place);
    place
}

async fn wait_for(request: &Request, Full(places): Full) -> Place {
    let mut permit = pin!(places.free.acquire());
    for _ in 0..MOST_WAITS {
        let left = places.left.load(Ordering::Relaxed);
        match tokio::time::timeout(request.policy.wait, &mut permit).await {
            Ok(permit) => {
                let held = permit.ok().map(|permit| (permit, places));
                return Place { held, was_waited_for: true };
            }
            Err(_) if places.left.load(Ordering::Relaxed) == left => break,
            Err(_) => {}
        }
    }
    telemetry::warn_once(request.site, Warning::Overdue, "");
    Place { held: None, was_waited_for: true }
}

//! From a call with its types to the lookup, which has none, and back.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::computation::{Asking, Body, Calling, Running};
use crate::lookup::{self, Begun};
use crate::outcome::Outcome;

/// Answers a call from the store or by its body.
pub fn answer<C: Calling>(call: &mut C) -> Answering<'_, C::Output> {
    Answering(Progress::Asked(call.asked()))
}

/// Ends when the call has its answer.
///
/// Generic over what is returned and nothing else, and never inlined, so that functions of one return
/// type share all of it.
pub struct Answering<'c, R>(Progress<'c, R>);

enum Progress<'c, R> {
    Asked(Asking<'c, R>),
    Running(Body<'c, R>),
    Ended,
}

impl<R: Send> Future for Answering<'_, R> {
    type Output = R;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        if let Progress::Asked(_) = self.0
            && let Progress::Asked(asking) = mem::replace(&mut self.0, Progress::Ended)
        {
            match begin(asking) {
                Ok(answer) => return Poll::Ready(answer),
                Err(running) => self.0 = Progress::Running(running),
            }
        }
        let Progress::Running(running) = &mut self.0 else {
            unreachable!("a future that has ended is not polled again")
        };
        let polled = running.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = Progress::Ended;
        }
        polled
    }
}

/// The answer, if it can be had without waiting.
fn begin<R: Send>(asking: Asking<'_, R>) -> Result<R, Body<'_, R>> {
    let Asking { forced, returns, source } = asking;
    let mut running = Running::new(returns, source);
    let target = running.target();
    match lookup::begin(target, forced, &mut running) {
        Begun::Answered(_) => Ok(running.returned()),
        Begun::Unanswered(asked) => Err(Box::pin(async move {
            lookup::answer(asked, &mut running).await;
            running.returned()
        })),
    }
}

/// Answers a call, and says how.
pub async fn answer_told<C: Calling>(call: &mut C) -> (C::Output, Outcome)
where
    C::Output: Send,
{
    let Asking { forced, returns, source } = call.asked();
    let mut running = Running::new(returns, source);
    let target = running.target();
    let outcome = match lookup::begin(target, forced, &mut running) {
        Begun::Answered(outcome) => outcome,
        Begun::Unanswered(asked) => lookup::answer(asked, &mut running).await,
    };
    (running.returned(), outcome)
}

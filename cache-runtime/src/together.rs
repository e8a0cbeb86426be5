//! Futures that are polled side by side, in the task of whoever waits for them.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::by_hand::Boxed;
use crate::sync::lock;

/// What all of them have come to, in the order in which they have.
pub(crate) fn together<'a, T: Send + 'a>(mut under_way: Vec<Boxed<'a, T>>) -> Boxed<'a, Vec<T>> {
    let mut ended = Vec::with_capacity(under_way.len());
    Box::pin(poll_fn(move |cx| {
        under_way.retain_mut(|one| match one.as_mut().poll(cx) {
            Poll::Ready(outcome) => {
                ended.push(outcome);
                false
            }
            Poll::Pending => true,
        });
        if under_way.is_empty() { Poll::Ready(std::mem::take(&mut ended)) } else { Poll::Pending }
    }))
}

/// Does something with each, with so many at a time.
pub(crate) fn in_turns<V: Send + 'static, T: Send + 'static>(
    values: Vec<V>,
    most: usize,
    each: impl Fn(V) -> Boxed<'static, T> + Send + Sync + 'static,
) -> Boxed<'static, Vec<T>> {
    let workers = values.len().min(most);
    let shared = Arc::new((Mutex::new(values.into_iter()), each));
    let worker = |_| -> Boxed<'static, Vec<T>> {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let (left, each) = &*shared;
            let mut outcomes = Vec::new();
            loop {
                let next = lock(left).next();
                let Some(next) = next else { return outcomes };
                outcomes.push(each(next).await);
            }
        })
    };
    let workers = together((0..workers).map(worker).collect());
    Box::pin(async { workers.await.into_iter().flatten().collect() })
}

//! Bodies: read as far as may be stored, and handed through where that is not far enough.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// The body of a response behind a [`ResponseCache`](crate::ResponseCache): a stored one, or the handler's.
pub struct CacheBody<B: Body>(Kind<B>);

enum Kind<B: Body> {
    Whole(Bytes),
    /// Of no length that could be told.
    Cut(Option<Bytes>),
    Through {
        /// What has been read of it.
        read: VecDeque<Result<Frame<Bytes>, B::Error>>,
        /// `None` where it has come to an end, or broke.
        rest: Option<Pin<Box<B>>>,
    },
}

/// What came of reading a body.
pub(crate) enum Read<B: Body> {
    Whole(Bytes),
    /// More than may be stored, why, and whether the next one will be the same.
    Beyond(CacheBody<B>, &'static str, bool),
}

// No field is pinned in place.
impl<B: Body> Unpin for CacheBody<B> {}

impl<B: Body<Data = Bytes>> CacheBody<B> {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }

    /// One that ends before the length that it has said, which whoever sends it is to notice.
    pub(crate) fn cut(bytes: Bytes) -> Self {
        Self(Kind::Cut(Some(bytes)))
    }

    pub(crate) fn through(body: B) -> Self {
        Self(Kind::Through { read: VecDeque::new(), rest: Some(Box::pin(body)) })
    }

    /// Reads a body up to so many bytes. Nothing of what was read is lost where there are more.
    pub(crate) async fn read(body: B, most: usize) -> Read<B> {
        let mut body = Box::pin(body);
        let mut read = VecDeque::new();
        let mut len = 0;
        let (rest, why, always) = loop {
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                None => return Read::Whole(joined(read, len)),
                Some(Err(error)) => {
                    read.push_back(Err(error));
                    break (None, "broken", false);
                }
                Some(Ok(frame)) => {
                    let data = frame.data_ref().map(Bytes::len);
                    read.push_back(Ok(frame));
                    let Some(data) = data else { break (Some(body), "trailers", true) };
                    len += data;
                    if len > most {
                        break (Some(body), "too-large", true);
                    }
                }
            }
        };
        Read::Beyond(Self(Kind::Through { read, rest }), why, always)
    }
}

fn joined<E>(read: VecDeque<Result<Frame<Bytes>, E>>, len: usize) -> Bytes {
    let mut parts = read.into_iter().flatten().filter_map(|frame| frame.into_data().ok());
    let first = parts.next().unwrap_or_default();
    if first.len() == len {
        return first;
    }
    let mut whole = BytesMut::with_capacity(len);
    whole.extend_from_slice(&first);
    parts.for_each(|part| whole.extend_from_slice(&part));
    whole.freeze()
}

impl<B: Body<Data = Bytes>> Body for CacheBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Cut(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Through { read, rest } => match (read.pop_front(), rest) {
                (Some(frame), _) => Poll::Ready(Some(frame)),
                (None, Some(rest)) => rest.as_mut().poll_frame(cx),
                (None, None) => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Cut(bytes) => bytes.is_none(),
            Kind::Through { read, rest } => {
                read.is_empty() && rest.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (read, rest) = match &self.0 {
            Kind::Whole(bytes) => return SizeHint::with_exact(bytes.len() as u64),
            Kind::Cut(_) => return SizeHint::default(),
            Kind::Through { read, rest } => (read, rest),
        };
        // One that will break has no length that it could be told to have.
        let breaks = read.iter().any(Result::is_err);
        let frames = read.iter().flatten().filter_map(Frame::data_ref);
        let read: u64 = frames.map(|data| data.len() as u64).sum();
        let of_rest = rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(of_rest.lower().saturating_add(read));
        let upper = of_rest.upper().filter(|_| !breaks);
        if let Some(upper) = upper.and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B: Body> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = matches!(self.0, Kind::Whole(_));
        f.debug_struct("CacheBody").field("is_whole", &stored).finish_non_exhaustive()
    }
}

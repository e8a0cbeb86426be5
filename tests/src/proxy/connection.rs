//! One client, and its connection to the server.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::frame::{Frames, NotResp, Sender, flip, is_push, truncated};
use super::request::Request;
use super::rule::Fault;
use super::shared::{Mode, Shared};

/// Requests of one connection that are not answered yet, and replies that are not written yet.
const MOST_WAITING: usize = 16_384;
const CHUNK: usize = 64 << 10;

/// Serves a client until one of the two has gone, or the connection is cut.
pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    shared.change(|state| state.connections += 1);
    if *shared.mode.borrow() == Mode::HalfOpen {
        tokio::select! {
            () = swallow(client) => {}
            _ = cuts.changed() => {}
        }
    // A server that is not there looks like one that closes: the client is told at once.
    } else if let Ok(server) = TcpStream::connect(shared.server).await {
        let _ = server.set_nodelay(true);
        let _ = client.set_nodelay(true);
        let connection = Arc::new(Connection {
            shared: Arc::clone(&shared),
            waiting: Mutex::default(),
            silent: AtomicBool::new(false),
        });
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        let (send, outgoing) = mpsc::channel(MOST_WAITING);
        // Whatever ends, ends all of it.
        tokio::select! {
            _ = connection.requests(from_client, to_server) => {}
            _ = connection.replies(from_server, send) => {}
            _ = write(outgoing, to_client) => {}
            _ = cuts.changed() => {}
        }
    }
    shared.change(|state| state.connections -= 1);
}

/// Until the client has gone.
async fn swallow(mut client: TcpStream) {
    let mut bytes = vec![0; CHUNK];
    while client.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

struct Connection {
    shared: Arc<Shared>,
    /// What becomes of the replies that are to come.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Whether nothing goes through any more.
    silent: AtomicBool,
}

struct Waiting {
    name: String,
    becomes: Becomes,
}

enum Becomes {
    Forwarded(Option<Fault>),
    Swallowed,
}

/// Why a connection ends.
enum Ended {
    Lost,
    Cut,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl From<NotResp> for Ended {
    fn from(NotResp: NotResp) -> Self {
        Self::Cut
    }
}

/// A reply, and from when on it may be written.
type Outgoing = (Instant, Vec<u8>);

impl Connection {
    async fn requests(
        &self,
        mut client: OwnedReadHalf,
        mut server: OwnedWriteHalf,
    ) -> Result<(), Ended> {
        let mut frames = Frames::of(Sender::Client);
        let mut bytes = vec![0; CHUNK];
        loop {
            let read = client.read(&mut bytes).await?;
            if read == 0 {
                return Err(Ended::Lost);
            }
            if self.is_silent() {
                continue;
            }
            frames.feed(&bytes[..read]);
            while let Some(frame) = frames.next()? {
                self.request(frame, &mut server).await?;
            }
        }
    }

    async fn request(&self, mut frame: Vec<u8>, server: &mut OwnedWriteHalf) -> Result<(), Ended> {
        let request = Request::read(&frame);
        let fault = self.shared.came(&request, &frame);
        if self.is_silent() {
            return Ok(());
        }
        match fault {
            Some(Fault::CutBefore | Fault::CutAndHold) => return Err(Ended::Cut),
            Some(Fault::Hold) => {
                self.silent.store(true, Ordering::Release);
                return Ok(());
            }
            // The server answers something, so that this reply has its place among the others.
            Some(Fault::Answer(_)) => frame = b"PING\r\n".to_vec(),
            Some(Fault::FlipRequest(bit)) => flip(&mut frame, bit),
            Some(Fault::Twice) => {
                self.wait_for(request.name.clone(), Becomes::Swallowed)?;
                server.write_all(&frame).await?;
            }
            _ => {}
        }
        self.wait_for(request.name, Becomes::Forwarded(fault))?;
        server.write_all(&frame).await?;
        Ok(())
    }

    async fn replies(
        &self,
        mut server: OwnedReadHalf,
        client: mpsc::Sender<Outgoing>,
    ) -> Result<(), Ended> {
        let mut frames = Frames::of(Sender::Server);
        let mut bytes = vec![0; CHUNK];
        let mut swapped = None;
        loop {
            match server.read(&mut bytes).await {
                Ok(read) if read > 0 => frames.feed(&bytes[..read]),
                // Half-open: the client is not told.
                _ if self.is_silent() => return pending().await,
                _ => return Err(Ended::Lost),
            }
            while let Some(frame) = frames.next()? {
                self.reply(frame, &mut swapped, &client).await?;
            }
        }
    }

    async fn reply(
        &self,
        mut frame: Vec<u8>,
        swapped: &mut Option<Vec<u8>>,
        client: &mpsc::Sender<Outgoing>,
    ) -> Result<(), Ended> {
        let now = Instant::now();
        if is_push(&frame) {
            return self.forward(now, frame, client).await;
        }
        // Nobody has asked: a server says so that it has no place for one more, and closes.
        let first = self.waiting().pop_front();
        let Some(Waiting { name, becomes }) = first else {
            return self.forward(now, frame, client).await;
        };
        let Becomes::Forwarded(fault) = becomes else { return Ok(()) };
        let mut due = now;
        match fault {
            Some(Fault::Drop) => self.silent.store(true, Ordering::Release),
            Some(Fault::Delay(by)) => due += by,
            Some(Fault::Swap) if swapped.is_none() => {
                *swapped = Some(frame);
                return Ok(());
            }
            Some(Fault::Skip) => return Ok(()),
            Some(Fault::Repeat) => self.forward(now, frame.clone(), client).await?,
            Some(Fault::Answer(reply)) => frame = reply.as_bytes().to_vec(),
            Some(Fault::Truncate) => frame = truncated(&frame),
            Some(Fault::Flip(bit)) => flip(&mut frame, bit),
            Some(Fault::CutIn(most)) => {
                frame.truncate(most.min(frame.len() - 1));
                self.forward(now, frame, client).await?;
                // Behind what is written.
                self.forward(now, Vec::new(), client).await?;
                return pending().await;
            }
            _ => {}
        }
        self.forward(due, frame, client).await?;
        if let Some(swapped) = swapped.take() {
            self.forward(due, swapped, client).await?;
        }
        self.shared.change(|state| *state.answered.entry(name).or_default() += 1);
        Ok(())
    }

    async fn forward(
        &self,
        due: Instant,
        frame: Vec<u8>,
        client: &mpsc::Sender<Outgoing>,
    ) -> Result<(), Ended> {
        if self.is_silent() {
            return Ok(());
        }
        client.send((due, frame)).await.map_err(|_| Ended::Lost)
    }

    fn wait_for(&self, name: String, becomes: Becomes) -> Result<(), Ended> {
        let mut waiting = self.waiting();
        if waiting.len() >= MOST_WAITING {
            return Err(Ended::Cut);
        }
        waiting.push_back(Waiting { name, becomes });
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self) -> bool {
        if *self.shared.mode.borrow() == Mode::HalfOpen {
            // Also when others are answered again: what went over this one meanwhile is lost.
            self.silent.store(true, Ordering::Release);
        }
        self.silent.load(Ordering::Acquire)
    }
}

/// Nothing is written before it is due, and so nothing overtakes. An empty reply is the end.
async fn write(
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut client: OwnedWriteHalf,
) -> Result<(), Ended> {
    while let Some((due, frame)) = outgoing.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        if frame.is_empty() {
            return Err(Ended::Cut);
        }
        client.write_all(&frame).await?;
    }
    Err(Ended::Lost)
}

//! What the connections of a proxy, and the test, know of each other.

use std::collections::{HashMap, VecDeque};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::frame::{Frames, Sender};
use super::request::Request;
use super::rule::{Fault, Which};

/// A test that needs more has lost its way.
const MOST_RULES: usize = 256;
const MOST_HELD: usize = 256;

/// Whether clients are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Open,
    /// Accepts and reads, and answers nothing.
    HalfOpen,
    Refusing,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    state: Mutex<State>,
    /// Counted up when something has changed.
    changes: watch::Sender<u64>,
    pub(super) mode: watch::Sender<Mode>,
    /// Counted up when all connections are cut.
    pub(super) cuts: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rules: Vec<InForce>,
    /// How many requests of each name have come.
    pub(super) seen: HashMap<String, usize>,
    /// How many of them were answered, as far as the proxy knows.
    pub(super) answered: HashMap<String, usize>,
    pub(super) connections: usize,
    pub(super) listens: bool,
}

#[derive(Debug)]
pub(super) struct InForce {
    pub(super) which: Which,
    pub(super) fault: Fault,
    came: usize,
    pub(super) strikes: usize,
    pub(super) held: VecDeque<Vec<u8>>,
}

impl Shared {
    pub(super) fn before(server: SocketAddr) -> Self {
        Self {
            server,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            mode: watch::Sender::new(Mode::Open),
            cuts: watch::Sender::new(0),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes those who wait for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changes.send_modify(|changes| *changes += 1);
        changed
    }

    pub(super) async fn until(&self, mut condition: impl FnMut(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        let met = changes.wait_for(|_| condition(&self.state())).await;
        // The sender lives as long as `self`.
        met.map(drop).unwrap_or_default();
    }

    pub(super) fn add(&self, which: Which, fault: Fault) -> usize {
        self.change(|state| {
            assert!(state.rules.len() < MOST_RULES, "a proxy has at most {MOST_RULES} rules");
            let rule = InForce { which, fault, came: 0, strikes: 0, held: VecDeque::new() };
            state.rules.push(rule);
            state.rules.len() - 1
        })
    }

    /// Counts a request, and says what is to happen to it. Of several rules the first counts.
    pub(super) fn came(&self, request: &Request, frame: &[u8]) -> Option<Fault> {
        self.change(|state| {
            *state.seen.entry(request.name.clone()).or_default() += 1;
            let mut fault = None;
            for rule in state.rules.iter_mut().filter(|rule| rule.which.is(request)) {
                rule.came += 1;
                if fault.is_some()
                    || rule.came <= rule.which.after
                    || rule.strikes >= rule.which.most
                {
                    continue;
                }
                rule.strikes += 1;
                if matches!(rule.fault, Fault::Hold | Fault::CutAndHold)
                    && rule.held.len() < MOST_HELD
                {
                    rule.held.push_back(frame.to_vec());
                }
                fault = Some(rule.fault);
            }
            fault
        })
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        let mut server = TcpStream::connect(self.server).await?;
        server.write_all(request).await?;
        let mut frames = Frames::of(Sender::Server);
        let mut bytes = vec![0; 4096];
        loop {
            let read = server.read(&mut bytes).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            frames.feed(&bytes[..read]);
            let frame = frames.next().map_err(|_| Error::from(ErrorKind::InvalidData))?;
            if let Some(frame) = frame {
                return Ok(frame);
            }
        }
    }
}

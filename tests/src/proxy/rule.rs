//! What is to happen to which requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::request::Request;
use super::shared::Shared;
use crate::in_time;

/// What happens to a request, or to its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    CutBefore,
    Twice,
    Hold,
    CutAndHold,
    Answer(&'static str),
    FlipRequest(usize),
    Drop,
    Delay(Duration),
    Swap,
    Skip,
    Repeat,
    Truncate,
    CutIn(usize),
    Flip(usize),
}

/// Which requests.
#[derive(Clone, Debug)]
pub(super) struct Which {
    /// `None`: all.
    pub(super) name: Option<String>,
    pub(super) key: Option<String>,
    /// So many go by before the first.
    pub(super) after: usize,
    pub(super) most: usize,
}

impl Which {
    pub(super) fn is(&self, request: &Request) -> bool {
        self.name.as_ref().is_none_or(|name| *name == request.name)
            && self.key.as_ref().is_none_or(|key| request.is_about(key))
    }
}

/// A rule that is being written: which requests, and then what happens to them.
///
/// Without [`times`](Self::times) it is for all of them.
#[derive(Debug)]
#[must_use = "says nothing until it says what happens"]
pub struct When {
    shared: Arc<Shared>,
    which: Which,
}

#[expect(clippy::must_use_candidate, reason = "a rule is in force without its handle")]
impl When {
    pub(super) fn of(shared: &Arc<Shared>, name: Option<&str>) -> Self {
        let which = Which { name: name.map(str::to_owned), key: None, after: 0, most: usize::MAX };
        Self { shared: Arc::clone(shared), which }
    }

    /// Only those with a key, or another argument, that begins like this.
    pub fn about(mut self, beginning: &str) -> Self {
        self.which.key = Some(beginning.to_owned());
        self
    }

    /// Only from the one behind so many.
    pub fn after(mut self, many: usize) -> Self {
        self.which.after = many;
        self
    }

    /// Only so many.
    pub fn times(mut self, most: usize) -> Self {
        self.which.most = most;
        self
    }

    /// Only one.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// The server never gets it, and its client's connection is cut.
    pub fn cut_before(self) -> Rule {
        self.happens(Fault::CutBefore)
    }

    /// The server gets it twice, at once. Its client gets the reply to the second.
    pub fn forward_twice(self) -> Rule {
        self.happens(Fault::Twice)
    }

    /// The server does not get it until it is [delivered](Held::deliver). Its client's connection is silent from then
    /// on.
    pub fn hold(self) -> Held {
        Held(self.happens(Fault::Hold))
    }

    /// The same, and its client's connection is cut.
    pub fn cut_and_hold(self) -> Held {
        Held(self.happens(Fault::CutAndHold))
    }

    /// The server never gets it, and its client gets this reply (`"-READONLY …\r\n"`).
    pub fn answer_instead(self, reply: &'static str) -> Rule {
        self.happens(Fault::Answer(reply))
    }

    /// The server gets it with one bit of its longest argument turned over.
    pub fn flip_bit_of_request(self, bit: usize) -> Rule {
        self.happens(Fault::FlipRequest(bit))
    }

    /// The server runs it, its client hears nothing: neither the reply nor, as behind a hole in a stream, anything
    /// that comes later on this connection.
    pub fn drop_reply(self) -> Rule {
        self.happens(Fault::Drop)
    }

    /// The reply is late, and so is what stands behind it.
    pub fn delay_reply(self, by: Duration) -> Rule {
        self.happens(Fault::Delay(by))
    }

    /// The reply comes behind the next one of its connection: each answers the other's request.
    pub fn swap_replies(self) -> Rule {
        self.happens(Fault::Swap)
    }

    /// The reply is left out: from then on each reply of this connection answers the request before its own.
    pub fn skip_reply(self) -> Rule {
        self.happens(Fault::Skip)
    }

    /// The reply comes twice: from then on each reply of this connection answers the request behind its own, as where
    /// a client takes the reply to a request that was given up for the next one's.
    pub fn repeat_reply(self) -> Rule {
        self.happens(Fault::Repeat)
    }

    /// The reply's longest string comes at half of its length, correctly framed.
    pub fn truncate_reply(self) -> Rule {
        self.happens(Fault::Truncate)
    }

    /// The connection is cut behind so many bytes of the reply; of a shorter one, behind all but the last.
    pub fn cut_in_reply(self, bytes: usize) -> Rule {
        self.happens(Fault::CutIn(bytes))
    }

    /// The reply comes with one bit of its longest string turned over.
    pub fn flip_bit(self, bit: usize) -> Rule {
        self.happens(Fault::Flip(bit))
    }

    fn happens(self, fault: Fault) -> Rule {
        let id = self.shared.add(self.which, fault);
        Rule { shared: self.shared, id }
    }
}

/// A rule that is in force until it has struck as often as it may, or [ends](Self::end), or its proxy
/// [heals](super::Proxy::heal). Not when it is dropped.
pub struct Rule {
    shared: Arc<Shared>,
    id: usize,
}

impl Rule {
    /// Waits until it has struck this often.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn struck(&self, times: usize) {
        let struck = self.shared.until(|state| state.rules[self.id].strikes >= times);
        in_time("a rule strikes", struck).await;
    }

    /// How often it has struck.
    #[must_use]
    pub fn strikes(&self) -> usize {
        self.shared.state().rules[self.id].strikes
    }

    /// From now on it does not strike.
    pub fn end(&self) {
        self.shared.state().rules[self.id].which.most = 0;
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.state().rules[self.id].fmt(f)
    }
}

/// Requests that are held back.
#[derive(Debug)]
pub struct Held(Rule);

impl Held {
    /// Waits until one is held.
    ///
    /// # Panics
    ///
    /// When none is.
    pub async fn caught(&self) {
        self.0.struck(1).await;
    }

    /// Delivers the one that was caught first, on a connection of its own, and gives the server's reply. For a server
    /// without a password.
    ///
    /// # Panics
    ///
    /// When none was caught, or the server does not answer.
    pub async fn deliver(&self) -> String {
        let request = self.0.shared.state().rules[self.0.id].held.pop_front();
        let request = request.expect("a request was caught, and is not delivered yet");
        let reply = in_time("a late request is answered", self.0.shared.ask(&request)).await;
        String::from_utf8_lossy(&reply.expect("the server is up")).into_owned()
    }
}

//! Where requests and replies begin and end, in RESP2 and RESP3. Pure.

use std::ops::Range;

/// Above the largest value that the crate stores. A longer one ends its connection.
pub(super) const LONGEST: usize = 32 << 20;
const LONGEST_LINE: usize = 64 << 10;

/// What is neither RESP nor short enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotResp;

/// Who has sent it: only clients may leave the framing out (`PING\r\n`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// Bytes as they arrive, cut into frames.
#[derive(Debug)]
pub(super) struct Frames {
    sender: Sender,
    bytes: Vec<u8>,
}

impl Frames {
    pub(super) fn of(sender: Sender) -> Self {
        Self { sender, bytes: Vec::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next one, if all of it is there.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, NotResp> {
        let inline = self.sender == Sender::Client && !self.bytes.starts_with(b"*");
        let length = if inline {
            line(&self.bytes)?.map(|line| line.len() + 2)
        } else {
            length(&self.bytes)?
        };
        let Some(length) = length else { return Ok(None) };
        let rest = self.bytes.split_off(length);
        Ok(Some(std::mem::replace(&mut self.bytes, rest)))
    }
}

/// A string within a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Where its length begins, behind the mark of its kind.
    length_at: usize,
    pub(super) payload: Range<usize>,
}

/// How long the first frame is; `None`: longer than what is there.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, NotResp> {
    walk(bytes, |_| {})
}

/// The strings of a whole frame, in their order.
pub(super) fn texts(frame: &[u8]) -> Vec<Text> {
    let mut texts = Vec::new();
    // What is no frame has none.
    let _ = walk(frame, |text| texts.push(text));
    texts
}

/// What came by itself, and answers nothing.
pub(super) fn is_push(frame: &[u8]) -> bool {
    frame.starts_with(b">")
}

/// The longest string at half of its length, correctly framed. A frame without one stays as it is.
pub(super) fn truncated(frame: &[u8]) -> Vec<u8> {
    let texts = texts(frame);
    let Some(longest) = texts.iter().max_by_key(|text| text.payload.len()) else {
        return frame.to_vec();
    };
    let half = longest.payload.len() / 2;
    let mut whole = frame[..longest.length_at].to_vec();
    whole.extend_from_slice(format!("{half}\r\n").as_bytes());
    whole.extend_from_slice(&frame[longest.payload.start..longest.payload.start + half]);
    whole.extend_from_slice(&frame[longest.payload.end..]);
    whole
}

/// Turns one bit over in the longest string.
pub(super) fn flip(frame: &mut [u8], bit: usize) {
    let texts = texts(frame);
    let longest = texts.iter().max_by_key(|text| text.payload.len());
    if let Some(Text { payload, .. }) = longest.filter(|text| !text.payload.is_empty()) {
        frame[payload.start + bit / 8 % payload.len()] ^= 1 << (bit % 8);
    }
}

fn walk(bytes: &[u8], mut found: impl FnMut(Text)) -> Result<Option<usize>, NotResp> {
    let mut at = 0;
    // Counted instead of nested, so that no reply is too deep.
    let mut left: usize = 1;
    while left > 0 {
        left -= 1;
        let Some(line) = line(&bytes[at..])? else { return Ok(None) };
        let (&kind, rest) = line.split_first().ok_or(NotResp)?;
        let length_at = at + 1;
        at += line.len() + 2;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'=' | b'!' => {
                let Some(length) = count(rest)? else { continue };
                let payload = at..at + length;
                at = payload.end + 2;
                let Some(end) = bytes.get(payload.end..at) else { return Ok(None) };
                if end != b"\r\n" {
                    return Err(NotResp);
                }
                found(Text { length_at, payload });
            }
            b'*' | b'~' | b'>' => left += count(rest)?.unwrap_or(0),
            b'%' => left += 2 * count(rest)?.unwrap_or(0),
            // What is told about the reply stands in front of it.
            b'|' => left += 2 * count(rest)?.unwrap_or(0) + 1,
            _ => return Err(NotResp),
        }
        if left > LONGEST || at > LONGEST {
            return Err(NotResp);
        }
    }
    Ok(Some(at))
}

/// Up to its end, which is left out.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, NotResp> {
    let searched = &bytes[..bytes.len().min(LONGEST_LINE)];
    match searched.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(&bytes[..end])),
        None if bytes.len() < LONGEST_LINE => Ok(None),
        None => Err(NotResp),
    }
}

/// `None`: there is nothing, which RESP2 writes as -1.
fn count(digits: &[u8]) -> Result<Option<usize>, NotResp> {
    if digits == b"-1" {
        return Ok(None);
    }
    let text = std::str::from_utf8(digits).map_err(|_| NotResp)?;
    let count = text.parse().map_err(|_| NotResp)?;
    if count > LONGEST { Err(NotResp) } else { Ok(Some(count)) }
}

//! Which of a cluster's slots a key lies in, and what a cluster says of its slots.
//!
//! Pure.

use std::fmt;

use ::redis::Value;

/// So many there are in every cluster.
pub(super) const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM, as the cluster specification wants it.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u16;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC[usize::from((crc >> 8) ^ u16::from(*byte))])
}

/// The slot of a key: that of what stands between its first `{` and the next `}`, if anything does.
pub(super) fn slot_of(key: &str) -> u16 {
    crc16(hashed_of(key).as_bytes()) % SLOTS
}

/// What of a key decides on its slot. Holds no `}`, or is the key: between braces it stands for the same slot.
pub(super) fn hashed_of(key: &str) -> &str {
    let between = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    match between {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    }
}

/// Where a node is, as the cluster announces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `host:port`; a node that does not know what it is called leaves the host out, and means the one it was asked at.
    fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::announced(host, port.parse().ok()?, asked)
    }

    fn announced(host: &str, port: u16, asked: &Self) -> Option<Self> {
        let host = match host {
            "" => &asked.host,
            // It was to be called by a name, and has none.
            "?" => return None,
            host => host,
        };
        Some(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Slots that lie next to each other on one master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Address,
    /// They are never read from; but they can be asked where the slots are.
    pub(super) replicas: Vec<Address>,
}

/// What `CLUSTER SLOTS` says. `None` where it says nothing of any slot.
pub(super) fn ranges(reply: &Value, asked: &Address) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    let ranges: Vec<Range> = ranges.iter().filter_map(|one| range(one, asked)).collect();
    (!ranges.is_empty()).then_some(ranges)
}

fn range(reply: &Value, asked: &Address) -> Option<Range> {
    let Value::Array(parts) = reply else { return None };
    let [Value::Int(first), Value::Int(last), master, replicas @ ..] = parts.as_slice() else {
        return None;
    };
    let slot = |number: i64| u16::try_from(number).ok().filter(|&slot| slot < SLOTS);
    let (first, last) = (slot(*first)?, slot(*last)?);
    let replicas = replicas.iter().filter_map(|one| node(one, asked)).collect();
    Some(Range { first, last, master: node(master, asked)?, replicas })
}

fn node(reply: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(parts) = reply else { return None };
    let (host, port) = match parts.as_slice() {
        [Value::BulkString(host), Value::Int(port), _, more, ..] if host == b"?" => {
            (ip(more)?, port)
        }
        [Value::BulkString(host), Value::Int(port), ..] => (std::str::from_utf8(host).ok()?, port),
        [Value::Nil, Value::Int(port), ..] => ("", port),
        _ => return None,
    };
    Address::announced(host, u16::try_from(*port).ok()?, asked)
}

/// Among what else is said of a node, in pairs.
fn ip(more: &Value) -> Option<&str> {
    let is_ip = |name: &Value| matches!(name, Value::BulkString(name) if name == b"ip");
    let ip = match more {
        Value::Map(pairs) => &pairs.iter().find(|(name, _)| is_ip(name))?.1,
        Value::Array(words) => &words.chunks_exact(2).find(|pair| is_ip(&pair[0]))?[1],
        _ => return None,
    };
    let Value::BulkString(ip) = ip else { return None };
    std::str::from_utf8(ip).ok()
}

/// What a node says that does not carry out a request because of where the slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// To that node, from now on.
    Moved(u16, Option<Address>),
    /// To that node, this once: the slot is being moved, and of this key it is not known here.
    Ask(Option<Address>),
    /// The slot is being moved, and of several keys some are here and some there.
    TryAgain,
    /// No node serves the slot, or too few see each other.
    Down,
    /// It is no master any more.
    ReadOnly,
}

impl Redirect {
    pub(super) fn of(text: &str, asked: &Address) -> Option<Self> {
        let mut words = text.split(' ');
        match words.next()? {
            "MOVED" => {
                let slot = words.next()?.parse().ok().filter(|&slot| slot < SLOTS)?;
                Some(Self::Moved(slot, Address::parse(words.next()?, asked)))
            }
            "ASK" => {
                words.next()?;
                Some(Self::Ask(Address::parse(words.next()?, asked)))
            }
            "TRYAGAIN" => Some(Self::TryAgain),
            "CLUSTERDOWN" | "MASTERDOWN" => Some(Self::Down),
            "READONLY" => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{Key, Piece, Segment};
    use crate::tags::Tag;

    /// The vector of the cluster specification, and slots that `CLUSTER KEYSLOT` of redis 7.0 says.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("", 0),
            ("foo", 12_182),
            ("user1000", 3_443),
            ("{user1000}.following", 3_443),
            ("foo{user1000}.followers", 3_443),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
            ("foo{bar}{zap}", 5_061),
            ("bar", 5_061),
            ("foo{bar", 15_278),
        ] {
            assert_eq!(slot_of(key), slot, "{key:?}");
        }
    }

    proptest! {
        /// Braces in arguments steer nothing, and what belongs to an entry lies beside it.
        #[test]
        fn all_that_belongs_to_an_entry_lies_in_one_slot(value in "[{}%:a-c]{0,9}|[{}]{300}") {
            let segments = [Segment(Piece::Literal("user:")), Segment(Piece::Value(&value))];
            let key = Key::render("ns", &segments).unwrap();
            let name = key.name();
            let inside = &name["ns:{".len()..name.len() - 1];
            prop_assert_eq!(slot_of(name), crc16(inside.as_bytes()) % 16_384);
            for beside in [key.lease(), key.version(None), key.version(Some(7))] {
                prop_assert_eq!(slot_of(&beside), slot_of(name));
            }
            let tag = Tag::named("ns", &value);
            prop_assert_eq!(slot_of(tag.key()), crc16(tag.name().as_bytes()) % 16_384);
        }
    }

    fn here() -> Address {
        Address { host: "10.0.0.1".to_owned(), port: 7000 }
    }

    fn at(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn redirects_are_understood() {
        let of = |text| Redirect::of(text, &here());
        assert_eq!(
            of("MOVED 3999 10.0.0.2:6381"),
            Some(Redirect::Moved(3999, Some(at("10.0.0.2", 6381))))
        );
        assert_eq!(of("MOVED 3999 :6381"), Some(Redirect::Moved(3999, Some(at("10.0.0.1", 6381)))));
        assert_eq!(of("MOVED 3999 ?:6381"), Some(Redirect::Moved(3999, None)));
        assert_eq!(of("MOVED 3999 ::1:6381"), Some(Redirect::Moved(3999, Some(at("::1", 6381)))));
        assert_eq!(
            of("ASK 3999 cache.internal:6381"),
            Some(Redirect::Ask(Some(at("cache.internal", 6381))))
        );
        assert_eq!(
            of("TRYAGAIN Multiple keys request during rehashing of slot"),
            Some(Redirect::TryAgain)
        );
        assert_eq!(of("CLUSTERDOWN The cluster is down"), Some(Redirect::Down));
        assert_eq!(
            of("READONLY You can't write against a read only replica."),
            Some(Redirect::ReadOnly)
        );
        for text in ["MOVED", "MOVED 16384 h:1", "MOVED x h:1", "ASK 1", "OOM", "", "MOVEDX 1 h:1"]
        {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(of("MOVED 1 h"), Some(Redirect::Moved(1, None)));
        assert_eq!(of("MOVED 1 h:99999"), Some(Redirect::Moved(1, None)));
    }

    #[test]
    fn a_map_is_read_as_far_as_it_can_be() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = |host, port| {
            Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])])
        };
        let reply = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(5460),
                node(text("10.0.0.2"), 7001),
                node(text(""), 7002),
            ]),
            Value::Array(vec![Value::Int(5461), Value::Int(5461), node(Value::Nil, 7003)]),
            Value::Array(vec![
                Value::Int(5462),
                Value::Int(5999),
                Value::Array(vec![
                    text("?"),
                    Value::Int(7005),
                    text("id"),
                    Value::Map(vec![(text("ip"), text("10.0.0.5"))]),
                ]),
                Value::Array(vec![
                    text("?"),
                    Value::Int(7006),
                    text("id"),
                    Value::Array(vec![text("hostname"), text(""), text("ip"), text("10.0.0.6")]),
                ]),
            ]),
            // Nobody can be asked for these.
            Value::Array(vec![Value::Int(6000), Value::Int(6001), node(text("?"), 7004)]),
            Value::Array(vec![Value::Int(6000), Value::Int(16_384), node(text("h"), 7004)]),
            Value::Array(vec![Value::Int(-1), Value::Int(0)]),
            Value::Nil,
        ]);
        let ranges = ranges(&reply, &here()).unwrap();
        assert_eq!(
            ranges,
            [
                Range {
                    first: 0,
                    last: 5460,
                    master: at("10.0.0.2", 7001),
                    replicas: vec![at("10.0.0.1", 7002)]
                },
                Range { first: 5461, last: 5461, master: at("10.0.0.1", 7003), replicas: vec![] },
                Range {
                    first: 5462,
                    last: 5999,
                    master: at("10.0.0.5", 7005),
                    replicas: vec![at("10.0.0.6", 7006)]
                },
            ]
        );
        assert_eq!(super::ranges(&Value::Array(vec![]), &here()), None);
        assert_eq!(super::ranges(&Value::Nil, &here()), None);
    }
}

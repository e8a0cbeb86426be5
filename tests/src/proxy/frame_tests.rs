use proptest::prelude::*;

use super::frame::{Frames, NotResp, Sender, flip, is_push, length, texts, truncated};
use super::request::Request;

/// What a server may say, in RESP3.
#[derive(Clone, Debug)]
enum Said {
    /// `+`, `-`, `:`, `_`, `#`, `,`, `(`
    Line(char, String),
    /// `$`, `!`, `=`
    Text(char, Vec<u8>),
    /// As RESP2 writes it.
    Nothing(char),
    /// `*`, `~`, `>`
    List(char, Vec<Said>),
    Map(Vec<(Said, Said)>),
    Attributed(Vec<(Said, Said)>, Box<Said>),
}

impl Said {
    fn any() -> impl Strategy<Value = Self> {
        let line = (prop::sample::select(vec!['+', '-', ':', '_', '#', ',', '(']), "[ -~]{0,12}");
        let text = (
            prop::sample::select(vec!['$', '!', '=']),
            // What looks like framing is none within a text.
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20),
                "(\r\n|[$*:>]|[0-9]){0,8}".prop_map(String::into_bytes),
            ],
        );
        let leaf = prop_oneof![
            line.prop_map(|(kind, text)| Self::Line(kind, text)),
            text.prop_map(|(kind, bytes)| Self::Text(kind, bytes)),
            prop::sample::select(vec!['$', '*']).prop_map(Self::Nothing),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 0..3);
            let list = prop::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                (prop::sample::select(vec!['*', '~', '>']), list)
                    .prop_map(|(kind, parts)| Self::List(kind, parts)),
                pairs().prop_map(Self::Map),
                (pairs(), inner.clone())
                    .prop_map(|(pairs, said)| Self::Attributed(pairs, Box::new(said))),
            ]
        })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let mut pairs = |kind: char, pairs: &[(Self, Self)]| {
            bytes.extend(format!("{kind}{}\r\n", pairs.len()).bytes());
            for (name, value) in pairs {
                name.write(bytes);
                value.write(bytes);
            }
        };
        match self {
            Self::Map(of) => pairs('%', of),
            Self::Attributed(of, said) => {
                pairs('|', of);
                said.write(bytes);
            }
            Self::Line(kind, text) => bytes.extend(format!("{kind}{text}\r\n").bytes()),
            Self::Nothing(kind) => bytes.extend(format!("{kind}-1\r\n").bytes()),
            Self::Text(kind, text) => {
                bytes.extend(format!("{kind}{}\r\n", text.len()).bytes());
                bytes.extend(text);
                bytes.extend(b"\r\n");
            }
            Self::List(kind, parts) => {
                bytes.extend(format!("{kind}{}\r\n", parts.len()).bytes());
                for part in parts {
                    part.write(bytes);
                }
            }
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    fn texts<'s>(&'s self, found: &mut Vec<&'s [u8]>) {
        match self {
            Self::Text(_, text) => found.push(text),
            Self::List(_, parts) => parts.iter().for_each(|part| part.texts(found)),
            Self::Map(pairs) | Self::Attributed(pairs, _) => {
                for (name, value) in pairs {
                    name.texts(found);
                    value.texts(found);
                }
                if let Self::Attributed(_, said) = self {
                    said.texts(found);
                }
            }
            Self::Line(..) | Self::Nothing(_) => {}
        }
    }
}

fn request(words: &[Vec<u8>]) -> Vec<u8> {
    Said::List('*', words.iter().map(|word| Said::Text('$', word.clone())).collect()).frame()
}

/// All frames, fed in pieces that end at these places.
fn fed(sender: Sender, bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let (mut frames, mut whole, mut from) = (Frames::of(sender), Vec::new(), 0);
    for &cut in cuts.iter().chain([&bytes.len()]) {
        frames.feed(&bytes[from..cut]);
        from = cut;
        while let Some(frame) = frames.next().unwrap() {
            whole.push(frame);
        }
    }
    whole
}

proptest! {
    #[test]
    fn replies_are_found_wherever_they_are_cut(said in prop::collection::vec(Said::any(), 1..5)) {
        let frames: Vec<Vec<u8>> = said.iter().map(Said::frame).collect();
        let bytes = frames.concat();
        for cut in 0..=bytes.len() {
            prop_assert_eq!(&fed(Sender::Server, &bytes, &[cut]), &frames);
        }
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&fed(Sender::Server, &bytes, &every), &frames);
    }

    #[test]
    fn part_of_a_reply_is_not_taken_for_one(said in Said::any()) {
        let frame = said.frame();
        for cut in 0..frame.len() {
            prop_assert_eq!(length(&frame[..cut]), Ok(None));
        }
        prop_assert_eq!(length(&frame), Ok(Some(frame.len())));
        prop_assert_eq!(is_push(&frame), matches!(said, Said::List('>', _)));
    }

    #[test]
    fn the_texts_of_a_reply_are_found(said in Said::any(), bit in any::<usize>()) {
        let frame = said.frame();
        let mut expected = Vec::new();
        said.texts(&mut expected);
        let found: Vec<&[u8]> = texts(&frame).iter().map(|text| &frame[text.payload.clone()]).collect();
        prop_assert_eq!(&found, &expected);
        let longest = expected.iter().map(|text| text.len()).max().unwrap_or(0);
        // Both do harm to one text, and none to the framing.
        let mut flipped = frame.clone();
        flip(&mut flipped, bit % 4096);
        let differs = frame.iter().zip(&flipped).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        prop_assert_eq!(differs, u32::from(longest > 0));
        prop_assert_eq!(length(&flipped), Ok(Some(frame.len())));
        let truncated = truncated(&frame);
        prop_assert_eq!(length(&truncated), Ok(Some(truncated.len())));
        let left: usize = texts(&truncated).iter().map(|text| text.payload.len()).sum();
        let all: usize = expected.iter().map(|text| text.len()).sum();
        prop_assert_eq!(left, all - (longest - longest / 2));
    }

    #[test]
    fn requests_are_found_wherever_they_are_cut(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..6),
        inline in "[A-Z]{1,8}( [a-z]{1,8}){0,3}",
    ) {
        let frames =
            vec![request(&words), format!("{inline}\r\n").into_bytes(), request(&words)];
        let bytes = frames.concat();
        for cut in 0..=bytes.len() {
            prop_assert_eq!(&fed(Sender::Client, &bytes, &[cut]), &frames);
        }
        let words: Vec<String> = inline.split(' ').map(str::to_owned).collect();
        let read = Request::read(&frames[1]);
        prop_assert_eq!((&read.name, &read.keys[..]), (&words[0], &words[1..]));
    }

    #[test]
    fn any_bytes_are_frames_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for sender in [Sender::Client, Sender::Server] {
            let mut frames = Frames::of(sender);
            frames.feed(&bytes);
            while let Ok(Some(frame)) = frames.next() {
                prop_assert!(!frame.is_empty());
            }
        }
    }
}

#[test]
fn what_claims_to_be_endless_is_refused() {
    for bytes in [
        &b"$99999999999999999999\r\n"[..],
        b"$2147483648\r\n",
        b"*2147483648\r\n",
        b"%33554432\r\n",
        b"$-2\r\n",
        b"$x\r\n",
        b"?\r\n",
        b"\r\n",
        b"$1\r\nabc",
        &vec![b'+'; 70_000],
    ] {
        assert_eq!(length(bytes), Err(NotResp), "{:?}", &bytes[..bytes.len().min(30)]);
    }
}

#[test]
fn a_script_is_known_by_its_name_whether_by_hash_or_by_text() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../cache-runtime/src/store/redis/scripts");
    let read = |name: &str| std::fs::read_to_string(format!("{place}/{name}.lua")).unwrap();
    let noted = read("note") + &read("invalidate");
    for (text, name) in [(read("take"), "take"), (noted, "invalidate")] {
        let hash = redis::Script::new(&text).get_hash().to_uppercase();
        for words in [["EVAL", &text], ["evalsha", &hash]] {
            let words = [words[0], words[1], "2", "ns:{a}", "ns:{a}.lease", "ns:{argument}"];
            let frame = request(&words.map(|word| word.as_bytes().to_vec()));
            let read = Request::read(&frame);
            assert_eq!(read.name, name);
            assert_eq!(read.keys, ["ns:{a}", "ns:{a}.lease"]);
            assert!(read.is_about("ns:{a}") && !read.is_about("ns:{argument}"));
        }
    }
    let other = request(&[b"EVAL".to_vec(), b"return 1".to_vec(), b"0".to_vec()]);
    assert_eq!(Request::read(&other), Request { name: "EVAL".to_owned(), keys: Vec::new() });
}

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

fn one_lane() -> Gathering {
    Gathering::over(0..1)
}

fn join(gathering: &mut Gathering, name: &str) -> Joined {
    gathering.join(hash_of(name), name, &[], Instant::now())
}

fn ticket(joined: Joined) -> Ticket {
    match joined {
        Joined::Shared(ticket) | Joined::Led(ticket) => ticket,
        Joined::Alone => panic!("it waits for nobody"),
    }
}

/// One in which two callers are under way by themselves, so that those who come next wait.
fn busy() -> Gathering {
    let mut gathering = one_lane();
    for name in ["x", "y"] {
        assert!(matches!(join(&mut gathering, name), Joined::Alone));
    }
    gathering
}

/// The same, with somebody who drives.
fn driven(gathering: &mut Gathering) -> Frozen {
    assert!(gathering.end(), "nobody drives yet");
    gathering.freeze().expect("somebody waits").1
}

fn names(frozen: &Frozen) -> Vec<&str> {
    frozen.names.iter().collect()
}

/// Answers each name with itself.
fn echo(frozen: &Frozen) {
    let values: Vec<_> =
        names(frozen).iter().map(|name| Some(Bytes::copy_from_slice(name.as_bytes()))).collect();
    frozen.read(values.into_iter());
}

/// What a caller is told by now.
fn told(ticket: &Ticket) -> Option<Result<Values, Failed>> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(ticket.wait()).poll(&mut context) {
        Poll::Ready(told) => Some(told),
        Poll::Pending => None,
    }
}

fn first(ticket: &Ticket) -> Option<Bytes> {
    told(ticket).expect("it is answered").expect("it is read").0
}

#[test]
fn c1_nobody_joins_a_batch_that_was_sent() {
    let mut gathering = busy();
    let early = ticket(join(&mut gathering, "a"));
    let sent = driven(&mut gathering);
    // From here on an invalidation may be acknowledged that the server carries out behind what was sent.
    let late = ticket(join(&mut gathering, "a"));
    assert_eq!(names(&sent), ["a"]);
    echo(&sent);
    assert_eq!(first(&early).as_deref(), Some(&b"a"[..]));
    assert!(told(&late).is_none(), "who comes late is not answered by it");
    gathering.again(0);
    let next = gathering.freeze().expect("the late one waits").1;
    assert_eq!(names(&next), ["a"]);
    echo(&next);
    assert_eq!(first(&late).as_deref(), Some(&b"a"[..]));
}

#[test]
fn who_comes_one_by_one_waits_for_nobody() {
    let mut gathering = one_lane();
    for _ in 0..3 {
        assert!(matches!(join(&mut gathering, "a"), Joined::Alone));
        assert!(!gathering.end());
    }
}

#[test]
fn every_name_is_asked_for_once_and_told_to_all() {
    let mut gathering = busy();
    let callers: Vec<_> = [("a", ["t", "u"]), ("b", ["t", "v"]), ("a", ["u", "t"])]
        .map(|(name, tags)| ticket(gathering.join(hash_of(name), name, &tags, Instant::now())))
        .into();
    let sent = driven(&mut gathering);
    assert_eq!(names(&sent), ["a", "t", "u", "b", "v"]);
    echo(&sent);
    for (caller, expected) in
        callers.iter().zip([["a", "t", "u"], ["b", "t", "v"], ["a", "u", "t"]])
    {
        let (value, nonces) = told(caller).unwrap().unwrap();
        let all: Vec<_> = [value].into_iter().chain(nonces).map(Option::unwrap).collect();
        assert_eq!(all, expected);
    }
}

/// Catalogue: two names of one hash.
#[test]
fn names_are_told_apart_by_more_than_their_hash() {
    let mut gathering = busy();
    let [a, b] = ["a", "b"].map(|name| ticket(gathering.join(7, name, &[], Instant::now())));
    echo(&driven(&mut gathering));
    assert_eq!((first(&a).unwrap(), first(&b).unwrap()), ("a".into(), "b".into()));
}

#[test]
fn callers_who_leave_take_nobody_with_them() {
    let mut gathering = busy();
    let stays = ticket(join(&mut gathering, "a"));
    drop(ticket(join(&mut gathering, "a")));
    drop(ticket(join(&mut gathering, "b")));
    let sent = driven(&mut gathering);
    echo(&sent);
    assert_eq!(first(&stays).unwrap(), "a");
}

#[test]
fn a_driver_that_is_gone_leaves_nobody_waiting() {
    let mut gathering = busy();
    let of_it = ticket(join(&mut gathering, "a"));
    let sent = driven(&mut gathering);
    let behind = ticket(join(&mut gathering, "b"));
    drop(sent);
    drop(gathering.abandon(Some(0)));
    for caller in [of_it, behind] {
        assert!(matches!(told(&caller), Some(Err(Failed::Unanswered(_)))));
    }
    // The other one that was under way still is.
    assert!(!gathering.end());
    assert!(matches!(join(&mut gathering, "a"), Joined::Alone));
}

#[test]
fn a_batch_is_bounded_in_names_and_in_bytes() {
    let mut gathering = busy();
    for name in 0..1_000 {
        drop(join(&mut gathering, &name.to_string()));
    }
    assert_eq!(driven(&mut gathering).names.len(), MOST_NAMES);
    let mut gathering = busy();
    for _ in 0..20 {
        gathering.note_bytes(MOST_BYTES / 10);
    }
    for name in 0..1_000 {
        drop(join(&mut gathering, &name.to_string()));
    }
    assert!((10..=12).contains(&driven(&mut gathering).names.len()));
}

/// Two batches, or as many as there is room for where they are full; each of them has one who drives it.
#[test]
fn no_more_than_two_are_under_way_on_a_lane() {
    for lanes in 1..=4 {
        let mut gathering = Gathering::over(0..lanes);
        for name in ["x", "y"] {
            assert!(matches!(join(&mut gathering, name), Joined::Alone));
        }
        for name in 0..MOST_NAMES * 20 {
            drop(join(&mut gathering, &name.to_string()));
        }
        let mut drivers = 2 * lanes - 2;
        assert_eq!((gathering.under_way, gathering.ready), (2 * lanes, drivers));
        // Those who came first are answered, and somebody drives instead of each.
        for _ in 0..2 {
            assert!(gathering.end());
            drivers += 1;
        }
        let mut used = vec![0; lanes];
        for _ in 0..drivers {
            let (lane, frozen) = gathering.freeze().unwrap();
            used[lane] += 1;
            drop(frozen);
        }
        assert_eq!(used, vec![2; lanes]);
    }
}

#[test]
fn a_lane_that_does_not_answer_gets_no_more_than_others() {
    let mut gathering = Gathering::over([0, 1].into_iter());
    for name in ["x", "y"] {
        drop(join(&mut gathering, name));
    }
    drop(join(&mut gathering, "a"));
    assert!(gathering.end());
    let (stuck, _) = gathering.freeze().unwrap();
    drop(join(&mut gathering, "b"));
    assert!(gathering.end());
    for _ in 0..5 {
        let (lane, _) = gathering.freeze().unwrap();
        assert_ne!(lane, stuck);
        drop(join(&mut gathering, "c"));
        gathering.again(lane);
    }
}

#[test]
fn a_batch_waits_as_long_as_one_of_its_callers() {
    let mut gathering = busy();
    let now = Instant::now();
    let deadlines = [3, 9, 5].map(|seconds| now + std::time::Duration::from_secs(seconds));
    for deadline in deadlines {
        drop(gathering.join(1, "a", &[], deadline));
    }
    assert_eq!(driven(&mut gathering).until, deadlines[1]);
}

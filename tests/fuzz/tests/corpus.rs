//! Every target with everything that is kept for it, and then with random changes of that for a while.
//!
//! `FUZZ_SECONDS`: for how long, all targets together; a minute. `FUZZ_SEED`: to have the same changes again.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use fastrand::Rng;
use redis_cached_tests_fuzz::{TARGETS, Target, target};

/// In bytes: of what is made.
const LONGEST: usize = 4 * 1024;
/// What changes begin with: all that is kept, and some of what has been made of it.
const MOST_SEEDS: usize = 1_024;
const TELLING: [u8; 8] = [0, 1, 0x20, 0x7f, 0x80, 0xc0, 0xfd, 0xff];

macro_rules! each {
    ($($name:ident)+) => {
        const RUN: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )+
    };
}

each! {
    entry_bytes entry_writers codec_bytes codec_values compression templates durations keys tags http
}

#[test]
fn every_target_is_run_and_has_a_corpus() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(RUN, names);
    for name in names {
        assert!(!kept(name).is_empty(), "fuzz/corpus/{name} is empty");
    }
}

fn run(name: &str) {
    let target = target(name);
    let mut seeds = kept(name);
    for (path, input) in &seeds {
        let outcome = catch_unwind(|| target(input));
        assert!(outcome.is_ok(), "{name} fails with {}", path.display());
    }
    let seed = env::var("FUZZ_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("`FUZZ_SEED` is a number"));
    // Not by a macro, which a test that aborts would say nothing by.
    let _ = writeln!(io::stderr(), "fuzzing {name}: FUZZ_SEED={seed}");
    let seconds: u64 = env::var("FUZZ_SECONDS")
        .map_or(60, |seconds| seconds.parse().expect("`FUZZ_SECONDS` is a whole number"));
    let share = Duration::from_millis(seconds * 1000 / RUN.len() as u64);
    let until = Instant::now() + share;
    let mut rng = Rng::with_seed(seed);
    let mut inputs: Vec<Vec<u8>> = seeds.drain(..).map(|(_, input)| input).collect();
    let mut runs = 0_u64;
    while Instant::now() < until {
        let input = changed(&mut rng, &inputs);
        check(name, target, &input, seed);
        runs += 1;
        if inputs.len() < MOST_SEEDS {
            inputs.push(input);
        } else if rng.u8(..) < 8 {
            let at = rng.usize(..inputs.len());
            inputs[at] = input;
        }
    }
    println!("{name}: {runs} runs");
}

fn check(name: &str, target: Target, input: &[u8], seed: u64) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_ok() {
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}"));
    fs::write(&file, input).expect("there is room for it");
    panic!(
        "{name} fails with {input:02x?}, which is in {}: once it is mended, keep that in fuzz/regressions/{name}/",
        file.display()
    );
}

/// The corpus of a target, and what it has failed with before.
fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut files: Vec<PathBuf> = ["corpus", "regressions"]
        .iter()
        .filter_map(|folder| fs::read_dir(root.join(folder).join(name)).ok())
        .flatten()
        .map(|file| file.expect("it can be listed").path())
        .collect();
    // In one order, so that a seed says all.
    files.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("it can be read");
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn changed(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = rng.choice(inputs).cloned().unwrap_or_default();
    for _ in 0..1 << rng.u32(..4) {
        change(rng, &mut input, inputs);
    }
    input.truncate(LONGEST);
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let at = rng.usize(..=input.len());
    let behind = &input[at..];
    let most = 1 << rng.u32(..8);
    let length = rng.usize(..=behind.len().min(most));
    match rng.u8(..9) {
        0 => drop(input.drain(at..at + length)),
        1 => {
            let copy = behind[..length].to_vec();
            let to = rng.usize(..=input.len());
            input.splice(to..to, copy);
        }
        2 => {
            let new: Vec<u8> = (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect();
            input.splice(at..at, new);
        }
        3 => {
            let other = rng.choice(inputs).map_or(&[][..], |other| other);
            let from = rng.usize(..=other.len());
            let to = rng.usize(from..=other.len());
            input.splice(at..at + length, other[from..to].iter().copied());
        }
        4 => {
            let new = *rng.choice(&TELLING).unwrap_or(&0);
            input.splice(at..at, std::iter::repeat_n(new, rng.usize(1..17)));
        }
        5 if length >= 4 => {
            let number = rng.u32(..).checked_shr(rng.u32(..32)).unwrap_or(0);
            input[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        6 if length > 0 => input[at] = *rng.choice(&TELLING).unwrap_or(&0),
        7 if length > 0 => input[at] = rng.u8(..),
        _ if length > 0 => input[at] ^= 1 << rng.u8(..8),
        _ => {}
    }
}

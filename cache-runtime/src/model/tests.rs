//! The runs themselves.
//!
//! `MODEL_RUNS` is how many random runs each scenario gets, `MODEL_FROM` the first seed, `MODEL_STEPS` how
//! many steps a run without end takes at least, `MODEL_ONLY` what the name of a scenario must have in it. What has failed says its seed: with `MODEL_FROM` and one run it
//! fails again.

use std::ops::Range;
use std::sync::Mutex;

use fastrand::Rng;

use super::bounded::BOUNDED;
use super::run::{Scenario, run, traced};
use super::scenarios::{LARGE, SMALL};
use super::scheduler::Chooser;
use crate::faults::{self, Fault};
use crate::sync::lock;

/// How many random runs of each scenario, unless the environment says otherwise.
const RUNS: u64 = 200;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// Whether it is wanted.
fn is_wanted(scenario: &Scenario) -> bool {
    std::env::var("MODEL_ONLY").map_or(true, |only| scenario.name.contains(&only))
}

/// What was done without anything being broken.
#[derive(Clone, Copy, Default)]
struct Done {
    runs: u64,
    steps: usize,
}

impl Done {
    fn and(self, other: Self) -> Self {
        Self { runs: self.runs + other.runs, steps: self.steps + other.steps }
    }

    fn told(self, of: &str) {
        println!("{of}: {} runs, {} steps", self.runs, self.steps);
    }
}

/// What was broken, and after how many runs.
struct Broken {
    runs: u64,
    what: String,
}

impl Broken {
    fn fails(&self) -> ! {
        panic!("after {} runs: {}", self.runs, self.what)
    }
}

/// Every order of the steps, of those that keep nobody from going on more often than that.
fn every(scenario: &Scenario, interruptions: Option<usize>, most: u64) -> Result<Done, Broken> {
    let mut chooser = Chooser::every(interruptions);
    let mut done = Done::default();
    loop {
        let ran = run(scenario, &mut chooser, 0);
        done.runs += 1;
        done.steps += ran.map_err(|what| Broken { runs: done.runs, what })?;
        if !chooser.next() || done.runs == most {
            return Ok(done);
        }
    }
}

fn random(scenario: &Scenario, seeds: Range<u64>) -> Result<Done, Broken> {
    let mut done = Done::default();
    for seed in seeds {
        let ran = run(scenario, &mut Chooser::Random(Rng::with_seed(seed)), seed);
        done.runs += 1;
        done.steps +=
            ran.map_err(|what| Broken { runs: done.runs, what: format!("seed {seed}, {what}") })?;
    }
    Ok(done)
}

#[test]
fn c1_in_every_order_of_the_steps_of_a_few() {
    let mut all = Done::default();
    for scenario in SMALL.iter().filter(|scenario| is_wanted(scenario)) {
        let done = every(scenario, None, u64::MAX).unwrap_or_else(|broken| broken.fails());
        done.told(scenario.name);
        all = all.and(done);
    }
    all.told("all");
}

#[test]
fn c1_in_every_order_that_keeps_parties_from_going_on_a_few_times() {
    let more = usize::try_from(number("MODEL_INTERRUPTIONS", 0)).unwrap_or(0);
    let mut all = Done::default();
    for (interruptions, scenario) in BOUNDED.iter().filter(|(_, scenario)| is_wanted(scenario)) {
        let done = every(scenario, Some(interruptions + more), u64::MAX);
        let done = done.unwrap_or_else(|broken| broken.fails());
        done.told(scenario.name);
        all = all.and(done);
    }
    all.told("all");
}

#[test]
fn c1_in_random_orders_of_the_steps_of_many() {
    let (first, runs) = (number("MODEL_FROM", 0), number("MODEL_RUNS", RUNS));
    let mut all = Done::default();
    for scenario in LARGE.iter().filter(|scenario| is_wanted(scenario)) {
        let done = random(scenario, first..first + runs).unwrap_or_else(|broken| broken.fails());
        done.told(scenario.name);
        all = all.and(done);
    }
    all.told("all");
}

/// Does nothing unless it is asked for.
#[test]
fn c1_in_random_orders_for_as_long_as_one_likes() {
    let steps = usize::try_from(number("MODEL_STEPS", 0)).unwrap_or(usize::MAX);
    let mut from = number("MODEL_FROM", 1_000_000);
    let mut all = Done::default();
    while all.steps < steps {
        for scenario in LARGE {
            let done = random(scenario, from..from + 100);
            all = all.and(done.unwrap_or_else(|broken| broken.fails()));
        }
        from += 100;
    }
    all.told("all");
}

/// Else no seed would be of use.
#[test]
fn a_run_can_be_repeated() {
    for scenario in LARGE {
        let traced = || traced(scenario, &mut Chooser::Random(Rng::with_seed(7)), 7);
        let (once, again) = (traced(), traced());
        assert!(once.len() > 3, "{}: {once:?}", scenario.name);
        assert_eq!(once, again, "{}", scenario.name);
    }
}

/// Else the tests above might prove nothing.
/// Catalogue 8, 9, 13, 14, 15, 16, 18, 19, 40.
#[test]
fn each_rule_that_is_left_out_is_noticed() {
    // By two threads, each of which switches its own rules off: one alone is what all other tests wait for.
    let left = Mutex::new(Fault::ALL.into_iter());
    let next = || lock(&left).next();
    let unnoticed = || std::iter::from_fn(next).filter(|fault| !is_noticed(*fault)).collect();
    let unnoticed: Vec<Vec<Fault>> = std::thread::scope(|scope| {
        let threads = [scope.spawn(unnoticed), scope.spawn(unnoticed)];
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    assert!(unnoticed.concat().is_empty(), "{unnoticed:?}");
}

/// Few of each first: most are noticed soon.
fn is_noticed(fault: Fault) -> bool {
    faults::switch(Some(fault));
    let small = |most| SMALL.iter().map(move |scenario| every(scenario, None, most));
    let bounded =
        |most| BOUNDED.iter().map(move |(few, scenario)| every(scenario, Some(*few), most));
    let large = |seeds: Range<u64>| LARGE.iter().map(move |one| random(one, seeds.clone()));
    let ran = small(200)
        .chain(bounded(300))
        .chain(large(0..100))
        .chain(bounded(u64::MAX))
        .chain(large(100..2_000));
    let mut runs = 0;
    let mut broken = None;
    for ran in ran {
        match ran {
            Ok(done) => runs += done.runs,
            Err(what) => {
                runs += what.runs;
                broken = Some(what.what);
                break;
            }
        }
    }
    faults::switch(None);
    let what = broken.as_deref().and_then(|broken| broken.lines().next()).unwrap_or("NOT NOTICED");
    println!("| {fault:?} | {what} | {runs} runs |");
    broken.is_some()
}

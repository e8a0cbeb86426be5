//! The runs themselves.

use fastrand::Rng;

use super::run::{Scenario, run};
use super::scenarios::{LARGE, SMALL};
use super::scheduler::Chooser;
use crate::faults::{self, Fault};

/// How many random runs of each scenario, unless the environment says otherwise.
const RUNS: u64 = 1_500;

fn runs() -> u64 {
    std::env::var("MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

/// Every order of the steps. Runs and steps, or the first that broke something.
fn every(scenario: &Scenario, most: u64) -> Result<(u64, usize), String> {
    let mut chooser = Chooser::Every { made: Vec::new(), at: 0 };
    let (mut runs, mut steps) = (0, 0);
    loop {
        steps += run(scenario, &mut chooser, 0)?;
        runs += 1;
        if !chooser.next() || runs == most {
            return Ok((runs, steps));
        }
    }
}

fn random(scenario: &Scenario, seeds: std::ops::Range<u64>) -> Result<(u64, usize), String> {
    let (mut runs, mut steps) = (0, 0);
    for seed in seeds {
        let mut chooser = Chooser::Random(Rng::with_seed(seed));
        steps +=
            run(scenario, &mut chooser, seed).map_err(|broken| format!("seed {seed}, {broken}"))?;
        runs += 1;
    }
    Ok((runs, steps))
}

#[test]
fn c1_in_every_order_of_the_steps_of_a_few() {
    for scenario in SMALL {
        match every(scenario, u64::MAX) {
            Ok((runs, steps)) => println!("{}: {runs} runs, {steps} steps", scenario.name),
            Err(broken) => panic!("{broken}"),
        }
    }
}

#[test]
fn c1_in_random_orders_of_the_steps_of_many() {
    let mut all = (0, 0);
    for scenario in LARGE {
        match random(scenario, 0..runs()) {
            Ok((runs, steps)) => {
                println!("{}: {runs} runs, {steps} steps", scenario.name);
                all = (all.0 + runs, all.1 + steps);
            }
            Err(broken) => panic!("{broken}"),
        }
    }
    println!("{} runs, {} steps", all.0, all.1);
}

/// Else the tests above might prove nothing.
#[test]
fn each_rule_that_is_left_out_is_noticed() {
    let all = [
        Fault::CommitWithoutLease,
        Fault::CommitByToken,
        Fault::LeaseNotUnique,
        Fault::ValueBeforeLease,
        Fault::Unsealed,
        Fault::SealedWithLeaseOnly,
        Fault::CaptureBehindTheBody,
        Fault::NonceNotUnique,
        Fault::Counters,
        Fault::MissingNonceMatches,
        Fault::StampsUnread,
        Fault::UndeclaredAccepted,
        Fault::SetUnfenced,
        Fault::ExpirePutsBack,
        Fault::ExpireKeepsTheLease,
        Fault::PassIsWaitedFor,
        Fault::Recaptured,
        Fault::WithoutJournal,
        Fault::UnstampedIgnored,
        Fault::Overwritten,
        Fault::JournalWithoutIdentity,
        Fault::JournalWithoutFloor,
        Fault::JournalSkipped,
        Fault::PositionBehindTheBody,
    ];
    let unnoticed: Vec<Fault> = all.into_iter().filter(|fault| !is_noticed(*fault)).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

fn is_noticed(fault: Fault) -> bool {
    faults::switch(Some(fault));
    // Few of each first: most are noticed soon.
    let few = || SMALL.iter().find_map(|scenario| every(scenario, 200).err());
    let many = |seeds: std::ops::Range<u64>| {
        LARGE.iter().find_map(|scenario| random(scenario, seeds.clone()).err())
    };
    let broken = few().or_else(|| many(0..100)).or_else(|| many(100..RUNS));
    faults::switch(None);
    let what =
        broken.as_deref().map_or("NOT NOTICED", |broken| broken.lines().next().unwrap_or(""));
    println!("{fault:?}: {what}");
    broken.is_some()
}

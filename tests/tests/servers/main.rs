//! The whole crate against real redis-servers and real processes.
//!
//! Tests of a promise are named after it: `c1_` final invalidation, `c3_` age, `c4_` work, `c5_`
//! Redis is not a single point of failure, `c6_` never garbage.

mod cluster;
mod contract;
mod crowds;
mod damage;
mod deploys;
mod integrity;
mod outages;
mod priming;
mod processes;
mod replicas;
mod runtimes;
mod schemas;
mod secrets;
mod sentinel;
mod setup;
mod signatures;
mod stage;
mod tagging;
mod tls;
mod unwanted;
mod wire;
mod writes;

/// Not a test of its own: what the tests in `processes` and `deploys` run in other processes.
#[test]
fn helper_process() {
    if let Some(role) = redis_cached_tests::role() {
        match role.strip_prefix("deploy ") {
            Some(version) => processes::run(deploys::play(version)),
            None => processes::play(&role),
        }
    }
}

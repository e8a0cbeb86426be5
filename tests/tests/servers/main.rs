//! The whole crate against real redis-servers and real processes.
//!
//! Tests of a promise are named after it: `c1_` final invalidation, `c3_` age, `c4_` work, `c5_`
//! Redis is not a single point of failure, `c6_` never garbage.

mod clocks;
mod cluster;
mod cluster_replicas;
mod contract;
mod crowds;
mod damage;
mod dropped;
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
mod shutdown;
mod signatures;
mod stage;
mod tagging;
mod tls;
mod unwanted;
mod wire;
mod writes;

/// Not a test of its own: what the tests in `processes` run in other processes.
#[test]
fn helper_process() {
    if let Some(role) = redis_cached_tests::role() {
        processes::play(&role);
    }
}

//! Real faults, one by one: what happens to callers while a server, a network, a process or a clock does what it
//! should not, and whether all is as before when that is over. The catalogue is in `README.md`.

mod catalogue;
mod clocks;
mod declared;
mod late;
mod replies;
mod stage;
mod trial;
mod under_load;

/// Not a test of its own: what the tests in `clocks` run in other processes.
#[test]
fn helper_process() {
    if let Some(role) = redis_cached_tests::role() {
        clocks::play(&role);
    }
}

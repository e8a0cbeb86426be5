//! Real faults, one by one: what happens to callers while a server, a network, a process or a clock does what it
//! should not, and whether all is as before when that is over. The catalogue is in `README.md`.

mod late;
mod replies;
mod stage;
mod trial;
mod under_load;

//! The protocol, checked: the real lookup on the embedded store, with every order of its steps that a
//! chooser comes up with, against the promises.

mod bounded;
mod parties;
mod run;
mod scenarios;
pub(crate) mod scheduler;
mod tests;
mod world;

pub(crate) use world::seized;

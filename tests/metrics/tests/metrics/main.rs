//! Each metric is moved by what it is about.
//!
//! What a function has counted is heard by the recorder of its first call: each test has functions of its own.

mod entries;
mod functions;
mod heard;
mod invalidations;
mod names;
mod secrets;
mod servers;

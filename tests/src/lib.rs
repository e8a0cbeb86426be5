//! What the tests of the whole crate stand on: real servers and processes, a network that
//! does what it is told, gates in bodies.
//!
//! Nothing here waits for a time: it waits for an event, or asks again until a generous deadline.

mod certificates;
mod cluster;
mod faked_clock;
mod gate;
mod helper;
mod monitor;
mod patience;
mod proxy;
mod sentinel;
mod server;
mod told;

pub use certificates::Certificates;
pub use cluster::{Cluster, slot_of};
pub use faked_clock::faked_clock;
pub use gate::Gate;
pub use helper::{Helper, orders, role, tell};
pub use monitor::{Monitor, Seen};
pub use patience::{PATIENCE, eventually, in_time};
pub use proxy::{Held, Proxy, Rule, When};
pub use sentinel::{Sentinel, Service, Setup};
pub use server::{Kind, RedisServer};
pub use told::Told;

//! One function for many keys: the body computes those together that are missing.
//!
//! Each key of a batch is looked up as a call of its own would be, by the same code: it joins the flight of its key, takes
//! the lease of it, and stores what was computed under that. What a batch adds is where these meet (`meeting`): they are
//! looked for with one read, what has the right to compute waits for the others to have come as far, and one body gives
//! all of them their values (`drive`). Keys that others compute are waited for, but by no body: so of two batches that
//! overlap each comes to the end of its own keys, in whatever order they are.

mod answer;
mod call;
mod drive;
mod lookups;
mod meeting;
mod one;
mod returned;

pub use call::{Again, BatchBody, BatchCall, BatchCalling, Repeating, batch_call};
pub(crate) use meeting::{Part, Together};
pub use returned::{BatchOf, Batched, ErrorsOfEach, Parts};

//! The layers for HTTP services, with a real server, real clients, and a real Redis behind.
//!
//! What is about a promise is named after it; everything runs on the embedded store as well.

mod clients;
mod credentials;
mod freshness;
mod hostile;
mod invalidation;
mod kept;
mod stage;
mod surrogate;
mod unstored;
mod variants;

//! On a Postgres and a Redis of each test's own.

mod projects;
mod proxy;
mod server;
mod staff;
mod stage;

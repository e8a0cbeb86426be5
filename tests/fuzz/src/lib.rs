//! What is fuzzed: each target takes any bytes, and panics where something does not hold.
//!
//! `tests/corpus.rs` runs them on stable Rust, `fuzz/` with cargo-fuzz.

mod codecs;
mod compression;
mod entries;
mod http;
mod input;
mod keys;
mod memory;
mod tags;
mod templates;

// A macro's crate exports macros only.
#[path = "../../../cache-macros/src/duration.rs"]
mod duration;
#[allow(dead_code, reason = "the macro asks for more")]
#[path = "../../../cache-macros/src/template.rs"]
mod template;

/// One of the targets.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 10] = [
    ("entry_bytes", entries::bytes),
    ("entry_writers", entries::writers),
    ("codec_bytes", codecs::bytes),
    ("codec_values", codecs::values),
    ("compression", compression::both_ways),
    ("templates", templates::templates),
    ("durations", templates::durations),
    ("keys", keys::keys),
    ("tags", tags::tags),
    ("http", http::http),
];

/// The target of this name.
///
/// # Panics
///
/// Where there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    let named = TARGETS.into_iter().find(|(known, _)| *known == name);
    named.unwrap_or_else(|| panic!("there is no target {name}")).1
}

//! The fingerprint of a function's stored values: one number that changes when anything does that
//! decides how stored bytes are to be read.
//!
//! What a type looks like on the wire is not written anywhere that a program can read, except in
//! its `Deserialize` impl. [`schema_of`] runs that impl against a deserializer that holds no data
//! and only notes what it is asked for. Such a deserializer cannot hand out values of types it does
//! not know, so one pass follows one path from the root to a single leaf and stops there with an
//! error: no user code on the path has to accept an invented value. Passes are repeated until every
//! path is known.

mod stand_in;
mod trace;
mod tracer;

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

use trace::Trace;
use tracer::Tracer;

use crate::erased::Erased;

/// Far above what a type written by hand needs (one pass for each field or variant of each
/// distinct type in it), and still a fraction of a second.
const MAX_PASSES: usize = 16_384;

/// The serialized form of `T` as text, down to the names and types of nested fields.
///
/// It is the same text in every process and for every compiler, with one exception: where the
/// `Deserialize` impl hides what it reads (`deserialize_any`, as `flatten` and untagged enums use
/// it, or a custom impl that refuses all stand-in values), the hidden part is a marker and the name
/// of `T` is added at the end.
///
/// Never fails and never panics; a `Deserialize` impl that panics hides what it reads.
pub(crate) fn schema_of<'de, T: Deserialize<'de>>() -> String {
    let attempt = |tracer: &mut Tracer<'_>| drop(T::deserialize(Erased::new(tracer)));
    schema(&attempt, type_name::<T>())
}

/// Not generic: compiled once.
fn schema(attempt: &dyn Fn(&mut Tracer<'_>), type_name: &str) -> String {
    let mut trace = Trace::new();
    for _ in 0..MAX_PASSES {
        if trace.is_complete() {
            break;
        }
        trace.begin_pass();
        // What the impl answers says nothing: a visitor may swallow our error and make a value up.
        // The trace knows whether the pass got anywhere.
        let _ = catch_unwind(AssertUnwindSafe(|| attempt(&mut Tracer::new(&mut trace))));
        trace.end_pass();
    }
    let mut text = trace.text();
    if trace.hides_something() {
        text.push(' ');
        text.push_str(type_name);
    }
    text
}

/// One number for all `parts`. Each is preceded by its length, so that no two lists run together
/// into the same bytes.
pub(crate) fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.digest()
}

/// That of the entries of calls with these tags. In the digest is what users say, so nobody is to find two
/// that agree.
pub(crate) fn with_tags<S: AsRef<str>>(fingerprint: u64, names: &[S]) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(&fingerprint.to_le_bytes());
    for name in names.iter().map(AsRef::as_ref) {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
    }
    let mut eight = [0; 8];
    hash.finalize_xof().fill(&mut eight);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests;

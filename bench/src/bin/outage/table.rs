//! The seconds as a table in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::Second;

pub(crate) fn of(seconds: &[Second]) -> String {
    let mut out = String::from(
        "| s | phase | calls | hits | bodies | failed reads | p50 ms | p99 ms | body alone, p50 ms | invalidations ok | not confirmed |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (at, second) in seconds.iter().enumerate() {
        let Second { phase, calls, hits, bodies, failed, confirmed, unconfirmed, .. } = second;
        let (p50, p99, alone) = (ms(second.p50), ms(second.p99), ms(second.alone));
        // A `String` can be written to.
        let _ = writeln!(
            out,
            "| {at} | {phase} | {calls} | {hits} | {bodies} | {failed} | {p50:.3} | {p99:.3} | {alone:.3} | {confirmed} | {unconfirmed} |"
        );
    }
    out
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

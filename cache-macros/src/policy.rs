//! The durations and numbers of the attribute, each checked and against each other.

use std::time::Duration;

use syn::{Expr, ExprLit, Lit};

use crate::args::{Args, Given};
use crate::duration;
use crate::errors::Errors;

/// Milliseconds; `None` where the user said nothing, so that the defaults live in the runtime.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub(crate) ttl: u64,
    pub(crate) refresh_before: Option<u64>,
    pub(crate) none_ttl: Option<u64>,
    pub(crate) lock_ttl: Option<u64>,
    pub(crate) wait: Option<u64>,
    pub(crate) jitter_permille: Option<u16>,
    pub(crate) version: Option<u32>,
}

/// A lease is renewed every third of it: shorter ones would be lost to an ordinary round trip.
const MIN_LOCK_TTL: u64 = 100;

impl Policy {
    pub(crate) fn check(args: &Args, errors: &Errors) -> Self {
        let ttl = ttl(args.ttl.as_ref(), errors);
        Self {
            ttl: ttl.unwrap_or_default(),
            refresh_before: refresh_before(args.refresh_before.as_ref(), ttl, errors),
            none_ttl: positive(args.none_ttl.as_ref(), "drop it to store `None` for `ttl`", errors),
            lock_ttl: lock_ttl(args.lock_ttl.as_ref(), errors),
            wait: optional(args.wait.as_ref(), errors),
            jitter_permille: jitter(args.jitter.as_ref(), errors),
            version: version(args.version.as_ref(), errors),
        }
    }
}

/// The literal behind the invisible groups that a `macro_rules` fragment is wrapped into.
pub(crate) fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        Expr::Paren(paren) => literal(&paren.expr),
        _ => None,
    }
}

fn ttl(given: Option<&Given<Expr>>, errors: &Errors) -> Option<u64> {
    let Some(given) = given else {
        errors.at(
            proc_macro2::Span::call_site(),
            "`ttl` is missing: say how long a value may be served, as in `ttl = \"5m\"`",
        );
        return None;
    };
    positive(Some(given), "say how long a value may be served, as in `ttl = \"5m\"`", errors)
}

fn refresh_before(given: Option<&Given<Expr>>, ttl: Option<u64>, errors: &Errors) -> Option<u64> {
    let given = given?;
    if let Some(Lit::Str(text)) = literal(&given.value)
        && text.value().ends_with('%')
    {
        return match duration::parse_percent(&text.value(), 1..=99) {
            // Rounded up: a window of 0 ms would be no refresh at all.
            Ok(percent) => ttl.map(|ttl| (ttl * u64::from(percent)).div_ceil(100)),
            Err(message) => {
                errors.on(&given.value, format!("`refresh_before`: {message}"));
                None
            }
        };
    }
    let window = positive(Some(given), "drop it to have no background refresh", errors)?;
    if ttl.is_some_and(|ttl| window >= ttl) {
        errors.on(
            &given.value,
            "`refresh_before` is not shorter than `ttl`, so every hit would be stale: \
             make it a part of the ttl, as in `refresh_before = \"20%\"`",
        );
    }
    Some(window)
}

fn lock_ttl(given: Option<&Given<Expr>>, errors: &Errors) -> Option<u64> {
    let given = given?;
    let millis = optional(Some(given), errors)?;
    if millis < MIN_LOCK_TTL {
        errors.on(
            &given.value,
            format!(
                "`lock_ttl` is too short to be renewed in time: write at least \
                 `lock_ttl = \"{MIN_LOCK_TTL}ms\"`, or drop it for the default"
            ),
        );
    }
    Some(millis)
}

fn jitter(given: Option<&Given<Expr>>, errors: &Errors) -> Option<u16> {
    let given = given?;
    let parsed = match literal(&given.value) {
        Some(Lit::Str(text)) => duration::parse_percent(&text.value(), 0..=50),
        _ => Err("write it as a string, as in `jitter = \"10%\"`".to_owned()),
    };
    parsed
        .map_err(|message| errors.on(&given.value, format!("`jitter`: {message}")))
        .ok()
        .map(|percent| percent * 10)
}

fn version(given: Option<&Given<Expr>>, errors: &Errors) -> Option<u32> {
    let given = given?;
    let parsed = match literal(&given.value) {
        Some(Lit::Int(number)) if number.suffix().is_empty() => number.base10_parse().ok(),
        _ => None,
    };
    if parsed.is_none() {
        errors
            .on(&given.value, "`version` is an integer from 0 to 4294967295, as in `version = 2`");
    }
    parsed
}

fn positive(given: Option<&Given<Expr>>, repair: &str, errors: &Errors) -> Option<u64> {
    let given = given?;
    let millis = optional(Some(given), errors)?;
    if millis == 0 {
        errors.on(&given.value, format!("`{}` is zero: {repair}", given.name));
        return None;
    }
    Some(millis)
}

fn optional(given: Option<&Given<Expr>>, errors: &Errors) -> Option<u64> {
    let given = given?;
    let name = &given.name;
    let parsed = match literal(&given.value) {
        Some(Lit::Str(text)) => duration::parse(&text.value()),
        Some(Lit::Int(number)) if number.suffix().is_empty() => number
            .base10_parse()
            .map_err(|_| "it is too long".to_owned())
            .and_then(duration::from_seconds),
        Some(Lit::Int(number)) => Err(format!("write it as a string: `{name} = \"{number}\"`")),
        Some(Lit::Float(_)) => Err(format!(
            "fractions are not allowed: write whole units, as in `{name} = \"1500ms\"`"
        )),
        _ => Err(format!(
            "durations that are known only at run time are not supported yet: \
             write a literal, as in `{name} = \"5m\"`, or whole seconds, `{name} = 300`"
        )),
    };
    parsed
        .map_err(|message| errors.on(&given.value, format!("`{name}`: {message}")))
        .ok()
        .map(millis)
}

fn millis(duration: Duration) -> u64 {
    // The longest duration allowed is 10 years.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

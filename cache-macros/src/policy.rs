//! The durations and numbers of the attribute, each checked and against each other.

use std::time::Duration;

use syn::{Expr, ExprLit, Lit};

use crate::args::{Args, Given};
use crate::duration;
use crate::errors::Errors;

/// A duration of the attribute.
pub(crate) enum Span {
    Millis(u64),
    /// Known only at run time, where it is brought into the limits that literals have.
    AtRunTime(Expr),
}

/// How long before the end of the ttl a hit is stale.
pub(crate) enum Window {
    Span(Span),
    Percent(u16),
}

/// What the user said; `None` where that is nothing, so that the defaults live in the runtime.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) ttl: Option<Span>,
    pub(crate) refresh_before: Option<Window>,
    pub(crate) none_ttl: Option<Span>,
    pub(crate) err_ttl: Option<Span>,
    pub(crate) lock_ttl: Option<Span>,
    pub(crate) wait: Option<Span>,
    pub(crate) stale_if_error: Option<Span>,
    pub(crate) timeout: Option<Span>,
    pub(crate) soft_timeout: Option<Span>,
    pub(crate) near: Option<Span>,
    /// Not among the [`spans`](Self::spans): it holds for a call, and not for what a body stores.
    pub(crate) max_age: Option<Span>,
    pub(crate) jitter_permille: Option<u16>,
    pub(crate) version: Option<u32>,
    pub(crate) max_concurrency: Option<u32>,
}

/// A lease is renewed every third of it: shorter ones would be lost to an ordinary round trip.
const MIN_LOCK_TTL: u64 = 100;

impl Policy {
    pub(crate) fn check(args: &Args, errors: &Errors) -> Self {
        let ttl = ttl(args.ttl.as_ref(), errors);
        let wait = optional(args.wait.as_ref(), errors);
        let waits_not = wait.as_ref().and_then(Span::millis) == Some(0);
        let repair = "drop it to give the body all the time it takes";
        let timeout = positive(args.timeout.as_ref(), repair, errors);
        let ttl_millis = ttl.as_ref().and_then(Span::millis);
        Self {
            refresh_before: refresh_before(args.refresh_before.as_ref(), ttl_millis, errors),
            none_ttl: positive(args.none_ttl.as_ref(), "drop it to store `None` for `ttl`", errors),
            err_ttl: positive(
                args.err_ttl.as_ref(),
                "drop `cache_err_if` to store no errors",
                errors,
            ),
            lock_ttl: lock_ttl(args.lock_ttl.as_ref(), errors),
            wait,
            stale_if_error: positive(
                args.stale_if_error.as_ref(),
                "drop it to serve no value past its ttl",
                errors,
            ),
            soft_timeout: soft_timeout(args, timeout.as_ref().and_then(Span::millis), errors),
            timeout,
            near: near(args.near.as_ref(), ttl_millis, errors),
            max_age: max_age(args, ttl_millis, errors),
            jitter_permille: jitter(args.jitter.as_ref(), errors),
            version: version(args.version.as_ref(), errors),
            max_concurrency: max_concurrency(args, waits_not, errors),
            ttl,
        }
    }

    /// All durations, by the names of their arguments.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (&'static str, &Span)> {
        let window = match &self.refresh_before {
            Some(Window::Span(span)) => Some(span),
            _ => None,
        };
        [
            ("ttl", self.ttl.as_ref()),
            ("refresh_before", window),
            ("none_ttl", self.none_ttl.as_ref()),
            ("err_ttl", self.err_ttl.as_ref()),
            ("lock_ttl", self.lock_ttl.as_ref()),
            ("wait", self.wait.as_ref()),
            ("stale_if_error", self.stale_if_error.as_ref()),
            ("timeout", self.timeout.as_ref()),
            ("soft_timeout", self.soft_timeout.as_ref()),
            ("near", self.near.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, span)| Some((name, span?)))
    }
}

impl Span {
    pub(crate) fn millis(&self) -> Option<u64> {
        match self {
            Self::Millis(millis) => Some(*millis),
            Self::AtRunTime(_) => None,
        }
    }

    pub(crate) fn at_run_time(&self) -> Option<&Expr> {
        match self {
            Self::Millis(_) => None,
            Self::AtRunTime(expr) => Some(expr),
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

fn ttl(given: Option<&Given<Expr>>, errors: &Errors) -> Option<Span> {
    let Some(given) = given else {
        errors.on_attribute(
            "`ttl` is missing: say how long a value may be served, as in `ttl = \"5m\"`",
        );
        return None;
    };
    positive(Some(given), "say how long a value may be served, as in `ttl = \"5m\"`", errors)
}

fn refresh_before(
    given: Option<&Given<Expr>>,
    ttl: Option<u64>,
    errors: &Errors,
) -> Option<Window> {
    let given = given?;
    if let Some(Lit::Str(text)) = literal(&given.value)
        && text.value().ends_with('%')
    {
        return match duration::parse_percent(&text.value(), 1..=99) {
            Ok(percent) => Some(Window::Percent(percent)),
            Err(message) => {
                errors.on(&given.value, format!("`refresh_before`: {message}"));
                None
            }
        };
    }
    let window = positive(Some(given), "drop it to have no background refresh", errors)?;
    if let (Some(window), Some(ttl)) = (window.millis(), ttl)
        && window >= ttl
    {
        errors.on(
            &given.value,
            "`refresh_before` is not shorter than `ttl`, so every hit would be stale: \
             make it a part of the ttl, as in `refresh_before = \"20%\"`",
        );
    }
    Some(Window::Span(window))
}

fn soft_timeout(args: &Args, timeout: Option<u64>, errors: &Errors) -> Option<Span> {
    let given = args.soft_timeout.as_ref()?;
    let repair = "drop it to wait for the body";
    let soft = positive(Some(given), repair, errors)?;
    if args.stale_if_error.is_none() {
        errors.on(
            &given.value,
            "`soft_timeout` is how long a call waits that has a value past its ttl, and without `stale_if_error` none is \
             kept: add `stale_if_error = \"1h\"`, or write `timeout`, which ends the body",
        );
    }
    if let (Some(soft), Some(timeout)) = (soft.millis(), timeout)
        && soft >= timeout
    {
        errors.on(
            &given.value,
            "`soft_timeout` is not shorter than `timeout`, which ends the body before: make it shorter, or drop it",
        );
    }
    Some(soft)
}

fn near(given: Option<&Given<Expr>>, ttl: Option<u64>, errors: &Errors) -> Option<Span> {
    let given = given?;
    let near = positive(Some(given), "drop it to keep no copy in process", errors)?;
    if let (Some(near), Some(ttl)) = (near.millis(), ttl)
        && near > ttl
    {
        errors.on(
            &given.value,
            "`near` is longer than `ttl`, after which no copy may be served: make it shorter",
        );
    }
    Some(near)
}

fn max_age(args: &Args, ttl: Option<u64>, errors: &Errors) -> Option<Span> {
    let given = args.max_age.as_ref()?;
    let repair =
        "nothing stored is that young, so write `refresh_if = ..` with what asks for a new value";
    let max_age = positive(Some(given), repair, errors)?;
    // Another's ttl may be longer, be it that of the value or of the function whose entries these are.
    let is_of_others = args.ttl_with.is_some() || args.same_entries_as.is_some();
    if let (Some(max_age), Some(ttl)) = (max_age.millis(), ttl)
        && max_age >= ttl
        && !is_of_others
    {
        errors.on(
            &given.value,
            "`max_age` is not shorter than `ttl`, after which nothing is served anyway: make it shorter, or drop it",
        );
    }
    Some(max_age)
}

fn lock_ttl(given: Option<&Given<Expr>>, errors: &Errors) -> Option<Span> {
    let given = given?;
    let span = optional(Some(given), errors)?;
    if span.millis().is_some_and(|millis| millis < MIN_LOCK_TTL) {
        errors.on(
            &given.value,
            format!(
                "`lock_ttl` is too short to be renewed in time: write at least \
                 `lock_ttl = \"{MIN_LOCK_TTL}ms\"`, or drop it for the default"
            ),
        );
    }
    Some(span)
}

fn max_concurrency(args: &Args, is_zero: bool, errors: &Errors) -> Option<u32> {
    let (given, wait) = (args.max_concurrency.as_ref()?, args.wait.as_ref());
    let parsed = match literal(&given.value) {
        Some(Lit::Int(number)) if number.suffix().is_empty() => number.base10_parse().ok(),
        _ => None,
    };
    if let Some(wait) = wait.filter(|_| is_zero) {
        errors.on(
            &wait.value,
            "with `wait = 0` nobody waits for a place, and `max_concurrency` limits nothing: give it some time, \
             as in `wait = \"1s\"`, or drop one of the two",
        );
    }
    // More would be no limit, and is more than a semaphore of tokio can count on 32 bits.
    let good = parsed.filter(|bodies| (1..=65_535).contains(bodies));
    if good.is_none() {
        errors.on(
            &given.value,
            "`max_concurrency` is how many bodies may run at once in this process: an integer from 1 \
             to 65535, as in `max_concurrency = 8`",
        );
    }
    good
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

fn positive(given: Option<&Given<Expr>>, repair: &str, errors: &Errors) -> Option<Span> {
    let given = given?;
    let span = optional(Some(given), errors)?;
    if span.millis() == Some(0) {
        errors.on(&given.value, format!("`{}` is zero: {repair}", given.name));
        return None;
    }
    Some(span)
}

fn optional(given: Option<&Given<Expr>>, errors: &Errors) -> Option<Span> {
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
        Some(_) => Err(format!("write a duration, as in `{name} = \"5m\"`")),
        None if matches!(given.value, Expr::Unary(_)) => {
            Err(format!("a duration is not negative: write `{name} = \"5m\"`"))
        }
        None => return Some(Span::AtRunTime(given.value.clone())),
    };
    parsed
        .map_err(|message| errors.on(&given.value, format!("`{name}`: {message}")))
        .ok()
        .map(|duration| Span::Millis(millis(duration)))
}

fn millis(duration: Duration) -> u64 {
    // The longest duration allowed is 10 years.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

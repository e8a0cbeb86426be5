//! Which annotated functions a cache has seen, and which of them meet under one key.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::key::{Piece, Segment};
use crate::policy::{Policy, Window};
use crate::site::Site;
use crate::sync::lock;
use crate::telemetry;

/// The functions that one cache has seen.
pub(crate) struct Functions {
    /// A number of its own for each cache: an address would come back.
    cache: u64,
    seen: Mutex<Vec<Seen>>,
}

struct Seen {
    site: &'static Site,
    /// The template with all values alike: two functions with one shape can meet under one key.
    shape: String,
}

impl Functions {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { cache: NEXT.fetch_add(1, Ordering::Relaxed), seen: Mutex::default() }
    }

    /// To be called with every key that is rendered; costs one load while the function is called with one cache.
    pub(crate) fn note(&self, site: &'static Site, segments: &[Segment<'_>]) {
        if !site.is_new_to(self.cache) {
            return;
        }
        let clash = self.note_anew(site, segments);
        site.noted_by(self.cache);
        // Not under the lock: what listens may ask for the functions.
        if let Some(clash) = clash {
            telemetry::clash(site, clash);
        }
    }

    /// Notes the function, and finds one that it clashes with.
    fn note_anew(&self, site: &'static Site, segments: &[Segment<'_>]) -> Option<&'static Site> {
        let mut seen = lock(&self.seen);
        if seen.iter().any(|known| std::ptr::eq(known.site, site)) {
            return None;
        }
        let shape = shape(segments);
        let clash = seen.iter().find(|known| known.shape == shape && known.clashes_with(site));
        let clash = clash.map(|known| known.site);
        seen.push(Seen { site, shape });
        clash
    }

    /// Tells, once, whose entry `site` has found under its key, if that is another function here.
    pub(crate) fn found(&self, site: &'static Site, fingerprint: u64) {
        let owner = {
            let seen = lock(&self.seen);
            let owner = seen.iter().find(|known| known.site.has_fingerprint(fingerprint));
            owner.filter(|owner| owner.clashes_with(site)).map(|owner| owner.site)
        };
        if let Some(owner) = owner {
            telemetry::clash(site, owner);
        }
    }

    pub(crate) fn list(&self) -> Vec<Function> {
        let mut all: Vec<Function> =
            lock(&self.seen).iter().map(|known| Function(known.site)).collect();
        all.sort_by_key(|function| function.0.path());
        all
    }
}

impl Seen {
    fn clashes_with(&self, site: &'static Site) -> bool {
        !std::ptr::eq(self.site.origin(), site.origin())
    }
}

fn shape(segments: &[Segment<'_>]) -> String {
    let mut shape = String::new();
    for segment in segments {
        match segment.0 {
            Piece::Literal(text) => shape.push_str(text),
            // A brace, as no literal holds one.
            _ => shape.push_str("{}"),
        }
    }
    shape
}

/// One annotated function, as [`Cache::functions`](crate::Cache::functions) lists it.
///
/// Its `Display` is one line for a start-up log:
/// `shop::users::load_user  user:{id}  ttl 5m, refreshed 30s before  → User`.
#[derive(Clone, Copy)]
pub struct Function(&'static Site);

impl Function {
    /// Where the function stands: module and name; of a method type and name, once it was called.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// The template of its keys, as it was written.
    #[must_use]
    pub fn template(&self) -> &'static str {
        self.0.template()
    }

    /// The templates of its tags.
    #[must_use]
    pub fn tags(&self) -> &'static [&'static str] {
        self.0.tag_templates()
    }

    /// The type that is stored, in the compiler's words; of a generic function, one of them. `None`
    /// before the first call.
    #[must_use]
    pub fn value_type(&self) -> Option<&'static str> {
        self.0.value_type()
    }

    /// How long a value may be served; `None` where the arguments decide.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        Some(self.policy().ttl).filter(|ttl| !ttl.is_zero())
    }

    /// The window before the end of `ttl` in which a hit is refreshed; `None` where there is none, or
    /// where the arguments decide.
    #[must_use]
    pub fn refresh_before(&self) -> Option<Duration> {
        self.policy().window?.of(self.ttl()?)
    }

    fn policy(&self) -> &Policy {
        self.0.policy
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.path(), self.template())?;
        match self.ttl() {
            Some(ttl) => write!(f, "  ttl {ttl:?}")?,
            None => f.write_str("  ttl by its arguments")?,
        }
        match self.policy().window {
            Some(Window::Percent(percent)) => write!(f, ", refreshed {percent}% before")?,
            Some(Window::Fixed(window)) => write!(f, ", refreshed {window:?} before")?,
            None => {}
        }
        if let Some(most) = self.policy().max_concurrency {
            write!(f, ", {most} at once")?;
        }
        if !self.tags().is_empty() {
            write!(f, "  tags {}", self.tags().join(", "))?;
        }
        match self.value_type() {
            Some(value) => write!(f, "  → {value}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({self})")
    }
}

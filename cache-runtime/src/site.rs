//! One annotated function: its name, its policy and its fingerprint.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::fingerprint;
use crate::sync::lock;

/// One annotated function. The macro makes it a `static`.
#[derive(Debug)]
pub struct Site {
    module: &'static str,
    function: &'static str,
    template: &'static str,
    pub(crate) policy: Policy,
    first: OnceLock<(TypeId, &'static str, u64)>,
    /// Only a generic function, or a method of a generic type, ever gets here.
    others: Mutex<Option<HashMap<(TypeId, &'static str), u64>>>,
    warned: Mutex<Warned>,
}

/// What this function has already been warned about.
#[derive(Debug)]
struct Warned(u32);

/// Warnings that are given once for each function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warning {
    SlowerThanTtl,
    SlowerThanLease,
    Fallback,
    NotStorable,
    Recursion,
    Key,
    Runtime,
    Server,
}

impl Site {
    /// Describes a function; `function` is its name, `template` the text of its key.
    #[must_use]
    pub const fn new(
        module: &'static str,
        function: &'static str,
        template: &'static str,
        policy: Policy,
    ) -> Self {
        Self {
            module,
            function,
            template,
            policy,
            first: OnceLock::new(),
            others: Mutex::new(None),
            warned: Mutex::new(Warned(0)),
        }
    }

    pub(crate) fn module(&self) -> &'static str {
        self.module
    }

    pub(crate) fn function(&self) -> &'static str {
        self.function
    }

    pub(crate) fn template(&self) -> &'static str {
        self.template
    }

    /// Tells entries of this function and this value type from all others.
    ///
    /// `owner` is the type whose method this is, or one that was declared where the function
    /// stands: two `impl` blocks of one module, and two functions, may hold functions of one name.
    pub(crate) fn fingerprint<V: DeserializeOwned + 'static>(&self, owner: &'static str) -> u64 {
        let value = TypeId::of::<V>();
        let compute = || {
            let version = self.policy.version.to_string();
            let schema = fingerprint::schema_of::<V>();
            fingerprint::fingerprint(&[
                self.module,
                self.function,
                if self.stands_in_its_module(owner) { "" } else { owner },
                &schema,
                &version,
                "bincode",
            ])
        };
        let first = self.first.get_or_init(|| (value, owner, compute()));
        if first.0 == value && first.1 == owner {
            return first.2;
        }
        if let Some(known) = lock(&self.others).as_ref().and_then(|all| all.get(&(value, owner))) {
            return *known;
        }
        let fingerprint = compute();
        lock(&self.others).get_or_insert_default().insert((value, owner), fingerprint);
        fingerprint
    }

    /// The names of types are the compiler's; most functions do without.
    fn stands_in_its_module(&self, owner: &str) -> bool {
        owner
            .strip_prefix(self.module)
            .and_then(|rest| rest.strip_prefix("::__"))
            .and_then(|rest| rest.strip_prefix(self.function))
            .is_some_and(|rest| rest == "_target::__Site")
    }

    /// Whether this is the first time.
    pub(crate) fn first_warning(&self, warning: Warning) -> bool {
        let mut warned = lock(&self.warned);
        let bit = 1 << warning as u32;
        let first = warned.0 & bit == 0;
        warned.0 |= bit;
        first
    }
}

/// How long a function's values live and how its computations are shared.
///
/// Every duration is in milliseconds: the macro has parsed and checked what the user wrote.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) refresh_before: Option<Duration>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) lock_ttl: Duration,
    pub(crate) wait: Duration,
    pub(crate) jitter_permille: u16,
    pub(crate) version: u32,
}

impl Policy {
    /// A policy with this `ttl` and the defaults.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self {
            ttl: Duration::from_millis(ttl_ms),
            refresh_before: None,
            none_ttl: None,
            lock_ttl: Duration::from_secs(5),
            wait: Duration::from_secs(10),
            jitter_permille: 50,
            version: 0,
        }
    }

    /// The window before the end of `ttl` in which a hit is stale.
    #[must_use]
    pub const fn refresh_before(mut self, ms: u64) -> Self {
        self.refresh_before = Some(Duration::from_millis(ms));
        self
    }

    /// The `ttl` of `None`.
    #[must_use]
    pub const fn none_ttl(mut self, ms: u64) -> Self {
        self.none_ttl = Some(Duration::from_millis(ms));
        self
    }

    /// How long a lease is held without being renewed.
    #[must_use]
    pub const fn lock_ttl(mut self, ms: u64) -> Self {
        self.lock_ttl = Duration::from_millis(ms);
        self
    }

    /// How long a caller waits for another's computation.
    #[must_use]
    pub const fn wait(mut self, ms: u64) -> Self {
        self.wait = Duration::from_millis(ms);
        self
    }

    /// The part of `ttl` that may be taken away at random, in thousandths.
    #[must_use]
    pub const fn jitter_permille(mut self, permille: u16) -> Self {
        self.jitter_permille = permille;
        self
    }

    /// Raised by the user when the meaning of the value changes.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }
}

//! The attribute of the `redis-cached` crate, which re-exports it: depend on that one.

mod args;
mod duration;
mod errors;
mod expand;
mod function;
mod generics;
mod policy;
mod signature;
mod spec;
mod suggest;
mod template;

use proc_macro::TokenStream;

/// Turns an async function into a stale-while-revalidate lookup in Redis.
///
/// ```text
/// #[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(db))]
/// async fn load_user(db: &Db, id: u64) -> Result<User, DbError> { … }
/// ```
///
/// # Arguments
///
/// | argument | form | default |
/// |---|---|---|
/// | `ttl` | how long a value may be served, counted from the moment its computation began: a duration | required |
/// | `key` | a template over the parameters, `"user:{id}"` | module path, function name and all parameters that are not skipped |
/// | `skip(a, b)` | parameters that do not influence the value: pools, clients, `self`, type parameters | none |
/// | `refresh_before` | the window before the end of `ttl` in which a hit is served at once and refreshed in the background: a duration, or `"1%"` to `"99%"` of the ttl | no background refresh |
/// | `none_ttl` | the ttl of a stored `None`: a duration | `ttl` |
/// | `lock_ttl` | how long one process has the sole right to compute, unless renewed: a duration of at least `"100ms"` | 5 s |
/// | `wait` | how long to wait for another process's computation: a duration, or `0` | 10 s |
/// | `jitter` | `"0%"` to `"50%"`: the ttl is shortened by a random part, so that entries do not end together | 5 % |
/// | `version` | an integer, to be raised when the meaning of the value changes | 0 |
/// | `cache` | an expression over the parameters: the cache to use, `cache = self.cache` | the scope's, the global or the embedded one |
/// | `crate` | the path at which `redis_cached` is found | `::redis_cached` |
///
/// A duration is a literal: `"250ms"`, `"5m"`, `"1h30m"` (units `ms`, `s`, `m`, `h`, `d`, `w`,
/// the largest first), or an integer number of seconds; at most 10 years.
///
/// # Keys
///
/// A placeholder names a parameter, or a field of one: `{id}`, `{user.id}`, `{pair.0}`,
/// `{self.tenant}`. `{{` and `}}` are literal braces. A key that compiles cannot collide:
///
/// - every parameter is in the key or in `skip`, and so is `self`;
/// - values are percent-escaped, and two placeholders stand apart by a character that is escaped
///   in values: `:`, `/`, `|`, white space or a control character;
/// - a key starts with literal text; choose one that no other function uses.
///
/// A value is written by its `Display`. A type or const parameter that can change the value is
/// an error, unless it is in `skip`.
///
/// # What is generated
///
/// Beside the function, with its visibility and generics:
///
/// | item | what it is |
/// |---|---|
/// | `load_user(..)` | the cached function, with the same signature |
/// | `load_user_uncached(..)` | the original |
/// | `load_user_refresh(..)` | computes now, stores the result and returns it |
/// | `load_user_entry(..)` | a handle on the stored entry, for the parameters in the key |
///
/// Lint levels and `cfg` are on all of them; `doc`, `deprecated` and `must_use` on the cached
/// function; other attributes that stand below this one (`tracing::instrument`) on the original.
///
/// # Values and errors
///
/// Of a `Result<T, E>` (also `anyhow::Result<T>`, and any alias whose name ends in `Result`) `T`
/// is stored, and an `Err` never. Any other return type is stored as it is; `None` is a value.
///
/// # Background refresh
///
/// Without `refresh_before` the body runs inline and borrows, so `&mut` parameters just work.
/// With it every parameter must be `Clone` (behind `&`, `ToOwned`), since the refresh outlives
/// the call; a `&self` method clones `Self`, so take `self: Arc<Self>` where that is dear.
///
/// # Methods
///
/// The attribute works in inherent `impl`s, on methods and on functions without a receiver. The
/// latter are told apart from free functions by the word `Self`, which must occur in them. `key`
/// should be given: the default one does not know the type.
#[proc_macro_attribute]
pub fn redis_cached(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::redis_cached(attr.into(), &item.into()).into()
}

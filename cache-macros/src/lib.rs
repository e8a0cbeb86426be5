//! The attribute of the `redis-cached` crate, which re-exports it: depend on that one.

mod args;
mod asked;
mod attributes;
mod batch;
mod block;
mod duration;
mod errors;
mod expand;
mod forgotten;
mod function;
mod generics;
mod key;
mod methods;
mod params;
mod policy;
mod signature;
mod spec;
mod spelling;
mod suggest;
mod tags;
mod template;
mod write;

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
/// | `key` | a template over the parameters, `"user:{id}"` | module path, function name and all parameters that are not skipped |
/// | `ttl` | how long a value may be served, counted from the moment its computation began: a duration | required |
/// | `refresh_before` | the window before the end of `ttl` in which a hit is served at once and refreshed in the background: a duration, or `"1%"` to `"99%"` of the ttl | no background refresh |
/// | `skip(a, b)` | parameters that do not influence the value: pools, clients, `self`, type parameters | none |
/// | `batch(ids as id)` | one function for many keys: the parameter `ids`, a `&[K]` or `Vec<K>`, is a list, and `id` stands for one element in `key` and `tags`. The body gets those that are missing. Returns a map from `K` to values, a `Result` of one, or a map to `Result`s; with `none_ttl` what the map lacks is stored as a `None`. Not with `busy`, `soft_timeout`, `stored` | – |
/// | `none_ttl` | the ttl of a stored `None`: a duration | `ttl` |
/// | `ttl_with` | closure or path, `fn(&T) -> Duration`: the value decides; zero is not stored | – |
/// | `cache_if` | closure or path, `fn(&T) -> bool`: may this value be stored? If not, it is returned, and the old entry is removed | all |
/// | `accept_if` | closure or path, `fn(&T) -> bool`: may this stored value be served? If not, it is computed anew. It may ask for parameters, as in `\|user\| user.version >= at_least`: then each call judges what is found stored for itself, and what another's body gives where its own asks the same parameter; `peek` judges for nobody | all |
/// | `cache_err_if` | closure or path, `fn(&E) -> bool`: which errors of a `Result` are stored, those that are `Serialize + DeserializeOwned`; needs one of the next two | none |
/// | `err_ttl` | the ttl of a stored error: a duration | – |
/// | `err_ttl_with` | closure or path, `fn(&E) -> Duration`: the error decides; zero is not stored | – |
/// | `share_err` | closure or path, `fn(&E) -> E`: how those who waited get the error, once to keep it and once for each of them | `Clone` |
/// | `bypass_if` | a `bool` expression over the parameters: run the body and touch nothing | inside a transaction |
/// | `refresh_if` | a `bool` expression over the parameters: compute now, and store | never |
/// | `no_store_if` | a `bool` expression over the parameters: read only. A hit is served, and not refreshed; a miss runs the body for this caller, without a lease, and stores nothing, also in `_refresh` | never |
/// | `max_age` | a duration, or an expression over the parameters that gives one or an `Option` of one, asked at each call: what began longer ago, by the server's clock, is a miss for this call and stays where it is; so is everything while that clock is unknown | the ttl |
/// | `busy` | an expression over the parameters, of the type that the function returns: the answer where a call would wait for another's computation, in this process or another. Evaluated only then, never stored, never shared | wait |
/// | `refresh_with(conn = pool.acquire().await?)` | with `refresh_before` or `soft_timeout`, how the body in the background gets an argument of its own: an expression over the others, which are cloned, evaluated when that runs, with `.await`, and with `?` where the function returns a `Result`; passed by value, by `&` or by `&mut`, as the parameter is | cloned |
/// | `normalize(a = a.trim())` | binds parameters anew, for the key and for the body | – |
/// | `tags` | templates over the parameters, or over the value that is returned, `ret` (of an `Option` what is in it, and no such tag for `None`): `["team:{team}", "org:{ret.org}"]`, at most 32 | none |
/// | `tags_with` | closure or path, from `&T` to any number of texts: more tags of the value | none |
/// | `clearable` | gives the function a tag of its own, and `.._all().invalidate()` | off |
/// | `stored` | a type that is stored instead of the value, with `save`, which makes it of a reference to the value, and `load`, which makes the value of it: closures, or paths; each may give an `Option` or a `Result`, where it can fail, and may ask for parameters | the value itself |
/// | `stale_if_error` | for how long behind its `ttl` a value is served if computing a new one fails or takes too long: a duration | not at all |
/// | `stale_if` | closure or path, `fn(&E) -> bool`: which errors are failures in that sense, and which are answers; needs `stale_if_error` | all that are not stored |
/// | `timeout` | how long a body may take: a duration. Then it is dropped, and the call ends in an error, which must be `From<TimedOut>` | no limit |
/// | `soft_timeout` | how long a call that has a value past its ttl waits for a computation, its own or another's: a duration, shorter than `timeout`; what the store is asked before has its own deadline. Then that is served, and the body goes on in the background; needs `stale_if_error` | wait for the body |
/// | `lock_ttl` | how long one process has the sole right to compute, unless renewed: a duration of at least `"100ms"` | 5 s |
/// | `wait` | how long to wait for another's computation: a duration, or `0` | 10 s |
/// | `jitter` | `"0%"` to `"50%"`: the ttl is shortened by a random part, so that entries do not end together | 5 % |
/// | `max_concurrency` | how many bodies of this function run at once in this process, 1 to 65535; who waits for a place while none ends for as long as `wait`, or six times as long, goes on without one | no limit |
/// | `near` | a duration, not longer than `ttl`: checked, and of no effect yet | off |
/// | `codec` | `bincode`, `msgpack`, with the feature of its name `postcard` or `json`, or the path of a `Codec` | `bincode` |
/// | `compress` | `lz4`, `zstd`, `zstd(above = 4096)`, with the feature of its name: from so many bytes on | off; above 1024 |
/// | `version` | an integer, to be raised when the meaning of the value changes | 0 |
/// | `name` | what the entries are known by, wherever the function moves, and no other function's: letters, digits and `_ - . :`, at most 128 | path of the function |
/// | `same_entries_as` | the path of another cached function, whose entries this one reads and writes: it needs the same key, type, type of stored errors, codec and version | – |
/// | `cache` | an expression over the parameters that names a `Cache`, or an `Option` of one, of which `None` bypasses | the scope's, the global or the embedded one |
/// | `vis` | the visibility of what is generated | the function's |
/// | `crate` | the path at which `redis_cached` is found | `::redis_cached` |
///
/// A duration is a literal, `"250ms"`, `"5m"`, `"1h30m"` (units `ms`, `s`, `m`, `h`, `d`, `w`, the
/// largest first), an integer number of seconds, or an expression over the parameters that gives a
/// `Duration`. Literals are checked when the code is compiled; an expression is evaluated when a body
/// is about to run (for a handle, when it is made), and what is outside of the limits (10 years at
/// most) is brought into them and warned about once. In such an expression, and in those of `no_store_if`, `max_age`,
/// `busy` and `refresh_with`, a parameter that is `Copy` is a value, and any other a reference.
///
/// # Keys
///
/// | placeholder | writes |
/// |---|---|
/// | `{id}`, `{user.id}`, `{pair.0}`, `{self.tenant}` | a parameter, a name that its pattern binds, or a field, by its `Display` |
/// | `{kind.as_str()}` | what a method without arguments gives |
/// | `{region?}` | an `Option`; `None` and an empty text differ |
/// | `{filter:hash}` | 64 digits, BLAKE3 of all that its `Serialize` writes, and of nothing that it leaves out |
/// | `{T::KIND}`, `{T::kind()}`, `{Self::TABLE}`, `{N}` | a constant or function of a type parameter, a const parameter |
/// | `{{`, `}}` | braces |
///
/// A key that compiles cannot collide:
///
/// - every parameter is in the key or in `skip`, and so is `self`, and each type or const parameter
///   that can change the value. What only says how to call counts as skipped where the body does not read it too
///   (or where it alone decides that the cache is bypassed): a `bool` that `bypass_if`, `refresh_if`, `no_store_if`,
///   `max_age` or `busy` asks, a `Duration` or an `Option` of one that `max_age` asks, and what `busy` or `accept_if` asks. So does a
///   parameter called `_`, which the body cannot see;
/// - values are percent-escaped, and two placeholders stand apart by a character that is escaped
///   in values: `:`, `/`, `|`, white space or a control character; a digest, `{x:hash}`, is of one
///   length and needs none;
/// - a key starts with literal text; choose one that no other function uses. Two functions of one program
///   that meet under one key are told of once, and neither is served the other's values.
///
/// Different values must print differently, and a part stands for its whole parameter.
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
/// | `load_user_entry(..)` | a handle on the stored entry, for the parameters that the key, `cache`, run-time durations, `save` and `load` use |
/// | `load_user_all(..)` | with `clearable`: a handle on all its entries, for the parameters that `cache` uses |
///
/// Lint levels and `cfg` are on all of them, also inside a `cfg_attr`; `doc`, `deprecated` and
/// `must_use` on the cached function; other attributes (`tracing::instrument`) on the original.
///
/// # Values and errors
///
/// Of a `Result`, by whatever alias, the `Ok` is stored, and an `Err` where `cache_err_if` says so. Any other
/// return type is stored as it is; `None` is a value.
///
/// Of an `Arc<T>`, and of an `Option` of one, what is in it is stored: a `T`, `str` or slice, whether serde has its
/// feature `rc` or not.
///
/// With `stored`, `save` and `load` another type is stored than is returned: the source of a compiled pattern, a row that
/// the body has decrypted. A hit is loaded with the arguments of its own call. `save` is asked when the body has the
/// arguments, and so, before it runs, what `save` mentions is cloned; a handle keeps clones for both. What `save` gives
/// nothing for is not stored, and drives out the old value; what `load` gives nothing for is a miss, and the body runs.
/// Both are told of once. Of a function that returns an `Option`, a `None` of `load` is the value: let it fail by an
/// `Err`, or by an `Option` around it. Entries are known by what is stored and by what is made of it, so those of the function
/// without `stored` are not its own. Where `save` comes to write something else, raise `version`.
///
/// A stored error is a hit until its ttl ends, counted from the moment its computation began, and is
/// invalidated as a value is. It is never stale, and a background refresh that ends in it leaves the old
/// value alone; a forced computation stores it. With `stale_if_error` it is an answer like a value, unless `stale_if` says
/// that it is a failure: then it does not take the place of a value that is served in its stead. What is said of values (`cache_if`, `accept_if`,
/// `ttl_with`, `none_ttl`, tags of the value) is not said of errors. A handle speaks of values: its `peek` gives `None`
/// for an error, and its `ttl` the time that is left to it.
///
/// # Where computing fails
///
/// With `stale_if_error` a value stays for so long behind its ttl, and is served to calls whose computation fails: their
/// body, or that of the flight they share, ends in an `Err`, is dropped by `timeout`, or takes longer than `soft_timeout`
/// (RFC 5861). What was invalidated is not served, what was expired by hand is. The failure is noted in the
/// store for all processes: for a second, then for two, up to `lock_ttl`, nobody computes that key anew who has such a value.
/// What a body makes of one is not stored. A forced computation, `_refresh`, has nothing older to fall back to.
///
/// With `soft_timeout`, as with `refresh_before`, every parameter must be `Clone`: where there is a value past its ttl the body
/// runs in a task of its own from its beginning, with clones, and so outside of the caller's task-locals and spans. At most as
/// many go on behind their callers as the cache may have refreshes; past that a body ends when its caller leaves. A call inside another cached function's body waits for its own.
///
/// # Functions
///
/// An `async fn`, or a function that returns a `BoxFuture<'_, T>`, a
/// `Pin<Box<dyn Future<Output = T> + Send + '_>>` or an `impl Future<Output = T> + Send`.
///
/// An `async fn` cannot call itself, as its future would have to hold its own: return a boxed one.
///
/// Without `refresh_before` and `soft_timeout` the body runs inline and borrows, so `&mut` parameters just work.
/// With one of them every parameter must be `Clone` (behind `&`, `ToOwned`), since that body outlives
/// the call; a `&self` method clones `Self`, so take `self: Arc<Self>` where that is dear.
///
/// A call that is handed an open transaction bypasses the cache: rows that are not committed yet must be seen by their own
/// transaction, and published by none. Such a parameter is in `skip`, and known by the name of its type,
/// `Transaction<'_, Postgres>`, `PgTransaction`, `DatabaseTransaction` or any other that ends so, behind references too;
/// of an `Option` of one, `None` uses the cache. Where a type speaks of one and does not say whether there is one
/// (`Mutex<Option<Transaction>>`, `&dyn UnitTransaction`, a `self`), it is asked for. What is not told by its type (a connection of `diesel-async`, an enum of pool and transaction)
/// is told by `bypass_if`, as in `bypass_if = conn.is_in_transaction()`; a `bypass_if` of its own takes the place of this
/// rule where it asks the transaction, and is added to it where not; `bypass_if = false` has a transaction share what it
/// reads. With `refresh_before` or `soft_timeout` beside an `Option` of one, say
/// `refresh_with(tx = None)`.
///
/// The attribute works as it is in inherent `impl`s, on methods and on functions without a receiver. The
/// latter are told apart from free functions by the word `Self`, which must occur in them. In the
/// `impl` of a trait and in a trait the block needs [`methods`](macro@methods).
#[proc_macro_attribute]
pub fn redis_cached(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::redis_cached(attr.into(), &item.into()).into()
}

/// Invalidates what a function changes: the entries of cached functions, and tags.
///
/// ```text
/// #[redis_invalidate(
///     load_user(team, user.id),
///     for id in &ret => projects_of(*id),
///     list_users(..),
///     tags = ["team:{team}", "org:{ret.org}"],
///     on_failure = "retry",
/// )]
/// async fn rename_user(db: &Db, team: u32, user: User) -> Result<Vec<u64>, DbError> { … }
/// ```
///
/// # Targets
///
/// | form | what it invalidates |
/// |---|---|
/// | `load_user(team, user.id)`, `self.load(id)`, `users::load::<T>(id)` | the entry of that cached function for these arguments, which are those of `load_user_entry`; of a method whose key does not ask for `self`, `Self::load(id)` |
/// | `load_user(..)` | all entries of that function, which is `clearable` |
/// | `for id in &ret => load_user(*id)` | one entry for each, of anything that can be iterated over: lists, sets, an `Option` |
/// | `tags = ["team:{team}"]` | all that carries the tag |
///
/// They are expressions over the parameters, and over `ret`: what the function has returned, of a `Result` its `Ok`, and
/// of an `Option` what is in it. What asks for `ret` is evaluated when there is one, all else before the body. A parameter is
/// what was passed in: of one that the body may change (`mut`), or that a boxed body has for itself, what asks for `ret` gets
/// a clone.
///
/// # When it is sent
///
/// When the body has ended, all in one request, before the function returns. From the first poll of the body on it is sent
/// **whatever happens**: also when the body returns an `Err` or panics, and when the future is dropped, since nobody knows
/// then whether the change was made. What is sent so is repeated behind the caller for ten seconds: a COMMIT may be on its
/// way. An invalidation too many costs a body, one too few is a wrong answer.
///
/// **But for what asks for `ret`**: where the body has returned nothing, it is not known what that would have named. A
/// function that makes its change final itself, and is dropped or fails behind that, leaves those entries to the end of
/// their ttl. So name beside them what the parameters know, such as a tag that the entries carry; or take part in a
/// transaction of the caller with `after_commit`: then the function has returned before anything is final.
///
/// # Arguments
///
/// | argument | form | default |
/// |---|---|---|
/// | `on_failure` | `"retry"`: the function returns what the body has, and the invalidation is tried again behind it, for five minutes at most, and once more when the cache is shut down. `"error"`: the function returns an error, whose type has a `From<InvalidateError>`, and it is tried again all the same | required, but with `after_commit` |
/// | `when` | a `bool` expression over the parameters and `ret`: whether the body changes anything. One that asks for `ret` is not heeded where there is none | always |
/// | `after_commit` | the function takes part in a transaction: the targets are gathered by the [`Invalidation::collect`] around, and sent when that is. With none around, an error event tells so, and they are sent as after a drop; with `on_failure = "error"` the body does not run, and the function returns the error | – |
/// | `now` | the function takes a transaction, and commits it itself | – |
/// | `tags` | templates, as in [`macro@redis_cached`], which may ask for parameters and `ret` at once | none |
/// | `cache` | an expression over the parameters that names the `Cache` whose tags are meant, or an `Option` of one | the scope's, the global or the embedded one |
/// | `crate` | the path at which `redis_cached` is found | `::redis_cached` |
///
/// A function with a parameter whose type is called `…Transaction` has to say `after_commit` or `now`.
///
/// [`Invalidation::collect`]: https://docs.rs/redis-cached/latest/redis_cached/struct.Invalidation.html
#[proc_macro_attribute]
pub fn redis_invalidate(attr: TokenStream, item: TokenStream) -> TokenStream {
    write::attribute(write::Does::Invalidate, attr.into(), &item.into()).into()
}

/// Puts what a function has written into the entries of cached functions, so that the next call of those is a hit.
///
/// ```text
/// #[redis_put(load_user(team, ret.id), on_failure = "retry")]
/// async fn rename_user(db: &Db, team: u32, id: u64, name: &str) -> Result<User, DbError> { … } // UPDATE .. RETURNING *
/// ```
///
/// # Targets
///
/// | form | what it puts |
/// |---|---|
/// | `load_user(team, ret.id)`, `self.load(ret.id)` | what is returned, of a `Result` its `Ok` and of an `Option` what is in it, into the entry of that cached function for these arguments |
/// | `load_user(id) = ret.user`, `load_user(id) = Some(ret.clone())` | the value of an expression, or what a reference refers to |
/// | `for user in &ret => load_user(user.id) = user` | one for each; of one call 1,000, the others are invalidated. What only the parameters name is gone through before the body, and behind it once more |
///
/// They are expressions over the parameters and over `ret`. A handle over the parameters alone is made before the body; what
/// the body may change is no value (`mut`, `&mut`), and behind `&mut` names no entry: return it, and write `ret`.
///
/// # What is promised
///
/// Once the function has returned `Ok`, every call that starts, in any process, gets this value or a newer one (with
/// `on_failure = "retry"` and a server that does not answer, as soon as it does). **It is put, or it is invalidated:** the entry is invalidated, as by [`macro@redis_invalidate`], where another has written or
/// invalidated it since this body began, where one of its tags was invalidated meanwhile, where `cache_if` refuses the
/// value or it can't be stored, and where the body has ended in an `Err` or a panic, or was dropped, as far as the parameters name the entry
/// (see there for what asks for `ret`). So two writers of one row, who may come here in another order than they
/// have committed in, leave no value behind that is not the last.
///
/// The entry has the tags that its function's attribute names, and none that its body would add by `tag(..)` or by cached
/// functions that it calls: for such a function write [`macro@redis_invalidate`]. Where this process has seen its body do so, it
/// is invalidated.
///
/// Inside an `Invalidation::collect(..)` nothing is put, as it is not committed yet: the invalidation is gathered there. Say `now`
/// where the function commits in spite of that. What is set by `set_versioned` has versions, and what is put has none: a late
/// `set` of an older version replaces it, so use one of the two.
///
/// The value must be what was committed: `UPDATE .. RETURNING`, or what was read behind the COMMIT, and not what a cached
/// function has served. One that was read before
/// a concurrent writer has committed is old, and nobody knows here. It is as old as the body: its ttl counts from when that
/// began, and the body begins behind a question to the store, which waits no longer than any other.
///
/// # Arguments
///
/// `on_failure`, `when`, `cache` (whose entries these are) and `crate`, as of [`macro@redis_invalidate`], which may stand beside
/// it for lists and tags. A function with a parameter whose type is called `…Transaction` has to say `now`, and to commit it
/// itself: what is not committed can't be put.
#[proc_macro_attribute]
pub fn redis_put(attr: TokenStream, item: TokenStream) -> TokenStream {
    write::attribute(write::Does::Put, attr.into(), &item.into()).into()
}

/// Stands on an `impl` or `trait` block, some of whose functions have [`macro@redis_cached`].
///
/// ```text
/// #[redis_cached::methods] // above or below #[async_trait]
/// impl Users for Pg {
///     #[redis_cached(key = "user:{self.tenant}:{id}", ttl = "5m")]
///     async fn load(&self, id: u64) -> Result<User, DbError> { … }
/// }
/// ```
///
/// What is generated for a function cannot stand in the `impl` of a trait (E0407). It stands beside it:
///
/// | block | where | visibility |
/// |---|---|---|
/// | `impl Type` | in the block | as the function |
/// | `impl Trait for Type` | in an inherent `impl Type` | `pub(crate)` |
/// | `trait Repo`, on provided methods | in a trait `RepoCached: Repo`, implemented for all that implement `Repo` | as the trait |
///
/// | argument | what it does |
/// |---|---|
/// | `extension = RepoCached` | has it stand in a trait of this name: for a type of another crate, a type that is no path (`&T`, `(A, B)`), and two traits with a method of one name on one type |
/// | `vis = pub` | its visibility |
///
/// It also knows the block's generics and type: a type parameter of the block that can change the value
/// must stand in the key or in `skip`, `{Self::TABLE}` and `{T::KIND}` can, and the default key
/// holds the type's name. In a trait, whose function all implementors share, so does `Self`.
#[proc_macro_attribute]
pub fn methods(attr: TokenStream, item: TokenStream) -> TokenStream {
    methods::methods(attr.into(), &item.into()).into()
}

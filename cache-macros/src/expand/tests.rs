use super::*;

fn formatted(attr: TokenStream, item: &TokenStream) -> String {
    let file = syn::parse2(redis_cached(attr, item)).expect("the expansion parses");
    prettyplease::unparse(&file)
}

/// For methods, which parse only inside an `impl`.
fn formatted_in_impl(attr: TokenStream, item: &TokenStream) -> String {
    let methods = redis_cached(attr, item);
    let file = syn::parse2(quote!(impl Repo { #methods })).expect("the expansion parses");
    prettyplease::unparse(&file)
}

macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true,
                                snapshot_path => "../snapshots" }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn free_function() {
    let text = formatted(
        quote!(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(db)),
        &quote! {
            /// Loads a user.
            #[must_use]
            #[tracing::instrument(skip(db))]
            pub async fn load_user(db: &Db, id: u64) -> Result<User, DbError> {
                db.query("the body").await
            }
        },
    );
    assert_eq!(text.matches("the body\"").count(), 1);
    // Each user's binary pays for every line, and so does who reads `cargo expand`.
    assert!(text.lines().count() <= 92, "{} lines", text.lines().count());
    snapshot!("free_function", text);
}

#[test]
fn method() {
    let text = formatted_in_impl(
        quote!(key = "user:{self.tenant}:{id}", ttl = "5m"),
        &quote! {
            pub async fn load(&self, mut id: u64) -> Result<User, DbError> {
                self.fetch(id).await
            }
        },
    );
    snapshot!("method", text);
}

#[test]
fn method_of_arc() {
    let text = formatted_in_impl(
        quote!(key = "list", ttl = "5m", refresh_before = "20%", skip(self)),
        &quote! {
            async fn list(self: Arc<Self>) -> Vec<User> {
                self.fetch_all().await
            }
        },
    );
    snapshot!("method_of_arc", text);
}

#[test]
fn optional_value() {
    let text = formatted(
        quote!(
            key = "{{user}}:{user.id}/{user.address.0}",
            ttl = 300,
            none_ttl = "10s",
            lock_ttl = "1s",
            wait = 0,
            jitter = "10%",
            version = 3,
            crate = crate::cached
        ),
        &quote! {
            #[cfg(feature = "users")]
            #[expect(clippy::unused_async, reason = "an example")]
            async fn find(user: &UserRef) -> Result<Option<User>, DbError> {
                None
            }
        },
    );
    snapshot!("optional_value", text);
}

#[test]
fn generic_function() {
    let text = formatted(
        quote!(key = "row:{name}:{id}", ttl = "5m", skip(executor, T, K, N)),
        &quote! {
            async fn load<'e, T, K, E, const N: usize>(
                executor: E,
                name: &'static str,
                id: Id<K, N>,
            ) -> DbResult<T>
            where
                T: DeserializeOwned + Into<K>,
                K: Display,
                E: Executor<'e>,
            {
                executor.fetch(name, id).await
            }
        },
    );
    snapshot!("generic_function", text);
}

#[test]
fn explicit_cache() {
    let text = formatted_in_impl(
        quote!(key = "user:{id}", ttl = "5m", cache = self.caches[&tenant], skip(self, tenant)),
        &quote! {
            async fn load(&self, tenant: Tenant, id: u64) -> User {
                self.fetch(id).await
            }
        },
    );
    snapshot!("explicit_cache", text);
}

#[test]
fn default_key() {
    let text = formatted(
        quote!(ttl = "5m", skip(_db)),
        &quote! {
            async fn r#match(_db: Db, r#type: Kind, name: &str) {
                todo!()
            }
        },
    );
    snapshot!("default_key", text);
}

#[test]
fn what_one_call_asks_for() {
    let text = formatted(
        quote!(
            key = "user:{id}",
            ttl = "5m",
            refresh_before = "20%",
            no_store_if = preview,
            max_age = limits.age,
            busy = Err(DbError::Busy),
            refresh_with(conn = pool.acquire().await?),
            skip(pool, conn, limits)
        ),
        &quote! {
            async fn load<E: Executor>(
                pool: &Pool,
                conn: &mut E,
                limits: Limits,
                id: u64,
                preview: bool,
            ) -> Result<User, DbError> {
                conn.fetch(id).await
            }
        },
    );
    snapshot!("what_one_call_asks_for", text);
}

#[test]
fn with_errors() {
    let text = formatted(
        quote!(key = "user:{idd}", ttl = "5x"),
        &quote! {
            /// Loads a user.
            async fn load(id: u64) -> User {
                fetch(id).await
            }
        },
    );
    snapshot!("with_errors", text);
}

#[test]
fn a_half_typed_body_expands() {
    let item = quote! { async fn load(id: u64) -> User { let user = db. } };
    let text = redis_cached(quote!(ttl = 5), &item).to_string();
    assert!(text.contains("load_uncached"), "{text}");
    assert!(!text.contains("compile_error"), "{text}");
}

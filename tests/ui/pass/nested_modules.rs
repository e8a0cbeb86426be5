#![deny(warnings, unreachable_pub, missing_docs)]
//! What is generated is reached where the function is.

/// Users.
pub mod users {
    mod load {
        use redis_cached::redis_cached;

        pub(crate) struct Private(pub(super) u64);

        impl std::fmt::Display for Private {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        #[redis_cached(key = "modules:{id}", ttl = "5m")]
        pub(super) async fn inner(id: Private) -> u64 {
            id.0
        }

        #[redis_cached(key = "modules:in:{id}", ttl = "5m")]
        pub(in crate::users) async fn outer(id: u64) -> u64 {
            id
        }
    }

    /// Calls.
    pub async fn caller() -> u64 {
        let _ = (load::inner_entry(load::Private(1)), load::outer_entry(1), load::outer_refresh(1));
        load::inner(load::Private(1)).await + load::outer_uncached(1).await
    }

    pub(crate) use self::load::Private as Exported;

    /// Of a struct.
    pub struct Of(());

    impl Of {
        /// Loads.
        #[redis_cached::redis_cached(key = "modules:of", ttl = "5m", skip(self))]
        pub async fn load(&self) -> u64 {
            let _ = self.0;
            1
        }
    }
}

fn main() {
    let _ = users::caller();
    let _: Option<users::Exported> = None;
}

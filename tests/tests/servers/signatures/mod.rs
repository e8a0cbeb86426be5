//! Every kind of signature, on the embedded store and on Redis.

use std::fmt::Debug;
use std::future::Future;

use redis_cached::Cache;
use redis_cached_tests::Gate;
use serde::{Deserialize, Serialize};

mod free;
mod methods;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
}

impl Row {
    fn new(id: u64) -> Self {
        Self { id, name: format!("row {id}") }
    }
}

/// Two calls, one body, one value.
async fn computed_once<T, F>(cache: &Cache, gate: &Gate, call: impl Fn() -> F) -> T
where
    T: PartialEq + Debug,
    F: Future<Output = T>,
{
    let before = gate.runs();
    let first = cache.scope(call()).await;
    let second = cache.scope(call()).await;
    assert_eq!(first, second);
    assert_eq!(gate.runs(), before + 1, "bodies");
    first
}

macro_rules! on_memory_and_redis {
    ($($room:ident { $($test:ident,)+ })+) => {
        on_memory_and_redis!(@on memory, Memory: $($room { $($test,)+ })+);
        on_memory_and_redis!(@on redis, Tcp: $($room { $($test,)+ })+);
        on_memory_and_redis!(@on cluster, Cluster: $($room { $($test,)+ })+);
    };
    (@on $backend:ident, $variant:ident: $($room:ident { $($test:ident,)+ })+) => {
        mod $backend {
            $(
                mod $room {
                    use super::super::$room;
                    use crate::stage::{Backend, Stage};
                    $(
                        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                        async fn $test() {
                            let stage = Stage::new(Backend::$variant).await;
                            $room::$test(stage.cache().await).await;
                        }
                    )+
                }
            )+
        }
    };
}

on_memory_and_redis! {
    free {
        borrowed_arguments,
        owned_and_mut_arguments,
        destructured_arguments,
        generics_in_the_key,
        named_lifetimes,
        c6_functions_of_one_name_in_two_modules,
        functions_inside_functions,
        instrumented_above_and_below,
        a_renamed_crate,
        modules_named_core_std_and_serde,
        made_by_macro_rules,
        functions_that_return_futures,
        results_and_options_behind_aliases,
    }
    methods {
        inherent_methods,
        methods_of_arc,
        methods_by_value_and_by_exclusive_reference,
        methods_of_a_trait,
        methods_of_async_traits,
        provided_methods_of_traits,
        c6_methods_of_generic_types,
        generic_traits_and_foreign_types,
        c6_methods_of_one_name_in_two_blocks,
    }
}

//! What holds on every backend, written once.

mod batches;
mod clearing;
mod errors;
mod finality;
mod leases;
mod primes;
mod puts;
mod stale;
mod tags;
mod values;
mod work;

macro_rules! on {
    ($backend:ident, $variant:ident: $($room:ident { $($test:ident,)+ })+) => {
        mod $backend {
            $(
                mod $room {
                    use super::super::$room;
                    use crate::stage::{Backend, Stage};
                    $(
                        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                        async fn $test() {
                            $room::$test(Stage::new(Backend::$variant).await).await;
                        }
                    )+
                }
            )+
        }
    };
}

macro_rules! on_every_backend {
    ($($tests:tt)+) => {
        on!(memory, Memory: $($tests)+);
        on!(tcp, Tcp: $($tests)+);
        on!(unix, Unix: $($tests)+);
        on!(tls, Tls: $($tests)+);
        on!(valkey, Valkey: $($tests)+);
        on!(redis8, Redis8: $($tests)+);
        on!(sentinel, Sentinel: $($tests)+);
        on!(cluster, Cluster: $($tests)+);
    };
}

on_every_backend! {
    values {
        a_hit_follows_a_miss,
        two_caches_share_one_value,
        every_shape_of_return_is_read_back,
        an_error_is_not_stored,
        a_none_is_stored_with_a_ttl_of_its_own,
        different_arguments_have_different_entries,
        an_entry_is_looked_at_without_computing,
        an_entry_is_set,
        c1_an_older_version_never_replaces_a_newer_one,
        c1_versions_end_as_the_newest_in_whatever_order,
        an_entry_is_invalidated,
        an_entry_is_expired,
        expiring_without_a_refresh_window_is_an_invalidation,
        a_forced_refresh_replaces_what_is_stored,
        the_uncached_function_touches_nothing,
        who_only_reads_is_served_and_stores_nothing,
        what_may_be_too_old_is_computed_anew,
        functions_of_one_template_keep_their_own_entries,
        of_sets_at_one_time_the_last_to_ask_is_stored,
        c3_the_ttl_is_at_most_what_was_asked_for,
        c3_nothing_is_served_past_its_ttl,
        c3_a_body_slower_than_its_ttl_is_not_stored,
    }
    errors {
        a_stored_error_is_read_back_in_another_process,
        c3_a_stored_error_ends_at_its_own_ttl,
        c1_a_stored_error_is_invalidated_by_another_process,
        c1_a_stored_error_is_invalidated_by_its_tag,
        c1_an_invalidation_during_a_body_refuses_its_error,
        a_refresh_that_ends_in_a_stored_error_keeps_the_old_value,
        a_caller_that_waits_gets_the_other_processs_error,
    }
    stale {
        c3_a_value_past_its_ttl_is_served_to_who_fails_and_not_for_longer,
        c3_a_slow_body_is_not_stored_though_it_would_be_kept,
        a_process_that_has_just_connected_knows_what_is_past_its_ttl,
        a_failure_is_known_to_all_processes,
        c3_an_answer_is_no_failure_to_any_process,
        c1_what_was_invalidated_by_another_process_is_not_served_to_who_fails,
        what_was_expired_is_served_to_who_fails,
        who_does_not_wait_leaves_a_body_that_stores,
    }
    clearing {
        c1_clearing_reaches_every_entry_of_the_function_and_no_other,
        c1_clearing_during_a_foreground_body,
        c1_clearing_by_another_process_during_a_body,
        c1_a_caller_that_joined_the_old_flight_after_clearing_gets_a_new_value,
        c1_clearing_during_a_background_refresh,
        what_a_background_refresh_of_a_clearable_function_stores_is_served,
        c1_a_stale_entry_that_was_cleared_is_not_served,
        c1_clearing_during_a_forced_refresh,
        c1_a_value_is_set_after_clearing_and_cleared_again,
    }
    finality {
        c1_invalidate_during_a_foreground_body,
        c1_invalidate_by_another_process,
        c1_invalidate_during_a_background_refresh,
        c1_a_call_after_the_acknowledgement_does_not_wait_for_the_old_refresh,
        c1_a_caller_that_joined_the_old_flight_after_the_acknowledgement_gets_a_new_value,
        c1_expire_voids_a_running_computation,
        c1_set_voids_a_running_computation,
        c1_refresh_does_not_return_a_result_begun_before_it,
        c1_two_invalidations_during_two_bodies,
    }
    tags {
        c1_a_tag_reaches_every_entry_that_carries_it_and_no_other,
        c1_a_tag_is_invalidated_during_a_foreground_body,
        c1_a_tag_is_invalidated_during_a_background_refresh,
        c6_an_entry_is_not_served_to_a_call_with_other_tags,
        c6_a_flight_is_not_shared_by_calls_with_other_tags,
        c1_tags_of_the_value_invalidate_it,
        c1_a_tag_of_the_value_is_invalidated_during_the_body,
        c1_a_value_that_is_set_has_the_tags_that_it_tells_of,
        c1_a_tag_from_deep_inside_a_body_invalidates_its_entry,
        c1_tags_are_handed_on_to_the_functions_around,
        c1_a_tag_is_invalidated_behind_the_inner_call,
        c1_what_depends_on_a_failure_or_on_a_bypassed_call_has_its_tags,
        c1_what_a_body_peeks_at_it_depends_on,
        a_tag_that_is_expired_makes_entries_stale,
        c1_a_tag_that_is_expired_is_final_without_a_refresh,
        an_entry_has_at_most_32_tags,
        c1_a_cache_is_cleared,
        c1_a_clearable_cache_is_cleared,
    }
    batches {
        the_missing_ones_are_computed_by_one_body,
        c1_what_another_process_invalidates_meanwhile_is_not_stored_and_the_rest_is,
        c4_batches_that_overlap_in_any_order_never_wait_in_a_circle,
        a_dropped_batch_leaves_no_key_to_others_to_wait_for,
    }
    primes {
        c4_a_list_primes_its_users_for_every_process,
        c1_what_another_process_touches_during_the_body_is_not_primed,
        c1_clearing_during_the_body_keeps_primes_away,
        c1_a_prime_is_left_to_the_process_that_computes,
        c1_a_prime_takes_no_newer_values_place,
        c1_a_prime_has_the_tags_of_both,
        c3_a_prime_is_as_old_as_its_body,
        two_hundred_are_primed_at_once,
    }
    puts {
        c1_what_is_put_is_served_in_every_process,
        c1_what_another_process_touches_during_the_body_is_not_put,
        c1_clearing_during_the_body_keeps_a_put_away,
        c1_two_writers_leave_the_last_value_or_none,
        c1_many_writers_of_one_row_leave_the_last_value_or_none,
        c1_who_computes_meanwhile_is_not_stored,
        c1_a_list_that_was_read_before_does_not_prime_what_is_put_behind,
        c1_a_put_reaches_every_entry_under_its_key,
        c1_a_failed_or_dropped_writer_invalidates,
        c3_what_is_put_is_as_old_as_its_body,
    }
    leases {
        c1_after_a_failure_calls_compute_without_writing,
        c1_a_failure_does_not_mark_the_lease_of_another,
        c1_a_dropped_caller_does_not_give_back_the_lease_of_another,
    }
    work {
        c4_one_body_for_1000_callers,
        c4_two_caches_500_each,
        c4_exactly_one_of_three_caches_refreshes,
        a_stale_hit_returns_while_its_refresh_runs,
        a_failing_refresh_keeps_the_old_value_and_is_not_retried_by_every_hit,
        a_caller_that_waits_gets_the_other_processs_value,
        a_dropped_caller_leaves_no_lease_behind,
    }
}

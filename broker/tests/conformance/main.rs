//! What every backend must do, written once.
//!
//! [`suite`] knows only the ports. A backend joins by implementing [`suite::Backend`] and one line of
//! `conformance!`, which makes one test per case. `cargo xtask conformance broker` counts the cases that hold on
//! all of them.

// Marked so that clippy knows these for tests: they may unwrap.
#[cfg(test)]
mod documented;
#[cfg(test)]
mod memory_backend;
#[cfg(test)]
mod pubsub_backend;
#[cfg(test)]
mod rabbitmq_backend;
#[cfg(test)]
mod suite;

/// The cases, and one test for each, for a backend that `$start` makes.
macro_rules! conformance {
    ($backend:ident, $start:expr) => {
        mod $backend {
            conformance! { @cases $start;
                b001_every_subscription_gets_every_event
                b002_consumers_of_one_subscription_share_its_events
                b003_replicas_of_several_subscriptions_get_each_event_once_per_subscription
                b004_a_topic_without_subscription_is_an_error
                b005_empty_names_are_refused
                b006_a_declared_subscription_keeps_events_until_it_is_consumed
                b007_a_subscription_outlives_its_consumer
                b008_a_subscription_gets_nothing_from_before_it_existed
                b009_one_id_on_two_topics_is_two_subscriptions
                b010_topics_do_not_see_each_other
                b011_declaring_again_changes_nothing_and_loses_nothing
                b012_a_consumer_that_joins_later_takes_part
                b013_when_one_of_two_consumers_stops_the_other_gets_everything
                b014_parallelism_bounds_concurrency
                b015_prefetch_bounds_what_a_consumer_keeps_from_others
                b016_a_slow_subscription_does_not_hold_up_another
                b017_a_publisher_of_its_own_reaches_the_same_subscriptions
                b018_events_that_no_handler_fails_come_in_order
                b019_an_event_arrives_as_it_was_published
                b020_text_of_every_script_arrives
                b021_characters_that_need_escapes_arrive
                b022_a_mebibyte_arrives
                b023_two_mebibytes_of_unicode_arrive
                b024_many_large_events_at_a_time_arrive
                b025_deep_data_arrives
                b026_numbers_at_their_limits_arrive
                b027_empty_data_stays_what_it_is
                b028_an_event_without_data_arrives
                b029_extensions_keep_their_types
                b030_the_trace_context_arrives
                b031_no_trace_context_is_invented
                b032_the_trace_state_arrives
                b033_times_keep_their_fractions
                b034_text_of_another_content_type_arrives
                b035_unusual_ids_arrive
                b036_the_body_of_peers_is_understood
                b037_any_order_and_unknown_extensions_are_understood
                b038_missing_attributes_are_for_the_handler_to_judge
                b039_the_older_version_is_understood
                b040_binary_data_in_structured_mode_is_understood
                b041_binary_mode_is_understood
                b042_binary_mode_without_data_is_understood
                b043_binary_mode_with_other_data_is_understood
                b044_attributes_of_a_structured_message_mean_nothing
                b045_what_is_not_json_becomes_a_dead_letter
                b046_bytes_that_are_no_text_become_a_dead_letter
                b047_an_event_with_something_behind_becomes_a_dead_letter
                b048_an_event_behind_a_mark_becomes_a_dead_letter
                b049_a_list_becomes_a_dead_letter
                b050_an_unknown_version_becomes_a_dead_letter
                b051_no_version_becomes_a_dead_letter
                b052_attributes_of_a_wrong_type_become_a_dead_letter
                b053_a_message_without_a_body
                b054_a_time_that_is_none_becomes_a_dead_letter
                b055_extensions_that_are_none_become_dead_letters
                b056_nested_extensions_become_dead_letters
                b057_an_event_in_binary_mode_of_an_unknown_version
                b058_data_that_is_not_of_its_content_type_becomes_a_dead_letter
                b059_garbage_among_events_holds_up_none
                b060_what_a_handler_cannot_read_is_its_own_decision
                b061_a_retried_event_comes_again_with_its_attempt
                b062_an_event_is_given_up_after_the_last_attempt
                b063_one_attempt_means_one
                b064_a_handler_can_give_up_at_once
                b065_a_handler_can_give_up_later
                b066_a_panic_is_a_retry
                b067_panics_without_end_become_a_dead_letter
                b068_a_failing_subscription_does_not_disturb_another
                b069_a_dropped_consumer_gives_its_event_back
                b070_a_retried_event_is_the_same_event
                b071_an_event_in_binary_mode_can_be_retried
                b072_fifty_events_that_fail_once_are_handled_twice_each
                b073_poison_is_delivered_as_often_as_it_may_be
                b074_each_subscription_counts_attempts_for_itself
                b075_a_retried_event_waits_without_blocking_others
                b076_delays_grow_up_to_their_ceiling
                b077_a_handler_can_lengthen_the_delay
                b078_a_handler_can_shorten_the_delay
                b079_own_delays_end_with_the_policys_attempts
                b080_a_short_delay_overtakes_a_long_one
                b081_waiting_events_survive_their_consumer
                b082_a_retry_is_for_its_subscription_only
                b083_a_whole_wave_of_retries_comes_again
                b084_an_endless_delay_is_cut_and_holds_up_nobody
                b085_dead_letters_are_listed_the_oldest_first
                b086_looking_takes_nothing_away
                b087_one_can_be_inspected
                b088_one_can_be_requeued
                b089_a_requeued_event_is_the_same_event
                b090_a_requeued_event_has_all_its_attempts_again
                b091_a_dead_letter_can_be_requeued_once
                b092_requeueing_one_leaves_the_others
                b093_all_can_be_purged
                b094_purging_nothing_is_no_error
                b095_unknown_dead_letters_are_an_error
                b096_reasons_keep_their_text
                b097_reasons_may_be_long
                b098_equal_events_are_kept_apart
                b099_many_are_published_one_at_a_time
                b100_many_are_published_with_ten_unconfirmed
                b101_many_are_published_with_a_thousand_unconfirmed
                b102_every_event_that_is_not_published_has_its_error
                b103_publishers_do_not_disturb_each_other
                b104_a_broker_that_is_there_is_healthy
                b105_a_broker_that_is_away_fails_a_publish_in_time
                b106_a_broker_that_is_away_is_not_healthy
                b107_a_consumer_without_a_broker_waits_and_can_be_stopped
                b108_everything_is_counted
                b109_shutdown_waits_for_running_handlers
                b110_what_was_held_and_not_begun_is_given_back
                b111_an_idle_consumer_ends_at_once
                b112_a_consumer_that_was_shut_down_before_takes_nothing
                b113_what_fails_during_shutdown_is_retried
                b114_what_is_given_up_during_shutdown_is_kept
                b115_events_of_the_meantime_are_kept
                b116_consumers_come_and_go_and_nothing_is_lost
                b117_what_waits_and_what_is_dead_is_told
                b118_depth_and_age_are_watched
            }
        }
    };
    (@cases $start:expr; $($case:ident)+) => {
        /// The names of all cases.
        pub(crate) const CASES: &[&str] = &[$(stringify!($case)),+];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = $start;
                crate::suite::$case(&backend).await;
            }
        )+
    };
}

conformance!(memory, hyperfleet_broker::memory::MemoryBroker::default());
// On disk.
conformance!(memory_in_a_folder, crate::memory_backend::open());
conformance!(
    pubsub,
    match crate::pubsub_backend::start().await {
        Some(backend) => backend,
        None => return,
    }
);
conformance!(
    rabbitmq,
    match crate::rabbitmq_backend::start("") {
        Some(backend) => backend,
        None => return,
    }
);
// As existing peers set a server up.
conformance!(
    rabbitmq_classic_fanout,
    match crate::rabbitmq_backend::start("?queue_type=classic&exchange_type=fanout") {
        Some(backend) => backend,
        None => return,
    }
);

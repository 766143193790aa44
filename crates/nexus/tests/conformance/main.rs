//! The conformance suite: what a backend of the nexus must do, whatever it is made of.
//!
//! Each rule is a function over a [`bench::Bench`]; `suite!` runs all of them for one backend. A new backend adds a way to
//! make a bench and one line below. `sequences` compares every backend with the reference, step by step, on random commands.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bench;
mod rules;
mod sequences;
mod steps;

macro_rules! suite {
    (redis_cluster: $($topic:ident { $($rule:ident)* })*) => {
        mod redis_cluster {
            /// All in one test: a cluster takes longer to start than all the rules together.
            #[tokio::test]
            async fn every_rule_holds() {
                $($({
                    let Some(bench) = crate::bench::Bench::redis_cluster() else { return };
                    println!(concat!(stringify!($topic), "::", stringify!($rule)));
                    crate::rules::$topic::$rule(&bench).await;
                    bench.close().await;
                })*)*
            }

            #[test]
            fn random_sequences_go_as_in_the_reference() {
                crate::sequences::go_as_in_the_reference(crate::bench::Bench::redis_cluster);
            }
        }
    };
    ($backend:ident: $($topic:ident { $($rule:ident)* })*) => {
        mod $backend {
            $(mod $topic {
                $(#[tokio::test]
                async fn $rule() {
                    let Some(bench) = crate::bench::Bench::$backend() else { return };
                    crate::rules::$topic::$rule(&bench).await;
                    bench.close().await;
                })*
            })*

            #[test]
            fn random_sequences_go_as_in_the_reference() {
                crate::sequences::go_as_in_the_reference(crate::bench::Bench::$backend);
            }
        }
    };
    ($($backend:ident)*) => {
        $(suite! { $backend:
            transactions {
                a_transaction_without_guards_is_applied
                a_refused_transaction_writes_nothing
                the_first_guard_that_fails_is_reported
                later_transactions_of_a_batch_see_earlier_ones
                a_refusal_does_not_touch_its_neighbours
                a_repeated_transaction_is_recognized_by_any_of_its_records
                a_repetition_is_recognized_before_its_guards_are_checked
                a_transaction_without_puts_is_not_recognized
                a_dropped_record_is_absent_and_a_missing_one_is_no_error
                spaces_do_not_see_each_other
            }
            guards {
                a_record_guard_wants_exactly_this_version
                a_record_guard_can_want_absence
                a_member_guard_wants_exactly_this_score
                a_member_guard_can_want_absence
                room_counts_what_the_moves_leave_behind
                a_log_len_guard_counts_trimmed_entries
                guards_see_the_state_before_their_transaction
            }
            sets {
                a_move_changes_the_score_and_keeps_one_place
                a_move_out_of_a_set_is_no_error_when_absent
                equal_scores_are_ordered_by_member
                the_largest_score_is_kept_exactly
                a_page_begins_behind_its_place_and_ends_with_its_score
                a_page_backwards_begins_below_its_place_and_ends_with_its_score
                sizes_and_scores_are_those_of_the_members
            }
            heads {
                heads_are_the_first_scores_of_the_sets_of_a_family
                heads_follow_moves_and_takes
                heads_of_many_sets_are_cut_after_the_first
            }
            takes {
                a_take_merges_sets_by_score_member_and_set
                a_take_stops_at_its_score_and_at_its_number
                what_is_taken_is_held_until_its_deadline
                later_demands_see_earlier_ones
                a_take_brings_the_records_of_its_members
                a_take_of_many_members_keeps_their_order
            }
            logs {
                positions_rise_from_zero_and_are_never_used_twice
                a_thread_is_read_without_the_others
                a_trimmed_log_keeps_its_length
                a_dropped_log_begins_again
                a_page_of_a_log_ends_early_when_it_is_large
            }
            counters {
                counters_add_up_from_zero
                counters_saturate_where_integers_stop_being_exact
            }
            limits {
                what_exceeds_a_limit_is_refused_and_writes_nothing
                a_thing_named_twice_in_one_step_is_refused
                a_page_beyond_the_limit_is_refused
            }
            life {
                hints_are_published_after_the_commit_and_only_if_applied
                the_clock_does_not_go_back
                many_callers_at_once_lose_nothing
                a_closed_nexus_answers_closed
            }
        })*
    };
}

suite! { memory sqlite redis redis_cluster }

//! The rules of [`Storage`], as tests that any backend can run.
//!
//! With a function that makes an empty store, one line makes a test of every rule:
//!
//! ```
//! # use bindu_storage::MemoryStore;
//! async fn fresh() -> MemoryStore {
//!     MemoryStore::default()
//! }
//!
//! bindu_storage::conformance_tests!(fresh);
//! # fn main() {}
//! ```
//!
//! The macro needs `tokio` with the features `macros` and `rt` among the dev-dependencies. With
//! another runtime, or outside of tests, [`run`] runs all cases one after the other:
//!
//! ```
//! # use bindu_storage::{MemoryStore, conformance};
//! # async fn fresh() -> MemoryStore { MemoryStore::default() }
//! # async fn all() {
//! conformance::run(fresh).await;
//! # }
//! # let waker = std::task::Waker::noop();
//! # let mut all = Box::pin(all());
//! # use std::future::Future;
//! # assert!(all.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready());
//! ```
//!
//! The rules of [`Ledger`](crate::Ledger) and [`ReplayGuard`](crate::ReplayGuard) have lines of
//! their own: [`ledger_tests`](crate::ledger_tests) and
//! [`replay_guard_tests`](crate::replay_guard_tests).
//!
//! Every case gets a store of its own, which must be empty. A case that finds a rule broken panics
//! and says which. Time is made up: a store that looks at a clock of its own fails.
//!
//! Where a backend cannot keep U+0000 in a text, it may keep U+FFFD instead; everything else comes
//! back as it was given.

mod beside;
mod fixture;
mod lease;
mod ledger;
mod list;
mod replay;
mod state;
mod write;

pub use beside::{
    feedback_is_kept_in_order, one_of_ten_takes_an_outbox_entry, outbox_entries_can_be_put_off,
    outbox_entries_stay_until_done, removing_a_webhook_forgets_its_deliveries,
    webhooks_are_replaced_and_removed,
};
pub use lease::{
    a_claim_is_exclusive_until_it_ends, a_lease_can_be_renewed_by_its_run_only,
    a_run_that_lost_its_task_is_refused, a_writer_outside_ends_the_run_with_the_work,
    claims_are_counted, only_one_of_ten_claims_wins, stranded_tasks_are_found,
    work_without_a_lease_is_stranded,
};
pub use ledger::{
    a_large_payment_comes_back, a_payment_is_compared_and_set, a_payment_is_opened_once,
    a_withdrawn_payment_was_never_there, due_payments_are_found,
    every_field_of_a_payment_comes_back, one_of_many_advances_a_payment,
    one_of_many_opens_a_payment, payments_are_found_by_their_task,
    payments_are_listed_newest_first, run_ledger, wrong_cursors_of_payments_are_refused,
};
pub use list::{
    a_foreign_context_cannot_be_cleared, a_used_context_belongs_to_its_owner,
    clearing_a_context_leaves_no_trace, contexts_are_listed_newest_first,
    lists_show_an_owner_only_its_own, pages_neither_repeat_nor_skip, tasks_are_counted_by_state,
    tasks_are_listed_by_creation, tasks_of_one_instant_are_all_listed,
    work_under_way_keeps_its_context, wrong_cursors_are_refused,
};
pub use replay::{a_forgotten_key_is_new_again, a_key_is_new_once, one_of_ten_is_the_first};
pub use state::{
    a_scope_has_limited_room, keys_are_listed_in_order, one_of_ten_state_writers_wins,
    only_what_is_over_and_old_is_pruned, state_is_compared_and_set,
    the_state_of_a_context_goes_with_it,
};
pub use write::{
    a_key_is_used_once, a_long_history_comes_back, a_refused_change_writes_nothing,
    a_text_with_nul_does_no_harm, appends_under_contention_are_all_kept,
    events_are_numbered_without_gaps, every_field_comes_back, ids_are_opaque,
    only_one_first_message_makes_the_task, only_one_of_ten_changes_wins,
    the_log_is_read_in_stretches, the_log_leads_to_the_task, what_is_not_there_is_not_found,
};

use std::future::Future;

use crate::Storage;

/// Runs every case, each with a store that `fresh` makes for it.
///
/// # Panics
///
/// If a rule is broken; the message says which.
pub async fn run<F, Fut, S>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
    S: Storage,
{
    macro_rules! all {
        ($fresh:ident: $($case:ident)*) => {$( $case(&$fresh().await).await; )*};
    }
    crate::for_each_storage_case!(all! fresh);
}

/// Makes a test of every rule of [`Storage`](crate::Storage): one `#[tokio::test]` per case.
///
/// Takes the path of an async function without arguments that makes an empty store. See
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:path) => {
        mod storage_conformance {
            #[allow(unused_imports, reason = "a path may be absolute")]
            use super::*;

            $crate::for_each_storage_case!($crate::conformance_test! $fresh);
        }
    };
}

/// What [`conformance_tests`] makes of the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test {
    ($fresh:path: $($case:ident)*) => {$(
        #[::tokio::test]
        async fn $case() {
            $crate::conformance::$case(&$fresh().await).await;
        }
    )*};
}

/// The list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_storage_case {
    ($($then:tt)::+ ! $($given:tt)*) => { $($then)::+ ! { $($given)*:
        feedback_is_kept_in_order
        one_of_ten_takes_an_outbox_entry
        outbox_entries_can_be_put_off
        outbox_entries_stay_until_done
        removing_a_webhook_forgets_its_deliveries
        webhooks_are_replaced_and_removed
        a_claim_is_exclusive_until_it_ends
        a_lease_can_be_renewed_by_its_run_only
        a_run_that_lost_its_task_is_refused
        a_writer_outside_ends_the_run_with_the_work
        claims_are_counted
        only_one_of_ten_claims_wins
        stranded_tasks_are_found
        work_without_a_lease_is_stranded
        a_foreign_context_cannot_be_cleared
        a_used_context_belongs_to_its_owner
        clearing_a_context_leaves_no_trace
        contexts_are_listed_newest_first
        lists_show_an_owner_only_its_own
        pages_neither_repeat_nor_skip
        tasks_are_counted_by_state
        tasks_are_listed_by_creation
        tasks_of_one_instant_are_all_listed
        work_under_way_keeps_its_context
        wrong_cursors_are_refused
        a_scope_has_limited_room
        keys_are_listed_in_order
        one_of_ten_state_writers_wins
        only_what_is_over_and_old_is_pruned
        state_is_compared_and_set
        the_state_of_a_context_goes_with_it
        a_key_is_used_once
        a_long_history_comes_back
        a_refused_change_writes_nothing
        a_text_with_nul_does_no_harm
        appends_under_contention_are_all_kept
        events_are_numbered_without_gaps
        every_field_comes_back
        ids_are_opaque
        only_one_first_message_makes_the_task
        only_one_of_ten_changes_wins
        the_log_is_read_in_stretches
        the_log_leads_to_the_task
        what_is_not_there_is_not_found
    } };
}

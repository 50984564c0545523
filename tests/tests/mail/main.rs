//! Mail through real Postfix and real Sendmail, the milter protocol, the real host and its sandbox, to a sink that
//! compares bytes. Tests that must hold on both servers are listed once, in [`on_both`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod edits;
mod failures;
mod hooks;
mod local;
mod sessions;
mod untouched;
mod verdicts;

macro_rules! on_both {
    ($($module:ident :: $test:ident),* $(,)?) => {
        mod postfix {
            $(#[test] fn $test() { super::$module::$test(wasmilter_tests::mta::Mta::Postfix); })*
        }
        mod sendmail {
            $(#[test] fn $test() { super::$module::$test(wasmilter_tests::mta::Mta::Sendmail); })*
        }
    };
}

on_both! {
    untouched::without_a_milter_the_harness_changes_nothing,
    untouched::mail_that_no_stage_touches_is_identical,
    untouched::thirty_megabytes_pass,
    edits::header_fields_are_added_inserted_changed_and_removed,
    edits::occurrences_of_a_header_field_are_told_apart,
    edits::the_content_is_replaced,
    edits::the_envelope_is_changed,
    verdicts::reject_tempfail_and_replies_of_several_lines,
    verdicts::discarded_mail_is_accepted_and_goes_nowhere,
    verdicts::quarantined_mail_is_held_with_its_edits,
    sessions::verdicts_change_from_message_to_message,
    sessions::an_aborted_transaction_leaves_nothing_behind,
    sessions::sixty_clients_at_once_get_their_own_verdicts,
    sessions::a_client_that_vanishes_hurts_nobody,
    hooks::a_sender_or_a_recipient_is_refused_and_the_rest_goes_on,
    hooks::a_client_is_refused_when_it_connects_or_greets,
    failures::a_trap_ends_as_on_failure_says,
    failures::a_slow_plugin_outlasts_the_reply_timeout,
}

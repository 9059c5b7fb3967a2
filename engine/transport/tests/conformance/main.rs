//! One suite over every bus: what holds for one client must hold for the other.
//!
//! ```text
//!   case::<Kind> ──▶ Place (driver: in a thread, in a process, absent) ──▶ Node (bus, turned by hand)
//! ```
//!
//! Each case has a deadline, so that a hang is a failure with a name. Where a client is known not to reach what
//! the suite asks, the case asserts its contained outcome and says so: see
//! [`failures::unknown_driver_events_are_survived`] and [`cases::term_ids_pass_the_largest_number`]. The table is
//! in this crate's README.

mod cases;
mod failures;
mod other_client;
mod support;

use support::{AeronRs, InProcess, Rusteron, within};

/// What a driver process runs; see [`support::be_driver_process`].
#[test]
fn driver_process() {
    support::be_driver_process();
}

#[test]
fn driver_directory_is_closed_and_taken() {
    within(
        60,
        "driver_directory_is_closed_and_taken",
        failures::driver_directory_is_closed_and_taken,
    );
}

/// Makes one test per client and case.
macro_rules! conformance {
    ($($client:ident $kind:ident { $($case:ident in $module:ident, $seconds:literal s;)* })*) => {$(
        mod $client {
            use super::*;
            $(
                #[test]
                fn $case() {
                    within($seconds, concat!(stringify!($client), "::", stringify!($case)), $module::$case::<$kind>);
                }
            )*
        }
    )*};
}

macro_rules! over_aeron {
    ($($client:ident $kind:ident)*) => {
        conformance! {$($client $kind {
            million_mixed_messages_arrive_in_order in cases, 300 s;
            mixed_messages_arrive_over_udp in cases, 300 s;
            larger_than_mtu_arrives_whole in cases, 60 s;
            back_pressure_loses_nothing in cases, 60 s;
            terms_roll_over in cases, 120 s;
            term_ids_pass_the_largest_number in cases, 60 s;
            panic_in_fill_or_handler_leaves_the_stream_whole in cases, 60 s;
            handler_may_offer_and_turn_the_bus in cases, 60 s;
            two_percent_loss_is_made_good in cases, 300 s;
            slow_subscriber_sets_the_pace in cases, 60 s;
            dead_subscriber_does_not_hold_up_for_long in cases, 60 s;
            driver_turned_by_hand_serves in cases, 60 s;
            killed_driver_is_noticed_and_replaced in failures, 120 s;
            stopped_driver_is_noticed_and_replaced in failures, 120 s;
            absent_driver_is_waited_for in failures, 60 s;
            restarted_driver_is_found_again_and_again in failures, 180 s;
            any_drop_order_is_safe in failures, 180 s;
            unknown_driver_events_are_survived in failures, 120 s;
            unusable_channel_is_refused_by_name in failures, 60 s;
            neglected_client_comes_back in failures, 60 s;
        })*}
    };
}

over_aeron! { aeron_rs AeronRs  c Rusteron }

conformance! {
    in_process InProcess {
        million_mixed_messages_arrive_in_order in cases, 300 s;
        back_pressure_loses_nothing in cases, 60 s;
        slow_subscriber_sets_the_pace in cases, 60 s;
        panic_in_fill_or_handler_leaves_the_stream_whole in cases, 60 s;
        handler_may_offer_and_turn_the_bus in cases, 60 s;
    }
}

//! The pure machines together, and where each promise of delivery is proven.
//!
//! *Stories* are those of [`simulation`]; *lanes*, *outbox* and *dedupe* are played
//! against naive models by `every_story_keeps_the_promises`,
//! `every_story_keeps_order_window_and_sums` and
//! `every_story_of_resends_is_remembered_right`. *Storms* are the short stories of
//! [`storm`], of a daemon that sends again in order.
//!
//! | invariant | proven by |
//! |---|---|
//! | SUCCESS means published, or durable | stories; `journal`: `after_a_failed_sync_what_was_promised_survives_a_power_cut` |
//! | what is taken is published, refused or open, and nothing else | stories, lanes, outbox |
//! | first publications of a lane keep their order | stories, storms, lanes, outbox |
//! | one request of a lane at most is on its way | stories, lanes |
//! | a retry goes before what came later | lanes; `a_retry_is_the_same_batch_and_goes_before_what_came_later` |
//! | a stale answer moves no lane | `answers_of_a_lost_connection_mean_nothing_on_the_next`, `a_late_refusal_means_nothing` |
//! | copies only where the outcome was unknown, none after a stop in peace, and none after a death that left a whole memo | stories |
//! | one id twice is one publish and two answers | dedupe; `two_submissions_of_one_effect_are_one_publish_and_two_answers` |
//! | what was given up and may be published goes out again as it was | `ingest`: `what_was_given_up_and_may_be_published_goes_out_again_as_it_was`, `what_went_around_a_disk_and_may_be_published_goes_out_as_it_was_also_once_it_is_kept`; `nobody_waits_longer_than_a_second` |
//! | a stop in peace waits for the journal, which marks its end | stories |
//! | what goes out is what came, byte for byte, under its key and by its route | stories; `journal`: `any_effect_comes_back_as_it_was` |
//! | an id that means something else is refused | stories; dedupe; `an_id_that_means_something_else_is_refused_and_harms_nothing` |
//! | no attempt is burnt while the transport is away | `attempts_are_not_burnt_while_the_transport_is_away` |
//! | nothing that is kept passes what its lane is parked for | stories |
//! | a lane delays no other | `lanes_that_are_never_answered_take_no_room_from_others_for_long`, `nobody_waits_for_a_suspect_but_suspects`; `ingest`: `a_lane_that_stands_still_takes_no_more_and_keeps_no_other_of_its_connection_waiting`, `sessions_that_die_with_much_on_their_way_delay_no_other_and_nothing_is_refused_for_that` |
//! | bounds hold, sums never go below zero | lanes, outbox; `a_lane_is_also_bounded_in_bytes_and_so_are_all_together` |
//! | nothing is noted as done before it is accepted | stories: a journal tells nothing that was not published |
//! | what is given up or decided is durable before anybody is told | `journal`: `what_was_published_and_what_was_given_up_without_a_disk_is_written_once_there_is_one`; stories |
//! | after a crash there is a beginning of the log with all that was durable | `journal`: `a_power_cut_after_any_change_keeps_a_beginning_with_all_that_was_durable`, `torn_writes_of_any_size_keep_a_beginning` |
//! | recovering twice is recovering once | `journal`: `a_crash_while_recovering_changes_nothing`, `the_same_history_twice_gives_the_same_state` |
//! | a flipped bit costs one record, and is told | `journal`: `any_flipped_bit_costs_one_record_at_most_and_is_told` |
//! | a truncation leaves what was before it | `journal`: `any_truncation_leaves_what_was_before_it` |
//! | compaction changes nothing that is told, wherever it crashes | `journal`: `a_crash_anywhere_in_compaction_keeps_what_is_told`; stories |
//! | records are numbered without a gap | `journal`: `numbers_have_no_gap_within_and_across_segments` |
//! | nothing is left waiting when nothing happens any more | stories, their second half |
//! | without faults everything ends in bounded time | stories, their second half |
//! | the wall clock decides nothing | `pure_rooms_name_no_runtime_no_io_and_no_clock` |
//! | every lane gets its turn | `delivery::turns`; `every_lane_gets_one_however_much_the_others_hold` |
//! | an answer goes to who asked, once | stories; `everybody_who_joined_is_named_with_the_id_they_gave` |

mod random;
mod simulation;
mod storm;

use std::ops::Range;

/// Which seeds to try: `SIMULATION_SEEDS`, or so many. `86+1` means those for
/// everybody; of a mere number a story that is long tries one in `length`.
fn seeds(usually: u64, length: u64) -> Range<u64> {
    let text = std::env::var("SIMULATION_SEEDS").unwrap_or_default();
    if let Some((from, count)) = text.split_once('+') {
        let from = from.parse().unwrap_or(0);
        return from..from + count.parse().unwrap_or(usually);
    }
    0..text.parse().map_or(usually, |count: u64| count / length)
}

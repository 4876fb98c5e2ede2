//! Every input that the fuzzer found worth keeping, through the same checks (`make fuzz` looks for more).

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Runs a target on all inputs kept for it; a panic says which one it was.
fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 20, "the corpus of {target} is gone");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        assert!(std::panic::catch_unwind(|| run(&bytes)).is_ok(), "{} shows otherwise", input.display());
    }
}

#[test]
fn a_session_is_the_same_however_its_bytes_come() {
    replay("session", targets::session::run);
}

#[test]
fn what_a_client_says_reaches_the_next_hop_and_its_answer_the_client() {
    replay("hop", targets::hop::run);
}

#[test]
fn a_header_of_the_proxy_protocol_is_read_to_its_end_and_no_further() {
    replay("proxy", targets::proxy::run);
}

#[test]
fn nobody_logs_in_without_the_password() {
    replay("login", targets::login::run);
}

#[test]
fn a_message_leaves_as_it_came() {
    replay("index", targets::index::run);
}

#[test]
fn edits_touch_nothing_that_they_do_not_name() {
    replay("slots", targets::slots::run);
}

#[test]
fn a_changed_text_reads_as_changed() {
    replay("text", targets::text::run);
}

#[test]
fn a_rule_file_is_refused_with_a_reason_or_rules() {
    replay("rules", targets::rules::run);
}

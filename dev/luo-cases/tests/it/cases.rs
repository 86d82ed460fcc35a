//! The lines that real kernels print as well (`dev/e2e/tests/scenarios/cases.rs`).

use super::emulator::{Programs, User, printed, two_stages};

/// As the kernels that the lines are from.
const LIKE: &[&str] = &["--quiet", "--like", "7.3.4"];

#[track_caller]
fn assert_lines(found: &str, expected: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn one_kernel_answers_as_linux_does() {
    let programs = Programs::new();
    for user in User::all() {
        let output = programs.script(LIKE, user, "exec ./luo-cases before");
        assert_lines(&printed(&output), include_str!("../../expected/before.txt"));
    }
}

#[test]
fn descriptors_live_as_long_as_on_linux() {
    let programs = Programs::new();
    for user in User::all() {
        let output = programs.script(LIKE, user, "./luo-cases lifetimes");
        let expected = include_str!("../../expected/lifetimes.txt");
        assert_lines(&printed(&output), expected);
    }
}

#[test]
fn what_is_handed_over_answers_as_on_linux() {
    let programs = Programs::new();
    let script = two_stages("./luo-cases leave", "./luo-cases after");
    for user in User::all() {
        let output = programs.script(LIKE, user, &script);
        assert_lines(&printed(&output), include_str!("../../expected/after.txt"));
    }
}

#[test]
fn without_defects_a_session_survives_an_answer_that_cannot_be_written() {
    let script = two_stages("./luo-cases leave", "./luo-cases after");
    let output = Programs::new().script(&[], User::Own, &script);
    assert!(printed(&output).contains("\nsession afterwards: ok\n"));
}

#[test]
fn eight_threads_make_their_sessions_at_once() {
    let output = Programs::new().script(&[], User::Own, "./luo-cases threads 8");
    assert!(printed(&output).contains("sessions: 400\n"));
}

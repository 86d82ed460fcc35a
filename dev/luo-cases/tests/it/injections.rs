//! Failures on purpose.

use super::emulator::{Programs, User, messages, printed, two_stages};

#[test]
fn the_call_of_that_number_fails_and_no_other() {
    // The second session is the one of 4096 bytes.
    let options = ["--inject", "create_session:2=ENOMEM"];
    let output = Programs::new().script(&options, User::Own, "./luo-cases threads 1; echo $?");
    let text = messages(&output);
    assert!(text.contains("create_session fails with ENOMEM"), "{text}");
    assert!(text.contains("Cannot allocate memory"), "{text}");
    assert_eq!(text.matches("as asked for").count(), 1, "{text}");
}

#[test]
fn a_call_that_waits_is_done_in_the_end_and_others_go_on() {
    let options = ["--inject", "create_session:1=stall:300"];
    let output = Programs::new().script(&options, User::Own, "./luo-cases threads 4");
    assert!(printed(&output).contains("sessions: 200\n"));
    assert!(messages(&output).contains("waits 300 ms"));
}

#[test]
fn a_reboot_can_fail_and_be_tried_again() {
    let script = "test $LUO_EMU_GENERATION = 2 && exit 5; ./luo-cases kexec kernel; \
                  ./luo-cases kexec kernel; exit 1";
    let options = ["--inject", "reboot:1=EBUSY"];
    let output = Programs::new().script(&options, User::Own, script);
    assert_eq!(output.status.code(), Some(5));
}

/// What the next kernel makes of a damaged handover.
fn corrupt(part: &str) -> (Option<i32>, String) {
    let options = ["--inject", &format!("reboot=corrupt:{part}")];
    let script = two_stages("./luo-cases leave", "./luo-cases after");
    let output = Programs::new().script(&options, User::Own, &script);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), printed + &messages(&output))
}

#[test]
fn damaged_content_is_the_clients_to_notice() {
    let (code, text) = corrupt("content");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("damages content"), "{text}");
    assert!(text.contains("position: 6\n"), "{text}");
    assert!(!text.contains("content: First content"), "{text}");
}

#[test]
fn damaged_sessions_make_the_device_fail() {
    let (code, text) = corrupt("sessions");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("open: EIO"), "{text}");
}

#[test]
fn a_damaged_luo_state_is_a_panic() {
    let (code, text) = corrupt("luo");
    assert_eq!(code, Some(125), "{text}");
    assert!(text.contains("kernel panic in generation 2"), "{text}");
}

#[test]
fn a_damaged_root_is_a_cold_boot() {
    let (code, text) = corrupt("fdt");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the handover cannot be received"), "{text}");
    assert!(text.contains("nothing was handed over"), "{text}");
}

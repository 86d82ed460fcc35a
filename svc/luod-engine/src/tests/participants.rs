//! Programs of the drop-in folder: their order, their payload, their veto.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use super::*;

/// Adds a program that writes what it is told to `log` and then does what `script` says.
fn program(boot: &Boot, name: &str, script: &str) {
    let folder = boot.runtime.path().join("programs");
    fs::create_dir_all(&folder).unwrap();
    let log = boot.runtime.path().join("log");
    let text = format!(
        "#!/bin/sh\nread -r payload\necho {name} $1 $payload >> {}\n{script}\n",
        log.display()
    );
    // Written elsewhere: a file open for writing cannot be executed, and tests fork.
    let path = folder.join(name);
    let new = folder.join(format!(".{name}"));
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

/// What programs were told, once there are so many lines.
fn log(boot: &Boot, lines: usize) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(boot.runtime.path().join("log")).unwrap_or_default();
        if text.lines().count() >= lines || begin.elapsed() > Duration::from_secs(10) {
            return text.lines().map(|line| line.trim().to_owned()).collect();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn programs_go_through_an_update_in_order_with_their_payloads() {
    let before = Boot::cold();
    program(&before, "10-a", "test $1 = prepare && echo one; true");
    program(&before, "20-b", "test $1 = freeze && echo two; true");
    before.prepare().unwrap();
    assert_eq!(log(&before, 2), ["10-a prepare", "20-b prepare"]);
    before.engine.execute(SOON, &mut ignore).unwrap_err();
    let told = log(&before, 6);
    assert_eq!(told[2..4], ["10-a freeze one", "20-b freeze"]);
    // The test's kernel never jumps, and so it is cancelled; the snapshot was taken before.
    assert_eq!(told[4..], ["10-a cancel one", "20-b cancel two"]);

    let after = Boot::of(before.host.next_boot());
    program(&after, "10-a", "");
    program(&after, "20-b", "");
    after.engine.boot_programs();
    let told = log(&after, 4);
    assert_eq!(told[..2], ["10-a boot one", "20-b boot two"]);
    assert_eq!(told[2..], ["10-a finish one", "20-b finish two"]);
    // Once for each boot.
    after.engine.boot_programs();
    assert_eq!(log(&after, 4).len(), 4);
}

#[test]
fn a_veto_is_named_and_cancels_those_that_were_asked() {
    let boot = Boot::cold();
    program(&boot, "10-a", "");
    program(
        &boot,
        "20-b",
        "test $1 = cancel || { echo disk is full >&2; exit 1; }",
    );
    program(&boot, "30-c", "");
    let refusal = boot.prepare().unwrap_err();
    assert_eq!(refusal.code, Code::Cancelled);
    let words = "the program 20-b refused prepare: disk is full";
    assert!(refusal.message.contains(words), "{refusal}");
    let told = log(&boot, 4);
    assert_eq!(
        told,
        ["10-a prepare", "20-b prepare", "10-a cancel", "20-b cancel"]
    );
    assert_eq!(boot.engine.status().phase, Phase::Normal);
    assert!(!boot.host.kernel().is_loaded);
}

#[test]
fn a_veto_at_freeze_and_one_that_is_too_slow_cancel_as_well() {
    let boot = Boot::cold();
    program(&boot, "10-a", "test $1 = freeze && exit 1; true");
    boot.prepare().unwrap();
    let refusal = boot.engine.execute(SOON, &mut ignore).unwrap_err();
    assert!(refusal.message.contains("10-a refused freeze"), "{refusal}");
    assert!(boot.host.kernel().handed_over.is_empty());
    program(&boot, "10-a", "test $1 = prepare && sleep 1000; true");
    let short = Duration::from_millis(50);
    let request = load_request("liveupdate=on");
    let refusal = boot
        .engine
        .prepare(&request, short, &mut ignore)
        .unwrap_err();
    assert!(
        refusal.message.contains("did not end within 50 ms"),
        "{refusal}"
    );
    assert_eq!(boot.engine.status().phase, Phase::Normal);
}

#[test]
fn a_program_that_fails_in_the_next_kernel_is_in_the_report() {
    let before = Boot::cold();
    program(&before, "10-a", "");
    let after = before.jump(|_| {});
    program(&after, "10-a", "echo no such device >&2; exit 1");
    after.engine.boot_programs();
    let report = after.engine.report().unwrap();
    let lost: Vec<_> = report
        .lost
        .iter()
        .map(|lost| (&*lost.service, &*lost.reason))
        .collect();
    assert_eq!(lost, [("10-a", "no such device")]);
    assert!(report.has_required_loss());
}

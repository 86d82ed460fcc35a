//! The fill and verify program, as the demonstration runs it.

use std::process::{Command, Output};

use crate::client::Running;

fn run(action: &str, address: &str, keys: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvcache-load"))
        .args([action, "--keys", keys, "--value-bytes", "77", "--seed", "9"])
        .args(["--connect", address])
        .output()
        .unwrap()
}

#[test]
fn what_was_filled_verifies_and_damage_is_named() {
    let server = Running::start(8 << 20);
    let address = &server.address;
    assert!(run("fill", address, "5000").status.success());
    let output = run("verify", address, "5000");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("verified 5000 keys, 0 missing, 0 wrong"),
        "{text}"
    );

    let mut client = server.client();
    client.expect(b"DEL key:9:0000000007\r\n", b":1\r\n");
    client.expect(b"SET key:9:0000000011 other\r\n", b"+OK\r\n");
    let output = run("verify", address, "5000");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("key:9:0000000007 is missing"), "{text}");
    assert!(
        text.contains("key:9:0000000011 differs from byte 0 on"),
        "{text}"
    );
    assert!(
        text.contains("verified 4998 keys, 1 missing, 1 wrong"),
        "{text}"
    );
}

#[test]
fn filling_more_than_fits_fails_with_the_reason() {
    let server = Running::start(64 << 10);
    let output = run("fill", &server.address, "5000");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("OOM command not allowed"), "{text}");
}

#[test]
fn unreachable_server_is_named() {
    let output = run("verify", "/nonexistent/socket", "1");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot connect to /nonexistent/socket"),
        "{text}"
    );
}

//! The program on files that assemblers made.
#![expect(
    clippy::unwrap_used,
    reason = "what is not as it should be fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What the program said: exit code, standard output, standard error.
type Said = (i32, String, String);

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn sframe(args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sframe"));
    let output = command.args(args).current_dir(testdata()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(args: &[&str]) -> (i32, Value) {
    let (code, out, err) = sframe(args);
    assert_eq!(err, "");
    (code, serde_json::from_str(&out).unwrap())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn dumps_of_relocatable_files_are_those_of_objdump() {
    for name in [
        "aarch64-sample",
        "x86-64-sample",
        "s390x",
        "aarch64-corrupt",
    ] {
        let (code, out, err) = sframe(&["dump", &format!("{name}.o")]);
        assert_eq!((code, err.as_str()), (0, ""));
        let theirs = std::fs::read_to_string(testdata().join(format!("{name}.dump"))).unwrap();
        assert_eq!(out, theirs, "{name}");
    }
}

#[test]
fn verification_fails_with_errors_and_names_the_function() {
    let (code, out, _) = sframe(&[
        "verify",
        "aarch64-sample.o",
        "--policy",
        "kernel-arm64-module",
    ]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = sframe(&["verify", "x86-64-sample.o", "--policy", "user"]);
    assert_eq!(code, 4);
    assert!(out.contains("error[unsorted]"), "{out}");
    let (code, out, _) = sframe(&["verify", "aarch64-sample.o", "--policy", "kernel-arm64"]);
    assert_eq!(code, 4);
    assert!(out.contains("error[unsorted]"), "{out}");
    let args = [
        "verify",
        "aarch64-corrupt.o",
        "--policy",
        "kernel-arm64-module",
        "--json",
    ];
    let (code, answer) = json(&args);
    assert_eq!(code, 4);
    let finding = &answer["findings"][0];
    assert_eq!(finding["code"], "flexible");
    assert_eq!(finding["function"], "corrupt");
}

#[test]
fn coverage_names_what_has_no_rules() {
    let (code, answer) = json(&["coverage", "s390x.o", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(answer["uncovered"], serde_json::json!([]));
    assert_eq!(answer["functions"], 7);
    let (code, out, _) = sframe(&["coverage", "x86-64-sample.o", "--at-least", "99.9"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn lookups_say_rules_and_fail_where_there_are_none() {
    let (code, found) = json(&["lookup", "s390x.o", "0x1002", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(found["function"], "leaf");
    assert_eq!(found["cfa"], "sp+160");
    assert_eq!(found["ra"], "r14");
    let (code, out, _) = sframe(&["lookup", "s390x.o", "0"]);
    assert_eq!((code, out.as_str()), (6, "0x0: not covered\n"));
}

#[test]
fn a_version_that_cannot_say_it_names_the_function() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("converted");
    let convert = [
        "convert",
        "s390x.o",
        "--to",
        "v2",
        "--output",
        path(&output),
    ];
    let (code, _, err) = sframe(&convert);
    assert_eq!(code, 5);
    assert!(
        err.contains("function other_base: the row at 0x4 needs a flexible"),
        "{err}"
    );
    assert!(!output.exists());
    let (code, _, err) = sframe(&[&convert[..], &["--leave-out"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("left out: function other_base"), "{err}");
    let (code, out, _) = sframe(&["dump", path(&output)]);
    assert_eq!(code, 0);
    assert!(
        out.contains("SFRAME_VERSION_2") && out.contains("Num FDEs: 6"),
        "{out}"
    );
}

#[test]
fn what_is_sorted_says_so_and_has_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("sorted");
    let (code, _, err) = sframe(&["sort", "aarch64-sample.o", "--output", path(&output)]);
    assert_eq!(code, 0);
    // The address it is for is said, and is needed to read it.
    let addr = err.trim().rsplit(' ').next().unwrap().to_owned();
    let before = sframe(&["lookup", "aarch64-sample.o", "0x1080"]).1;
    let after = sframe(&["lookup", path(&output), "--address", &addr, "0x1080"]).1;
    let rules = |line: &str| line.split_once(": ").unwrap().1.to_owned();
    assert_eq!(rules(&before), rules(&after));
    let (_, out, _) = sframe(&["dump", path(&output)]);
    assert!(out.contains("SFRAME_F_FDE_SORTED"), "{out}");
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let (code, _, err) = sframe(&["dump", "aarch64-sample.o", "--section", ".other"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("there is no section .other") && err.contains("hint:"),
        "{err}"
    );
    let (code, _, err) = sframe(&["dump", "README.md"]);
    assert_eq!(code, 3);
    assert!(err.contains("magic number 0x2023 is not 0xdee2"), "{err}");
}

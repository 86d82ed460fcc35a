//! `luoctl compose` and `luoctl boot`, as far as no kernel is started.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::printed;

const PLAN: &str = r#"
[handover]
release = "7.3.4"

[machine]
memory = "1G"

[[session]]
name = "db"

[[session.file]]
token = "0xffffffffffffffff"
content = "content"
seals = ["grow"]
"#;

fn luoctl(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luoctl"));
    command.current_dir(folder).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with the plan and what was composed of it.
fn composed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.toml"), PLAN).unwrap();
    fs::write(folder.path().join("content"), b"some content").unwrap();
    let output = luoctl(folder.path(), &["compose", "plan.toml", "--output", "out"]);
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

#[test]
fn inspect_reads_what_was_composed_and_finds_nothing_wrong() {
    let folder = composed();
    let output = luoctl(folder.path(), &["inspect", "out", "--verify", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let sums = printed("inspect --verify", &output).remove(0);
    assert_eq!(sums["scratch_checked"], true);
    assert_eq!((&sums["files"], &sums["problems"]), (&1.into(), &0.into()));
    let extract = ["inspect", "out", "--extract", "db", "0xffffffffffffffff"];
    let output = luoctl(folder.path(), &extract);
    assert_eq!(output.stdout, b"some content", "{}", stderr(&output));
}

#[test]
fn composing_says_what_was_made() {
    let folder = composed();
    let args = ["compose", "plan.toml", "--output", "out", "--json"];
    let output = luoctl(folder.path(), &args);
    let made = printed("compose", &output).remove(0);
    assert_eq!((&made["sessions"], &made["files"]), (&1.into(), &1.into()));
    let description = fs::read(folder.path().join("out/handoff.json")).unwrap();
    let description: Value = serde_json::from_slice(&description).unwrap();
    assert_eq!(description["fdt"], made["fdt"]);
}

#[test]
fn a_plan_that_is_wrong_is_refused_with_file_line_and_column() {
    let folder = composed();
    fs::write(folder.path().join("bad.toml"), PLAN.replace("grow", "grwo")).unwrap();
    let output = luoctl(folder.path(), &["compose", "bad.toml", "--output", "bad"]);
    assert_eq!(output.status.code(), Some(2));
    let error = stderr(&output);
    assert!(
        error.starts_with("error: bad.toml: line 14, column 10: unknown variant `grwo`"),
        "{error}"
    );
    assert!(!folder.path().join("bad").exists());
    let small = PLAN.replace("1G", "128M");
    fs::write(folder.path().join("small.toml"), small).unwrap();
    let output = luoctl(folder.path(), &["compose", "small.toml", "--output", "bad"]);
    assert_eq!(output.status.code(), Some(21), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_booted_is_refused_with_its_own_exit_code() {
    let folder = composed();
    fs::write(folder.path().join("no-kernel"), [0; 8192]).unwrap();
    for (args, code, words) in [
        (["out", "gone"], 7, "cannot read gone: No such file"),
        (["out", "no-kernel"], 7, "no-kernel: "),
        ([".", "no-kernel"], 17, "read ./handoff.json"),
    ] {
        let [handover, kernel] = args;
        let args = ["boot", handover, "--kernel", kernel, "--elf", "start.elf"];
        let output = luoctl(folder.path(), &args);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(words), "{error}");
    }
    assert!(!folder.path().join("start.elf").exists());
}

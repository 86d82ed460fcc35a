//! What is printed with `--json`, beside its schemas: what needs no luod. The rest is compared in the scenarios of `dev/e2e`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::printed;

fn luoctl(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_luoctl"))
        .args(words.split(' '))
        .current_dir(folder)
        .output()
        .unwrap()
}

const MANIFEST: &str = "[[file]]\npath = \"init\"\ncontent = \"#!/bin/sh\\n\"\nmode = \"0755\"\n";

#[test]
fn every_schema_can_be_had_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let listed = luoctl(folder.path(), "schema");
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.lines().count() > 15, "{names}");
    for name in names.lines() {
        let output = luoctl(folder.path(), &format!("schema {name}"));
        let text = String::from_utf8(output.stdout).unwrap();
        let expected = json_schemas::find("luoctl", name).unwrap().text;
        assert_eq!(text, expected, "{name}");
    }
    let absent = luoctl(folder.path(), "schema nothing --json");
    assert_eq!(absent.status.code(), Some(14));
    printed("schema --json", &absent);
}

#[test]
fn what_is_printed_without_luod_is_as_the_schemas_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for command in [
        "status", "sessions", "report", "history", "metrics", "cancel", "finish",
    ] {
        let words = format!("{command} --json --socket nobody");
        let output = luoctl(path, &words);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert_eq!(printed(&words, &output)[0]["error"]["kind"], "Unreachable");
    }
    fs::write(path.join("kernel"), b"no kernel").unwrap();
    let words = "check --kernel kernel --cmdline x --json";
    let output = luoctl(path, words);
    assert_eq!(output.status.code(), Some(22), "{output:?}");
    assert!(
        !printed(words, &output)[0]["stops"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    fs::write(path.join("image.toml"), MANIFEST).unwrap();
    fs::write(path.join("other.toml"), MANIFEST.replace("0755", "0700")).unwrap();
    let lines = [
        "initrd build image.toml --output a.img --json",
        "initrd build other.toml --output b.img --json",
        "initrd append a.img other.toml --output c.img --json",
        "initrd diff a.img b.img --json",
        "initrd list c.img --json",
        "initrd check c.img --json",
    ];
    for words in lines {
        printed(words, &luoctl(path, words));
    }
}

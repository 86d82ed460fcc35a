//! The client library for C, as C programs use it: linked both ways, beside the real luod.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Luod;

/// The crate of the library.
fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../svc/liveupdate-c")
}

/// Builds the library; where the shared and the static one are.
fn library() -> (PathBuf, PathBuf) {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "liveupdate-c"])
        .args(["--lib", "--message-format", "json-render-diagnostics"])
        .current_dir(crate_folder())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "liveupdate-c does not build");
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let files: Vec<PathBuf> = messages
        .filter(|message| message["target"]["name"] == "liveupdate_c")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .map(|name| name.as_str().unwrap().into())
        .collect();
    let with = |extension: &str| {
        let mut found = files.iter();
        let has = |file: &&PathBuf| file.extension().is_some_and(|own| own == extension);
        found.find(has).unwrap().clone()
    };
    (with("so"), with("a"))
}

/// Compiles a C program with every warning an error, linked with `library`.
fn compile(source: &str, library: &Path, program: &Path) {
    let folder = crate_folder();
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-D_DEFAULT_SOURCE",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .arg("-I")
        .arg(folder.join("include"))
        .arg(folder.join(source))
        .arg(library)
        .arg("-o")
        .arg(program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}: {said}");
}

#[test]
fn every_call_does_what_the_header_says_linked_both_ways() {
    let (shared, fixed) = library();
    let folder = tempfile::tempdir().unwrap();
    // Under the name that the library says it has, as a package installs it.
    fs::copy(&shared, folder.path().join("libliveupdate.so.0")).unwrap();
    for library in [&shared, &fixed] {
        let luod = Luod::start();
        let program = folder.path().join("calls");
        compile("tests/calls.c", library, &program);
        let output = Command::new(&program)
            .arg(luod.socket())
            .env("LD_LIBRARY_PATH", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", library.display());
        assert_eq!(output.stdout, b"every call is as the header says\n");
    }
}

#[test]
fn the_library_has_the_functions_of_the_header_and_no_others() {
    let (shared, _) = library();
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=just-symbols"])
        .arg(&shared)
        .output()
        .unwrap();
    let symbols = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<&str> = symbols.lines().collect();
    let header = fs::read_to_string(crate_folder().join("include/liveupdate.h")).unwrap();
    let declared = header.lines().filter_map(|line| {
        let is_code = line.starts_with(|first: char| first.is_ascii_alphabetic());
        let (before, _) = line.split_once('(').filter(|_| is_code)?;
        let start = before.find("liveupdate_")?;
        before.get(start..)
    });
    let declared: BTreeSet<&str> = declared.collect();
    assert_eq!(declared.len(), 24, "{declared:?}");
    assert_eq!(exported, declared);
}

/// Starts the example; ended by the end of the test.
struct Counter {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Counter {
    fn start(program: &Path, luod: &Luod) -> Self {
        let mut child = Command::new(program)
            .arg("counter")
            .env("LIVEUPDATE_SOCKET", luod.socket())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = Box::new(lines.map_while(Result::ok));
        Self { child, lines }
    }

    /// What it says next.
    fn next(&mut self) -> String {
        self.lines.next().unwrap()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn the_example_goes_on_counting_after_its_own_restart_and_luods() {
    let (_, fixed) = library();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("counter");
    compile("examples/counter.c", &fixed, &program);
    let mut luod = Luod::start();
    let mut counter = Counter::start(&program, &luod);
    assert_eq!(
        (counter.next(), counter.next()),
        ("counter: new at 0".into(), "counter: serves".into())
    );
    drop(counter);

    let mut counter = Counter::start(&program, &luod);
    assert!(counter.next().starts_with("counter: kept at "));
    assert_eq!(counter.next(), "counter: serves");
    luod.kill();
    luod.restart();
    // It noticed by itself, and has the same memory again.
    assert!(counter.next().starts_with("counter: kept at "));
    assert_eq!(counter.next(), "counter: serves");
}

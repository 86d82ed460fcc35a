//! `luoctl` as its users run it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod compose;
mod initrd;
mod inspect;
mod pstore;
mod schemas;

use std::process::Output;

use serde_json::Value;

/// What a command printed with `--json`, as its schema has it.
#[track_caller]
fn printed(words: &str, output: &Output) -> Vec<Value> {
    let words: Vec<&str> = words.split(' ').collect();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let values = json_schemas::check_output("luoctl", &words, &text).unwrap();
    assert!(!values.is_empty(), "{words:?}: {output:?}");
    values
}

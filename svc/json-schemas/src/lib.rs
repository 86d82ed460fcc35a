//! JSON Schemas (draft 2020-12) of everything `luoctl`, `ksyms` and `klp` print with `--json`.
//!
//! One file a command in `schemas/`, and [`ALL`], the table of commands. What a command prints one a line has the schema
//! of a line. Programs print theirs (`luoctl schema NAME`); tests compare what programs print with them by
//! `check()`, which also finds a field that the schema does not have: readers of a schema may meet new fields, and its
//! keepers may not forget any.

#[cfg(feature = "check")]
mod check;

#[cfg(feature = "check")]
pub use check::{Mismatch, check, check_output};

/// The schema of one command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The program.
    pub program: &'static str,
    /// The words of the command with hyphens between; `error` is what any command prints when it fails.
    pub name: &'static str,
    /// The schema.
    pub text: &'static str,
}

/// The table: programs, and under which names which files.
macro_rules! schemas {
    ($($program:literal: { $($name:literal => $file:literal,)* })*) => {
        /// Every schema.
        pub const ALL: &[Schema] = &[$($(Schema {
            program: $program,
            name: $name,
            text: include_str!(concat!("../schemas/", $program, "/", $file, ".json")),
        },)*)*];
    };
}

schemas! {
    "luoctl": {
        "boot" => "boot",
        "cancel" => "done",
        "check" => "check",
        "compose" => "compose",
        "error" => "error",
        "events" => "events",
        "finish" => "done",
        "fs-tune" => "fs-tune",
        "history" => "history",
        "initrd-append" => "initrd-append",
        "initrd-build" => "initrd-build",
        "initrd-check" => "initrd-check",
        "initrd-diff" => "initrd-diff",
        "initrd-list" => "initrd-list",
        "inspect" => "inspect",
        "metrics" => "metrics",
        "mount-upgrade" => "mount-upgrade",
        "pstore-check" => "pstore-check",
        "pstore-collect" => "pstore-collect",
        "pstore-export" => "pstore-export",
        "pstore-list" => "pstore-list",
        "pstore-region" => "pstore-region",
        "pstore-setup" => "pstore-setup",
        "pstore-show" => "pstore-show",
        "report" => "report",
        "sessions" => "sessions",
        "status" => "status",
        "update" => "update",
    }
    "ksyms": {
        "error" => "error",
        "klp-check" => "klp-check",
        "lookup" => "lookup",
        "name" => "name",
        "sort-check" => "sort-check",
        "sympos" => "sympos",
    }
    "klp": {
        "verify" => "verify",
    }
}

/// The schemas of one program.
pub fn of(program: &str) -> impl Iterator<Item = &'static Schema> {
    ALL.iter().filter(move |schema| schema.program == program)
}

/// The schema of one command.
pub fn find(program: &str, name: &str) -> Option<&'static Schema> {
    of(program).find(|schema| schema.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_in_the_table() {
        let mut files = BTreeSet::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        for program in fs::read_dir(root).unwrap() {
            for file in fs::read_dir(program.unwrap().path()).unwrap() {
                files.insert(fs::read_to_string(file.unwrap().path()).unwrap());
            }
        }
        let table: BTreeSet<_> = ALL.iter().map(|schema| schema.text.to_owned()).collect();
        assert_eq!(files, table);
    }
}

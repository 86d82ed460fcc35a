//! The sections in `testdata/sections`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a fixture that is not as it should be fails the test"
)]

use std::path::PathBuf;

use sframe_unwind::{Flags, Placement, Section};

/// A section with its dump.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) placement: Placement,
    pub(crate) dump: String,
}

impl Fixture {
    pub(crate) fn section(&self) -> Section<'_> {
        Section::parse(&self.bytes, self.placement).expect(&self.name)
    }

    /// The bytes with a flag cleared.
    pub(crate) fn with_flags_without(&self, flags: Flags) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[3] &= !flags.0;
        bytes
    }
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/sections")
}

/// All of them, in the order of the index.
pub(crate) fn all() -> Vec<Fixture> {
    let read = |name: String| std::fs::read(folder().join(&name)).expect(&name);
    let index = String::from_utf8(read("index.txt".to_owned())).unwrap();
    let fixtures: Vec<_> = index
        .lines()
        .map(|line| {
            let (name, addr) = line.split_once(" 0x").expect("a name and an address");
            Fixture {
                name: name.to_owned(),
                bytes: read(format!("{name}.sframe")),
                placement: Placement {
                    section_addr: u64::from_str_radix(addr, 16).unwrap(),
                },
                dump: String::from_utf8(read(format!("{name}.dump"))).unwrap(),
            }
        })
        .collect();
    assert!(!fixtures.is_empty());
    fixtures
}

/// The one of a name.
pub(crate) fn named(name: &str) -> Fixture {
    let found = all().into_iter().find(|fixture| fixture.name == name);
    found.expect(name)
}

//! Recordings by name.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a recording that is not as it should be fails the test"
)]

use std::path::PathBuf;

use sframe_oracle::Recording;
use sframe_unwind::{Placement, Section};

pub(crate) fn recording(name: &str) -> Recording {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let packed = std::fs::read(folder.join(format!("{name}.zst"))).expect(name);
    Recording::read(&packed).expect(name)
}

pub(crate) fn section(recording: &Recording) -> Section<'_> {
    let placement = Placement {
        section_addr: recording.sframe_addr,
    };
    Section::parse(&recording.sframe, placement).unwrap()
}

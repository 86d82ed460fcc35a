//! SFrame sections.

use std::fmt::Write as _;

use sframe_unwind::write::{Draft, Format, Starts};
use sframe_unwind::{Compiled, Dump, Fde, Flags, Placement, Policy, Section, Tables as _, verify};

/// Any address: starts are distances from it.
const ADDR: u64 = 0x10_0000;
/// Most functions of which every edge is looked up.
const MOST: usize = 64;

macro_rules! sections {
    ($($name:literal)*) => {
        vec![$(include_bytes!(concat!("../../../core/sframe-unwind/testdata/sections/", $name, ".sframe")).to_vec()),*]
    };
}

/// What assemblers and linkers of three versions made, for three processors and both byte orders.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    sections![
        "v1-aarch64" "v1-aarch64-be" "v1-x86-64" "v2-aarch64" "v2-aarch64-be" "v2-x86-64"
        "v2-pcrel-aarch64" "v2-pcrel-aarch64-be" "v2-pcrel-x86-64" "v2-pcrel-s390x" "v3-aarch64"
        "v3-aarch64-be" "v3-x86-64" "v3-s390x" "v3-aarch64-corrupt" "v3-x86-64-signal"
        "v3-aarch64-sample" "v3-x86-64-sample" "v3-s390x-sample"
    ]
}

/// Takes what is written and keeps only its length.
struct Length(usize);

impl std::fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Everything that reads a section reads it; in one that nothing is wrong with nothing fails, and all agree.
pub(crate) fn section(bytes: &[u8]) {
    let placement = Placement { section_addr: ADDR };
    let Ok(section) = Section::parse(bytes, placement) else {
        return;
    };
    let mut length = Length(0);
    assert!(write!(length, "{}", Dump::new(&section, ".sframe")).is_ok());
    assert!(
        length.0 <= 1024 + 200 * bytes.len(),
        "a dump of {} bytes",
        length.0
    );
    let mut errors = [0; 2];
    for (errors, policy) in errors.iter_mut().zip([Policy::Spec, Policy::KernelArm64]) {
        let report = verify(&section, policy, &mut |finding| {
            assert!(!finding.code.name().is_empty());
        });
        *errors = report.errors;
    }
    assert!(
        errors[0] <= errors[1],
        "a kernel accepts what the specification does not"
    );
    let is_good = errors[0] == 0;
    let compiled = Compiled::build(&[section]);
    assert!(
        compiled.is_ok() || !is_good,
        "verified, and not compiled: {compiled:?}"
    );
    let functions: Vec<Fde> = section.fdes().filter_map(Result::ok).take(MOST).collect();
    for fde in &functions {
        for pc in [
            fde.start.wrapping_sub(1),
            fde.start,
            fde.end().wrapping_sub(1),
            fde.end(),
        ] {
            let in_place = section.cover(pc);
            assert!(
                in_place.is_ok() || !is_good,
                "verified, and not found: {in_place:?}"
            );
            if let (Ok(compiled), true) = (&compiled, is_good) {
                assert_eq!(compiled.cover(pc), in_place, "{pc:#x}");
            }
        }
    }
    rewrite(&section, is_good);
}

/// What is read is written so that it is read again.
fn rewrite(section: &Section<'_>, is_good: bool) {
    let Ok(draft) = Draft::read(section) else {
        assert!(!is_good, "verified, and not read");
        return;
    };
    let header = section.header();
    let starts = if header.flags.contains(Flags::PCREL) {
        Starts::Field
    } else {
        Starts::Section
    };
    let format = Format {
        version: header.version,
        starts,
        section_addr: ADDR,
    };
    let Ok(written) = draft.write(&format) else {
        return;
    };
    let placement = Placement { section_addr: ADDR };
    let again = Section::parse(&written, placement)
        .ok()
        .and_then(|again| Draft::read(&again).ok());
    if is_good {
        assert_eq!(again, Some(draft));
    }
}

//! Ways to look up an instruction.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use sframe_unwind::{Compiled, Section};

use super::data::Data;
use super::{Lookup, each, least};

/// Runs `find_fn` for every address.
fn measure(
    name: &'static str,
    pcs: &[u64],
    runs: usize,
    mut find_fn: impl FnMut(u64) -> bool,
) -> Lookup {
    let mut found = 0;
    let ns = least(runs, || {
        found = pcs.iter().filter(|pc| find_fn(black_box(**pc))).count();
    });
    Lookup {
        name,
        ns: each(ns, pcs.len()),
        found,
    }
}

pub(super) fn in_place(section: &Section<'_>, pcs: &[u64], runs: usize) -> Lookup {
    measure("sframe-unwind, in place", pcs, runs, |pc| {
        black_box(section.find(pc)).is_ok_and(|found| found.is_some())
    })
}

pub(super) fn compiled(compiled: &Compiled, pcs: &[u64], runs: usize) -> Lookup {
    measure("sframe-unwind, compiled", pcs, runs, |pc| {
        black_box(compiled.find(pc)).is_some()
    })
}

pub(super) fn simple_frame_rs(data: &Data, pcs: &[u64], runs: usize) -> Result<Lookup> {
    let section = simple_frame_rs::SFrameSection::from(&data.bytes, data.section_addr);
    let section = section
        .ok()
        .context("simple-frame-rs does not read the section")?;
    Ok(measure("simple-frame-rs 0.3", pcs, runs, |pc| {
        let Ok(Some(fde)) = section.find_fde(pc) else {
            return false;
        };
        let Ok(Some(fre)) = fde.find_fre(&section, pc) else {
            return false;
        };
        // As much as the others give: the rules.
        let rules = (
            fre.get_cfa_offset(&section),
            fre.get_ra_offset(&section),
            fre.get_fp_offset(&section),
        );
        black_box(rules).0.is_ok()
    }))
}

//! Looking up SFrame data, and unwinding by it, beside libsframe, simple-frame-rs and framehop.

use std::path::Path;

use anyhow::{Result, ensure};
use sframe_unwind::{Compiled, Placement, Policy, Section, verify};

mod data;
mod libsframe;
mod lookup;
mod step;

use data::Data;

/// Instructions that are looked up in a turn.
const LOOKUPS: usize = 100_000;
/// Instructions that a hot loop or a few stacks have.
const HOT: usize = 200;

/// Measures and gives each line to `line_fn`.
///
/// # Errors
/// The ways to look up do not find the same.
pub fn measure(folder: &Path, runs: usize, line_fn: &mut dyn FnMut(&str)) -> Result<()> {
    let library = libsframe::build(folder);
    if let Err(error) = &library {
        line_fn(&format!("libsframe is not measured: {error:#}"));
    }
    let mut all = vec![data::synthetic()?];
    match data::sqlite(folder) {
        Ok(data) => all.insert(0, data),
        Err(error) => line_fn(&format!("no large program is measured: {error:#}")),
    }
    for data in &all {
        measure_one(folder, data, library.as_deref().ok(), runs, line_fn)?;
    }
    Ok(())
}

fn measure_one(
    folder: &Path,
    data: &Data,
    library: Option<&Path>,
    runs: usize,
    line_fn: &mut dyn FnMut(&str),
) -> Result<()> {
    let placement = Placement {
        section_addr: data.section_addr,
    };
    let section = Section::parse(&data.bytes, placement)?;
    let compiled = Compiled::build(&[section])?;
    let header = section.header();
    line_fn(&format!(
        "\n{}: {} functions, {} rows, {} rules; table of {} bytes",
        data.name,
        header.num_fdes,
        header.num_fres,
        compiled.rules(),
        compiled.size_bytes()
    ));
    let rows = f64::from(header.num_fres);
    let build = least(runs, || drop(Compiled::build(&[section])));
    let check = least(runs, || {
        verify(&section, Policy::Spec, &mut |_finding| {});
    });
    line_fn(&format!(
        "  ns for each row: compile {:.1} (target 50), verify {:.1} (target 30)",
        build / rows,
        check / rows
    ));
    let pcs = data.addresses();
    let mut results = vec![
        lookup::in_place(&section, &pcs, runs),
        lookup::compiled(&compiled, &pcs, runs),
        lookup::simple_frame_rs(data, &pcs, runs)?,
    ];
    if let Some(library) = library {
        results.push(libsframe::lookup(folder, library, data, &pcs, runs)?);
    }
    let wanted = results.first().map(|result| result.found);
    for result in &results {
        line_fn(&format!(
            "  find  {:<28} {:>7.1} ns",
            result.name, result.ns
        ));
        // A peer with the defects that are known finds other rows in repeated code, but as many.
        ensure!(
            Some(result.found) == wanted,
            "{} finds {}",
            result.name,
            result.found
        );
    }
    let [in_place, compiled_result, peers @ ..] = results.as_slice() else {
        return Ok(());
    };
    for peer in peers {
        line_fn(&format!(
            "  ratio {:<28} {:>6.1}x in place, {:.1}x compiled",
            peer.name,
            peer.ns / in_place.ns,
            peer.ns / compiled_result.ns
        ));
    }
    if let Some(program) = &data.program {
        step::measure(data, program, &section, &compiled, runs, line_fn)?;
    }
    Ok(())
}

/// What a way to look up came to.
#[derive(Clone, Debug)]
struct Lookup {
    name: &'static str,
    /// Nanoseconds for each.
    ns: f64,
    /// How many instructions are covered.
    found: usize,
}

/// Processor time of the least turn, in nanoseconds.
fn least(runs: usize, mut turn_fn: impl FnMut()) -> f64 {
    let turns = (0..runs.max(1)).map(|_turn| {
        let before = processor_time();
        turn_fn();
        processor_time() - before
    });
    turns.fold(f64::INFINITY, f64::min)
}

/// Of this thread, in nanoseconds.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^53 nanoseconds")]
    let ns = time.tv_sec as f64 * 1e9 + time.tv_nsec as f64;
    ns
}

/// Nanoseconds for each of so many.
fn each(ns: f64, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of lookups")]
    let ns = ns / count as f64;
    ns
}

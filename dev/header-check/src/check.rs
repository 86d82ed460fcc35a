//! The check itself: probes, compiler, comparison.

use std::path::Path;

use kho_abi::PageSize;

use crate::compile::{Mode, assembly};
use crate::coverage::{macro_definition, read, unknown_definitions};
use crate::probe::{Expected, LABEL_PREFIX, Probe, c_source, label, probes};
use crate::table::{Table, table};
use crate::{Error, Mismatch, Release, Report, Result, asm};

/// Compares both ABI crates with the headers of `source_tree`.
///
/// Without `build_dir` the headers are compiled with small shims for every page size; with the
/// folder of a configured x86 build also as the kernel itself would be.
///
/// # Errors
///
/// When the comparison cannot be made; differences are in the report.
pub fn check(source_tree: &Path, build_dir: Option<&Path>) -> Result<Report> {
    let release = Release::of(source_tree)?;
    let mut report = Report::default();
    for page_size in PageSize::ALL {
        let part = check_table(source_tree, None, &table(release, page_size))?;
        merge(&mut report, part);
    }
    if build_dir.is_some() {
        let part = check_table(source_tree, build_dir, &table(release, PageSize::Size4K))?;
        merge(&mut report, part);
    }
    Ok(report)
}

/// Compares one table with the headers of `source_tree`.
///
/// # Errors
///
/// As for [`check`].
pub fn check_table(source_tree: &Path, build_dir: Option<&Path>, table: &Table) -> Result<Report> {
    for header in table.headers() {
        let path = source_tree.join(header);
        if !path.is_file() {
            return Err(Error::NotASourceTree { path });
        }
    }
    let probes = probes(table);
    let source = c_source(table, &probes, &macros_of_c_files(source_tree, table)?);
    let mode = build_dir.map_or(Mode::Shims(table.page_size), Mode::Build);
    let assembly = assembly(source_tree, mode, &source)?;
    let found = asm::data_of_labels(&assembly, LABEL_PREFIX)?;
    let mut report = Report {
        compared: probes.len(),
        mismatches: Vec::new(),
    };
    for (index, probe) in probes.iter().enumerate() {
        let theirs = found.get(&label(index)).map(Vec::as_slice);
        report.mismatches.extend(compare(probe, theirs, mode));
    }
    report
        .mismatches
        .extend(unknown_definitions(source_tree, table)?);
    Ok(report)
}

/// Adds `part`; what two runs find alike is reported once.
fn merge(report: &mut Report, part: Report) {
    report.compared += part.compared;
    for mismatch in part.mismatches {
        if !report.mismatches.contains(&mismatch) {
            report.mismatches.push(mismatch);
        }
    }
}

/// Definitions of the macros that live in `.c` files.
fn macros_of_c_files(tree: &Path, table: &Table) -> Result<String> {
    let mut macros = String::new();
    let entries = table
        .constants
        .iter()
        .map(|constant| (constant.header, constant.c_name))
        .chain(
            table
                .strings
                .iter()
                .map(|string| (string.header, string.c_name)),
        );
    for (file, name) in entries {
        if Path::new(file).extension().is_some_and(|ext| ext == "c") {
            // A macro that is gone stays undefined and is reported as missing.
            if let Some(text) = macro_definition(&read(&tree.join(file))?, name) {
                macros.push_str(&text);
            }
        }
    }
    Ok(macros)
}

/// Compares one value.
fn compare(probe: &Probe, theirs: Option<&[u8]>, mode: Mode<'_>) -> Option<Mismatch> {
    let (ours, theirs) = match (&probe.expected, theirs) {
        (expected, None) => (shown(expected), "missing".to_owned()),
        (Expected::Number(ours), Some(bytes)) => {
            let theirs = <[u8; 8]>::try_from(bytes).ok().map(u64::from_le_bytes);
            if theirs == Some(*ours) {
                return None;
            }
            let theirs = theirs.map_or_else(|| format!("{bytes:x?}"), number);
            (number(*ours), theirs)
        }
        (Expected::Text(ours), Some(bytes)) => {
            if bytes.strip_suffix(&[0]) == Some(ours.as_bytes()) {
                return None;
            }
            let theirs = String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes));
            (format!("{ours:?}"), format!("{theirs:?}"))
        }
        (Expected::Image(ours), Some(bytes)) => {
            if ours == bytes {
                return None;
            }
            (format!("{ours:x?}"), format!("{bytes:x?}"))
        }
    };
    let page_bytes = mode.page_size().bytes();
    let pages = if mode.page_size() == PageSize::Size4K {
        String::new()
    } else {
        format!(" (pages of {page_bytes} bytes)")
    };
    Some(Mismatch {
        header: probe.header.to_owned(),
        what: format!("{}{pages}", probe.what),
        ours,
        theirs,
    })
}

/// A number as people look for it in a header.
fn number(value: u64) -> String {
    if value < 10 {
        value.to_string()
    } else {
        format!("{value} ({value:#x})")
    }
}

/// Our value, for a probe without a counterpart.
fn shown(expected: &Expected) -> String {
    match expected {
        Expected::Number(value) => number(*value),
        Expected::Text(text) => format!("{text:?}"),
        Expected::Image(bytes) => format!("{bytes:x?}"),
    }
}

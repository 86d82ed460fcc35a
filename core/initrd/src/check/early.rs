//! What the kernel looks for in an image before it unpacks anything: `find_cpio_data()`
//! (`lib/earlycpio.c`, v7.3) goes through plain archives at the start and ends at anything else.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::gathered::{EarlyFile, Gathered};
use super::{Finding, Topic, Verdict, finding};

/// Microcode (`arch/x86/kernel/cpu/microcode/`, v7.3): these names, without `./` in front.
const MICROCODE: [&[u8]; 2] = [
    b"kernel/x86/microcode/GenuineIntel.bin",
    b"kernel/x86/microcode/AuthenticAMD.bin",
];
/// Folder of ACPI tables (`drivers/acpi/tables.c`, v7.3).
const ACPI_TABLES: &[u8] = b"kernel/firmware/acpi/";
/// What microcode of Intel is aligned to.
const ALIGNMENT: usize = 16;

/// Whether a file is one of them.
pub(super) fn is_early(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    MICROCODE.contains(&name) || name.starts_with(ACPI_TABLES)
}

pub(super) fn check(gathered: &Gathered) -> Option<Finding> {
    if gathered.early.is_empty() {
        return None;
    }
    let wrong: Vec<_> = gathered.early.iter().filter_map(wrong).collect();
    if !wrong.is_empty() {
        return Some(finding(Topic::Early, Verdict::Warning, wrong.join("; ")));
    }
    let names: Vec<_> = gathered.early.iter().map(|file| &file.name[..]).collect();
    let message = format!("{}, where the kernel finds it", names.join(", "));
    Some(finding(Topic::Early, Verdict::Ok, message))
}

fn wrong(file: &EarlyFile) -> Option<String> {
    let name = &file.name;
    if name.starts_with("./") {
        let why = "the kernel looks for the name without ./ and does not find it";
        return Some(format!("{name}: {why}"));
    }
    match file.offset {
        None => Some(format!(
            "{name} is in or behind a compressed member: the kernel looks for it before it unpacks, \
             and does not find it"
        )),
        Some(offset) if name.ends_with("GenuineIntel.bin") && !offset.is_multiple_of(ALIGNMENT) => {
            Some(format!(
                "{name} starts at byte {offset}, which is no multiple of {ALIGNMENT}"
            ))
        }
        Some(_) => None,
    }
}

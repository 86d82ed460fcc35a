//! This kernel.

use kho::memblock::Region;
use pstore::ramoops::{Geometry, ZoneKind};

use super::{KHO, LogFacts, LogFinding, LogTopic, RAMOOPS, RamoopsFacts, requested, size};
use crate::finding::Finding;
use crate::running::Running;

/// `KMSG_DUMP_OOPS` and `KMSG_DUMP_SHUTDOWN` (`include/linux/kmsg_dump.h`, v7.3).
const OOPS: i32 = 2;
const SHUTDOWN: i32 = 4;
/// `mem_type` of memory that is mapped as memory is.
const CACHED: u32 = 2;
const SET_UP: &str = "`luoctl pstore setup` prints what is needed";

pub(super) fn all(running: &Running) -> Vec<LogFinding> {
    let facts = &running.log;
    let mut findings = vec![backend(facts)];
    let Some(ramoops) = facts.active() else {
        return findings;
    };
    let region = facts.regions.as_ref();
    let found = region.and_then(|all| all.iter().find(|region| region.label == ramoops.label));
    findings.push(place(facts, ramoops, found));
    if let Some(found) = found {
        findings.push(cold_boot(facts, found));
        findings.push(scratch(facts, found));
    }
    findings.push(memory_type(ramoops));
    findings.push(max_reason(facts, ramoops));
    findings.push(division(running, ramoops));
    findings
}

fn backend(facts: &LogFacts) -> LogFinding {
    let topic = LogTopic::Backend;
    if !facts.has_pstore {
        let message = "this kernel has no pstore";
        return Finding::refused(topic, message).hint("take one with CONFIG_PSTORE_RAM");
    }
    match facts.backend.as_deref() {
        Some(RAMOOPS) if facts.ramoops.is_none() => Finding::unknown(
            topic,
            "ramoops keeps records; its parameters cannot be read",
        )
        .hint("run luoctl as root"),
        Some(RAMOOPS) => Finding::ok(topic, "ramoops keeps records"),
        Some(KHO) => Finding::ok(topic, "kho keeps records and hands them over by itself"),
        Some(other) => {
            let message = format!(
                "{other} keeps records, and there is only one backend: ramoops found its place taken"
            );
            let hint =
                "put pstore.backend=ramoops on the command line: then the other is not taken";
            Finding::refused(topic, message).hint(hint)
        }
        None => Finding::refused(topic, "no backend keeps records").hint(SET_UP),
    }
}

fn place(facts: &LogFacts, ramoops: &RamoopsFacts, found: Option<&Region>) -> LogFinding {
    let topic = LogTopic::Region;
    let label = &ramoops.label;
    if label.is_empty() {
        let address = ramoops.address;
        let message = format!(
            "ramoops is at the fixed address {address:#x}, of which KHO knows nothing: the next kernel may be put there"
        );
        return Finding::refused(topic, message).hint(SET_UP);
    }
    if facts.regions.is_none() {
        let message = format!("whether the region {label:?} is handed over cannot be told");
        return Finding::unknown(topic, message).hint(
            "run luoctl as root with debugfs mounted, on a kernel with CONFIG_KEXEC_HANDOVER_DEBUGFS",
        );
    }
    match found {
        None => Finding::refused(
            topic,
            format!("the region {label:?} is not handed over: KHO is off, or refused it"),
        )
        .hint("look for \"KHO\" and \"reserve_mem\" in the kernel's log"),
        Some(region) => {
            let (start, bytes) = (region.start.0, size(region.bytes));
            let message = format!("the region {label:?}, {bytes} at {start:#x}, is handed over");
            Finding::ok(topic, message)
        }
    }
}

/// Early memory of a kernel that came by kexec is of scratch: a region that is made there is in it.
fn cold_boot(facts: &LogFacts, region: &Region) -> LogFinding {
    let topic = LogTopic::ColdBoot;
    let label = &region.label;
    if facts.is_cold_boot == Some(true) {
        return Finding::ok(
            topic,
            format!("this is the cold boot, and {label:?} was made in it"),
        );
    }
    let Some(received) = &facts.received else {
        return Finding::unknown(
            topic,
            format!("whether {label:?} came from the kernel before cannot be told"),
        );
    };
    if received.contains(region) {
        return Finding::ok(
            topic,
            format!("{label:?} came from the kernel before, as it is"),
        );
    }
    let message = format!(
        "{label:?} was made by this kernel, which came by kexec: what the kernels before left is not in it"
    );
    let hint =
        "it is good if it is outside scratch; a cold boot with it on the command line is sure";
    Finding::unknown(topic, message).hint(hint)
}

fn scratch(facts: &LogFacts, region: &Region) -> LogFinding {
    let topic = LogTopic::Scratch;
    let Some(areas) = &facts.scratch else {
        return Finding::unknown(topic, "where scratch is cannot be told");
    };
    let (start, end) = (region.start.0, region.start.0.saturating_add(region.bytes));
    let meets = |area: &&(u64, u64)| {
        let (from, bytes) = **area;
        bytes != 0 && from < end && start < from.saturating_add(bytes)
    };
    let Some((from, bytes)) = areas.iter().find(meets) else {
        return Finding::ok(topic, "the region is outside scratch");
    };
    let message = format!(
        "the region at {start:#x} is in the scratch area of {} at {from:#x}: the next kernel is put there",
        size(*bytes)
    );
    Finding::refused(topic, message)
        .hint("it was added on a kernel that came by kexec; do a cold boot with it")
}

fn memory_type(ramoops: &RamoopsFacts) -> LogFinding {
    let topic = LogTopic::MemoryType;
    let kind = match ramoops.mem_type {
        CACHED => return Finding::ok(topic, "mapped as cached memory"),
        0 => "write-combining".to_owned(),
        1 => "uncached".to_owned(),
        other => format!("of the unknown type {other}"),
    };
    let message =
        format!("mapped {kind}, while the kernel has the same memory mapped cached: it may work");
    Finding::unknown(topic, message).hint("set ramoops.mem_type=2")
}

fn max_reason(facts: &LogFacts, ramoops: &RamoopsFacts) -> LogFinding {
    let topic = LogTopic::MaxReason;
    let is_default = ramoops.max_reason < 0;
    let reason = if is_default { OOPS } else { ramoops.max_reason };
    let hint = "set ramoops.max_reason=4";
    match (reason, facts.always_kmsg_dump) {
        (SHUTDOWN.., _) => Finding::ok(topic, format!("max_reason {reason}: shutdowns are kept")),
        (0, Some(true)) => Finding::ok(
            topic,
            "max_reason 0 and printk.always_kmsg_dump on: shutdowns are kept",
        ),
        (0, Some(false)) => Finding::refused(
            topic,
            "max_reason 0 and printk.always_kmsg_dump off: only crashes are kept",
        )
        .hint("write Y to /sys/module/printk/parameters/always_kmsg_dump"),
        (0, None) => Finding::unknown(
            topic,
            "max_reason 0: whether shutdowns are kept is up to printk.always_kmsg_dump",
        ),
        _ => Finding::refused(
            topic,
            format!("max_reason {reason}: crashes are kept, shutdowns are not"),
        )
        .hint(hint),
    }
}

fn division(running: &Running, ramoops: &RamoopsFacts) -> LogFinding {
    let topic = LogTopic::Sizes;
    let parameters = &ramoops.parameters;
    let geometry = match Geometry::of(parameters, 1) {
        Ok(geometry) => geometry,
        Err(error) => return Finding::refused(topic, error.to_string()).hint(SET_UP),
    };
    let dumps = geometry.of_kind(ZoneKind::Dmesg).count();
    let mut message = format!(
        "{dumps} dumps of {}, console {}, pmsg {}",
        size(parameters.record_bytes),
        size(parameters.console_bytes),
        size(parameters.pmsg_bytes)
    );
    if dumps == 0 {
        return Finding::refused(topic, format!("{message}: no log is kept")).hint(SET_UP);
    }
    let line = running.cmdline.as_ref();
    let asked = line.and_then(|line| super::sizes(line, *parameters).ok());
    if let Some(asked) = asked.filter(|asked| asked.rounded() != *asked) {
        let (from, to) = (asked.record_bytes, asked.rounded().record_bytes);
        message += &format!("; sizes are rounded down to powers of two (a dump: {from} to {to})");
    }
    if dumps < 2 {
        message += "; an oops would take the place of the shutdown's";
    }
    let label = &*ramoops.label;
    let wasted = line.and_then(|line| requested(line, label));
    if wasted.is_some() && geometry.unused_bytes != 0 {
        message += &format!("; {} are not used", size(geometry.unused_bytes));
    }
    Finding::ok(topic, message)
}

//! The next kernel, as its command line and configuration say.

use kimage::KernelConfig;

use super::{KHO, LogFinding, LogTopic, RAMOOPS, RamoopsFacts, number, requested, size, sizes};
use crate::cmdline::CommandLine;
use crate::finding::Finding;
use crate::running::Running;

const SAME: &str = "name the same, or use --reuse-cmdline";

pub(super) fn all(
    running: &Running,
    next: &CommandLine,
    config: Option<&KernelConfig>,
) -> Vec<LogFinding> {
    let facts = &running.log;
    if facts.backend.as_deref() == Some(KHO) {
        return vec![backend(KHO, next, None)];
    }
    let mut findings = vec![backend(RAMOOPS, next, config)];
    if let (Some(label), Some(ramoops)) = (facts.label(), facts.active()) {
        findings.push(region(label, running, next));
        findings.push(parameters(ramoops, running, next));
    }
    findings
}

fn backend(name: &str, next: &CommandLine, config: Option<&KernelConfig>) -> LogFinding {
    let topic = LogTopic::NextBackend;
    if let Some(other) = next.last("pstore.backend").filter(|other| *other != name) {
        let message =
            format!("its command line has pstore.backend={other}: {name} shows no records there");
        return Finding::refused(topic, message).hint(format!("put pstore.backend={name} there"));
    }
    let option = "CONFIG_PSTORE_RAM";
    match config {
        None => Finding::ok(
            topic,
            format!("nothing in its command line is against {name}"),
        ),
        Some(config) => match config.get(option) {
            Some(_) => Finding::ok(topic, format!("it has {option}")),
            None => Finding::refused(
                topic,
                format!(
                    "it is built without {option}: the log is in its memory, and nobody shows it"
                ),
            )
            .hint("`luoctl pstore region` reads it out of the memory"),
        },
    }
}

fn region(label: &str, running: &Running, next: &CommandLine) -> LogFinding {
    let topic = LogTopic::NextRegion;
    let Some(here) = running.cmdline.as_ref() else {
        return Finding::unknown(topic, "this kernel's command line cannot be read");
    };
    let Some(here) = requested(here, label) else {
        return Finding::unknown(
            topic,
            format!("the region {label:?} is not of this kernel's command line"),
        );
    };
    match requested(next, label) {
        Some(there) if there == here => Finding::ok(
            topic,
            format!("it names {label:?} with the same {}", size(here.bytes)),
        ),
        Some(there) if there.bytes != here.bytes => {
            let (here, there) = (size(here.bytes), size(there.bytes));
            let message = format!(
                "it wants {there} as {label:?}, here it has {here}: it makes a new region, and the log is lost"
            );
            Finding::refused(topic, message).hint(SAME)
        }
        Some(there) => {
            let message = format!(
                "it wants {label:?} aligned to {}, here it is to {}: it may make a new region",
                there.align_bytes, here.align_bytes
            );
            Finding::refused(topic, message).hint(SAME)
        }
        None => Finding::refused(
            topic,
            format!("it has no reserve_mem= for {label:?}: the log of this kernel is lost"),
        )
        .hint(format!(
            "add reserve_mem={}:{}:{label}, or use --reuse-cmdline",
            here.bytes, here.align_bytes
        )),
    }
}

/// Words of the command line count for a driver in the kernel; a module has them from modprobe.d, which goes with the
/// root file system.
fn parameters(ramoops: &RamoopsFacts, running: &Running, next: &CommandLine) -> LogFinding {
    let topic = LogTopic::NextSizes;
    let label = &*ramoops.label;
    let is_given = |line: &CommandLine| line.parameters(RAMOOPS).next().is_some();
    let here = running.cmdline.as_ref().is_some_and(is_given);
    if !here && !is_given(next) {
        return Finding::ok(
            topic,
            "ramoops has its parameters from modprobe.d, not from there",
        );
    }
    let lacks = |what: String| {
        let message = format!("{what}: ramoops would not look into {label:?} as this kernel does");
        Finding::refused(topic, message).hint(SAME)
    };
    let of_next = |wanted: &str| {
        let found = next.parameters(RAMOOPS).filter(|(name, _)| name == wanted);
        found.last().map(|(_, value)| value)
    };
    let name = of_next("mem_name");
    if here && name.is_none() || name.is_some_and(|name| name != label) {
        let found = name.map_or_else(String::new, |name| format!(", but ={name}"));
        return lacks(format!("it has no ramoops.mem_name={label}{found}"));
    }
    let fallback = if here {
        defaults(ramoops)
    } else {
        ramoops.parameters
    };
    let there = match sizes(next, fallback) {
        Ok(there) => there.rounded(),
        Err(word) => return lacks(format!("{word} is no number to the driver")),
    };
    let mine = ramoops.parameters.rounded();
    let pairs = [
        ("record_size", mine.record_bytes, there.record_bytes),
        ("console_size", mine.console_bytes, there.console_bytes),
        ("ftrace_size", mine.ftrace_bytes, there.ftrace_bytes),
        ("pmsg_size", mine.pmsg_bytes, there.pmsg_bytes),
    ];
    if let Some((name, mine, there)) = pairs.iter().find(|(_, mine, there)| mine != there) {
        return lacks(format!(
            "its ramoops.{name} is {there}, this kernel's {mine}"
        ));
    }
    if mine.ecc != there.ecc {
        return lacks("its ramoops.ecc is not this kernel's".to_owned());
    }
    let reason = of_next("max_reason").and_then(number);
    if here && reason.is_none_or(|reason| reason < 4) {
        let message = "the log of this kernel is kept for it, but it does not keep its own: ramoops.max_reason is less than 4";
        return Finding::unknown(topic, message).hint("put ramoops.max_reason=4 there");
    }
    Finding::ok(topic, "it divides the region as this kernel does")
}

/// What the driver takes for sizes that are not given: 4096 (`MIN_MEM_SIZE`, `fs/pstore/ram.c`, v7.3).
fn defaults(ramoops: &RamoopsFacts) -> pstore::ramoops::Parameters {
    pstore::ramoops::Parameters {
        mem_bytes: ramoops.parameters.mem_bytes,
        record_bytes: 4096,
        console_bytes: 4096,
        ftrace_bytes: 4096,
        pmsg_bytes: 4096,
        ecc: pstore::ramoops::Ecc::default(),
    }
}

//! Whether the last lines of this kernel reach the next one.
//!
//! Two ways lead there: ramoops in a region of `reserve_mem=` ([`pstore::Recipe`]), and a backend of its own over KHO.
//! [`check_log`] tells whether this kernel is set up for it, [`check_next_log`] whether the next one reads what it leaves.

mod here;
mod next;

use kho::memblock::{Region, Request};
use kimage::KernelConfig;
use pstore::ramoops::{Ecc, Parameters};
use serde::{Serialize, Serializer};

use crate::cmdline::CommandLine;
use crate::finding::{Check, Finding, Verdict};
use crate::running::Running;

/// Name of the backend in memory.
const RAMOOPS: &str = "ramoops";
/// Name of the backend over KHO.
const KHO: &str = "kho";

/// What is checked about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogTopic {
    /// Who keeps records now.
    Backend,
    /// ramoops is in a region that KHO carries.
    Region,
    /// The region is from the cold boot.
    ColdBoot,
    /// The region is not where the next kernel is put.
    Scratch,
    /// How the region is mapped.
    MemoryType,
    /// Shutdowns are written down.
    MaxReason,
    /// How the region is divided.
    Sizes,
    /// The next command line names the region as it is.
    NextRegion,
    /// The next kernel divides it in the same way.
    NextSizes,
    /// The next kernel has the same backend.
    NextBackend,
}

impl LogTopic {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Region => "region",
            Self::ColdBoot => "cold-boot",
            Self::Scratch => "scratch",
            Self::MemoryType => "mem-type",
            Self::MaxReason => "max-reason",
            Self::Sizes => "sizes",
            Self::NextRegion => "next-region",
            Self::NextSizes => "next-sizes",
            Self::NextBackend => "next-backend",
        }
    }
}

impl Serialize for LogTopic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What was found about the log.
pub type LogFinding = Finding<LogTopic>;

/// What is known of how this kernel keeps its log.
#[derive(Clone, Debug, Default)]
pub struct LogFacts {
    /// Whether it has pstore.
    pub has_pstore: bool,
    /// The backend that is registered.
    pub backend: Option<String>,
    /// Parameters of ramoops in effect.
    pub ramoops: Option<RamoopsFacts>,
    /// Whether everything is written down where a backend leaves it open (`printk.always_kmsg_dump`).
    pub always_kmsg_dump: Option<bool>,
    /// Regions that it hands over; `None` where it does not show them.
    pub regions: Option<Vec<Region>>,
    /// Whether it came by no kexec that hands over; `None` where that is not known.
    pub is_cold_boot: Option<bool>,
    /// Regions that it was handed; `None` where it does not show them.
    pub received: Option<Vec<Region>>,
    /// Address and bytes of each scratch area; `None` where it does not show them.
    pub scratch: Option<Vec<(u64, u64)>>,
}

/// Parameters of ramoops in effect (`/sys/module/ramoops/parameters`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RamoopsFacts {
    /// Label of the region; empty: it is at an address.
    pub label: String,
    /// Address of the region.
    pub address: u64,
    /// Sizes, as they are rounded.
    pub parameters: Parameters,
    /// `mem_type`.
    pub mem_type: u32,
    /// `max_reason`; less than 0: not given.
    pub max_reason: i32,
}

impl LogFacts {
    /// ramoops, where it is what keeps records.
    fn active(&self) -> Option<&RamoopsFacts> {
        let is_active = self.backend.as_deref() == Some(RAMOOPS);
        self.ramoops.as_ref().filter(|_| is_active)
    }

    /// The label of the region, where that is how the log goes over.
    fn label(&self) -> Option<&str> {
        let label = &*self.active()?.label;
        (!label.is_empty()).then_some(label)
    }
}

/// Whether this kernel is set up so that its last lines survive a kexec.
pub fn check_log(running: &Running) -> Vec<LogFinding> {
    here::all(running)
}

/// Whether a kernel that is started with `next` reads what this one leaves.
pub fn check_next_log(
    running: &Running,
    next: &CommandLine,
    config: Option<&KernelConfig>,
) -> Vec<LogFinding> {
    next::all(running, next, config)
}

/// The same as one check of the next kernel. Where no log is kept for the next kernel, none can be lost.
pub(crate) fn of_next(
    next: &CommandLine,
    config: Option<&KernelConfig>,
    running: &Running,
) -> Finding {
    let check = Check::ShutdownLog;
    let facts = &running.log;
    if facts.label().is_none() && facts.backend.as_deref() != Some(KHO) {
        let message = "this kernel keeps no log for it";
        return Finding::ok(check, message).hint("`luoctl pstore setup` tells how one is kept");
    }
    let findings = check_next_log(running, next, config);
    let worst = |verdict| findings.iter().find(|found| found.verdict == verdict);
    match worst(Verdict::Refused).or_else(|| worst(Verdict::Unknown)) {
        Some(found) => Finding {
            check,
            verdict: found.verdict,
            message: found.message.clone(),
            hint: found.hint.clone(),
        },
        None => Finding::ok(check, "the log of this kernel is kept for it"),
    }
}

/// The region of a label that a command line asks for.
fn requested(line: &CommandLine, label: &str) -> Option<Request> {
    let requests = line.values("reserve_mem").filter_map(Request::parse);
    requests.filter(|request| request.label == label).last()
}

/// Numbers of parameters have no units (`kstrtoul()`, `lib/kstrtox.c`, v7.3).
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(hexadecimal) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hexadecimal, 16).ok();
    }
    let is_octal = text.len() > 1 && text.starts_with('0');
    u64::from_str_radix(text, if is_octal { 8 } else { 10 }).ok()
}

/// Sizes that a command line gives; what it does not give is what `default` has. The word that is no number.
fn sizes(line: &CommandLine, default: Parameters) -> Result<Parameters, String> {
    let mut parameters = default;
    for (name, value) in line.parameters(RAMOOPS) {
        let wrong = || format!("ramoops.{name}={value}");
        let set = match &*name {
            "mem_size" => &mut parameters.mem_bytes,
            "record_size" => &mut parameters.record_bytes,
            "console_size" => &mut parameters.console_bytes,
            "ftrace_size" => &mut parameters.ftrace_bytes,
            "pmsg_size" => &mut parameters.pmsg_bytes,
            "ecc" => {
                parameters.ecc = Ecc::of_parameter(number(value).ok_or_else(wrong)?);
                continue;
            }
            _ => continue,
        };
        *set = number(value).ok_or_else(wrong)?;
    }
    Ok(parameters)
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes & 0xf_ffff == 0 => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes & 0x3ff == 0 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;

//! Whether a kernel will boot with an image, and what it will leave out without a word.

mod early;
mod gathered;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use decompress::Format;

use crate::block::BlockImage;
use crate::reader::{BootConfig, EntryKind, Refused, Rules};

use gathered::Gathered;

/// Names that a finding lists.
const LISTED: usize = 3;
/// Marks of boot configuration that are looked at, from the end.
const MARKS: usize = 16;
/// What ends boot configuration.
const BOOT_CONFIG_MARK: &[u8] = b"#BOOTCONFIG\n";

/// A kernel, as far as it matters for an image.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    /// Whether an option is built in; `None` when that cannot be told.
    pub option_fn: &'a dyn Fn(&str) -> Option<bool>,
    /// The program it starts: of `rdinit=`, else `/init`.
    pub init: &'a str,
}

impl core::fmt::Debug for Kernel<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Kernel")
            .field("init", &self.init)
            .finish_non_exhaustive()
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic {
    /// Whether the kernel unpacks all of it.
    Unpacking,
    /// What it is compressed in, and whether the kernel has that.
    Compression,
    /// The program that is started.
    Init,
    /// Entries that the kernel leaves out without a word.
    Entries,
    /// What the kernel reads before it unpacks anything: microcode, ACPI tables.
    Early,
    /// Boot configuration.
    BootConfig,
}

impl Topic {
    /// Its name, for people and for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unpacking => "unpacking",
            Self::Compression => "compression",
            Self::Init => "init",
            Self::Entries => "entries",
            Self::Early => "early",
            Self::BootConfig => "bootconfig",
        }
    }
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It boots, and something is not as whoever made the image will have meant it.
    Warning,
    /// It cannot be told.
    Unknown,
    /// The kernel does not boot with it.
    Refused,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub topic: Topic,
    /// What was found.
    pub verdict: Verdict,
    /// What was found, in words.
    pub message: String,
}

const fn finding(topic: Topic, verdict: Verdict, message: String) -> Finding {
    Finding {
        topic,
        verdict,
        message,
    }
}

/// Checks an image by the rules of a kernel; of `rules` only the limit and the decoders count.
#[must_use]
pub fn check(image: &[u8], rules: &Rules<'_>, kernel: &Kernel<'_>) -> Vec<Finding> {
    if (kernel.option_fn)("CONFIG_BLK_DEV_INITRD") == Some(false) {
        let message = "the kernel is built without CONFIG_BLK_DEV_INITRD: it ignores every image";
        return vec![finding(
            Topic::Unpacking,
            Verdict::Refused,
            message.to_string(),
        )];
    }
    let is_configured =
        |format: Format| (kernel.option_fn)(format.initramfs_option()) != Some(false);
    let rules = Rules {
        is_configured: &is_configured,
        ..*rules
    };
    let gathered = Gathered::of(image, &rules);
    let mut findings = vec![unpacking(image, &gathered, kernel)];
    findings.extend(compression(&gathered, kernel));
    findings.push(init(&gathered, kernel));
    findings.push(entries(&gathered));
    findings.extend(early::check(&gathered));
    findings.extend(boot_config(image, kernel));
    findings
}

fn unpacking(image: &[u8], gathered: &Gathered, kernel: &Kernel<'_>) -> Finding {
    let topic = Topic::Unpacking;
    let Some(refused) = &gathered.refused else {
        let message = format!("{} members, all of it", gathered.members.len());
        return finding(topic, Verdict::Ok, message);
    };
    if let Some(found) = BlockImage::find(image).filter(|_| gathered.members.is_empty()) {
        let (verdict, support) = match (kernel.option_fn)("CONFIG_BLK_DEV_RAM") {
            Some(true) => (Verdict::Warning, "which this kernel has"),
            Some(false) => (Verdict::Refused, "which this kernel lacks"),
            None => (
                Verdict::Unknown,
                "and whether this kernel has it cannot be told",
            ),
        };
        let message = found.notice(support);
        return finding(topic, verdict, message);
    }
    let (place, why) = (place(refused), &refused.why);
    if gathered.program(kernel.init).is_some() {
        let message = format!(
            "the kernel stops {place}: {why}; {} comes before and is there",
            kernel.init
        );
        return finding(topic, Verdict::Warning, message);
    }
    let message = format!("the kernel stops {place}: {why}");
    finding(topic, Verdict::Refused, message)
}

fn place(refused: &Refused) -> String {
    match refused.inside {
        None => format!("at byte {}", refused.offset),
        Some(inside) => format!(
            "in the member at byte {}, at byte {inside} of what it unpacks to",
            refused.offset
        ),
    }
}

/// Not of a form that the kernel lacks: that is what it stops at.
fn compression(gathered: &Gathered, kernel: &Kernel<'_>) -> Option<Finding> {
    let mut formats: Vec<_> = gathered.members.iter().filter_map(|it| it.format).collect();
    formats.dedup();
    let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
    if names.is_empty() {
        return None;
    }
    let names = names.join(", ");
    let topic = Topic::Compression;
    let is_known = formats
        .iter()
        .all(|format| (kernel.option_fn)(format.initramfs_option()).is_some());
    Some(if is_known {
        finding(topic, Verdict::Ok, format!("{names}, which the kernel has"))
    } else {
        let message = format!("{names}; whether the kernel has it cannot be told");
        finding(topic, Verdict::Unknown, message)
    })
}

fn init(gathered: &Gathered, kernel: &Kernel<'_>) -> Finding {
    let (topic, init) = (Topic::Init, kernel.init);
    let Some(node) = gathered.program(init) else {
        let message = format!(
            "there is no {init}: the kernel looks for a root device, and panics without one"
        );
        // Some images have microcode only.
        let verdict = if gathered.refused.is_some() {
            Verdict::Refused
        } else {
            Verdict::Unknown
        };
        return finding(topic, verdict, message);
    };
    let refused = |why: &str| finding(topic, Verdict::Refused, format!("{init} {why}"));
    if node.kind != EntryKind::File {
        return refused("is no file");
    }
    if node.mode & 0o111 == 0 {
        return refused("may not be executed");
    }
    if node.bytes == 0 {
        return refused("is empty");
    }
    match gathered.interpreter(node) {
        Some(interpreter) if gathered.program(&interpreter).is_none() => refused(&format!(
            "is a script for {interpreter}, which is not there"
        )),
        _ => finding(topic, Verdict::Ok, format!("{init}, {} bytes", node.bytes)),
    }
}

fn entries(gathered: &Gathered) -> Finding {
    let topic = Topic::Entries;
    let (lost, count) = (&gathered.lost, gathered.entries);
    if lost.is_empty() {
        return finding(
            topic,
            Verdict::Ok,
            format!("{count} entries, none left out"),
        );
    }
    let listed: Vec<_> = lost.iter().take(LISTED).map(String::as_str).collect();
    let more = match lost.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let message = format!(
        "{} of {count} entries are left out without a word: {}{more}",
        lost.len(),
        listed.join("; "),
    );
    finding(topic, Verdict::Warning, message)
}

fn boot_config(image: &[u8], kernel: &Kernel<'_>) -> Option<Finding> {
    let topic = Topic::BootConfig;
    let warning = |message: String| Some(finding(topic, Verdict::Warning, message));
    match BootConfig::find(image) {
        Some(found) if !found.is_intact => {
            warning("its sum is wrong: the kernel ignores it".to_string())
        }
        Some(found) => match (kernel.option_fn)("CONFIG_BOOT_CONFIG") {
            Some(false) => warning("the kernel is built without CONFIG_BOOT_CONFIG".to_string()),
            _ => {
                let message = format!("{} bytes, its sum is right", found.bytes);
                Some(finding(topic, Verdict::Ok, message))
            }
        },
        None => {
            let at = hidden_boot_config(image)?;
            warning(format!(
                "what ends at byte {at} is hidden: something was added behind it"
            ))
        }
    }
}

/// Where boot configuration ends that does not stand at the end.
fn hidden_boot_config(image: &[u8]) -> Option<usize> {
    let mut end = image.len();
    // Each mark may have a long text in front whose sum is wrong.
    for _ in 0..MARKS {
        let before = image.get(..end)?;
        let at = before
            .windows(BOOT_CONFIG_MARK.len())
            .rposition(|bytes| bytes == BOOT_CONFIG_MARK)?;
        end = at.checked_add(BOOT_CONFIG_MARK.len())?;
        let found = BootConfig::find(image.get(..end)?);
        if found.is_some_and(|found| found.is_intact) {
            return Some(end);
        }
        end = at;
    }
    None
}

#[cfg(test)]
mod tests;

//! Why there is no `/dev/liveupdate`.

use std::fs;
use std::io;

use thiserror::Error;

/// The reason, as far as it can be known from outside the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Absence {
    /// The kernel was built without it.
    #[error(
        "this kernel ({release}) is built without CONFIG_LIVEUPDATE; boot one that has it (Linux 7.2 or newer)"
    )]
    KernelLacksIt {
        /// `uname -r`.
        release: String,
    },
    /// The kernel has it, but it is off.
    #[error(
        "the kernel has live update but was started without it; add liveupdate=on to its command line and boot it again"
    )]
    NotEnabled,
    /// Live update is on, KHO is off.
    #[error(
        "the kernel was started with KHO off ({found}); live update needs it, remove that from the command line"
    )]
    KhoOff {
        /// The command line word.
        found: String,
    },
    /// Both are on, yet no device was registered: KHO failed to start.
    #[error(
        "live update and KHO are on, but the kernel made no device: KHO could not start (see the kernel log for `disabling kexec handover`, often no room for scratch)"
    )]
    KhoFailed,
    /// The device exists in the kernel, not in `/dev`.
    #[error(
        "the kernel has the device (misc minor {minor}) but there is no node for it in /dev; mount devtmpfs or make it with: mknod /dev/liveupdate c 10 {minor}"
    )]
    NoNode {
        /// Minor number of the misc device.
        minor: u32,
    },
}

/// Finds out why [`crate::Device::open`] answered `ENOENT`.
pub fn diagnose() -> Absence {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    classify(&Evidence {
        misc: &read("/proc/misc"),
        cmdline: &read("/proc/cmdline"),
        has_luo: kernel_has_luo(),
        release: read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// What the decision rests on.
struct Evidence<'a> {
    misc: &'a str,
    cmdline: &'a str,
    /// `None`: the kernel shows no symbols.
    has_luo: Option<bool>,
    release: &'a str,
}

fn classify(evidence: &Evidence<'_>) -> Absence {
    if let Some(minor) = misc_minor(evidence.misc) {
        return Absence::NoNode { minor };
    }
    if evidence.has_luo == Some(false) {
        return Absence::KernelLacksIt {
            release: evidence.release.to_owned(),
        };
    }
    let words = || evidence.cmdline.split_ascii_whitespace();
    // The last one wins, as with early_param.
    let on = words()
        .filter_map(|word| word.strip_prefix("liveupdate="))
        .next_back();
    let on = words().any(|word| word == "liveupdate") && on.is_none() || on.is_some_and(is_true);
    if !on {
        return Absence::NotEnabled;
    }
    let kho = words().rfind(|word| word.starts_with("kho="));
    match kho {
        Some(found) if !is_true(found.trim_start_matches("kho=")) => Absence::KhoOff {
            found: found.to_owned(),
        },
        _ => Absence::KhoFailed,
    }
}

/// `kstrtobool` of `lib/kstrtox.c`, v7.3: the first character decides, `on`/`off` need two.
fn is_true(value: &str) -> bool {
    let value = value.as_bytes();
    match value.first() {
        Some(b'y' | b'Y' | b't' | b'T' | b'1') => true,
        Some(b'o' | b'O') => matches!(value.get(1), Some(b'n' | b'N')),
        _ => false,
    }
}

fn misc_minor(misc: &str) -> Option<u32> {
    misc.lines().find_map(|line| {
        let (minor, name) = line.trim().split_once(' ')?;
        (name.trim() == "liveupdate").then(|| minor.parse().ok())?
    })
}

/// `liveupdate_reboot` is a function only with `CONFIG_LIVEUPDATE`; else it is inline and has no
/// symbol (`include/linux/liveupdate.h`, v7.3).
fn kernel_has_luo() -> Option<bool> {
    use io::BufRead as _;
    let file = fs::File::open("/proc/kallsyms").ok()?;
    let mut any = false;
    for line in io::BufReader::with_capacity(1 << 16, file).lines() {
        let Ok(line) = line else { break };
        any = true;
        if line.ends_with(" liveupdate_reboot") {
            return Some(true);
        }
    }
    any.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence<'a>(misc: &'a str, cmdline: &'a str, has_luo: Option<bool>) -> Evidence<'a> {
        Evidence {
            misc,
            cmdline,
            has_luo,
            release: "7.1.0",
        }
    }

    #[test]
    fn a_kernel_without_the_code_is_named() {
        let answer = classify(&evidence("", "liveupdate=on", Some(false)));
        assert_eq!(
            answer,
            Absence::KernelLacksIt {
                release: "7.1.0".to_owned()
            }
        );
    }

    #[test]
    fn a_missing_command_line_word_is_named() {
        assert_eq!(
            classify(&evidence("", "quiet", Some(true))),
            Absence::NotEnabled
        );
        let off = classify(&evidence("", "liveupdate=on liveupdate=off", Some(true)));
        assert_eq!(off, Absence::NotEnabled);
    }

    #[test]
    fn kho_off_and_kho_failed_are_told_apart() {
        let off = classify(&evidence("", "liveupdate=1 kho=off", Some(true)));
        assert_eq!(
            off,
            Absence::KhoOff {
                found: "kho=off".to_owned()
            }
        );
        assert_eq!(
            classify(&evidence("", "liveupdate=y kho=on", None)),
            Absence::KhoFailed
        );
    }

    #[test]
    fn a_registered_device_without_a_node_is_named() {
        let answer = classify(&evidence(" 61 foo\n258 liveupdate\n", "", None));
        assert_eq!(answer, Absence::NoNode { minor: 258 });
    }
}

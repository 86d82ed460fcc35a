//! Versions: what is handed over under one is nothing under another.

use std::collections::BTreeSet;

use kimage::KernelConfig;

use crate::finding::{Check, Finding};
use crate::running::Running;
use crate::target::Target;

/// One version and what comes of another (`docs/src/reference/kernel-interface.md`).
struct Tag<'a> {
    check: Check,
    what: &'static str,
    in_use: &'a str,
    found: &'a BTreeSet<String>,
    option: &'static str,
    /// What happens under another one, or none.
    otherwise: &'static str,
}

pub(crate) fn all(target: &Target, running: &Running) -> Vec<Finding> {
    // What is no kernel is refused as such.
    let Ok(kernel) = &target.kernel else {
        return Vec::new();
    };
    let tags = [
        Tag {
            check: Check::KhoTag,
            what: "handovers",
            in_use: &running.tags.kho,
            found: &kernel.tags.kho,
            option: "CONFIG_KEXEC_HANDOVER",
            otherwise: "everything preserved would be lost without a word",
        },
        Tag {
            check: Check::LuoTag,
            what: "sessions",
            in_use: &running.tags.luo,
            found: &kernel.tags.luo,
            option: "CONFIG_LIVEUPDATE",
            otherwise: "the next kernel would panic, or leave every session out of reach",
        },
        Tag {
            check: Check::MemfdTag,
            what: "memfds",
            in_use: &running.tags.memfd,
            found: &kernel.tags.memfd,
            option: "CONFIG_LIVEUPDATE_MEMFD",
            otherwise: "/dev/liveupdate would answer EIO, and every session be out of reach",
        },
    ];
    let config = kernel.config.as_ref();
    tags.iter().map(|tag| check(tag, config, running)).collect()
}

fn check(tag: &Tag<'_>, config: Option<&KernelConfig>, running: &Running) -> Finding {
    let Tag {
        check,
        what,
        in_use,
        found,
        option,
        otherwise,
    } = tag;
    if found.contains(*in_use) {
        let whose = if running.tags.are_read {
            "as this one"
        } else {
            "as Linux 7.2 and 7.3; what this one hands over under cannot be read"
        };
        let message = format!("it takes {what} over under {in_use}, {whose}");
        return Finding::ok(*check, message);
    }
    if !found.is_empty() {
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        let found = found.join(", ");
        let message = format!(
            "it takes {what} over under {found}, this kernel hands them over under {in_use}: {otherwise}"
        );
        return Finding::refused(*check, message)
            .hint("update to a kernel with the same version, or cold-boot into this one");
    }
    match config {
        Some(config) if !config.is_built_in(option) => {
            let message = format!("it is built without {option}: {otherwise}");
            Finding::refused(*check, message).hint("take a kernel with live update")
        }
        _ => {
            let kind = in_use.split_once("-v").map_or(*in_use, |(kind, _)| kind);
            let message =
                format!("no version {kind}-v… was found in it: {otherwise} if it has none");
            Finding::unknown(*check, message)
        }
    }
}

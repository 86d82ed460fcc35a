//! Files of the emulated machine that the host does not have, or has with other content.

/// Such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `/dev/liveupdate`.
    Device,
    /// A file with text or data.
    Text(Text),
}

/// A file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Another one in each generation.
    BootId,
    /// Of the image that was loaded.
    Cmdline,
    /// The host's, with the device.
    Misc,
    /// Release of the kernel.
    OsRelease,
    /// Whether an image is loaded.
    Loaded,
    /// `0`: there is no crash kernel, and loading is not switched off.
    Zero,
    /// `-1`: loading is not limited.
    NoLimit,
    /// The configuration the kernel was built with.
    Config,
    /// `[none]`: nothing is locked down.
    Lockdown,
    /// Root FDT of what will be handed over.
    OutFdt,
    /// Root FDT of what was received.
    InFdt,
    /// Addresses of scratch.
    ScratchPhys,
    /// Sizes of scratch.
    ScratchLen,
    /// A blob that will be handed over.
    OutLuo,
    /// As above.
    OutMetadata,
}

struct Entry {
    folder: &'static str,
    name: &'static str,
    node: Node,
    mode: u32,
}

const fn text(folder: &'static str, name: &'static str, text: Text, mode: u32) -> Entry {
    Entry {
        folder,
        name,
        node: Node::Text(text),
        mode,
    }
}

const OUT: &str = "/sys/kernel/debug/kho/out";
const BLOBS: &str = "/sys/kernel/debug/kho/out/sub_fdts";
const SYSCTL: &str = "/proc/sys/kernel";

/// All of them; names of debugfs from `kernel/liveupdate/kexec_handover_debugfs.c`, of sysfs from
/// `kernel/kexec_core.c` and `kernel/ksysfs.c` (v7.3, and before v7.0).
const NODES: [Entry; 20] = [
    Entry {
        folder: "/dev",
        name: "liveupdate",
        node: Node::Device,
        mode: 0o600,
    },
    text("/proc/sys/kernel/random", "boot_id", Text::BootId, 0o444),
    text("/proc", "cmdline", Text::Cmdline, 0o444),
    text("/proc", "misc", Text::Misc, 0o444),
    text("/proc", "config.gz", Text::Config, 0o444),
    text("/sys/kernel/security", "lockdown", Text::Lockdown, 0o644),
    text(SYSCTL, "osrelease", Text::OsRelease, 0o444),
    text(SYSCTL, "kexec_load_disabled", Text::Zero, 0o644),
    text(SYSCTL, "kexec_load_limit_reboot", Text::NoLimit, 0o644),
    text(SYSCTL, "kexec_load_limit_panic", Text::NoLimit, 0o644),
    text("/sys/kernel", "kexec_loaded", Text::Loaded, 0o444),
    text("/sys/kernel", "kexec_crash_loaded", Text::Zero, 0o444),
    text("/sys/kernel/kexec", "loaded", Text::Loaded, 0o444),
    text("/sys/kernel/kexec", "crash_loaded", Text::Zero, 0o444),
    text(OUT, "fdt", Text::OutFdt, 0o400),
    text(OUT, "scratch_phys", Text::ScratchPhys, 0o400),
    text(OUT, "scratch_len", Text::ScratchLen, 0o400),
    text(BLOBS, "LUO", Text::OutLuo, 0o400),
    text(BLOBS, "kexec-metadata", Text::OutMetadata, 0o400),
    text("/sys/kernel/debug/kho/in", "fdt", Text::InFdt, 0o400),
];

/// Whether a file of this name may be one of them: most are not, and need no closer look.
pub(crate) fn is_name(name: &[u8]) -> bool {
    NODES.iter().any(|entry| entry.name.as_bytes() == name)
}

/// The file at a path without links, `.` and `..`.
pub(crate) fn find(folder: &[u8], name: &[u8]) -> Option<Node> {
    let is_it = |entry: &&Entry| entry.name.as_bytes() == name && entry.folder.as_bytes() == folder;
    NODES.iter().find(is_it).map(|entry| entry.node)
}

impl Node {
    /// Permissions, owner root.
    pub(crate) fn mode(self) -> u32 {
        let entry = NODES.iter().find(|entry| entry.node == self);
        entry.map_or(0, |entry| entry.mode)
    }
}

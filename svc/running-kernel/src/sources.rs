//! Reads `/proc` and `/sys`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kexec_sys::status::KexecPaths;
use kho_abi::luo::COMPATIBLE_LENGTH;
use kimage::{KernelConfig, Tags};
use preflight::{CommandLine, Lockdown, Running, TagsInUse};

use crate::config;

/// More than any blob of KHO has that is read here.
const MAX_BLOB_BYTES: u64 = 64 << 10;

/// Where it is looked for: a folder that stands for `/`.
#[derive(Clone, Debug)]
pub struct Sources {
    root: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Sources {
    /// Another folder than `/`.
    pub fn under(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Everything.
    pub fn read(&self) -> Running {
        let uname = rustix::system::uname();
        let text = |name: &str| fs::read_to_string(self.root.join(name)).ok();
        let kexec = KexecPaths::new(
            self.root.join("sys/kernel"),
            self.root.join("proc/sys/kernel"),
        );
        let limits = kexec.load_limits().ok();
        let config = self.config();
        Running {
            machine: uname.machine().to_string_lossy().into_owned(),
            cmdline: text("proc/cmdline").map(|line| CommandLine::new(&line)),
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or_default(),
            tags: self.tags(),
            scratch_bytes: self.scratch_bytes(),
            is_loading_disabled: limits.map(|limits| limits.is_disabled),
            loads_left: limits.and_then(|limits| limits.left),
            lockdown: self.lockdown(),
            log: self.log_facts(),
            must_be_signed: config.map(|it| it.is_built_in("CONFIG_KEXEC_SIG_FORCE")),
        }
    }

    /// Its configuration, where it shows it or its package does.
    pub fn config(&self) -> Option<KernelConfig> {
        config::read(&self.root, &self.release())
    }

    /// What `uname -r` says.
    pub fn release(&self) -> String {
        let uname = rustix::system::uname();
        uname.release().to_string_lossy().into_owned()
    }

    /// The identity of this boot.
    pub fn boot_id(&self) -> Option<String> {
        let id = fs::read_to_string(self.path("proc/sys/kernel/random/boot_id")).ok()?;
        Some(id.trim().to_owned())
    }

    /// Bytes of each scratch area, as far as debugfs shows them.
    pub fn scratch_bytes(&self) -> Option<Vec<u64>> {
        let text = fs::read_to_string(self.debugfs("out/scratch_len")).ok()?;
        parse_hex_lines(&text)
    }

    /// Where KHO shows what came in and what goes out (`CONFIG_KEXEC_HANDOVER_DEBUGFS`, root only).
    pub(crate) fn debugfs(&self, name: &str) -> PathBuf {
        self.root.join("sys/kernel/debug/kho").join(name)
    }

    /// A file by its path without the first slash.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The versions the running kernel says itself. What it was given it has accepted, so that has
    /// the same: `out/fdt` is not there on a kernel that was given something (7.3.4).
    fn tags(&self) -> TagsInUse {
        let defaults = TagsInUse::default();
        let fdt = |name| Tags::find(&blob(&self.debugfs(name))?).kho.pop_last();
        let kho = fdt("out/fdt").or_else(|| fdt("in/fdt"));
        let luo = blob(&self.debugfs("out/sub_fdts/LUO")).and_then(|blob| luo_tag(&blob));
        TagsInUse {
            are_read: kho.is_some() && luo.is_some(),
            kho: kho.unwrap_or(defaults.kho),
            luo: luo.unwrap_or(defaults.luo),
            memfd: defaults.memfd,
        }
    }

    fn lockdown(&self) -> Option<Lockdown> {
        let folder = self.root.join("sys/kernel/security");
        let Ok(text) = fs::read_to_string(folder.join("lockdown")) else {
            // Mounted, it lists the modules; without security modules there is no folder, and no
            // lockdown.
            let is_mounted = folder.join("lsm").exists();
            let has_none = !folder.exists() && self.root.join("sys/kernel").exists();
            return (is_mounted || has_none).then_some(Lockdown::None);
        };
        match text.split(['[', ']']).nth(1)? {
            "none" => Some(Lockdown::None),
            "integrity" => Some(Lockdown::Integrity),
            "confidentiality" => Some(Lockdown::Confidentiality),
            _ => None,
        }
    }
}

/// The version at the start of LUO's blob.
fn luo_tag(blob: &[u8]) -> Option<String> {
    let field: &[u8; COMPATIBLE_LENGTH] = blob.first_chunk()?;
    let tag = field.split(|&byte| byte == 0).next()?;
    let tag = std::str::from_utf8(tag).ok()?;
    tag.starts_with("luo-v").then(|| tag.to_owned())
}

/// A blob of debugfs: its size is not told.
pub(crate) fn blob(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BLOB_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

pub(crate) fn parse_hex_lines(text: &str) -> Option<Vec<u64>> {
    text.lines()
        .map(|line| u64::from_str_radix(line.trim().strip_prefix("0x")?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys/kernel")).unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let running = Sources::under(folder.path()).read();
        (folder, running)
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let (_folder, running) = host(&[]);
        assert_eq!(running.scratch_bytes, None);
        assert_eq!(running.cmdline, None);
        assert_eq!(running.must_be_signed, None);
        assert!(!running.tags.are_read);
        assert_eq!(running.tags, TagsInUse::default());
    }

    #[test]
    fn versions_are_those_the_kernel_shows() {
        let fdt: &[u8] = b"\xd0\x0d\xfe\xed\0\0\0\0kho-v7\0";
        let luo: &[u8] = b"luo-v9\0\0\0\0\0\0\0\0\0\0";
        for name in ["out/fdt", "in/fdt"] {
            let name = format!("sys/kernel/debug/kho/{name}");
            let (_folder, running) =
                host(&[(&name, fdt), ("sys/kernel/debug/kho/out/sub_fdts/LUO", luo)]);
            assert!(running.tags.are_read);
            assert_eq!(
                (&*running.tags.kho, &*running.tags.luo),
                ("kho-v7", "luo-v9")
            );
        }
    }

    #[test]
    fn lockdown_is_known_where_it_can_be() {
        let lockdown = |text: &str| {
            host(&[("sys/kernel/security/lockdown", text.as_bytes())])
                .1
                .lockdown
        };
        assert_eq!(
            lockdown("[none] integrity confidentiality\n"),
            Some(Lockdown::None)
        );
        assert_eq!(
            lockdown("none [integrity] confidentiality\n"),
            Some(Lockdown::Integrity)
        );
        assert_eq!(lockdown("none integrity\n"), None);
        assert_eq!(host(&[]).1.lockdown, Some(Lockdown::None));
        assert_eq!(
            host(&[("sys/kernel/security/lsm", b"yama")]).1.lockdown,
            Some(Lockdown::None)
        );
        assert_eq!(host(&[("sys/kernel/security/x", b"")]).1.lockdown, None);
    }

    #[test]
    fn scratch_lines_are_all_or_nothing() {
        assert_eq!(
            parse_hex_lines("0x4400000\n0x0\n"),
            Some(vec![0x0440_0000, 0])
        );
        assert_eq!(parse_hex_lines("0x1\nnonsense\n"), None);
    }
}

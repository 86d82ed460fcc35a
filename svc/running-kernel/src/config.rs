//! The configuration of the running kernel.

use std::fs;
use std::path::Path;

use decompress::{Format, decompress};
use kimage::KernelConfig;

/// More than any configuration has.
const MAX_BYTES: usize = 8 << 20;

/// From `/proc/config.gz`, or from `/boot/config-RELEASE` as distributions have it.
pub(crate) fn read(root: &Path, release: &str) -> Option<KernelConfig> {
    if let Ok(packed) = fs::read(root.join("proc/config.gz")) {
        let text = decompress(Format::Gzip, &packed, MAX_BYTES).ok()?.data;
        return Some(KernelConfig::parse(&String::from_utf8_lossy(&text)));
    }
    let text = fs::read_to_string(root.join("boot").join(format!("config-{release}"))).ok()?;
    Some(KernelConfig::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_in_boot_is_taken_by_release() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("boot")).unwrap();
        fs::write(folder.path().join("boot/config-7.3.4"), "CONFIG_KEXEC=y\n").unwrap();
        let config = read(folder.path(), "7.3.4").unwrap();
        assert!(config.is_built_in("CONFIG_KEXEC"));
        assert_eq!(read(folder.path(), "7.3.5"), None);
        fs::create_dir_all(folder.path().join("proc")).unwrap();
        fs::write(folder.path().join("proc/config.gz"), b"\x1f\x8b no gzip").unwrap();
        assert_eq!(read(folder.path(), "7.3.4"), None);
    }
}

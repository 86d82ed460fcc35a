//! What is known of the running kernel.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use kho_abi::luo::LuoSer;
use running_kernel::Sources;
use zerocopy::FromBytes as _;

/// Where KHO shows what came in and what goes out (`CONFIG_KEXEC_HANDOVER_DEBUGFS`, root only).
const KHO_DEBUGFS: &str = "/sys/kernel/debug/kho";

/// The running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: String,
    /// Live updates since the cold boot; none where the kernel does not show it.
    pub liveupdate_number: Option<u64>,
    /// The kernel's random identity of this boot; empty where it does not show it.
    pub boot_id: String,
    /// Kexecs with a handover since the cold boot; none where the kernel does not tell it.
    pub kexec_count: Option<u32>,
    /// Release of the kernel that started this one; none after a cold boot, and where the kernel does not tell it.
    pub previous_release: Option<String>,
    /// Kexecs that systemd has carried descriptor stores over; none where luod is no service of it.
    pub systemd_kexec_count: Option<u64>,
}

impl KernelFacts {
    /// Reads them.
    pub fn read() -> Self {
        let sources = Sources::default();
        let origin = sources.origin();
        Self {
            release: sources.release(),
            boot_id: sources.boot_id().unwrap_or_default(),
            liveupdate_number: liveupdate_number(Path::new(KHO_DEBUGFS)),
            kexec_count: origin.kexec_count,
            previous_release: origin.previous_release,
            systemd_kexec_count: None,
        }
    }
}

/// The outgoing blob counts one more than has happened: 1 on a cold boot. The incoming one points
/// at memory the kernel has freed and must not be read.
fn liveupdate_number(debugfs: &Path) -> Option<u64> {
    let bytes = read_blob(&debugfs.join("out/sub_fdts/LUO"))?;
    let (blob, _) = LuoSer::read_from_prefix(&bytes).ok()?;
    blob.liveupdate_num.checked_sub(1)
}

/// A blob of debugfs: its size is not told, a page is more than any of these has.
fn read_blob(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debugfs(name: &str, bytes: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("out/sub_fdts")).unwrap();
        fs::write(dir.path().join("out/sub_fdts").join(name), bytes).unwrap();
        dir
    }

    #[test]
    fn the_number_is_one_less_than_the_outgoing_blob_says() {
        let mut blob = b"luo-v5\0\0".to_vec();
        blob.extend_from_slice(&3_u64.to_ne_bytes());
        blob.extend_from_slice(&[0; 16]);
        assert_eq!(liveupdate_number(debugfs("LUO", &blob).path()), Some(2));
        assert_eq!(liveupdate_number(debugfs("LUO", &blob[..31]).path()), None);
    }
}

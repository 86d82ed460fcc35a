//! The two machines a scenario runs on, and the kernels of each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use e2e::Series;
use e2e::artifacts::{self, Kernel};

/// Where the emulated machine's kernels have their release: what `uname -r` says there.
const RELEASES: [(Series, &str); 2] = [(Series::V7_2, "7.2.13"), (Series::V7_3, "7.3.4")];

/// What a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// QEMU with a kernel of its own.
    Kernel,
    /// `luo-emu`.
    Emulated,
}

impl Platform {
    /// The kernel of a series; that of an emulated machine is written to `folder`.
    pub(crate) fn kernel(self, series: Series, folder: &Path) -> anyhow::Result<Kernel> {
        if self == Self::Kernel {
            return Ok(artifacts::kernel(series)?);
        }
        let release = self.release(series)?;
        let image = folder.join(format!("kernel-{release}"));
        fs::write(&image, header_only(&release)).context("write a kernel that is none")?;
        Ok(Kernel {
            image,
            release,
            system_map: PathBuf::new(),
        })
    }

    /// What `uname -r` says on the kernel of a series.
    pub(crate) fn release(self, series: Series) -> anyhow::Result<String> {
        if self == Self::Kernel {
            return Ok(artifacts::kernel(series)?.release);
        }
        let found = RELEASES.iter().find(|(of, _)| *of == series);
        let (_, release) = found.context("no release for this series")?;
        Ok((*release).to_owned())
    }
}

/// A bzImage of a setup header that says its release, and no code to speak of: an emulated machine
/// asks for no more. Offsets: `Documentation/arch/x86/boot.rst`, v7.3.
fn header_only(release: &str) -> Vec<u8> {
    let mut file = vec![0; 2 * 512 + 16];
    let mut put = |offset: usize, bytes: &[u8]| {
        if let Some(place) = file.get_mut(offset..offset + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    // setup_sects, syssize, boot_flag, jump, header, version, kernel_version
    put(0x1f1, &[1]);
    put(0x1f4, &1_u32.to_le_bytes());
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x200, &[0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x20e, &0x0100_u16.to_le_bytes());
    // kernel_alignment, init_size
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x260, &0x1000_u32.to_le_bytes());
    put(0x300, format!("{release} (no code) #1\0").as_bytes());
    file
}

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
        fs::write(&image, emulator::kernel_image(&release))
            .context("write a kernel that is none")?;
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

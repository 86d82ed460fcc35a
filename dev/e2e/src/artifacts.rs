//! Where kernels and guest programs come from. The only place that knows.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A kernel series of the test matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Linux 7.2.x.
    V7_2,
    /// Linux 7.3.x.
    V7_3,
}

impl Series {
    /// Every series of the matrix.
    pub const ALL: [Self; 2] = [Self::V7_2, Self::V7_3];

    /// The series as in a release, like `7.2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V7_2 => "7.2",
            Self::V7_3 => "7.3",
        }
    }

    const fn kernel_variable(self) -> &'static str {
        match self {
            Self::V7_2 => "E2E_KERNEL_7_2",
            Self::V7_3 => "E2E_KERNEL_7_3",
        }
    }

    const fn selftests_variable(self) -> &'static str {
        match self {
            Self::V7_2 => "E2E_SELFTESTS_7_2",
            Self::V7_3 => "E2E_SELFTESTS_7_3",
        }
    }
}

/// Environment variable: folder of the statically linked guest programs.
const GUEST_PROGRAMS: &str = "E2E_GUEST_BIN";

/// A kernel image that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// Release that the image states, as `uname -r` will print it.
    pub release: String,
}

/// Something that has to be built first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not there: {remedy}")]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Finds the kernel of a series.
///
/// # Errors
/// [`Missing`] says what to build.
pub fn kernel(series: Series) -> Result<Kernel, Missing> {
    let what = || format!("the kernel {}.x", series.name());
    let image = from_environment(series.kernel_variable(), what)?;
    let release = stated_release(&image).ok_or_else(|| Missing {
        what: what(),
        remedy: format!("{} is no bzImage", image.display()),
    })?;
    Ok(Kernel { image, release })
}

/// Finds a statically linked program for the guest.
///
/// # Errors
/// [`Missing`] says how to build it.
pub fn guest_program(name: &str) -> Result<PathBuf, Missing> {
    let what = || format!("the guest program {name}");
    let path = from_environment(GUEST_PROGRAMS, what)?.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Missing {
        what: what(),
        remedy: format!(
            "{} does not exist; build it with RUSTFLAGS='-C target-feature=+crt-static' \
             cargo build --profile guest --target x86_64-unknown-linux-gnu --package {name}",
            path.display()
        ),
    })
}

/// Finds the folder of the kernel's own live-update test programs, built from a series' source.
///
/// # Errors
/// [`Missing`] says what to set.
pub fn selftests(series: Series) -> Result<PathBuf, Missing> {
    from_environment(series.selftests_variable(), || {
        format!("the folder of the {} kernel selftests", series.name())
    })
}

fn from_environment(variable: &str, what: impl Fn() -> String) -> Result<PathBuf, Missing> {
    let missing = |remedy| Missing {
        what: what(),
        remedy,
    };
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| missing(format!("set {variable} to its path")))?;
    if path.exists() {
        return Ok(path);
    }
    Err(missing(format!(
        "{variable} names {}, which does not exist",
        path.display()
    )))
}

/// Reads the release out of a bzImage: the offset at 0x20e (less 0x200) of a string whose first
/// word it is (`kernel_version` in `Documentation/arch/x86/boot.rst`, v7.3).
fn stated_release(image: &Path) -> Option<String> {
    let file = File::open(image).ok()?;
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0x202).ok()?;
    if &magic != b"HdrS" {
        return None;
    }
    let mut offset = [0; 2];
    file.read_exact_at(&mut offset, 0x20e).ok()?;
    let mut text = [0; 128];
    let start = u64::from(u16::from_le_bytes(offset)) + 0x200;
    file.read_exact_at(&mut text, start).ok()?;
    let word = text.split(|byte| matches!(byte, 0 | b' ')).next()?;
    String::from_utf8(word.to_vec())
        .ok()
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_read_from_the_image_header() {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x512].copy_from_slice(b"7.3.4 (me@host) #1");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &image).unwrap();
        assert_eq!(stated_release(file.path()).as_deref(), Some("7.3.4"));
        image[0x202] = 0;
        std::fs::write(file.path(), &image).unwrap();
        assert_eq!(stated_release(file.path()), None);
        std::fs::write(file.path(), b"short").unwrap();
        assert_eq!(stated_release(file.path()), None);
    }
}

//! The next kernel as files: what `luod shutdown-hook` loads again at the last moment.
//!
//! Between the request and the jump systemd ends every service, and any of them may unload the image or load another
//! one in its place; then everything preserved would be lost. When all have ended there is nobody left who could.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kexec_sys::{LoadError, SealedImage};

use crate::host::LoadRequest;

const KERNEL: &str = "kernel";
const INITRD: &str = "initrd";
const CMDLINE: &str = "cmdline";

/// Why the next kernel was not loaded again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of the command line has a NUL in it.
    #[error("the command line in {} has a NUL byte", path.display())]
    Cmdline {
        /// The file.
        path: PathBuf,
        /// Where.
        source: std::ffi::NulError,
    },
    /// An image cannot be copied.
    #[error("failed to take a copy of the image")]
    Copy(#[from] kexec_sys::Error),
    /// The kernel refused it.
    #[error("failed to load the next kernel")]
    Load(#[from] LoadError),
}

/// A folder with the next kernel.
#[derive(Debug)]
pub struct NextKernel {
    folder: PathBuf,
}

impl NextKernel {
    /// In luod's runtime folder, which has to be in memory: other file systems are read-only at the end.
    pub fn in_runtime_dir(runtime_dir: &Path) -> Self {
        Self {
            folder: runtime_dir.join("next-kernel"),
        }
    }

    /// Writes it down; for root only, as a command line may have secrets.
    pub(crate) fn write(&self, request: &LoadRequest) -> io::Result<()> {
        self.remove()?;
        DirBuilder::new().mode(0o700).create(&self.folder)?;
        let create = |name| {
            let path = self.folder.join(name);
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
        };
        io::copy(&mut request.kernel.reader(), &mut create(KERNEL)?)?;
        if let Some(initrd) = &request.initrd {
            io::copy(&mut initrd.reader(), &mut create(INITRD)?)?;
        }
        // Last: with it the folder is whole.
        io::copy(&mut request.cmdline.as_bytes(), &mut create(CMDLINE)?)?;
        Ok(())
    }

    /// Removes it: there is nothing to jump to.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Loads it, whatever is loaded now; `false` when no update is under way.
    ///
    /// # Errors
    /// [`ReloadError`]; what was loaded before is still loaded.
    pub fn load(&self) -> Result<bool, ReloadError> {
        let path = self.folder.join(CMDLINE);
        let read = |path: PathBuf| move |source| ReloadError::Read { path, source };
        let cmdline = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            answer => answer.map_err(read(path.clone()))?,
        };
        let cmdline =
            CString::new(cmdline).map_err(|source| ReloadError::Cmdline { path, source })?;
        let open = |name| {
            let path = self.folder.join(name);
            match File::open(&path) {
                Ok(file) => SealedImage::copy("image", file)
                    .map(Some)
                    .map_err(Into::into),
                Err(error) if name == INITRD && error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(read(path)(error)),
            }
        };
        let (Some(kernel), initrd) = (open(KERNEL)?, open(INITRD)?) else {
            return Ok(false);
        };
        let initrd = initrd.as_ref().map(AsFd::as_fd);
        kexec_sys::load(&kernel, initrd, &cmdline)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(initrd: Option<&[u8]>) -> LoadRequest {
        LoadRequest {
            kernel: SealedImage::copy("kernel", &b"a kernel"[..]).unwrap(),
            initrd: initrd.map(|bytes| SealedImage::copy("initrd", bytes).unwrap()),
            cmdline: c"root=/dev/vda secret".to_owned(),
            force: Vec::new(),
            update_id: None,
        }
    }

    #[test]
    fn the_files_are_those_of_the_last_request_and_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let next = NextKernel::in_runtime_dir(folder.path());
        assert!(!next.load().unwrap());
        next.write(&request(Some(b"an initrd"))).unwrap();
        let read = |name: &str| fs::read(folder.path().join("next-kernel").join(name));
        assert_eq!(read("kernel").unwrap(), b"a kernel");
        assert_eq!(read("initrd").unwrap(), b"an initrd");
        next.write(&request(None)).unwrap();
        assert!(read("initrd").is_err());
        assert_eq!(read("cmdline").unwrap(), b"root=/dev/vda secret");
        // The kernel has the last word: this is none that could be started.
        assert!(next.load().is_err());
        next.remove().unwrap();
        assert!(!next.load().unwrap());
    }
}

//! Puts the guest's userspace together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use e2e_protocol::{AUTOSTART_PATH, Autostart};
use initrd::{Archive, Device, Permissions};

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitramfsError {
    /// A file of the host cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Host {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive refused an entry.
    #[error("cannot add {guest_path} to the image")]
    Archive {
        /// Path in the guest.
        guest_path: String,
        /// Why.
        source: initrd::Error,
    },
    /// The path of a program has no file name in UTF-8.
    #[error("{} has no plain file name", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The list of services cannot be written down.
    #[error("cannot write the list of services")]
    Autostart(#[from] serde_json::Error),
}

/// A guest image under construction. Guest paths are absolute; folders appear as needed.
#[derive(Debug)]
pub struct Initramfs {
    archive: Archive,
}

impl Initramfs {
    /// Starts an image whose process 1 is the agent at `agent`.
    ///
    /// # Errors
    /// The program cannot be read.
    pub fn with_agent(agent: &Path) -> Result<Self, InitramfsError> {
        let mut image = Self {
            archive: Archive::new(),
        };
        // The kernel gives process 1 its three streams from this node, before devtmpfs is there.
        image.node("/dev/console", Device::Character { major: 5, minor: 1 })?;
        image.node("/dev/null", Device::Character { major: 1, minor: 3 })?;
        image.file(agent, "/init", Permissions::PROGRAM)?;
        Ok(image)
    }

    /// Adds a program of the host as `/bin/NAME`.
    ///
    /// # Errors
    /// It cannot be read, or the name is taken.
    pub fn program(&mut self, host_path: &Path) -> Result<(), InitramfsError> {
        let name = host_path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| InitramfsError::NoName {
                path: host_path.to_owned(),
            })?;
        self.file(host_path, &format!("/bin/{name}"), Permissions::PROGRAM)
    }

    /// Adds a file of the host.
    ///
    /// # Errors
    /// It cannot be read, or the path is taken.
    pub fn file(
        &mut self,
        host_path: &Path,
        guest_path: &str,
        permissions: Permissions,
    ) -> Result<(), InitramfsError> {
        let content = fs::read(host_path).map_err(|source| InitramfsError::Host {
            action: "read",
            path: host_path.to_owned(),
            source,
        })?;
        self.bytes(guest_path, permissions, &content)
    }

    /// Adds a file with this content.
    ///
    /// # Errors
    /// The path is taken or impossible.
    pub fn bytes(
        &mut self,
        guest_path: &str,
        permissions: Permissions,
        content: &[u8],
    ) -> Result<(), InitramfsError> {
        self.add(guest_path, |archive, name| {
            archive.file(name, permissions, content)
        })
    }

    /// Adds a folder and those above it.
    ///
    /// # Errors
    /// The path is taken by something else or impossible.
    pub fn folder(&mut self, guest_path: &str) -> Result<(), InitramfsError> {
        self.add(guest_path, Archive::folders)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// The path is taken or impossible.
    pub fn symlink(&mut self, guest_path: &str, target: &str) -> Result<(), InitramfsError> {
        self.add(guest_path, |archive, name| archive.symlink(name, target))
    }

    /// Adds a device node that only root may use.
    ///
    /// # Errors
    /// The path is taken or impossible.
    pub fn node(&mut self, guest_path: &str, device: Device) -> Result<(), InitramfsError> {
        self.add(guest_path, |archive, name| {
            archive.device(name, Permissions::PRIVATE, device)
        })
    }

    /// Sets the services that the agent starts at boot.
    ///
    /// # Errors
    /// A list was set before.
    pub fn autostart(&mut self, services: &[Autostart]) -> Result<(), InitramfsError> {
        let list = serde_json::to_vec(services)?;
        self.bytes(AUTOSTART_PATH, Permissions::DATA, &list)
    }

    /// Writes the image and gives back its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_to(self, path: &Path) -> Result<PathBuf, InitramfsError> {
        fs::write(path, self.archive.finish()).map_err(|source| InitramfsError::Host {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
        Ok(path.to_owned())
    }

    fn add(
        &mut self,
        guest_path: &str,
        add_fn: impl FnOnce(&mut Archive, &str) -> Result<(), initrd::Error>,
    ) -> Result<(), InitramfsError> {
        let name = guest_path.strip_prefix('/').unwrap_or(guest_path);
        let folders = match name.rsplit_once('/') {
            Some((parent, _)) => self.archive.folders(parent),
            None => Ok(()),
        };
        folders
            .and_then(|()| add_fn(&mut self.archive, name))
            .map_err(|source| InitramfsError::Archive {
                guest_path: guest_path.to_owned(),
                source,
            })
    }
}

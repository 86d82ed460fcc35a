//! The disk of a guest that runs systemd.
//!
//! [`build`] makes a root file system of Debian's packages with `mmdebstrap`, once: it is an ext4 image in the
//! [`kernel_build::Cache`], keyed by what goes in. [`Disk`] is a copy of it with files added, by `debugfs`, which needs
//! no privileges; `mmdebstrap` is run as root.

mod disk;
mod error;
mod root;

pub use disk::Disk;
pub use error::Error;
pub use root::{Root, Suite, build, locate};

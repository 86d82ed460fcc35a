//! The calls of the file-descriptor mount API that rustix lacks, each in a safe form.
//!
//! * [`map_ids`], [`set_attributes`] and [`open_tree`], the last two of which take [`MountAttributes`]: `mount_setattr(2)`,
//!   `open_tree_attr(2)`;
//! * [`statmount`] gives a [`MountInfo`], [`listmount`] the mounts below another;
//! * [`unshare_mounts`] gives the calling thread mounts of its own.
//!
//! `fsopen`, `fspick`, `fsconfig`, `fsmount`, `move_mount` and `umount` are rustix's.
//!
//! C header: `include/uapi/linux/mount.h`; numbers of the calls as on every architecture but alpha
//! (`scripts/syscall.tbl`; both v7.3).

mod attributes;
mod call;
mod info;
mod namespace;

pub use attributes::{
    AttributeFlags, MountAttributes, Propagation, Reach, map_ids, open_tree, set_attributes,
};
pub use info::{MountId, MountInfo, listmount, statmount};
pub use namespace::unshare_mounts;

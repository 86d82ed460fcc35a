//! Mounts by descriptors, as Linux has them since 5.2: a file system is set up in a *context*, becomes a
//! *detached* mount that nobody sees, and is *attached* where it belongs, on top of what is there or
//! beneath it.
//!
//! * [`FsContext`] has the states of a context as types: parameters are set before there is a file
//!   system, which is mounted once;
//! * [`MountError`] has the errno of the call and what the kernel wrote into the context's log because
//!   of it;
//! * [`DetachedMount`] is a mount, or a clone of a tree of mounts, that ends with its descriptor;
//! * [`upgrade`] replaces what is mounted somewhere by something new, with no moment in which nothing is
//!   there, and undoes it when the new one is not what is seen afterwards;
//! * [`switch_root`] makes a mount the root folder.
//!
//! Where the manual pages under review differ from the kernel (v7.3), this follows the kernel; each such
//! place says so.

mod context;
mod detached;
mod error;
mod log;
mod root;
mod upgrade;

pub use context::{AwaitingMount, Create, FsContext, Param, Reconfigure, Reuse};
pub use detached::{DetachedMount, join_group};
pub use error::{Call, MountError};
pub use log::{Message, Severity};
pub use mount_sys::{
    AttributeFlags, MountAttributes, MountId, MountInfo, Propagation, Reach, listmount, statmount,
};
pub use root::{RootSwitch, SwitchError, switch_root};
pub use upgrade::{UpgradeError, Upgraded, upgrade};

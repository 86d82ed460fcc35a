//! The two ioctls: the only unsafe code of this crate.
#![expect(unsafe_code, reason = "an ioctl has no safe form")]

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

use crate::params::TuneParams;

/// `EXT4_IOC_GET_TUNE_SB_PARAM`, `_IOR('f', 45, struct ext4_tune_sb_params)`.
const GET: Opcode = opcode::read::<TuneParams>(b'f', 45);
/// `EXT4_IOC_SET_TUNE_SB_PARAM`, `_IOW('f', 46, struct ext4_tune_sb_params)`.
const SET: Opcode = opcode::write::<TuneParams>(b'f', 46);

/// Reads the parameters of the file system that `file` is on; takes no privileges.
///
/// # Errors
/// `ENOTTY` of another file system, and before Linux 6.18.
pub fn get(file: impl AsFd) -> Result<TuneParams, Errno> {
    // SAFETY: the number is that of an ioctl which writes one `ext4_tune_sb_params`; every bit pattern is a
    // valid `TuneParams`, whose size is part of the number: another file system does not know it.
    let getter = unsafe { Getter::<GET, TuneParams>::new() };
    // SAFETY: `getter` writes to memory of its own, and `file` is borrowed for the call.
    unsafe { ioctl(file, getter) }
}

/// Sets the fields that `params.set_flags` names. Linux up to 7.2 stores `mount_options` whatever is named:
/// let them be what [`get`] gave.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `EROFS`, `EINVAL` for a value and `EOPNOTSUPP` for a feature that cannot be,
/// `E2BIG` for mount options without a NUL, `EBUSY` while the file system is resized, `ENOTTY` as of [`get`].
pub fn set(file: impl AsFd, params: &TuneParams) -> Result<(), Errno> {
    // SAFETY: the number is that of an ioctl which reads one `ext4_tune_sb_params`, and its size is part of it.
    let setter = unsafe { Setter::<SET, TuneParams>::new(*params) };
    // SAFETY: `setter` owns what is read, and `file` is borrowed for the call.
    unsafe { ioctl(file, setter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the C macros give them.
    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!((GET, SET), (0x80e8_662d, 0x40e8_662e));
    }

    #[test]
    fn another_file_system_does_not_know_it() {
        let file = std::fs::File::open("/proc/self/exe").and(std::fs::File::open("/proc"));
        assert_eq!(get(file.unwrap()).unwrap_err(), Errno::NOTTY);
    }
}

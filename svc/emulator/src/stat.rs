//! Answers of `stat()` and `statx()` about files of the emulated machine.

use zerocopy::{FromZeros, Immutable, IntoBytes};

/// What is told of a file; owner root, one name, nothing in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    /// Device of the file system.
    pub(crate) dev: u64,
    pub(crate) inode: u64,
    /// Type and permissions.
    pub(crate) mode: u32,
    /// Numbers of the device, for a device.
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Its only time, in seconds since 1970.
    pub(crate) time: i64,
}

/// A time of `struct stat`.
#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
struct Time {
    seconds: i64,
    nanoseconds: u64,
}

/// `struct stat`, `arch/x86/include/uapi/asm/stat.h`, v7.3.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
#[derive(FromZeros, IntoBytes, Immutable)]
struct RawStat {
    dev: u64,
    inode: u64,
    links: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    padding: u32,
    rdev: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    times: [Time; 3],
    unused: [i64; 3],
}

/// `struct stat`, `include/uapi/asm-generic/stat.h`, v7.3.
#[cfg(target_arch = "aarch64")]
#[repr(C)]
#[derive(FromZeros, IntoBytes, Immutable)]
struct RawStat {
    dev: u64,
    inode: u64,
    mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    padding: u64,
    size: i64,
    block_size: i32,
    padding_2: i32,
    blocks: i64,
    times: [Time; 3],
    unused: [u32; 2],
}

/// `struct statx_timestamp`, `include/uapi/linux/stat.h`, v7.3.
#[repr(C)]
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
struct XTime {
    seconds: i64,
    nanoseconds: u32,
    padding: i32,
}

/// `struct statx`, same header.
#[repr(C)]
#[derive(FromZeros, IntoBytes, Immutable)]
struct RawStatx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    padding: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [XTime; 4],
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mount_id: u64,
    spare: [u64; 13],
}

/// `STATX_BASIC_STATS`.
const BASIC: u32 = 0x7ff;
const BLOCK: u16 = 4096;

impl Attributes {
    /// As `stat()` tells it.
    pub(crate) fn stat(&self) -> Vec<u8> {
        let mut raw = RawStat::new_zeroed();
        raw.dev = self.dev;
        raw.inode = self.inode;
        raw.links = 1;
        raw.mode = self.mode;
        raw.rdev = encode(self.major, self.minor);
        raw.block_size = BLOCK.into();
        for time in &mut raw.times {
            time.seconds = self.time;
        }
        raw.as_bytes().to_vec()
    }

    /// As `statx()` tells it.
    pub(crate) fn statx(&self) -> Vec<u8> {
        let mut raw = RawStatx::new_zeroed();
        raw.mask = BASIC;
        raw.block_size = BLOCK.into();
        raw.links = 1;
        raw.mode = u16::try_from(self.mode & 0xffff).unwrap_or(0);
        raw.inode = self.inode;
        for time in &mut raw.times {
            time.seconds = self.time;
        }
        raw.rdev_major = self.major;
        raw.rdev_minor = self.minor;
        raw.dev_major = rustix::fs::major(self.dev);
        raw.dev_minor = rustix::fs::minor(self.dev);
        raw.as_bytes().to_vec()
    }
}

/// `new_encode_dev()` of `include/linux/kdev_t.h`.
fn encode(major: u32, minor: u32) -> u64 {
    u64::from((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12))
}

const _: () = {
    #[cfg(target_arch = "x86_64")]
    assert!(size_of::<RawStat>() == 144);
    #[cfg(target_arch = "aarch64")]
    assert!(size_of::<RawStat>() == 128);
    assert!(size_of::<RawStatx>() == 256);
};

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_layouts_are_those_of_the_c_library() {
        assert_eq!(size_of::<RawStat>(), size_of::<libc::stat>());
        assert_eq!(offset_of!(RawStat, mode), offset_of!(libc::stat, st_mode));
        assert_eq!(offset_of!(RawStat, rdev), offset_of!(libc::stat, st_rdev));
        assert_eq!(offset_of!(RawStat, size), offset_of!(libc::stat, st_size));
        assert_eq!(offset_of!(RawStat, times), offset_of!(libc::stat, st_atime));
        assert_eq!(size_of::<RawStatx>(), size_of::<libc::statx>());
        assert_eq!(
            offset_of!(RawStatx, rdev_major),
            offset_of!(libc::statx, stx_rdev_major)
        );
        assert_eq!(
            offset_of!(RawStatx, mount_id),
            offset_of!(libc::statx, stx_mnt_id)
        );
    }

    #[test]
    fn a_device_number_with_a_large_minor_is_encoded_in_two_parts() {
        let dev = encode(10, 258);
        assert_eq!(dev, 0x10_0a02);
        assert_eq!((rustix::fs::major(dev), rustix::fs::minor(dev)), (10, 258));
    }
}

//! Images of a block device, which Linux copies to `/dev/ram0` when it cannot unpack an initramfs.
//!
//! The list is that of `identify_ramdisk_image()` (`init/do_mounts_rd.c`, v7.3). It takes
//! `CONFIG_BLK_DEV_RAM`, and 7.2 and 7.3 say at boot that it "will be removed in January 2027".

use alloc::string::String;
use core::fmt;

/// What is on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockImage {
    /// romfs.
    Romfs,
    /// cramfs, at the start or behind a boot sector.
    Cramfs,
    /// squashfs.
    Squashfs,
    /// minix, versions 1 and 2, with short or long names.
    Minix,
    /// ext2, ext3 or ext4.
    Ext2,
}

/// Where a magic number is, its bytes, and whose it is.
const MAGIC: [(usize, &[u8], BlockImage); 7] = [
    (0, b"-rom1fs-", BlockImage::Romfs),
    (0, &[0x45, 0x3d, 0xcd, 0x28], BlockImage::Cramfs),
    (512, &[0x45, 0x3d, 0xcd, 0x28], BlockImage::Cramfs),
    (0, b"hsqs", BlockImage::Squashfs),
    // `s_magic` of the superblock at 1 KiB, `MINIX_SUPER_MAGIC` and `MINIX_SUPER_MAGIC2`.
    (1024 + 16, &[0x7f, 0x13], BlockImage::Minix),
    (1024 + 16, &[0x8f, 0x13], BlockImage::Minix),
    // `EXT2_SUPER_MAGIC` in the superblock at 1 KiB.
    (1024 + 56, &[0x53, 0xef], BlockImage::Ext2),
];

impl BlockImage {
    /// Looks for a file system at the start of an image.
    #[must_use]
    pub fn find(image: &[u8]) -> Option<Self> {
        let is_at = |at: usize, magic: &[u8]| {
            let rest = image.get(at..);
            rest.is_some_and(|rest| rest.starts_with(magic))
        };
        MAGIC
            .iter()
            .find(|(at, magic, _)| is_at(*at, magic))
            .map(|(_, _, found)| *found)
    }
}

impl BlockImage {
    /// What to say of an image that is one; `support` says whether the kernel in question has it.
    #[must_use]
    pub fn notice(self, support: &str) -> String {
        alloc::format!(
            "it is no initramfs but a block image ({self}): that takes CONFIG_BLK_DEV_RAM, {support}; \
             Linux says at boot that it \"will be removed in January 2027\""
        )
    }
}

impl fmt::Display for BlockImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Romfs => "romfs",
            Self::Cramfs => "cramfs",
            Self::Squashfs => "squashfs",
            Self::Minix => "minix",
            Self::Ext2 => "ext2",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn every_file_system_is_found_where_the_kernel_looks() {
        for (at, magic, expected) in MAGIC {
            let mut image = vec![0; 2048];
            image[at..at + magic.len()].copy_from_slice(magic);
            assert_eq!(BlockImage::find(&image), Some(expected));
            image.remove(0);
            assert_eq!(BlockImage::find(&image), None, "{expected} is elsewhere");
        }
        assert_eq!(BlockImage::find(b"-rom"), None);
    }
}

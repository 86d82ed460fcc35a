//! `struct ext4_tune_sb_params`.

use std::fmt;

/// Bytes of the stored mount options, with their NUL.
pub const MOUNT_OPTIONS_BYTES: usize = 64;

/// `EXT4_TUNE_FL_…`: fields that a call sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub u32);

impl Fields {
    /// What to do on errors.
    pub const ERRORS: Self = Self(0x1);
    /// Mounts since the last check.
    pub const MOUNT_COUNT: Self = Self(0x2);
    /// Mounts between checks.
    pub const MAX_MOUNT_COUNT: Self = Self(0x4);
    /// Seconds between checks.
    pub const CHECK_INTERVAL: Self = Self(0x8);
    /// Time of the last check.
    pub const LAST_CHECK: Self = Self(0x10);
    /// Blocks that only root may take.
    pub const RESERVED_BLOCKS: Self = Self(0x20);
    /// Who else may.
    pub const RESERVED_UID: Self = Self(0x40);
    /// Which group may.
    pub const RESERVED_GID: Self = Self(0x80);
    /// Blocks of a stride.
    pub const RAID_STRIDE: Self = Self(0x400);
    /// Blocks of a stripe.
    pub const RAID_STRIPE_WIDTH: Self = Self(0x800);
    /// Stored mount options.
    pub const MOUNT_OPTIONS: Self = Self(0x1000);

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of another are among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `struct ext4_tune_sb_params`, 232 bytes on x86-64 and arm64.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct TuneParams {
    /// Fields to set; of an answer, those that can be.
    pub set_flags: u32,
    /// Seconds between checks; 0: never.
    pub check_interval: u32,
    /// What to do on errors: 1 continue, 2 remount read-only, 3 panic.
    pub errors: u16,
    /// Mounts since the last check.
    pub mount_count: u16,
    /// Mounts between checks; 0 or 65535: never.
    pub max_mount_count: u16,
    /// Blocks of a stride.
    pub raid_stride: u16,
    /// Seconds since 1970.
    pub last_check: u64,
    /// Blocks that only root may take.
    pub reserved_blocks: u64,
    /// Blocks of the file system.
    pub blocks: u64,
    /// `s_default_mount_opts`.
    pub default_mount_options: u32,
    /// Who else may take reserved blocks.
    pub reserved_uid: u32,
    /// Which group may.
    pub reserved_gid: u32,
    /// Blocks of a stripe.
    pub raid_stripe_width: u32,
    /// Encoding of names.
    pub encoding: u16,
    /// Its flags.
    pub encoding_flags: u16,
    /// How names are hashed.
    pub hash_algorithm: u8,
    pad: u8,
    pad2: u16,
    /// Features that do not matter to a kernel that does not know them.
    pub features_compat: u32,
    /// Features without which the file system cannot be mounted.
    pub features_incompat: u32,
    /// Features without which it cannot be written.
    pub features_ro_compat: u32,
    /// Features to set.
    pub set_features: [u32; 3],
    /// Features to clear.
    pub clear_features: [u32; 3],
    /// Stored mount options, up to a NUL.
    pub mount_options: [u8; MOUNT_OPTIONS_BYTES],
    pad3: [u8; 68],
}

const _: () = assert!(size_of::<TuneParams>() == 232);

impl Default for TuneParams {
    fn default() -> Self {
        Self {
            set_flags: 0,
            check_interval: 0,
            errors: 0,
            mount_count: 0,
            max_mount_count: 0,
            raid_stride: 0,
            last_check: 0,
            reserved_blocks: 0,
            blocks: 0,
            default_mount_options: 0,
            reserved_uid: 0,
            reserved_gid: 0,
            raid_stripe_width: 0,
            encoding: 0,
            encoding_flags: 0,
            hash_algorithm: 0,
            pad: 0,
            pad2: 0,
            features_compat: 0,
            features_incompat: 0,
            features_ro_compat: 0,
            set_features: [0; 3],
            clear_features: [0; 3],
            mount_options: [0; MOUNT_OPTIONS_BYTES],
            pad3: [0; 68],
        }
    }
}

impl fmt::Debug for TuneParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TuneParams")
            .field("set_flags", &format_args!("{:#x}", self.set_flags))
            .field("errors", &self.errors)
            .field("mount_options", &self.stored_mount_options())
            .finish_non_exhaustive()
    }
}

impl TuneParams {
    /// The stored mount options as text.
    #[must_use]
    pub fn stored_mount_options(&self) -> String {
        let text = self.mount_options.split(|&byte| byte == 0).next();
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }
}

//! A configuration with which the log of a kernel reaches the next one over a kexec, on kernels as they are.
//!
//! `reserve_mem=` sets memory aside under a label; KHO carries it over every kexec that names it again with the same label,
//! size and alignment (`mm/memblock.c`, v7.3). ramoops keeps its zones in it (`ramoops.mem_name`). At the end of a kexec
//! the kernel writes its log there, up to "Starting new kernel", if `max_reason` has room for shutdowns
//! (`kernel_kexec()`, `kernel/kexec_core.c`).

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::ramoops::{Ecc, Geometry, GeometryError, Parameters};

/// Bytes of the longest label (`RESERVE_MEM_NAME_SIZE` less its NUL, `mm/memblock.c`).
const MAX_LABEL_BYTES: usize = 15;
/// Alignment of the region: a page.
const ALIGN_BYTES: u64 = 4096;
/// Dumps there is room for: that of the shutdown, and crashes survived before it.
const RECORDS: u64 = 4;
/// Room for what programs write to `/dev/pmsg0`.
const PMSG_BYTES: u64 = 64 << 10;
/// The smallest and the largest log that is asked for.
const LOG_BYTES: core::ops::RangeInclusive<u64> = (16 << 10)..=(16 << 20);
/// `ramoops.mem_type`: cached, as memory of which nothing but processors is to read.
pub(crate) const MEM_TYPE_CACHED: u32 = 2;
/// `KMSG_DUMP_SHUTDOWN` (`include/linux/kmsg_dump.h`).
pub(crate) const REASON_SHUTDOWN: u32 = 4;

/// Who starts ramoops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// It is in the kernel: parameters are words of the command line.
    BuiltIn,
    /// It is a module: parameters are in `modprobe.d`.
    Module,
}

/// Name of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// A name.
    ///
    /// # Errors
    /// [`RecipeError::Label`].
    pub fn new(name: &str) -> Result<Self, RecipeError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let has_letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if name.len() > MAX_LABEL_BYTES || !has_letter || !name.bytes().all(is_plain) {
            return Err(RecipeError::Label { label: name.into() });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The kernel would not take the label.
    #[error("{label:?} is no label: 1 to 15 letters, digits, - and _, at least one a letter")]
    Label {
        /// The label.
        label: String,
    },
    /// The log is too small or too large.
    #[error("a log of {bytes} bytes: from 16 KiB to 16 MiB are possible")]
    LogBytes {
        /// What was asked for.
        bytes: u64,
    },
    /// The driver would not divide the region so.
    #[error("the driver would not take the region")]
    Geometry(#[from] GeometryError),
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The region's name.
    pub label: Label,
    /// How it is divided.
    pub parameters: Parameters,
    /// The same, as zones.
    pub geometry: Geometry,
}

impl Recipe {
    /// Room for logs of `log_bytes` as they are packed, which is a third of their text or less.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn for_log(label: Label, log_bytes: u64) -> Result<Self, RecipeError> {
        let wrong = RecipeError::LogBytes { bytes: log_bytes };
        if !LOG_BYTES.contains(&log_bytes) {
            return Err(wrong);
        }
        let record_bytes = log_bytes.checked_next_power_of_two().ok_or(wrong)?;
        let pmsg_bytes = PMSG_BYTES.min(record_bytes);
        // The console's zone is plain text, one record is packed.
        let records = record_bytes.saturating_mul(RECORDS.saturating_add(1));
        let parameters = Parameters {
            mem_bytes: records.saturating_add(pmsg_bytes),
            record_bytes,
            console_bytes: record_bytes,
            ftrace_bytes: 0,
            pmsg_bytes,
            ecc: Ecc::default(),
        };
        Ok(Self {
            label,
            parameters,
            geometry: Geometry::of(&parameters, 1)?,
        })
    }

    /// The word that sets the region aside.
    pub fn region_word(&self) -> String {
        let size = self.parameters.mem_bytes;
        let label = &self.label;
        format!("reserve_mem={}K:{ALIGN_BYTES}:{label}", size >> 10)
    }

    /// Parameters of the driver: name and value.
    pub fn driver_parameters(&self) -> Vec<(&'static str, String)> {
        let Parameters {
            record_bytes,
            console_bytes,
            pmsg_bytes,
            ..
        } = self.parameters;
        alloc::vec![
            ("mem_name", format!("{}", self.label)),
            ("mem_type", format!("{MEM_TYPE_CACHED}")),
            ("max_reason", format!("{REASON_SHUTDOWN}")),
            ("record_size", format!("{record_bytes:#x}")),
            ("console_size", format!("{console_bytes:#x}")),
            ("pmsg_size", format!("{pmsg_bytes:#x}")),
            // Not given, it is 4096, also where the kernel cannot trace functions.
            ("ftrace_size", "0".to_owned()),
        ]
    }

    /// Words for the command line of this kernel and of every one after it.
    pub fn words(&self, driver: Driver) -> Vec<String> {
        // Of several backends the first that registers is the only one.
        let mut words = alloc::vec![self.region_word(), "pstore.backend=ramoops".to_owned()];
        if driver == Driver::BuiltIn {
            let parameters = self.driver_parameters().into_iter();
            words.extend(parameters.map(|(name, value)| format!("ramoops.{name}={value}")));
        }
        words
    }

    /// The line for `modprobe.d`.
    pub fn modprobe_line(&self) -> String {
        let parameters = self.driver_parameters().into_iter();
        let words = parameters.map(|(name, value)| format!(" {name}={value}"));
        format!("options ramoops{}", words.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ramoops::ZoneKind;

    fn recipe(bytes: u64) -> Result<Recipe, RecipeError> {
        Recipe::for_log(Label::new("oops").unwrap(), bytes)
    }

    #[test]
    fn sizes_are_what_the_driver_makes_of_them() {
        let recipe = recipe(200_000).unwrap();
        assert_eq!(recipe.parameters.rounded(), recipe.parameters);
        assert_eq!(recipe.geometry.of_kind(ZoneKind::Dmesg).count(), 4);
        assert_eq!(recipe.geometry.unused_bytes, 0);
        assert_eq!(recipe.region_word(), "reserve_mem=1344K:4096:oops");
    }

    #[test]
    fn words_are_those_of_the_driver_in_use() {
        let recipe = recipe(256 << 10).unwrap();
        let words = recipe.words(Driver::BuiltIn);
        assert_eq!(
            words.join(" "),
            "reserve_mem=1344K:4096:oops pstore.backend=ramoops ramoops.mem_name=oops ramoops.mem_type=2 \
             ramoops.max_reason=4 ramoops.record_size=0x40000 ramoops.console_size=0x40000 ramoops.pmsg_size=0x10000 \
             ramoops.ftrace_size=0"
        );
        assert_eq!(recipe.words(Driver::Module), words[..2]);
        assert_eq!(
            recipe.modprobe_line(),
            "options ramoops mem_name=oops mem_type=2 max_reason=4 record_size=0x40000 console_size=0x40000 pmsg_size=0x10000 \
             ftrace_size=0"
        );
    }

    #[test]
    fn what_the_kernel_would_not_take_is_no_recipe() {
        assert!(recipe(1000).is_err() && recipe(u64::MAX).is_err());
        for label in ["", "123", "a b", "abcdefghijklmnop", "a:b"] {
            assert!(Label::new(label).is_err(), "{label:?}");
        }
        assert!(Label::new("abcdefghijklmno").is_ok());
    }
}

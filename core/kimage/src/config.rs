//! The configuration a kernel was built with, when it carries it (`CONFIG_IKCONFIG`).
//!
//! `kernel/configs.c`, v7.3: the gzipped `.config` between `IKCFG_ST` and `IKCFG_ED`.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};

use decompress::{Format, decompress};

const START: &[u8] = b"IKCFG_ST";
/// Far more than any configuration.
const MAX_BYTES: usize = 8 << 20;

/// A kernel's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, String>,
}

impl KernelConfig {
    /// The configuration in an unpacked kernel; `None` when it carries none.
    pub fn find(kernel: &[u8]) -> Option<Self> {
        memchr::memmem::find_iter(kernel, START).find_map(|at| {
            let packed = kernel.get(at.checked_add(START.len())?..)?;
            let text = decompress(Format::Gzip, packed, MAX_BYTES).ok()?;
            Some(Self::parse(&String::from_utf8_lossy(&text.data)))
        })
    }

    /// Reads a `.config`: what is not in it is not set.
    pub fn parse(text: &str) -> Self {
        let options = text
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .filter(|(name, _)| name.starts_with("CONFIG_"))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Self { options }
    }

    /// The value of an option, `y`, `m`, a number or a quoted string; `None` when it is not set.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Whether an option is `y`.
    pub fn is_built_in(&self, option: &str) -> bool {
        self.get(option) == Some("y")
    }
}

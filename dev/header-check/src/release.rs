//! Which kernel a source tree is: what moved between releases depends on it.

use std::path::Path;

use crate::coverage::read;
use crate::{Error, Result};

/// A release, by its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// `VERSION` of the top Makefile.
    pub version: u32,
    /// `PATCHLEVEL` of the top Makefile.
    pub patchlevel: u32,
}

impl Release {
    /// Linux 7.2, the oldest release with the layouts of these crates.
    pub const V7_2: Self = Self {
        version: 7,
        patchlevel: 2,
    };
    /// Linux 7.3.
    pub const V7_3: Self = Self {
        version: 7,
        patchlevel: 3,
    };

    /// Reads the top Makefile of a source tree.
    ///
    /// # Errors
    ///
    /// When there is none or it lacks the two numbers.
    pub fn of(source_tree: &Path) -> Result<Self> {
        let path = source_tree.join("Makefile");
        let not_a_tree = || Error::NotASourceTree { path: path.clone() };
        if !path.is_file() {
            return Err(not_a_tree());
        }
        let text = read(&path)?;
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().parse().ok())?
            })
        };
        Ok(Self {
            version: value("VERSION").ok_or_else(not_a_tree)?,
            patchlevel: value("PATCHLEVEL").ok_or_else(not_a_tree)?,
        })
    }
}

//! The outcome of a check.

use core::fmt;

/// What one check found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Sizes, offsets, constants and strings that were compared.
    pub compared: usize,
    /// Those that differ.
    pub mismatches: Vec<Mismatch>,
}

impl Report {
    /// Whether ours and theirs agree in everything.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// One difference between a crate and a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Header, relative to the source tree.
    pub header: String,
    /// What was compared, in C terms.
    pub what: String,
    /// Value of the crate.
    pub ours: String,
    /// Value of the header.
    pub theirs: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            header,
            what,
            ours,
            theirs,
        } = self;
        write!(f, "{header}: {what}: ours {ours}, header {theirs}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mismatch in &self.mismatches {
            writeln!(f, "{mismatch}")?;
        }
        write!(
            f,
            "{} values compared, {} differ",
            self.compared,
            self.mismatches.len()
        )
    }
}

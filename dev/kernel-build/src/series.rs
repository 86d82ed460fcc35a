//! The kernel series that are always in the test matrix.

use std::fmt;
use std::str::FromStr;

/// A kernel series, of which the newest stable release that the package mirror has is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KernelSeries {
    /// Linux 7.2.x.
    V7_2,
    /// Linux 7.3.x.
    V7_3,
}

impl KernelSeries {
    /// Every series, oldest first.
    pub const ALL: [Self; 2] = [Self::V7_2, Self::V7_3];

    /// Returns the series as people write it: `7.3`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V7_2 => "7.2",
            Self::V7_3 => "7.3",
        }
    }

    /// Returns the name of the Debian package that carries the source.
    pub fn package(self) -> String {
        format!("linux-source-{}", self.name())
    }

    /// Tells whether a Debian package version is a release of this series: `7.3.4-1` and `7.3-1` are, the candidate
    /// `7.3~rc7-1` is not.
    pub fn has_release(self, package_version: &str) -> bool {
        package_version
            .strip_prefix(self.name())
            .is_some_and(|rest| rest.starts_with(['.', '-']))
    }
}

impl fmt::Display for KernelSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A series that this project does not build.
#[derive(Debug, thiserror::Error)]
#[error("unknown kernel series `{found}`: known are 7.2 and 7.3")]
pub struct UnknownSeries {
    /// What was asked for.
    pub found: String,
}

impl FromStr for KernelSeries {
    type Err = UnknownSeries;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|series| series.name() == text)
            .ok_or_else(|| UnknownSeries {
                found: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_are_refused() {
        for series in KernelSeries::ALL {
            assert_eq!(series.name().parse::<KernelSeries>().unwrap(), series);
        }
        assert!("7.4".parse::<KernelSeries>().is_err());
    }

    #[test]
    fn a_release_candidate_is_no_release_of_its_series() {
        assert!(KernelSeries::V7_3.has_release("7.3.4-1~bpo13+1"));
        assert!(KernelSeries::V7_3.has_release("7.3-1"));
        assert!(!KernelSeries::V7_3.has_release("7.3~rc7-1~exp1"));
        assert!(!KernelSeries::V7_3.has_release("7.30.1-1"));
        assert!(!KernelSeries::V7_3.has_release("7.2.13-1"));
    }
}

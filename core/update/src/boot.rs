//! Boots of a host, and what the kernel before one left.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// A boot that luod ran in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The kernel's random identity of it.
    pub boot_id: String,
    /// Release of its kernel.
    pub release: String,
    /// When luod first ran in it, in nanoseconds since 1970.
    pub started_ns: u64,
    /// Kexecs with a handover since the cold boot. Default when absent: not known.
    #[serde(default)]
    pub kexec_count: Option<u32>,
    /// Release of the kernel that started it, as that one told. Default when absent: a cold boot, or not known.
    #[serde(default)]
    pub previous_release: Option<String>,
    /// The update it came by. Default when absent: none of luod's.
    #[serde(default)]
    pub update_id: Option<String>,
}

impl Boot {
    /// Whether both are the same boot. A machine that is emulated has the boot id of its host.
    pub fn is_same(&self, other: &Self) -> bool {
        self.boot_id == other.boot_id && self.kexec_count == other.kexec_count
    }
}

/// The boots since the last cold boot, that one included, of boots in order. One whose count is not known is taken for a
/// cold boot: nothing says that it is not.
pub fn chain(boots: &[Boot]) -> &[Boot] {
    let starts = |boot: &Boot| boot.kexec_count.unwrap_or(0) == 0;
    let cold = boots.iter().rposition(starts).unwrap_or(0);
    boots.get(cold..).unwrap_or_default()
}

/// What the kernel before left of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PreviousLog {
    /// It is in the archive.
    Kept {
        /// Number of its lines.
        lines: u64,
        /// The last one.
        last_line: String,
    },
    /// There is none.
    Absent {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_chain_begins_with_the_last_cold_boot() {
        let boot = |kexec_count| Boot {
            kexec_count,
            ..Boot::default()
        };
        let boots = [Some(0), Some(1), Some(0), Some(1), Some(2)].map(boot);
        let counts = |boots: &[Boot]| -> Vec<Option<u32>> {
            boots.iter().map(|boot| boot.kexec_count).collect()
        };
        assert_eq!(counts(chain(&boots)), [Some(0), Some(1), Some(2)]);
        // luod was not there at the cold boot.
        assert_eq!(counts(chain(&boots[3..])), [Some(1), Some(2)]);
        assert_eq!(counts(chain(&[boot(Some(4)), boot(None)])), [None]);
        assert!(chain(&[]).is_empty());
    }
}

//! How the running kernel keeps its log.

use std::fs;

use kho::memblock::{self, Region};
use preflight::{LogFacts, RamoopsFacts};
use pstore::ramoops::{Ecc, Parameters};

use crate::sources::{Sources, blob, parse_hex_lines};

/// The kernel's word for no name.
const NULL: &str = "(null)";

impl Sources {
    /// What is known of it.
    pub(crate) fn log_facts(&self) -> LogFacts {
        let has_pstore = self.path("sys/module/pstore").exists();
        LogFacts {
            has_pstore: has_pstore || self.path("sys/fs/pstore").exists(),
            backend: self.parameter("pstore", "backend").filter(is_name),
            ramoops: self.ramoops(),
            always_kmsg_dump: self
                .parameter("printk", "always_kmsg_dump")
                .map(|value| value == "Y"),
            regions: self.regions("out"),
            is_cold_boot: self.origin().kexec_count.map(|count| count == 0),
            received: self.regions("in"),
            scratch: self.scratch(),
        }
    }

    fn parameter(&self, module: &str, name: &str) -> Option<String> {
        let path = format!("sys/module/{module}/parameters/{name}");
        let text = fs::read_to_string(self.path(&path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Most are readable for root only.
    fn ramoops(&self) -> Option<RamoopsFacts> {
        let text = |name| self.parameter("ramoops", name);
        let number = |name| text(name)?.parse::<u64>().ok();
        Some(RamoopsFacts {
            label: text("mem_name").filter(is_name).unwrap_or_default(),
            address: number("mem_address").unwrap_or(0),
            parameters: Parameters {
                mem_bytes: number("mem_size")?,
                record_bytes: number("record_size")?,
                console_bytes: number("console_size")?,
                ftrace_bytes: number("ftrace_size")?,
                pmsg_bytes: number("pmsg_size")?,
                ecc: Ecc::of_parameter(number("ecc").unwrap_or(0)),
            },
            mem_type: text("mem_type")?.parse().ok()?,
            max_reason: text("max_reason")?.parse().ok()?,
        })
    }

    /// Regions that are handed over, or were; none where another node is.
    fn regions(&self, side: &str) -> Option<Vec<Region>> {
        let folder = self.debugfs(&format!("{side}/sub_fdts"));
        if !folder.exists() {
            return None;
        }
        let Some(list) = blob(&folder.join("memblock")) else {
            return Some(Vec::new());
        };
        Some(memblock::read(&list).ok()?.into_iter().flatten().collect())
    }

    fn scratch(&self) -> Option<Vec<(u64, u64)>> {
        let lines = |name| parse_hex_lines(&fs::read_to_string(self.debugfs(name)).ok()?);
        let (starts, lengths) = (lines("out/scratch_phys")?, lines("out/scratch_len")?);
        let is_paired = starts.len() == lengths.len();
        is_paired.then(|| starts.into_iter().zip(lengths).collect())
    }
}

fn is_name(text: &String) -> bool {
    !text.is_empty() && text != NULL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_that_sysfs_shows() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join("sys/module").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        };
        let facts = || Sources::under(folder.path()).log_facts();
        assert!(!facts().has_pstore);
        put("pstore/parameters/backend", "(null)");
        assert!(facts().has_pstore);
        assert_eq!(facts().backend, None);
        put("pstore/parameters/backend", "ramoops");
        assert_eq!(facts().backend.as_deref(), Some("ramoops"));
        for (name, value) in [
            ("mem_name", "oops"),
            ("mem_address", "1056964608"),
            ("mem_size", "1376256"),
            ("record_size", "262144"),
            ("console_size", "262144"),
            ("ftrace_size", "0"),
            ("pmsg_size", "65536"),
            ("ecc", "0"),
            ("mem_type", "2"),
        ] {
            put(&format!("ramoops/parameters/{name}"), value);
        }
        // One is missing: what is not known whole is not known.
        assert_eq!(facts().ramoops, None);
        put("ramoops/parameters/max_reason", "-1");
        let ramoops = facts().ramoops.unwrap();
        assert_eq!((&*ramoops.label, ramoops.max_reason), ("oops", -1));
        assert_eq!(ramoops.parameters.record_bytes, 0x40000);
    }

    #[test]
    fn scratch_is_known_whole_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("sys/kernel/debug/kho/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("scratch_phys"), "0x1000000\n0x0\n").unwrap();
        let scratch = || Sources::under(folder.path()).log_facts().scratch;
        assert_eq!(scratch(), None);
        fs::write(out.join("scratch_len"), "0x5000000\n0x0\n").unwrap();
        assert_eq!(scratch(), Some(vec![(0x100_0000, 0x500_0000), (0, 0)]));
        fs::write(out.join("scratch_len"), "0x5000000\n").unwrap();
        assert_eq!(scratch(), None);
    }
}

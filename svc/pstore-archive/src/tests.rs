//! Boots, played with files.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::*;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn archive(&self) -> Archive {
        Archive::at(self.path("archive"))
    }

    /// A record, written so many seconds after 1970.
    fn put(&self, name: &str, seconds: u64, text: &[u8]) {
        let path = self.path("store").join(name);
        fs::write(&path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn collect(&self, boot: u32, afterwards: Afterwards) -> Collected {
        self.collect_keeping(boot, afterwards, 100)
    }

    fn collect_keeping(&self, boot: u32, afterwards: Afterwards, keep: usize) -> Collected {
        let store = Store::at(self.path("store"));
        let boot = Boot {
            boot_id: format!("{boot:08x}-0000-4000-8000-000000000000"),
            release: "7.3.4".to_owned(),
            kexec_count: Some(boot),
            previous_release: Some("7.2.13".to_owned()),
        };
        let archive = self.archive();
        let collected = archive.collect(&store, &boot, afterwards, Extent::Whole, keep);
        collected.unwrap()
    }

    fn log(&self, boot: &str) -> BootLog {
        let archive = self.archive();
        BootLog::read(&archive, &archive.entry(boot).unwrap()).unwrap()
    }
}

fn outcomes(collected: &Collected) -> Vec<(&str, &Outcome)> {
    let records = collected.records.iter();
    records
        .map(|record| (&*record.name, &record.outcome))
        .collect()
}

fn shutdown(text: &str) -> Vec<u8> {
    format!("Shutdown#1 Part1\n<6>{text}\n<6>kexec_core: Starting new kernel\n").into_bytes()
}

/// What systemd-pstore keeps of the same: one file, overwritten each time.
#[test]
fn twenty_boots_with_one_file_name_are_kept_apart() {
    let host = Host::new();
    for boot in 1..=20 {
        host.put(
            "dmesg-ramoops-0",
            u64::from(boot),
            &shutdown(&format!("of kernel {boot}")),
        );
        host.put("console-ramoops-0", 0, b"always the same\n");
        let collected = host.collect(boot, Afterwards::Leave);
        assert_eq!(
            outcomes(&collected),
            [
                ("console-ramoops-0", &Outcome::Copied),
                ("dmesg-ramoops-0", &Outcome::Copied)
            ]
        );
    }
    assert_eq!(host.archive().entries().unwrap().len(), 20);
    for boot in 1..=20 {
        let log = host.log(&boot.to_string());
        assert_eq!(log.manifest.boot.kexec_count, Some(boot));
        assert_eq!(log.dumps[0].lines[0].text, format!("of kernel {boot}"));
        let ShutdownLog::Kept {
            lines, last_line, ..
        } = log.shutdown
        else {
            panic!("{:?}", log.shutdown);
        };
        assert_eq!((lines, &*last_line), (2, "kexec_core: Starting new kernel"));
    }
}

#[test]
fn collecting_again_changes_nothing() {
    let host = Host::new();
    host.put("dmesg-ramoops-0", 5, &shutdown("a"));
    let first = host.collect(1, Afterwards::Leave);
    let again = host.collect(1, Afterwards::Leave);
    assert_eq!(outcomes(&again), [("dmesg-ramoops-0", &Outcome::Known)]);
    assert_eq!(first.entry, again.entry);
    // The same name with other bytes, in the same boot: an oops shown by a backend that keeps looking.
    host.put("dmesg-ramoops-0", 6, b"Oops#1 Part1\n<1>BUG\n");
    host.collect(1, Afterwards::Leave);
    let log = host.log("1");
    assert_eq!(log.manifest.records[1].file, "dmesg-ramoops-0~2");
    assert_eq!(log.dumps.len(), 2);
}

#[test]
fn what_is_left_in_the_store_is_no_log_of_the_last_kernel() {
    let host = Host::new();
    host.put("dmesg-kho-0", 5, &shutdown("first"));
    host.collect(1, Afterwards::Leave);
    let collected = host.collect(2, Afterwards::Leave);
    assert_eq!(outcomes(&collected), [("dmesg-kho-0", &Outcome::Repeated)]);
    let log = host.log("2");
    assert_eq!(log.dumps[0].lines[0].text, "first");
    let ShutdownLog::Absent { why, .. } = log.shutdown else {
        panic!("{:?}", log.shutdown);
    };
    assert_eq!(why, Absence::OnlyRepeated);
    // Three boots are one too many, but the copy of the first is the only one.
    assert_eq!(
        host.collect_keeping(3, Afterwards::Leave, 1).pruned,
        1,
        "the second has none of its own"
    );
    assert_eq!(host.log("3").dumps[0].lines[0].text, "first");
    assert!(host.archive().entry("2").is_err());
}

/// The time of a record is what a kernel's clock said, and that of a region whatever its bytes say.
#[test]
fn a_record_of_the_year_3000_is_kept_and_read() {
    let host = Host::new();
    let text = b"Shutdown#1 Part1\n<6>kexec_core: Starting new kernel\n";
    host.put("dmesg-ramoops-0", 32_503_680_000, text);
    host.collect(1, Afterwards::Leave);
    let log = host.log("1");
    assert_eq!(log.dumps[0].time_ns, i64::MAX);
    assert!(serde_json::to_value(&log).is_ok());
}

#[test]
fn records_are_removed_once_their_copies_are_durable_and_not_before() {
    let host = Host::new();
    host.put("dmesg-ramoops-0", 5, &shutdown("a"));
    let collected = host.collect(1, Afterwards::Remove);
    assert!(collected.records[0].is_removed);
    assert!(!host.path("store/dmesg-ramoops-0").exists());
    assert_eq!(host.log("-0").dumps.len(), 1);
    // An archive that cannot be written to: everything stays.
    host.put("dmesg-ramoops-0", 6, &shutdown("b"));
    let blocked = host.path("archive/000002-00000002-0000-4000-8000-000000000000");
    fs::write(&blocked, "a file where a folder has to be").unwrap();
    let boot = Boot {
        boot_id: "00000002-0000-4000-8000-000000000000".to_owned(),
        ..Boot::default()
    };
    let store = Store::at(host.path("store"));
    let archive = host.archive();
    let answer = archive.collect(&store, &boot, Afterwards::Remove, Extent::Whole, 10);
    assert!(matches!(answer, Err(Error::Io { .. })), "{answer:?}");
    assert!(host.path("store/dmesg-ramoops-0").exists());
}

#[test]
fn a_rehearsal_writes_nothing() {
    let host = Host::new();
    host.put("dmesg-ramoops-0", 5, &shutdown("a"));
    let store = Store::at(host.path("store"));
    let boot = Boot::default();
    let archive = host.archive();
    let collected = archive.collect(&store, &boot, Afterwards::Remove, Extent::Rehearsal, 10);
    assert_eq!(
        outcomes(&collected.unwrap()),
        [("dmesg-ramoops-0", &Outcome::Copied)]
    );
    assert!(!host.path("archive").exists());
    assert!(host.path("store/dmesg-ramoops-0").exists());
}

#[test]
fn no_record_of_a_shutdown_is_told_from_no_record() {
    let host = Host::new();
    host.collect(0, Afterwards::Leave);
    host.put("dmesg-ramoops-1", 5, b"Oops#1 Part1\n<1>BUG\n");
    host.collect(1, Afterwards::Leave);
    let why = |boot: &str| match host.log(boot).shutdown {
        ShutdownLog::Absent { why, message } => (why, message),
        kept => panic!("{kept:?}"),
    };
    assert_eq!(why("1").0, Absence::Empty);
    assert!(why("1").1.contains("cold boot"));
    assert_eq!(why("2").0, Absence::OtherRecords);
    assert!(why("2").1.contains("dmesg-ramoops-1"));
}

#[test]
fn an_oops_and_a_shutdown_stand_side_by_side() {
    let host = Host::new();
    host.put("dmesg-ramoops-0", 5, b"Oops#1 Part1\n<1>BUG: unable\n");
    host.put("dmesg-ramoops-1", 9, b"Shutdown#2 Part1\n<6>end\n");
    host.put("notes", 9, b"no record's name");
    host.collect(1, Afterwards::Leave);
    let log = host.log("1");
    let reasons: Vec<_> = log
        .dumps
        .iter()
        .map(|dump| dump.reason.to_string())
        .collect();
    assert_eq!(reasons, ["Oops", "Shutdown"]);
    assert!(matches!(log.shutdown, ShutdownLog::Kept { dump: 1, .. }));
    assert_eq!(log.records.len(), 3);
    assert_eq!(log.records[2].kind, None);
}

#[test]
fn a_copy_that_changed_is_not_believed() {
    let host = Host::new();
    host.put("dmesg-ramoops-0", 5, &shutdown("a"));
    let entry = host.collect(1, Afterwards::Leave).entry;
    fs::write(entry.folder.join("dmesg-ramoops-0"), "other").unwrap();
    let answer = BootLog::read(&host.archive(), &entry);
    assert!(matches!(answer, Err(Error::Changed { .. })));
}

#[test]
fn a_newer_archive_is_refused_and_a_half_made_entry_is_none() {
    let host = Host::new();
    host.collect(1, Afterwards::Leave);
    fs::create_dir(host.path("archive/000009-x")).unwrap();
    assert_eq!(host.archive().entries().unwrap().len(), 1);
    let write = |text: &str| fs::write(host.path("archive/000009-x/boot.json"), text).unwrap();
    write("{\"format\": 2}");
    let answer = host.archive().entries();
    assert!(matches!(answer, Err(Error::TooNew { found: 2, .. })));
    write("{\"format\": 1");
    let answer = host.archive().entries();
    assert!(matches!(answer, Err(Error::Manifest { .. })));
}

#[test]
fn one_boot_that_cannot_be_read_hinders_no_other() {
    let host = Host::new();
    let first = host.collect(1, Afterwards::Leave).entry;
    fs::write(first.folder.join("boot.json"), "{").unwrap();
    host.put("dmesg-ramoops-0", 5, &shutdown("a"));
    let second = host.collect_keeping(2, Afterwards::Remove, 1).entry;
    assert_eq!(second.manifest.number, 2);
    assert_eq!(second.manifest.records.len(), 1);
    assert!(second.folder.join("dmesg-ramoops-0").exists());
    assert!(first.folder.join("boot.json").exists());
    // Who reads is told.
    assert!(host.archive().entries().is_err());
}

#[test]
fn links_are_not_followed() {
    let host = Host::new();
    let target: &Path = &host.path("secret");
    fs::write(target, "x").unwrap();
    symlink(target, host.path("store/dmesg-ramoops-0")).unwrap();
    assert!(host.collect(1, Afterwards::Leave).records.is_empty());
}

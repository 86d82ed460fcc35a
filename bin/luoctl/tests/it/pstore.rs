//! `luoctl pstore` on files that are played: the archive, what is shown of it, and a region in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &[u8]) {
        let path = self.path("store").join(name);
        fs::write(&path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn luoctl(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_luoctl"));
        command.current_dir(self.folder.path()).arg("pstore");
        command.args(line.split(' ')).output().unwrap()
    }

    fn text(&self, line: &str) -> String {
        let output = self.luoctl(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{line} --json"))).unwrap()
    }

    fn fails(&self, line: &str, code: i32, part: &str) {
        let output = self.luoctl(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(part), "{line}: {said}");
    }
}

const LOG: &[u8] = b"Shutdown#1 Part1\n<6>[    1.000000] Linux version 7.3.4\n\
    <3>[    9.000000] disk: late\n<6>[   10.000000] kexec_core: Starting new kernel\n";

#[test]
fn what_was_collected_is_listed_shown_and_exported() {
    let lab = Lab::new();
    lab.put("dmesg-ramoops-0", LOG);
    lab.put("pmsg-ramoops-0", b"luod: update 1: everything is frozen\n");
    let said = lab.text("collect --from store --archive archive --dry-run");
    assert!(said.contains("dmesg-ramoops-0: would be copied"), "{said}");
    assert!(!lab.path("archive").exists());
    lab.text("collect --from store --archive archive");
    let again = lab.text("collect --from store --archive archive --unlink");
    assert!(
        again.contains("collected in this boot already, removed from pstore"),
        "{again}"
    );
    assert_eq!(fs::read_dir(lab.path("store")).unwrap().count(), 0);

    let list = lab.text("list --archive archive");
    assert!(
        list.contains("3 lines, the last: kexec_core: Starting new kernel"),
        "{list}"
    );
    let shown = lab.text("show --archive archive --level err");
    assert!(
        shown.contains("err     [    9.000000] disk: late"),
        "{shown}"
    );
    assert!(!shown.contains("Linux version"), "{shown}");
    let record = lab.json("show -0 --archive archive --record pmsg-ramoops-0");
    assert_eq!(
        record["lines"][0]["text"],
        "luod: update 1: everything is frozen"
    );
    lab.fails("show 7 --archive archive", 24, "no boot \"7\"");
    lab.fails(
        "show --archive archive --record other",
        24,
        "no record \"other\"",
    );

    let whole = lab.json("export --archive archive");
    let dump = &whole["boots"][0]["dumps"][0];
    assert_eq!(dump["lines"][1]["level"], 3);
    assert_eq!(dump["lines"][1]["time_us"], 9_000_000);
    assert_eq!(dump["time_ns"], 1_700_000_000_000_000_000_i64);
    lab.text("export --archive archive --to out");
    let text = fs::read_to_string(lab.path("out/000001/shutdown-0.txt")).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(lab.path("out/000001/pmsg-ramoops-0").exists());
}

#[test]
fn an_empty_store_is_told_from_one_without_a_shutdown() {
    let lab = Lab::new();
    lab.text("collect --from store --archive archive");
    lab.fails("show --archive archive", 24, "pstore was empty");
    lab.put("dmesg-kho-0", b"Oops#1 Part1\n<1>BUG\n");
    lab.text("collect --from store --archive archive");
    lab.fails("show --archive archive", 24, "no record of a shutdown");
}

/// What a kernel wrote is read out of the bytes of its region, and can be collected.
#[test]
fn a_region_in_a_file_is_read() {
    let lab = Lab::new();
    let zone = |data: &[u8]| {
        let size = u32::try_from(data.len()).unwrap();
        let mut zone = [0x4347_4244, size, size].map(u32::to_ne_bytes).concat();
        zone.extend_from_slice(data);
        zone.resize(4096, 0);
        zone
    };
    let dump = [b"====1700000000.000001-D\n", LOG].concat();
    let image = [zone(&dump), vec![0; 4096], zone(b"console\n")].concat();
    fs::write(lab.path("region"), image).unwrap();
    // Rounded down, as the driver does.
    let sizes = "--record-size 5000 --console-size 4K";
    let said = lab.text(&format!("region region {sizes} --to store"));
    assert!(said.contains("dmesg-ramoops-0, "), "{said}");
    assert!(
        said.contains("never written: the zone at 0x1000 begins with 0x00000000"),
        "{said}"
    );
    lab.text("collect --from store --archive archive");
    let log = lab.json("show --archive archive");
    assert_eq!(log["shutdown"]["lines"], 3);
    lab.fails(
        "region region --record-size 64K",
        2,
        "no dump of 65536 bytes fits",
    );
}

#[test]
fn a_configuration_is_printed_and_written_where_it_was_said_only() {
    let lab = Lab::new();
    let words = lab.json("setup --driver built-in --log-size 300K --label logs");
    let words: Vec<_> = words["words"].as_array().unwrap().clone();
    assert_eq!(words[0], "reserve_mem=2624K:4096:logs");
    assert!(
        words.contains(&Value::from("ramoops.record_size=0x80000")),
        "{words:?}"
    );
    assert_eq!(fs::read_dir(lab.folder.path()).unwrap().count(), 1);
    lab.text("setup --driver module --write --root root");
    let read = |name: &str| fs::read_to_string(lab.path("root/etc").join(Path::new(name))).unwrap();
    assert!(read("modprobe.d/luod-ramoops.conf").contains("\noptions ramoops mem_name=oops"));
    assert!(read("modules-load.d/luod-ramoops.conf").ends_with("\nramoops\n"));
    assert_eq!(
        read("luod/pstore-cmdline"),
        "reserve_mem=1344K:4096:oops pstore.backend=ramoops\n"
    );
    lab.fails("setup --driver module --label a:b", 2, "no label");
    lab.fails("setup --driver module --log-size 1K", 2, "16 KiB to 16 MiB");
}

//! `luoctl pstore` on files that are played: the archive, what is shown of it, and a region in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::printed;

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

    /// One value, as its schema has it.
    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let line = format!("{line} --json");
        let output = self.luoctl(&line);
        let [value] = <[Value; 1]>::try_from(printed(&format!("pstore {line}"), &output)).unwrap();
        assert!(value.get("error").is_none(), "{line}: {value:#}");
        value
    }

    /// Has the archive remember something else of its first boot.
    fn remember(&self, change: impl FnOnce(&mut Value)) {
        let mut folders = fs::read_dir(self.path("archive")).unwrap();
        let is_first = |name: &str| name.starts_with("000001-");
        let folder = folders.find_map(|found| {
            let found = found.unwrap();
            is_first(found.file_name().to_str().unwrap()).then(|| found.path())
        });
        let path = folder.unwrap().join("boot.json");
        let mut boot = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut boot);
        fs::write(path, boot.to_string()).unwrap();
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
    let zones = lab.json(&format!("region region {sizes}"))["zones"].take();
    assert_eq!(zones[0]["record"], "dmesg-ramoops-0");
    assert_eq!(zones[1]["record"], Value::Null);
    assert_eq!(zones[2]["zone"]["kind"], "console");
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
    let written = lab.json("setup --driver module --write --root root");
    assert_eq!(written["written"].as_array().unwrap().len(), 3);
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

/// The outcome of each record that a `collect` tells of.
fn outcomes(collected: &Value) -> Vec<Value> {
    let records = collected["records"].as_array().unwrap().iter();
    records.map(|record| record["outcome"].clone()).collect()
}

#[test]
fn every_outcome_of_collecting_is_as_its_schema_says() {
    let lab = Lab::new();
    lab.put("dmesg-ramoops-0", LOG);
    let rehearsed = lab.json("collect --from store --archive archive --dry-run");
    assert_eq!(rehearsed["is_dry_run"], true);
    let first = lab.json("collect --from store --archive archive");
    assert_eq!(outcomes(&first), [json!("copied")]);
    assert_eq!(first["store"], json!({ "state": "folder" }));
    let again = lab.json("collect --from store --archive archive");
    assert_eq!(outcomes(&again), [json!("known")]);
    lab.remember(|boot| boot["boot_id"] = json!("another"));
    // Larger than any record.
    let large = File::create(lab.path("store/dmesg-ramoops-1")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    let second = lab.json("collect --from store --archive archive --unlink --keep 1");
    let why = json!({ "unreadable": "it has more than 67108864 bytes" });
    assert_eq!(outcomes(&second), [json!("repeated"), why.clone()]);
    assert_eq!(second["records"][0]["is_removed"], true);
    assert_eq!(second["records"][1]["is_removed"], false);

    let boots = lab.json("list --archive archive")["boots"].take();
    let boot = &boots[1]["boot"];
    assert_eq!(boot["unreadable"]["dmesg-ramoops-1"], why["unreadable"]);
    assert_eq!(boot["records"][0]["repeated"]["number"], 1);
    assert_eq!(boots[0]["shutdown"]["state"], "kept");
    assert_eq!(boots[1]["shutdown"]["why"], "only-repeated");
    assert_eq!(boots[1]["dumps"][0]["is_repeated"], true);
    // A place in /sys that nothing is mounted at.
    let none = lab.json("collect --from /sys/fs/nothing --archive archive --dry-run");
    let state = none["store"]["state"].as_str().unwrap();
    assert!(["unsupported", "not-mounted"].contains(&state), "{state}");
}

#[test]
fn every_way_to_have_no_shutdown_log_is_as_its_schema_says() {
    let lab = Lab::new();
    lab.text("collect --from store --archive archive");
    for (store, why) in [
        (json!({ "state": "unsupported" }), "unsupported"),
        (json!({ "state": "not-mounted" }), "not-mounted"),
        (json!({ "state": "no-backend" }), "no-backend"),
        (json!({ "state": "ready", "backend": "ramoops" }), "empty"),
        (json!({ "state": "folder" }), "empty"),
    ] {
        lab.remember(|boot| {
            boot["store"] = store.clone();
            boot["kexec_count"] = Value::Null;
            boot["previous_release"] = Value::Null;
        });
        for command in ["list", "export"] {
            let boots = lab.json(&format!("{command} --archive archive"))["boots"].take();
            assert_eq!(boots[0]["shutdown"]["why"], why, "{command}: {store}");
        }
    }
    lab.remember(|boot| {
        boot["kexec_count"] = json!(2);
        boot["previous_release"] = json!("7.3.3");
    });
    lab.put("dmesg-ramoops-0", b"Restart#1 Part2\n<1>BUG\n");
    lab.text("collect --from store --archive archive");
    let boots = lab.json("list --archive archive")["boots"].take();
    let last = boots.as_array().unwrap().last().unwrap();
    assert_eq!(last["shutdown"]["why"], "other-records");
    assert_eq!(last["dumps"][0]["reason"], "Restart");
    assert_eq!(last["dumps"][0]["missing_parts"], 1);
}

#[test]
fn what_is_shown_and_exported_is_as_its_schemas_say() {
    let lab = Lab::new();
    lab.put("dmesg-ramoops-0", LOG);
    lab.put("dmesg-ramoops-1.enc.z", &[0xff; 40]);
    lab.put(
        "console-ramoops-0",
        b"<13>[    2.500000][    T1] a line\n\nECC: No errors detected\n",
    );
    lab.put("ftrace-ramoops-0", &[0; 16]);
    lab.put("notes", b"whose are these?\n");
    lab.text("collect --from store --archive archive");
    let shown = lab.json("show --archive archive");
    assert_eq!(shown["shutdown"]["state"], "kept");
    let console = lab.json("show --archive archive --record console-ramoops-0");
    assert_eq!(console["lines"][0]["caller"], "T1");
    assert_eq!(console["lines"][0]["facility"], 1);
    let notes = lab.json("show --archive archive --record notes");
    assert_eq!(notes["lines"][0]["level"], Value::Null);

    let whole = lab.json("export --archive archive");
    let contents = whole["boots"][0]["contents"].as_array().unwrap();
    let of = |name: &str| contents.iter().find(|it| it["name"] == name).unwrap();
    assert!(of("console-ramoops-0")["ecc_notice"].is_string());
    assert!(of("console-ramoops-0")["lines"].is_array());
    assert_eq!(of("dmesg-ramoops-0")["header"]["reason"], "shutdown");
    assert_eq!(of("dmesg-ramoops-0")["lines"], Value::Null);
    assert!(of("dmesg-ramoops-1.enc.z")["damage"].is_string());
    assert_eq!(of("ftrace-ramoops-0")["kind"], "ftrace");
    assert_eq!(of("notes")["kind"], Value::Null);
    let exported = lab.json("export --archive archive --to out");
    let files = exported["files"].as_array().unwrap();
    assert!(files.contains(&json!("index.json")), "{files:?}");
    let index: Value =
        serde_json::from_slice(&fs::read(lab.path("out/index.json")).unwrap()).unwrap();
    assert_eq!(index, whole);
}

/// What is found is of this machine; how it is printed is not.
#[test]
fn findings_are_as_their_schema_says() {
    let lab = Lab::new();
    for line in ["check", "check --cmdline quiet"] {
        let found = lab.json(line);
        assert!(!found["findings"].as_array().unwrap().is_empty());
    }
    let absent = lab.luoctl("show --archive archive --json");
    let error = &printed("pstore show --archive archive --json", &absent)[0]["error"];
    assert_eq!(error["exit_code"], 24);
}

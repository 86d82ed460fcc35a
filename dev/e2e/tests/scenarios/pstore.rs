//! The last lines of a kernel reach the next one, on kernels as they are: ramoops in a region of `reserve_mem=`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::artifacts::{self, Missing};
use e2e::{LARGE_MEMORY_MIB, Machine, Series};
use serde_json::{Value, json};

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::host::check_refusal;
use crate::update::{luoctl, printed};

/// Bytes of the disk that the archive is on.
const DISK_BYTES: u64 = 64 << 20;
/// Where it is mounted.
const DISK: &str = "/tmp";
const ARCHIVE: &str = "/tmp/state/pstore";
const PATIENCE: Duration = Duration::from_secs(120);
/// A folder with nothing in it.
const EMPTY: &str = "/empty";
/// What the kernel before told (`CONFIG_KEXEC_HANDOVER_DEBUGFS`).
const METADATA: &str = "/sys/kernel/debug/kho/in/sub_fdts/kexec-metadata";
/// Memory of a guest in which early memory of a kernel that came by kexec is scratch and nothing else.
const SMALL_MEMORY_MIB: u32 = 1024;
/// What the kernel says last before it jumps (`kernel_kexec()`, `kernel/kexec_core.c`).
const LAST_LINE: &str = "Starting new kernel";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pstore::last_lines_of_every_kernel_are_kept", |lab| {
            chain(lab)
        }),
        Scenario::new("pstore::an_oops_and_the_end_stand_side_by_side", |lab| {
            oops(lab)
        }),
        Scenario::new("pstore::a_line_without_the_region_is_refused", |lab| {
            broken(lab)
        }),
        Scenario::new("pstore::a_region_that_came_late_is_found_out", |lab| {
            late(lab)
        }),
        Scenario::new("pstore::a_region_in_scratch_is_refused", |lab| {
            late_in_scratch(lab)
        }),
    ]
}

/// Words of `luoctl pstore setup`: what the host prints is what the guest is booted with.
pub(crate) fn recipe() -> anyhow::Result<String> {
    let program = artifacts::guest_program("luoctl")?;
    let words = ["pstore", "setup", "--driver", "built-in", "--json"];
    let output = Command::new(program).args(words).output()?;
    ensure!(output.status.success(), "luoctl pstore setup: {output:?}");
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let words = value["words"].as_array().context("no words")?;
    let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    Ok(words.join(" "))
}

/// An empty ext4 file system in a file.
fn disk(lab: &Lab) -> anyhow::Result<PathBuf> {
    let path = lab.folder().join("disk.img");
    std::fs::File::create(&path)?.set_len(DISK_BYTES)?;
    let made = Command::new("mkfs.ext4").arg("-q").arg(&path).status();
    let made = made.map_err(|error| Missing {
        what: format!("mkfs.ext4 ({error})"),
        remedy: "install the package e2fsprogs".to_owned(),
    })?;
    ensure!(made.success(), "mkfs.ext4: {made}");
    Ok(path)
}

/// Ends the machine; the disk of one that failed is left.
fn end(machine: Machine, disk: &Path) -> anyhow::Result<()> {
    machine.poweroff()?;
    Ok(std::fs::remove_file(disk)?)
}

/// A machine with a disk, its command line with `words`; luod runs.
fn boot(lab: &Lab, series: Series, disk: &Path, words: &str) -> anyhow::Result<Machine> {
    boot_in(lab, LARGE_MEMORY_MIB, series, disk, words)
}

fn boot_in(
    lab: &Lab,
    memory_mib: u32,
    series: Series,
    disk: &Path,
    words: &str,
) -> anyhow::Result<Machine> {
    let mut image = lab.image_with_client()?;
    for program in ["luod", "luoctl"] {
        image.program(&artifacts::guest_program(program)?)?;
    }
    image.folder(EMPTY)?;
    let kernel = lab.kernel(series)?;
    let builder = lab.machine(&kernel, image)?.memory_mib(memory_mib);
    let machine = builder.data_disk(disk).append(words).boot()?;
    start(&machine)?;
    Ok(machine)
}

/// What a boot begins with: the disk, what pstore has, and luod.
fn start(machine: &Machine) -> anyhow::Result<()> {
    let words = [
        "/bin/luoctl",
        "mount",
        "upgrade",
        DISK,
        "/dev/vda",
        "--type",
        "ext4",
    ];
    machine.run(words)?.success()?;
    machine
        .run(["/bin/luoctl", "pstore", "collect", "--archive", ARCHIVE])?
        .success()?;
    machine.spawn("luod", ["/bin/luod", "--state-dir", "/tmp/state"])?;
    machine.wait_log("luod", "luod serves", PATIENCE)?;
    machine.wait_log("luod", "log of the kernel before", PATIENCE)?;
    Ok(())
}

/// Updates, and begins anew.
fn update(lab: &Lab, machine: &Machine, series: Series) -> anyhow::Result<()> {
    crate::update::update(machine, lab.platform(), series)?;
    start(machine)
}

fn pstore(machine: &Machine, words: &[&str]) -> anyhow::Result<Value> {
    let all = [&["pstore"][..], words, &["--archive", ARCHIVE][..]].concat();
    luoctl(machine, &all)
}

/// Texts of the lines that are shown.
fn shown(machine: &Machine, words: &[&str]) -> anyhow::Result<Vec<String>> {
    let value = pstore(machine, &[&["show"][..], words].concat())?;
    let lines = value["lines"].as_array().context("no lines")?;
    let texts = lines.iter().filter_map(|line| line["text"].as_str());
    Ok(texts.map(ToOwned::to_owned).collect())
}

/// Every finding of `luoctl pstore check` is ok.
fn check(machine: &Machine, words: &[&str]) -> anyhow::Result<()> {
    let all = [&["pstore", "check"][..], words].concat();
    let value = luoctl(machine, &all)?;
    ensure!(value["is_sure"] == true, "{value:#}");
    Ok(())
}

/// 7.3, 7.2, 7.3, 7.2: three jumps, each kernel's last lines read by the other.
fn chain(lab: &Lab) -> anyhow::Result<()> {
    let disk = disk(lab)?;
    let machine = boot(lab, Series::V7_3, &disk, &recipe()?)?;
    check(&machine, &["--reuse-cmdline"])?;
    let next = guest_kernel(Series::V7_2);
    check(&machine, &["--kernel", &next, "--reuse-cmdline"])?;
    let cold = pstore(&machine, &["list"])?;
    ensure!(cold["boots"][0]["shutdown"]["why"] == "empty", "{cold:#}");
    let mut releases = vec![lab.kernel(Series::V7_3)?.release];
    for series in [Series::V7_2, Series::V7_3, Series::V7_2] {
        let marker = format!("marker of {} boots", releases.len());
        let words = ["/bin/luoctl", "pstore", "check"];
        machine.run(words)?.success()?;
        machine.write_file("/dev/kmsg", 0o600, marker.as_bytes())?;
        update(lab, &machine, series)?;
        after(&machine, &releases, &marker)?;
        check(&machine, &["--reuse-cmdline"])?;
        releases.push(lab.kernel(series)?.release);
    }
    archive(&machine, &releases)?;
    history(&machine, &releases)?;
    without_debugfs(&machine, &releases)?;
    end(machine, &disk)
}

/// What the boot after a jump knows of the kernel before.
fn after(machine: &Machine, releases: &[String], marker: &str) -> anyhow::Result<()> {
    let lines = shown(machine, &[])?;
    let last = lines.last().context("an empty log")?;
    ensure!(last.ends_with(LAST_LINE), "{last}");
    let release = releases.last().context("no release")?;
    let begins = format!("Linux version {release}");
    ensure!(
        lines.iter().any(|line| line.starts_with(&begins)),
        "{lines:#?}"
    );
    ensure!(lines.iter().any(|line| line == marker), "{lines:#?}");
    ensure!(
        lines.iter().any(|line| line.starts_with("luod: update ")),
        "{lines:#?}"
    );
    let said = shown(machine, &["--record", "pmsg-ramoops-0"])?;
    ensure!(
        said.iter().any(|line| line.contains("luod: update ")),
        "{said:#?}"
    );
    let report = luoctl(machine, &["report"])?;
    let log = &report["previous_log"];
    ensure!(log["state"] == "kept", "{report:#}");
    ensure!(log["lines"] == lines.len(), "{report:#}");
    let line = log["last_line"].as_str().context("no last line")?;
    ensure!(line.ends_with(LAST_LINE), "{report:#}");
    let chain = report["chain"].as_array().context("no chain")?;
    ensure!(chain.len() == releases.len() + 1, "{report:#}");
    Ok(())
}

/// Every boot is in the archive, apart.
fn archive(machine: &Machine, releases: &[String]) -> anyhow::Result<()> {
    let list = pstore(machine, &["list"])?;
    let boots = list["boots"].as_array().context("no boots")?;
    ensure!(boots.len() == releases.len(), "{list:#}");
    for (number, boot) in boots.iter().enumerate().skip(1) {
        let found = &boot["boot"];
        ensure!(found["kexec_count"] == number, "{boot:#}");
        ensure!(found["release"] == *releases[number], "{boot:#}");
        ensure!(
            found["previous_release"] == *releases[number - 1],
            "{boot:#}"
        );
        ensure!(boot["shutdown"]["state"] == "kept", "{boot:#}");
        let selected = (number + 1).to_string();
        let lines = shown(machine, &[&selected])?;
        let marker = format!("marker of {number} boots");
        ensure!(lines.contains(&marker), "boot {selected}: {lines:#?}");
    }
    let whole = pstore(machine, &["export"])?;
    let contents = &whole["boots"][1]["contents"];
    let names: Vec<_> = contents
        .as_array()
        .context("no contents")?
        .iter()
        .map(|record| record["name"].clone())
        .collect();
    ensure!(names.contains(&json!("console-ramoops-0")), "{names:?}");
    Ok(())
}

fn history(machine: &Machine, releases: &[String]) -> anyhow::Result<()> {
    let history = luoctl(machine, &["history"])?;
    let boots = history["boots"].as_array().context("no boots")?;
    let found: Vec<_> = boots.iter().map(|boot| boot["release"].as_str()).collect();
    let wanted: Vec<_> = releases.iter().map(|release| Some(&**release)).collect();
    ensure!(found == wanted, "{history:#}");
    for (count, boot) in boots.iter().enumerate() {
        ensure!(boot["kexec_count"] == count, "{history:#}");
        ensure!(boot["update_id"].is_null() == (count == 0), "{history:#}");
    }
    Ok(())
}

/// Where debugfs shows nothing, the kernel's log says where this boot came from.
fn without_debugfs(machine: &Machine, releases: &[String]) -> anyhow::Result<()> {
    let words = ["mount", "upgrade", "/sys/kernel/debug", EMPTY];
    machine
        .run(["/bin/luoctl"].into_iter().chain(words))?
        .success()?;
    ensure!(
        machine.read_file(METADATA).is_err(),
        "debugfs is there still"
    );
    let other = "/run/other";
    luoctl(machine, &["pstore", "collect", "--archive", other])?;
    let list = luoctl(machine, &["pstore", "list", "--archive", other])?;
    let boot = &list["boots"][0]["boot"];
    ensure!(boot["kexec_count"] == releases.len() - 1, "{list:#}");
    let previous = releases.iter().rev().nth(1);
    ensure!(
        boot["previous_release"].as_str() == previous.map(|it| &**it),
        "{list:#}"
    );
    let value = findings(machine)?;
    ensure!(
        value["is_lost"] == false && value["is_sure"] == false,
        "{value:#}"
    );
    Ok(())
}

/// A survived oops takes no place away from the end.
fn oops(lab: &Lab) -> anyhow::Result<()> {
    let disk = disk(lab)?;
    let machine = boot(lab, Series::V7_2, &disk, &recipe()?)?;
    // Guests of the tests end at an oops, which this one is to survive.
    machine.write_file("/proc/sys/kernel/panic_on_oops", 0o600, b"0")?;
    machine.run(["/bin/e2e-client", "oops"])?.success()?;
    update(lab, &machine, Series::V7_3)?;
    let list = pstore(&machine, &["list"])?;
    let dumps = &list["boots"][1]["dumps"];
    ensure!(dumps[0]["reason"] == "oops", "{list:#}");
    ensure!(dumps[1]["reason"] == "shutdown", "{list:#}");
    let lines = shown(&machine, &[])?;
    ensure!(
        lines.last().is_some_and(|line| line.ends_with(LAST_LINE)),
        "{lines:#?}"
    );
    let crash = shown(&machine, &["--record", "dmesg-ramoops-0"])?;
    ensure!(
        crash.iter().any(|line| line.contains("Oops: ")),
        "{crash:#?}"
    );
    // What stays in pstore is met again, and is not the last kernel's.
    update(lab, &machine, Series::V7_2)?;
    let list = pstore(&machine, &["list"])?;
    let last = &list["boots"][2];
    ensure!(last["shutdown"]["state"] == "kept", "{list:#}");
    let records = last["boot"]["records"].as_array().context("no records")?;
    let repeated = records
        .iter()
        .filter(|record| !record["repeated"].is_null());
    ensure!(repeated.count() == 1, "{list:#}");
    end(machine, &disk)
}

/// The next command line lacks the region: nobody goes on by mistake, and what is lost is told.
fn broken(lab: &Lab) -> anyhow::Result<()> {
    let disk = disk(lab)?;
    let words = recipe()?;
    let machine = boot(lab, Series::V7_3, &disk, &words)?;
    let line = machine.hello().cmdline.replace(&words, "");
    let kernel = guest_kernel(Series::V7_2);
    let update = [
        "/bin/luoctl",
        "update",
        "--kernel",
        &kernel,
        "--initrd",
        "/sys/firmware/initrd",
        "--cmdline",
        &line,
    ];
    let outcome = machine.run(update)?;
    check_refusal(&outcome, 7, &["shutdown-log", "oops"])?;
    let check = ["/bin/luoctl", "pstore", "check", "--cmdline", &line];
    let outcome = machine.run(check)?;
    ensure!(outcome.code() == Some(22), "{}", outcome.output());
    ensure!(
        outcome.output().contains("no reserve_mem= for \"oops\""),
        "{}",
        outcome.output()
    );
    let forced = [&update[..], &["--force", "reserve-mem,shutdown-log"]].concat();
    machine.jump(forced, PATIENCE)?;
    start(&machine)?;
    let list = pstore(&machine, &["list"])?;
    let lost = &list["boots"][1]["shutdown"];
    ensure!(lost["why"] == "no-backend", "{list:#}");
    let report = luoctl(&machine, &["report"])?;
    ensure!(report["previous_log"]["state"] == "absent", "{report:#}");
    let outcome = machine.run(["/bin/luoctl", "pstore", "show", "--archive", ARCHIVE])?;
    check_refusal(&outcome, 24, &["no backend"])?;
    end(machine, &disk)
}

/// What `luoctl pstore check` finds, whatever it ends with.
fn findings(machine: &Machine) -> anyhow::Result<Value> {
    let outcome = machine.run(["/bin/luoctl", "pstore", "check", "--json"])?;
    let mut values = printed(&["pstore", "check"], &outcome.stdout())?.into_iter();
    values.next().with_context(|| outcome.output())
}

/// A region that is on the command line of a later kernel only: in a large machine it is good from the next jump on.
fn late(lab: &Lab) -> anyhow::Result<()> {
    let disk = disk(lab)?;
    let machine = late_in(lab, LARGE_MEMORY_MIB, &disk)?;
    let value = findings(&machine)?;
    let told = (verdict(&value, "cold-boot"), verdict(&value, "scratch"));
    ensure!(told == (Some("unknown"), Some("ok")), "{value:#}");
    ensure!(value["is_sure"] == false, "{value:#}");
    update(lab, &machine, Series::V7_3)?;
    check(&machine, &["--reuse-cmdline"])?;
    ensure!(
        shown(&machine, &[])?
            .last()
            .is_some_and(|line| line.ends_with(LAST_LINE))
    );
    end(machine, &disk)
}

/// In a small machine it is in scratch, and the kernel hands nothing over: that is told before the log is lost.
fn late_in_scratch(lab: &Lab) -> anyhow::Result<()> {
    let disk = disk(lab)?;
    let machine = late_in(lab, SMALL_MEMORY_MIB, &disk)?;
    let value = findings(&machine)?;
    ensure!(value["is_lost"] == true, "{value:#}");
    let is_told = ["region", "scratch"].map(|topic| verdict(&value, topic));
    ensure!(is_told.contains(&Some("refused")), "{value:#}");
    end(machine, &disk)
}

/// A machine that was booted without the recipe, and came to it by an update.
fn late_in(lab: &Lab, memory_mib: u32, disk: &Path) -> anyhow::Result<Machine> {
    let machine = boot_in(lab, memory_mib, Series::V7_3, disk, "")?;
    let outcome = machine.run(["/bin/luoctl", "pstore", "check"])?;
    ensure!(outcome.code() == Some(22), "{}", outcome.output());
    let words = recipe()?;
    let kernel = guest_kernel(Series::V7_3);
    let update = [
        "/bin/luoctl",
        "update",
        "--kernel",
        &kernel,
        "--initrd",
        "/sys/firmware/initrd",
        "--reuse-cmdline",
        "--append",
        &words,
    ];
    machine.jump(update, PATIENCE)?;
    start(&machine)?;
    Ok(machine)
}

fn verdict<'a>(value: &'a Value, topic: &str) -> Option<&'a str> {
    let all = value["findings"].as_array()?;
    all.iter().find(|found| found["check"] == topic)?["verdict"].as_str()
}

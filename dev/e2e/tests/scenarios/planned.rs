//! What `luoctl compose` makes of a plan, started by `luoctl boot`: Linux retrieves every session and
//! file as planned, and hands them over itself.

mod plan;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::artifacts::{self, Kernel};
use e2e::{COMMAND_LINE, Command as GuestCommand, Initramfs, Machine, Series};
use initrd::Permissions;

use crate::composed::{COUNT, EXEC_FROM, PATIENCE, console, machine};
use crate::harness::{Lab, Scenario, guest_kernel};
use plan::{Planned, REGION};

/// Where the list of sessions and tokens is in the image.
const LIST: &str = "/planned/list";
/// Where the composed handover is in the image of the loader.
const COMPOSED: &str = "/planned/composed";
/// A handover for another machine.
const FOREIGN: &str = "/planned/foreign";
/// A program of the kernel's own tests that finds the sessions of its first stage in the plan.
const SELFTEST: &str = "luo_kexec_simple";
/// Scratch of the other machine: where the loader has no memory.
const FOREIGN_PLAN: &str = "[machine]\nmemory = \"4G\"\n\
                            scratch = [{ start = 0x60000000, bytes = \"256M\" }]\n";

/// A plan for the machine that composes it.
const THIS_PLAN: &str = "[machine]\nthis_machine = true\n[[session]]\nname = \"later\"\n\
                         [[session.file]]\ntoken = \"0x1\"\ncontent = \"list\"\n";
const THIS_LIST: &str = "later 1";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let ways = [(Series::V7_3, Series::V7_2), (Series::V7_2, Series::V7_3)];
    let straight = ways.map(|(series, next)| {
        let name = format!("composed::{}::sessions_of_a_plan", series.name());
        Scenario::new(name, move |lab| straight(lab, series, next))
    });
    let name = "composed::7.2::sessions_of_a_plan_loaded_by_7.3";
    let loaded = Scenario::new(name, |lab| loaded(lab, Series::V7_3, Series::V7_2));
    let name = "composed::7.3::for_this_machine_loaded_by_7.2_and_started_later";
    let later = Scenario::new(name, |lab| later(lab, Series::V7_2, Series::V7_3));
    straight.into_iter().chain([loaded, later]).collect()
}

/// Runs the `luoctl` of the guest here: it is static.
fn luoctl(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let program = artifacts::guest_program("luoctl")?;
    let output = Command::new(program)
        .current_dir(folder)
        .args(args)
        .output()?;
    let (out, error) = (&output.stdout, &output.stderr);
    ensure!(
        output.status.success(),
        "luoctl {args:?}: {}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    );
    Ok(())
}

/// Looks for the plan's region, too.
fn command_line() -> String {
    format!("{COMMAND_LINE} reserve_mem=1M:4096:{REGION}")
}

/// Composes into a folder beside the plan, and has it verified.
fn compose(planned: &str, folder: &Path, name: &str) -> anyhow::Result<()> {
    let plan = format!("{name}.toml");
    fs::write(folder.join(&plan), planned)?;
    luoctl(folder, &["compose", &plan, "--output", name])?;
    luoctl(folder, &["inspect", name, "--verify"])
}

fn image(lab: &Lab, series: Series, planned: &Planned) -> anyhow::Result<Initramfs> {
    let mut image = lab.image_with_client()?;
    image.program(&artifacts::guest_program("luoctl")?)?;
    image.bytes(LIST, Permissions::DATA, planned.list.as_bytes())?;
    let selftest = artifacts::selftests(series)?.join(SELFTEST);
    image.file(
        &selftest,
        &format!("/selftests/{SELFTEST}"),
        Permissions::PROGRAM,
    )?;
    Ok(image)
}

/// Straight in the machine, then a live update to the other series.
fn straight(lab: &Lab, series: Series, next: Series) -> anyhow::Result<()> {
    let folder = lab.folder().join("plan");
    fs::create_dir(&folder)?;
    let planned = Planned::everything(&folder)?;
    compose(&planned.plan, &folder, "composed")?;
    let kernel = artifacts::kernel(series)?;
    let initrd = lab.write_image(image(lab, series, &planned)?)?;
    let words = ["boot", "composed", "--elf", "start.elf"];
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (kernel_path, initrd) = (path(&kernel.image), path(&initrd));
    let options = [
        "--kernel",
        &kernel_path,
        "--initrd",
        &initrd,
        "--cmdline",
        &command_line(),
    ];
    luoctl(&folder, &[&words[..], &options[..]].concat())?;
    let elf = folder.join("start.elf");
    let machine = machine(lab, &kernel, elf).boot(PATIENCE)?;
    received(lab, &machine, &kernel, &planned)?;
    let path = guest_kernel(next);
    machine.jump(
        ["/bin/e2e-client", "bare-kexec", "--kernel", &path],
        PATIENCE,
    )?;
    let said = format!("KHO: exec from: {} (count {})", kernel.release, COUNT + 1);
    ensure!(console(lab)?.contains(&said), "no `{said}` on the console");
    carried(&machine, &planned)?;
    machine.poweroff()?;
    Ok(fs::remove_dir_all(folder)?)
}

/// A Linux that takes no part in it loads the handover with its kernel and jumps; a handover for
/// another machine it refuses.
fn loaded(lab: &Lab, loader: Series, series: Series) -> anyhow::Result<()> {
    let folder = lab.folder().join("plan");
    fs::create_dir(&folder)?;
    let planned = Planned::everything(&folder)?;
    compose(&planned.plan, &folder, "composed")?;
    compose(FOREIGN_PLAN, &folder, "foreign")?;
    let mut image = image(lab, series, &planned)?;
    for (from, to) in [("composed", COMPOSED), ("foreign", FOREIGN)] {
        for name in ["pages.bin", "index.txt", "handoff.json"] {
            let file = folder.join(from).join(name);
            image.file(&file, &format!("{to}/{name}"), Permissions::DATA)?;
        }
    }
    let machine = lab.machine(&artifacts::kernel(loader)?, image)?;
    let machine = machine.append("kho=off").boot()?;
    let (path, command_line) = (guest_kernel(series), command_line());
    let command = |handover| {
        let words = ["/bin/luoctl", "boot", handover, "--kernel", &path];
        let options = [
            "--initrd",
            "/sys/firmware/initrd",
            "--cmdline",
            &command_line,
        ];
        [&words[..], &options[..]].concat()
    };
    let refused = machine.run(command(FOREIGN))?;
    let error = refused.output();
    let words = "is not all memory of this machine's map";
    ensure!(error.contains(words), "{error}");
    ensure!(refused.code() == Some(21), "{refused:?}");
    let nobody = ["/bin/luoctl", "boot", COMPOSED, "--kernel", &path];
    let refused = machine.run(GuestCommand::new(nobody).user(65534, 65534))?;
    ensure!(refused.code() == Some(4), "{refused:?}");
    let kernel = artifacts::kernel(series)?;
    let hello = machine.jump(command(COMPOSED), PATIENCE)?;
    ensure!(hello.release == kernel.release, "{hello:?}");
    received(lab, &machine, &kernel, &planned)?;
    machine.poweroff()?;
    Ok(fs::remove_dir_all(folder)?)
}

/// Composed in the machine for the machine; what is loaded starts when the machine is told to.
fn later(lab: &Lab, loader: Series, series: Series) -> anyhow::Result<()> {
    let mut image = lab.image_with_client()?;
    image.program(&artifacts::guest_program("luoctl")?)?;
    image.bytes(LIST, Permissions::DATA, THIS_LIST.as_bytes())?;
    let plan = "/planned/this.toml";
    image.bytes(plan, Permissions::DATA, THIS_PLAN.as_bytes())?;
    let machine = lab.machine(&artifacts::kernel(loader)?, image)?;
    let machine = machine.append("kho=off").boot()?;
    let luoctl = |words: &[&str]| {
        let argv = ["/bin/luoctl"].iter().chain(words).copied();
        machine.run(GuestCommand::new(argv))?.success()
    };
    luoctl(&["compose", plan, "--output", COMPOSED])?;
    let path = guest_kernel(series);
    let words = ["boot", COMPOSED, "--kernel", &path, "--load-only"];
    let options = ["--initrd", "/sys/firmware/initrd", "--cmdline"];
    luoctl(&[&words[..], &options[..], &[COMMAND_LINE]].concat())?;
    let loaded = machine.read_file("/sys/kernel/kexec/loaded")?;
    ensure!(loaded.trim_ascii() == b"1", "{loaded:?}");
    let hello = machine.jump(["/bin/e2e-client", "jump"], PATIENCE)?;
    let release = artifacts::kernel(series)?.release;
    ensure!(hello.release == release, "{hello:?}");
    machine.spawn("carry", ["/bin/e2e-client", "carry", "--list", LIST])?;
    let log = machine.wait_log("carry", "preserved", PATIENCE)?;
    let (bytes, sum) = (THIS_LIST.len(), crc32fast::hash(THIS_LIST.as_bytes()));
    let wanted = format!("later 1 size {bytes} position 0 seals 0x0 checksum {sum:08x}");
    ensure!(log.lines().next() == Some(&wanted), "{log}");
    Ok(machine.poweroff()?)
}

/// The kernel has everything as planned, and nothing to complain of.
fn received(
    lab: &Lab,
    machine: &Machine,
    kernel: &Kernel,
    planned: &Planned,
) -> anyhow::Result<()> {
    ensure!(machine.hello().release == kernel.release);
    carried(machine, planned)?;
    let selftest = [&format!("/selftests/{SELFTEST}"), "-s", "2"];
    let outcome = machine.run(selftest)?.success()?.stdout();
    let passed = "--- SIMPLE KEXEC TEST PASSED ---";
    ensure!(outcome.contains(passed), "{outcome}");
    let log = console(lab)?;
    ensure!(log.contains(EXEC_FROM), "{log}");
    let number = format!("liveupdate number: {COUNT}");
    ensure!(log.contains(&number), "no `{number}` on the console");
    let revived = format!("Revived memory reservation '{REGION}' from KHO");
    ensure!(log.contains(&revived), "no `{revived}` on the console");
    ensure!(!log.contains("WARNING: "), "{log}");
    Ok(())
}

/// Retrieves all files of the plan, compares them, and leaves them preserved again.
fn carried(machine: &Machine, planned: &Planned) -> anyhow::Result<()> {
    machine.spawn("carry", ["/bin/e2e-client", "carry", "--list", LIST])?;
    let log = machine.wait_log("carry", "preserved", PATIENCE)?;
    let mut found = log.lines();
    for wanted in &planned.wanted {
        let line = found.next().context("fewer files than planned")?;
        ensure!(line == wanted, "`{line}`, not `{wanted}`");
    }
    ensure!(found.next() == Some("preserved"), "{log}");
    Ok(())
}

//! Bad input and a wrong host: refused with the cause and what to do, and nothing is lost.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::protocol::When;
use e2e::{Command, Series};

use crate::harness::{Lab, Place, Scenario, guest_kernel};
use crate::host::{Host, check_refusal, update_line};

const PATIENCE: Duration = Duration::from_secs(60);
/// A user without any right.
const NOBODY: u32 = 65534;
const SERVICE: &str = "/bin/e2e-client service --name s --item sealed --item full:8 --counter";

/// What is offered for preservation, how luod calls it, and whether it is refused.
const OFFERS: [(&str, &str); 4] = [
    ("pipe", "the descriptor is a pipe"),
    ("file", "the descriptor is a regular file, not on tmpfs"),
    (
        "named",
        "the descriptor is a tmpfs file that still has a name",
    ),
    (
        "hugetlb",
        "the descriptor is a memfd of huge pages (MFD_HUGETLB)",
    ),
];

/// On a kernel without `/dev/liveupdate`.
const NO_DEVICE: Place = Place::Kernels("an emulated kernel always has the device");

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("refusals::with_luod", with_luod).on(Place::BothWithUsers),
        Scenario::new("refusals::without_liveupdate_on", |lab| {
            no_device(
                lab,
                "liveupdate=off",
                "add liveupdate=on to its command line",
            )
        })
        .on(NO_DEVICE),
        Scenario::new("refusals::with_kho_off", |lab| {
            no_device(
                lab,
                "kho=off",
                "started with KHO off (kho=off); live update needs it, remove that",
            )
        })
        .on(NO_DEVICE),
    ]
}

/// Everything in one boot, then a jump that brings over what was kept all the time.
fn with_luod(lab: &Lab) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[("s", When::Always, SERVICE)])?;
    host.wait_lines("s", "s: subscribed", 1)?;
    callers(&host)?;
    images(&host)?;
    command_lines(&host)?;
    host.check_normal(1)?;
    busy_device(&host)?;
    host.check_normal(1)?;
    offers(&host)?;
    names(&host)?;
    direct(&host)?;
    host.check_normal(1)?;

    // The same service, started again, has everything it kept.
    host.kill("s")?;
    anothers_name(&host)?;
    host.spawn("s", SERVICE)?;
    host.wait_lines("s", "verified, kept", 2)?;
    host.wait_lines("s", "s: subscribed", 2)?;
    host.update(Series::V7_3)?;
    host.wait_lines("s", "verified, updated", 2)?;
    host.wait_lines("s", "s: all ready", 1)?;
    let report = host.json("report")?;
    ensure!(report["lost"] == serde_json::json!([]), "{report:#}");
    Ok(host.machine.poweroff()?)
}

/// What is kept for a user that has ended is no other user's.
fn anothers_name(host: &Host) -> anyhow::Result<()> {
    let service = Command::new(["/bin/e2e-client", "service", "--name", "s"]);
    let outcome = host.machine.run(service.user(NOBODY, NOBODY))?;
    let parts = [
        "belongs to user 0, this program runs as user 65534",
        "choose another name",
    ];
    check_refusal(&outcome, 1, &parts)
}

/// Who may do what; and nobody there to ask.
fn callers(host: &Host) -> anyhow::Result<()> {
    let nobody = |line: &str| {
        let argv = ["/bin/luoctl"].into_iter().chain(line.split(' '));
        host.machine.run(Command::new(argv).user(NOBODY, NOBODY))
    };
    for line in ["status", "sessions"] {
        nobody(line)?.success()?;
    }
    let kernel = guest_kernel(Series::V7_3);
    let update = format!("update --kernel {kernel} --reuse-cmdline");
    let parts = ["only root may do this", "user 65534", "run luoctl as root"];
    for line in [&update, "update --go-on", "cancel", "finish --discard"] {
        check_refusal(&nobody(line)?, 4, &parts)?;
    }
    // This file it cannot even open.
    let outcome = nobody(&update_line(Series::V7_3))?;
    let parts = [
        "the initrd /sys/firmware/initrd: Permission denied",
        "as root",
    ];
    check_refusal(&outcome, 4, &parts)?;
    let parts = [
        "luod does not answer at /run/none.sock",
        "is it running? start it as root with `luod`",
    ];
    host.refused("--socket /run/none.sock status", 3, &parts)
}

/// Kernels and initrds that cannot be started.
fn images(host: &Host) -> anyhow::Result<()> {
    let nothing = "nothing was changed";
    let refused = |kernel: &str, parts: &[&str]| {
        let line = format!("update --kernel {kernel} --reuse-cmdline");
        host.refused(&line, 7, parts)
    };
    refused("/bin/luoctl", &["an ELF file that is no kernel", nothing])?;
    refused("/no/such/kernel", &["the kernel /no/such/kernel", nothing])?;
    refused("/boot", &["the kernel /boot: is a directory", nothing])?;
    host.machine.write_file("/tmp/empty", 0o600, b"")?;
    refused("/tmp/empty", &["empty file", nothing])?;

    let lens = host
        .machine
        .read_file("/sys/kernel/debug/kho/out/scratch_len")?;
    let lens = String::from_utf8(lens)?;
    let lens = lens
        .lines()
        .map(|line| u64::from_str_radix(line.trim_start_matches("0x"), 16));
    let lens = lens.collect::<Result<Vec<_>, _>>()?;
    let largest = lens.into_iter().max().context("no scratch area")?;
    let too_large = (largest >> 20) + 1;
    let bytes = (too_large << 20).to_string();
    host.machine
        .run(["/bin/e2e-client", "sparse", "/tmp/initrd", &bytes])?
        .success()?;
    let kernel = guest_kernel(Series::V7_3);
    let line = format!("update --kernel {kernel} --initrd /tmp/initrd --reuse-cmdline");
    let parts = [
        "each in one piece; scratch is ",
        &format!("{} MiB", largest >> 20),
        &format!("the initial RAM disk {too_large} MiB"),
        "make scratch larger with kho_scratch= at the next cold boot, or the image smaller",
    ];
    host.refused(&line, 7, &parts)?;
    host.machine
        .run(["/bin/e2e-client", "sparse", "/tmp/initrd", "0"])?
        .success()?;
    Ok(())
}

/// Command lines with which the next kernel would lose everything.
fn command_lines(host: &Host) -> anyhow::Result<()> {
    let kernel = guest_kernel(Series::V7_3);
    let refused = |words: &str, parts: &[&str]| {
        let line = format!("update --kernel {kernel} {words}");
        host.refused(&line, 7, parts)
    };
    let add = "add it with --append liveupdate=on";
    refused("--cmdline console=ttyS0", &["lacks liveupdate=on", add])?;
    refused(
        "--reuse-cmdline --append liveupdate=0",
        &["lacks liveupdate=on", add],
    )?;
    refused(
        "--reuse-cmdline --append kho=off",
        &["switches KHO off", "remove kho="],
    )
}

/// Another program keeps the device open: it is named, and afterwards all is well.
fn busy_device(host: &Host) -> anyhow::Result<()> {
    let pid = host.spawn("stranger", "/bin/e2e-client hold-device")?;
    host.machine.wait_log("stranger", "holding", PATIENCE)?;
    let who = format!("kept open by e2e-client (pid {pid})");
    let parts = [who.as_str(), "end it or let it close the device"];
    host.refused(&update_line(Series::V7_3), 6, &parts)?;
    let report = host.json("report")?;
    let reason = report["cancelled"].as_str().unwrap_or_default();
    ensure!(reason.contains(&who), "{report:#}");
    host.kill("stranger")
}

/// Files that cannot be preserved, to luod and to the kernel itself.
fn offers(host: &Host) -> anyhow::Result<()> {
    let offer = |kind| {
        let outcome = host.machine.run(["/bin/e2e-client", "offer", kind])?;
        anyhow::Ok(outcome.success()?.stdout())
    };
    for (kind, name) in OFFERS {
        let said = offer(kind)?;
        let luod = format!("luod: {name}, which the kernel cannot preserve; keep the data in");
        ensure!(said.contains(&luod), "{kind}: {said}");
        let kernel = "kernel: LIVEUPDATE_SESSION_PRESERVE_FD: the kernel has no handler for this \
                      kind of file: only memfds and unlinked tmpfs files";
        ensure!(said.contains(kernel), "{kind}: {said}");
    }
    let said = offer("unlinked")?;
    ensure!(said == "luod: kept\nkernel: preserved\n", "{said}");
    Ok(())
}

/// Names of services that are no names, or somebody else's.
fn names(host: &Host) -> anyhow::Result<()> {
    let service = |name: &str| Command::new(["/bin/e2e-client", "service", "--name", name]);
    let long = "x".repeat(64);
    for (name, why) in [
        ("", "the name is empty; give it 1 to 58 characters"),
        (&long, "the name has 64 bytes; at most 58 fit"),
        ("a/b", "'/' at byte 1; use letters, digits and . _ @ - only"),
        ("s", "the name \"s\" is in use by process "),
        ("s", "end that program or choose another name"),
    ] {
        check_refusal(&host.machine.run(service(name))?, 1, &[why])?;
    }
    Ok(())
}

/// The kernel's own refusals, in the client library's words.
fn direct(host: &Host) -> anyhow::Result<()> {
    let outcome = host.machine.run(["/bin/e2e-client", "direct-mistakes"])?;
    let said = outcome.success()?.stdout();
    for (what, why) in [
        ("empty name", "session name is empty; give it 1 to 63 bytes"),
        (
            "64 bytes",
            "session name has 64 bytes; the kernel takes 63 at most",
        ),
        (
            "name taken",
            "LIVEUPDATE_IOCTL_CREATE_SESSION: an outgoing session of this name exists",
        ),
        ("token taken", "the token is used in this session already"),
        ("file preserved twice", "the file is preserved already"),
        ("afterwards", "works"),
    ] {
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{what}: ")))
            .with_context(|| format!("{what}: {said}"))?;
        ensure!(line.contains(why), "{line}");
    }
    Ok(())
}

/// No `/dev/liveupdate`: status and update say why, and services are kept all the same.
fn no_device(lab: &Lab, word: &str, why: &str) -> anyhow::Result<()> {
    let services = [("s", When::Always, SERVICE)];
    let host = Host::boot_with(lab, Series::V7_3, &services, word)?;
    host.wait_lines("s", "s: subscribed", 1)?;
    let status = host.luoctl("status")?.success()?.stdout();
    ensure!(status.contains(why), "{status}");
    // The running command line is no help here: what is wrong with it counts for this kernel.
    host.refused(&update_line(Series::V7_3), 5, &[why])?;
    host.check_normal(1)?;
    host.kill("s")?;
    anothers_name(&host)?;
    host.spawn("s", SERVICE)?;
    host.wait_lines("s", "verified, kept", 2)?;
    Ok(host.machine.poweroff()?)
}

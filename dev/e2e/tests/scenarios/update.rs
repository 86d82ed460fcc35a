//! Live updates by `luoctl update`, seen from outside: what a service kept it has again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::protocol::{Autostart, When};
use e2e::{Command, LARGE_MEMORY_MIB, Machine, Series, artifacts};
use serde_json::Value;

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::platform::Platform;

/// Longest jump in emulation on a busy host.
const JUMP_PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for a service to fill or verify its files.
const SERVICE_PATIENCE: Duration = Duration::from_secs(120);

/// The matrix: names of the kernels a host runs one after the other.
const WAYS: [(&str, &[Series]); 4] = [
    ("7.2_to_7.3", &[Series::V7_2, Series::V7_3]),
    ("7.3_to_7.2", &[Series::V7_3, Series::V7_2]),
    ("7.3_to_7.3", &[Series::V7_3, Series::V7_3]),
    (
        "7.2_to_7.3_to_7.2",
        &[Series::V7_2, Series::V7_3, Series::V7_2],
    ),
];
/// Services with a session each.
const SESSIONS: [usize; 3] = [1, 5, 60];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    WAYS.into_iter()
        .flat_map(|(name, way)| {
            SESSIONS.map(|count| {
                let name = format!("update::{name}::{count}_sessions");
                Scenario::new(name, move |lab| sessions(lab, way, count))
            })
        })
        .collect()
}

/// A machine with luod and services that start by themselves, also after each jump.
pub(crate) fn machine(
    lab: &Lab,
    kernel: Series,
    programs: &[&str],
    services: &[(&str, &str)],
) -> anyhow::Result<Machine> {
    let mut image = lab.image_with_client()?;
    for program in ["luod", "luoctl"].iter().chain(programs) {
        image.program(&artifacts::guest_program(program)?)?;
    }
    let mut autostart = vec![start("luod", "/bin/luod")];
    autostart.extend(services.iter().map(|(name, command)| start(name, command)));
    image.autostart(&autostart)?;
    let kernel = lab.kernel(kernel)?;
    Ok(lab
        .machine(&kernel, image)?
        .memory_mib(LARGE_MEMORY_MIB)
        .boot()?)
}

/// A service that starts at every boot.
pub(crate) fn start(name: &str, command: &str) -> Autostart {
    Autostart {
        name: name.to_owned(),
        argv: command.split(' ').map(ToOwned::to_owned).collect(),
        env: Vec::new(),
        uid: None,
        gid: None,
        when: When::Always,
    }
}

/// Updates to `kernel` and checks that it runs.
pub(crate) fn update(machine: &Machine, platform: Platform, kernel: Series) -> anyhow::Result<()> {
    let release = platform.release(kernel)?;
    let path = guest_kernel(kernel);
    let hello = machine.jump(
        [
            "/bin/luoctl",
            "update",
            "--kernel",
            &path,
            "--initrd",
            "/sys/firmware/initrd",
            "--reuse-cmdline",
        ],
        JUMP_PATIENCE,
    )?;
    ensure!(
        hello.release == release,
        "{} runs, not {}",
        hello.release,
        release
    );
    Ok(())
}

/// `luoctl … --json`, parsed.
pub(crate) fn luoctl(machine: &Machine, words: &[&str]) -> anyhow::Result<Value> {
    let argv = ["/bin/luoctl", "--json"].iter().chain(words).copied();
    let outcome = machine.run(Command::new(argv))?.success()?;
    let mut printed = printed(words, &outcome.stdout())?;
    printed.pop().context("nothing was printed")
}

/// What `luoctl --json` printed, which must be as its schema says.
pub(crate) fn printed(words: &[&str], text: &str) -> anyhow::Result<Vec<Value>> {
    Ok(json_schemas::check_output("luoctl", words, text)?)
}

/// Standard output of [`e2e::Outcome::output`].
pub(crate) fn stdout(output: &str) -> String {
    let lines = output
        .lines()
        .filter_map(|line| line.strip_prefix("stdout: "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Every kind of file in `count` sessions over every jump of `way`.
fn sessions(lab: &Lab, way: &[Series], count: usize) -> anyhow::Result<()> {
    let (first, rest) = way.split_first().context("a way has a start")?;
    let service = format!(
        "/bin/e2e-client service --name s --count {count} --item empty --item one-byte \
         --item position --item sealed --item sparse"
    );
    // A gibibyte once in each direction: filling and comparing it is most of a scenario. The host of an
    // emulated machine has the pages of both generations and those on the way.
    let full = match (count, rest, lab.platform()) {
        (1, [to], Platform::Kernel) if to != first => " --item full:1024",
        (1, ..) => " --item full:64",
        _ => "",
    };
    let service = format!("{service}{full}");
    let machine = machine(lab, *first, &[], &[("s", &service)])?;
    machine.wait_log("s", "s: all ready", SERVICE_PATIENCE)?;
    for (number, kernel) in (1..).zip(rest) {
        update(&machine, lab.platform(), *kernel)?;
        let log = machine.wait_log("s", "s: all ready", SERVICE_PATIENCE)?;
        let verified = log
            .lines()
            .filter(|line| line.ends_with("verified, updated"))
            .count();
        let kept = if count == 1 { 6 } else { count * 5 };
        ensure!(
            verified == kept,
            "{verified} of {kept} files verified:\n{log}"
        );
        let report = luoctl(&machine, &["report"])?;
        ensure!(report["lost"] == serde_json::json!([]), "{report}");
        ensure!(report["liveupdate_number"] == number, "{report}");
        ensure!(report["kexec_count"] == number, "{report}");
        let status = luoctl(&machine, &["status"])?;
        ensure!(status["phase"] == "normal", "{status}");
    }
    Ok(machine.poweroff()?)
}

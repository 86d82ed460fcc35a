//! What the agent promises beside running programs: services, users, limits, and all of it again
//! after a jump and after the next.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::protocol::{Autostart, BootedBy, Exit, When};
use e2e::{Command, Machine, Series};

use crate::harness::{Lab, Place, Scenario, guest_kernel};
use crate::platform::Platform;

/// Sleeps until a signal; says who it is first.
const LINGER: [&str; 2] = ["/bin/e2e-client", "linger"];
/// `SIGKILL` on every Linux architecture.
const KILL: i32 = 9;
/// `SIGTERM` on every Linux architecture.
const TERMINATE: i32 = 15;
/// Longest jump in emulation on a busy host.
const JUMP_PATIENCE: Duration = Duration::from_secs(120);
/// Longest end of a service that was sent a signal.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "agent::services_start_by_kind_of_boot_over_two_jumps";
    vec![
        Scenario::new(name, services_over_two_jumps).on(Place::BothWithUsers),
        Scenario::new("agent::crashed_worker_is_replaced_and_told", crashed_worker),
        Scenario::new("agent::programs_run_as_users_and_within_limits", programs)
            .on(Place::BothWithUsers),
    ]
}

fn services_over_two_jumps(lab: &Lab) -> anyhow::Result<()> {
    let kernel = lab.kernel(Series::V7_3)?;
    let mut image = lab.image_with_client()?;
    image.autostart(&[
        service("always", When::Always, None),
        service("first", When::FirstBoot, None),
        service("after", When::AfterKexec, Some(1000)),
    ])?;
    let machine = lab.machine(&kernel, image)?.boot()?;
    let mut boots = vec![machine.hello()];
    ensure_runs(&machine, &["always", "first"], &["after"])?;
    for _ in 0..2 {
        let target = guest_kernel(Series::V7_3);
        let command = ["/bin/e2e-client", "bare-kexec", "--kernel", &target];
        let hello = machine.jump(command, JUMP_PATIENCE)?;
        ensure!(hello.booted_by == BootedBy::Kexec, "{hello:?}");
        let is_known = boots.iter().any(|boot| boot.boot_id == hello.boot_id);
        ensure!(!is_known, "the boot id came twice: {boots:?} {hello:?}");
        let previous = boots.last().and_then(|boot| boot.tsc);
        ensure!(
            hello.tsc > previous,
            "the counter did not run on: {previous:?} {hello:?}"
        );
        let log = machine.wait_log("after", "\n", END_PATIENCE)?;
        ensure!(log == "uid 1000 gid 0\n", "{log:?}");
        ensure_runs(&machine, &["always", "after"], &["first"])?;
        boots.push(hello);
    }
    Ok(machine.poweroff()?)
}

/// Ends each service of `running` by a signal and finds none of `absent`.
fn ensure_runs(machine: &Machine, running: &[&str], absent: &[&str]) -> anyhow::Result<()> {
    for name in running {
        machine.signal(name, TERMINATE)?;
        let exit = machine.wait(name, END_PATIENCE)?;
        ensure!(exit == Exit::Signal(TERMINATE), "{name}: {exit:?}");
    }
    for name in absent {
        let error = machine
            .signal(name, TERMINATE)
            .err()
            .with_context(|| format!("{name} runs"))?;
        ensure!(error.to_string().contains("no service called"), "{error}");
    }
    Ok(())
}

fn service(name: &str, when: When, uid: Option<u32>) -> Autostart {
    Autostart {
        name: name.to_owned(),
        argv: LINGER.map(String::from).into(),
        env: Vec::new(),
        uid,
        gid: None,
        when,
    }
}

fn programs(lab: &Lab) -> anyhow::Result<()> {
    let kernel = lab.kernel(Series::V7_3)?;
    let machine = lab.machine(&kernel, lab.image_with_client()?)?.boot()?;
    let command = Command::new(LINGER)
        .user(1000, 100)
        .timeout(Duration::from_millis(700));
    let outcome = machine.run(command)?;
    ensure!(outcome.ran.exit == Exit::TimedOut, "{outcome:?}");
    ensure!(outcome.stdout() == "uid 1000 gid 100\n", "{outcome:?}");
    let error = machine
        .run(["/bin/absent"])
        .err()
        .context("an absent program ran")?;
    ensure!(error.to_string().contains("/bin/absent"), "{error}");

    machine.spawn("mine", LINGER)?;
    let error = machine
        .spawn("mine", LINGER)
        .err()
        .context("a name was taken twice")?;
    ensure!(error.to_string().contains("is running"), "{error}");
    machine.signal("mine", TERMINATE)?;
    machine.wait("mine", END_PATIENCE)?;
    machine.spawn("mine", LINGER)?;

    // The emulated machine jumps to any file.
    if lab.platform() == Platform::Kernel {
        refused_jump(&machine)?;
    }
    machine.signal("mine", TERMINATE)?;
    Ok(machine.poweroff()?)
}

/// A jump that is refused comes back with the reason, and the machine works on.
fn refused_jump(machine: &Machine) -> anyhow::Result<()> {
    let command = ["/bin/e2e-client", "bare-kexec", "--kernel", "/init"];
    let error = machine
        .jump(command, JUMP_PATIENCE)
        .err()
        .context("the agent booted")?;
    ensure!(matches!(error, e2e::Error::NoJump { .. }), "{error:?}");
    ensure!(error.to_string().contains("kexec_file_load"), "{error}");
    Ok(())
}

fn crashed_worker(lab: &Lab) -> anyhow::Result<()> {
    let kernel = lab.kernel(Series::V7_3)?;
    let machine = lab.machine(&kernel, lab.image()?)?.boot()?;
    let boot_id = machine.hello().boot_id;
    // The worker is who reads the file.
    let stat = String::from_utf8(machine.read_file("/proc/self/stat")?)?;
    let worker = stat.split(' ').next().unwrap_or_default().parse()?;
    let error = machine
        .signal_pid(worker, KILL)
        .err()
        .context("a killed worker answered")?;
    ensure!(
        matches!(error, e2e::Error::AgentRestarted { worker: 2, .. }),
        "{error:?}"
    );
    ensure!(
        machine.hello().boot_id == boot_id,
        "another kernel runs: {:?}",
        machine.hello()
    );
    let again = String::from_utf8(machine.read_file("/proc/self/stat")?)?;
    ensure!(again.split(' ').next() != stat.split(' ').next(), "{again}");
    Ok(machine.poweroff()?)
}

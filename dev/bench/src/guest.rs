//! One measured jump in the guest machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use e2e::protocol::{Autostart, Hello, When};
use e2e::{Command, Initramfs, Machine, Series, artifacts};
use initrd::Permissions;
use update::{MarkKind, Moment, Report};

use crate::sample::{Sample, Spread};

const FROM: Series = Series::V7_2;
const TO: Series = Series::V7_3;
const PATIENCE: Duration = Duration::from_secs(300);
const MEMORY_MIB: u32 = 7168;
const SOCKET: &str = "/run/kv.sock";
const SELFTEST: &str = "luo_kexec_simple";
/// Services of [`Case::Many`].
const CLIENTS: usize = 200;
/// Of each of them, in whole huge pages; more than 4 GiB in all.
const CLIENT_MIB: u32 = 22;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The kernel's selftest, without us.
    Bare,
    /// `luoctl update` with a `kvcache` of this size.
    Ours {
        /// As kvcache takes it; the smallest stands for nothing.
        memory: &'static str,
        /// Name in the table.
        name: &'static str,
        /// Pages of its memory.
        pages: Pages,
    },
    /// `luoctl update` with [`CLIENTS`] services, each with a session of its own.
    Many,
}

/// Pages of memfds: what is preserved and retrieved is folios, and a 2 GiB memfd has 1,024 huge
/// ones or 524,288 small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// 2 MiB wherever possible.
    Huge,
    /// 4 KiB, the kernel's default.
    Small,
}

const fn ours(name: &'static str, memory: &'static str, pages: Pages) -> Case {
    Case::Ours {
        memory,
        name,
        pages,
    }
}

impl Case {
    /// Every case.
    pub(crate) const ALL: [Self; 6] = [
        Self::Bare,
        ours("0", "64K", Pages::Huge),
        ours("256 MiB", "256M", Pages::Huge),
        ours("2 GiB", "2G", Pages::Huge),
        ours("2 GiB, 4K", "2G", Pages::Small),
        Self::Many,
    ];

    /// The cases of these names, in our order; without names every case.
    pub(crate) fn named(names: &[String]) -> anyhow::Result<Vec<Self>> {
        let is_known = |name: &&String| Self::ALL.iter().any(|case| case.name() == *name);
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let known = Self::ALL.map(Self::name).join("; ");
            bail!("no case is called {unknown:?}: {known}");
        }
        let is_wanted =
            |case: &Self| names.is_empty() || names.iter().any(|name| name == case.name());
        Ok(Self::ALL.into_iter().filter(is_wanted).collect())
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Many => "200 x 22 MiB",
            Self::Ours { name, .. } => name,
        }
    }
}

/// Boots, jumps, and reads the moments.
pub(crate) fn measure(case: Case, folder: &Path) -> anyhow::Result<Sample> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(folder)?,
    }
    let machine = boot(case, folder)?;
    let sample = match case {
        Case::Bare => without_us(&machine, folder)?,
        Case::Ours { .. } => with_luoctl(&machine)?,
        Case::Many => many(&machine)?,
    };
    machine.poweroff()?;
    // The image is the same each time and large.
    fs::remove_file(folder.join("initramfs.cpio"))?;
    Ok(sample)
}

/// The same image for all cases: what differs is what the agent starts.
fn boot(case: Case, folder: &Path) -> anyhow::Result<Machine> {
    let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
    for program in ["e2e-client", "luod", "luoctl", "kvcache"] {
        image.program(&artifacts::guest_program(program)?)?;
    }
    for (series, path) in [(FROM, "/boot/from"), (TO, "/boot/to")] {
        image.file(&artifacts::kernel(series)?.image, path, Permissions::DATA)?;
    }
    let selftest = artifacts::selftests(FROM)?.join(SELFTEST);
    image.file(
        &selftest,
        &format!("/selftests/{SELFTEST}"),
        Permissions::PROGRAM,
    )?;
    image.autostart(&services(case))?;
    let image = image.write_to(&folder.join("initramfs.cpio"))?;
    let kernel = artifacts::kernel(FROM)?;
    let pages = match case {
        Case::Ours {
            pages: Pages::Small,
            ..
        } => "never",
        _ => "always",
    };
    Ok(Machine::builder(&kernel.image, &image, folder)
        .append(&format!("transparent_hugepage_shmem={pages}"))
        .preallocated()
        .memory_mib(MEMORY_MIB)
        .boot()?)
}

/// Before the jump every case runs the same programs: an emulator watches the pages whose code it
/// has translated, and the next kernel is slower where it writes over more of them.
fn services(case: Case) -> Vec<Autostart> {
    match case {
        Case::Bare => {
            let mut services = service_and_client("64K", When::FirstBoot);
            let command = format!("/bin/e2e-client stamp /selftests/{SELFTEST} -s 2");
            services.push(start("stage-2", &command, When::AfterKexec));
            services
        }
        Case::Ours { memory, .. } => service_and_client(memory, When::Always),
        Case::Many => {
            let clients = format!(
                "/bin/e2e-client service --name s --count {CLIENTS} --item marked:{CLIENT_MIB} --quiet --at-once"
            );
            vec![
                start("luod", "/bin/luod", When::Always),
                start("s", &clients, When::Always),
            ]
        }
    }
}

fn service_and_client(memory: &str, when: When) -> Vec<Autostart> {
    let kvcache = format!("/bin/kvcache --service cache --unix {SOCKET} --memory {memory}");
    let client = format!("/bin/e2e-client ask --unix {SOCKET}");
    vec![
        start("luod", "/bin/luod", when),
        start("kvcache", &kvcache, when),
        start("client", &client, when),
    ]
}

fn start(name: &str, command: &str, when: When) -> Autostart {
    Autostart {
        name: name.to_owned(),
        argv: command.split(' ').map(ToOwned::to_owned).collect(),
        env: Vec::new(),
        uid: None,
        gid: None,
        when,
    }
}

fn without_us(machine: &Machine, folder: &Path) -> anyhow::Result<Sample> {
    machine.wait_log("client", "answered at ", PATIENCE)?;
    let stage_1 = format!("/selftests/{SELFTEST}");
    machine.run([stage_1.as_str(), "-s", "1"])?.success()?;
    let jump = ["/bin/e2e-client", "bare-kexec", "--kernel", "/boot/to"];
    let hello = machine.jump(jump, PATIENCE)?;
    let init = init_ticks(&hello)?;
    let log = machine.wait_log("stage-2", "done at ", PATIENCE)?;
    let end = number_after(&log, "done at ")?;
    let serial = fs::read(folder.join("serial.log"))?;
    let reboot = number_after(&String::from_utf8_lossy(&serial), "e2e: jump at ")?;
    // The guest's own measurement of its counter, as its kernel prints it.
    let hz = ticks_hz(&String::from_utf8_lossy(&serial))?;
    Ok(Sample {
        to_userspace: ms(reboot, init, hz)?,
        to_answer: ms(init, end, hz)?,
        blackout: ms(reboot, end, hz)?,
        ..Sample::default()
    })
}

/// The words of an update.
const UPDATE: [&str; 7] = [
    "/bin/luoctl",
    "update",
    "--kernel",
    "/boot/to",
    "--initrd",
    "/sys/firmware/initrd",
    "--reuse-cmdline",
];

/// The report; an update that lost something is measured as a failure.
fn report(machine: &Machine) -> anyhow::Result<Report> {
    let report = machine.run(["/bin/luoctl", "report", "--json"])?;
    let report = report.success()?.stdout();
    let report: Report = serde_json::from_str(&report).context("luoctl report --json")?;
    let lost = &report.lost;
    ensure!(lost.is_empty(), "the update lost something: {lost:?}");
    Ok(report)
}

/// The parts that the report has marks of; the answer is at `end`.
fn parts(report: &Report, init: u64, end: u64) -> anyhow::Result<Sample> {
    let timeline = &report.timeline;
    let hz = timeline.ticks_hz;
    let hz = hz.context("the report has no rate of the counter")?;
    let at = |kind| {
        let moment: Option<Moment> = timeline.host(kind);
        let ticks = moment.and_then(|moment| moment.ticks);
        ticks.with_context(|| format!("no mark {kind:?}"))
    };
    let (freeze, reboot) = (at(MarkKind::FreezeStarted)?, at(MarkKind::RebootCalled)?);
    let (agent, retrieved) = (
        at(MarkKind::AgentStarted)?,
        at(MarkKind::SessionsRetrieved)?,
    );
    Ok(Sample {
        prepare: Some(ms(
            at(MarkKind::PrepareStarted)?,
            at(MarkKind::Prepared)?,
            hz,
        )?),
        freeze: Some(ms(freeze, reboot, hz)?),
        to_userspace: ms(reboot, init, hz)?,
        agent: Some(ms(init, agent, hz)?),
        retrieve: Some(ms(agent, retrieved, hz)?),
        services: Some(ms(retrieved, end, hz)?),
        to_answer: ms(init, end, hz)?,
        blackout: ms(freeze, end, hz)?,
        ..Sample::default()
    })
}

fn with_luoctl(machine: &Machine) -> anyhow::Result<Sample> {
    machine.wait_log("client", "answered at ", PATIENCE)?;
    let hello = machine.jump(Command::new(UPDATE).timeout(PATIENCE), PATIENCE)?;
    let init = init_ticks(&hello)?;
    let log = machine.wait_log("client", "answered at ", PATIENCE)?;
    let end = number_after(&log, "answered at ")?;
    parts(&report(machine)?, init, end)
}

fn many(machine: &Machine) -> anyhow::Result<Sample> {
    machine.wait_log("s", "s: all ready", PATIENCE)?;
    let hello = machine.jump(Command::new(UPDATE).timeout(PATIENCE), PATIENCE)?;
    let log = machine.wait_log("s", "s: all ready", PATIENCE)?;
    // Said when every file was compared.
    let line = format!("s: {CLIENTS} services: 0 files filled, {CLIENTS} updated");
    ensure!(log.contains(&line), "not {line:?}:\n{log}");
    let report = report(machine)?;
    let marks = |kind| {
        let marks = report.timeline.marks.iter();
        marks.filter(move |mark| mark.kind == kind && mark.service.is_some())
    };
    let frozen = marks(MarkKind::ServiceFrozen).count();
    ensure!(frozen == CLIENTS, "{frozen} of {CLIENTS} took part");
    let clients = report.clients.iter();
    let blackouts: Vec<f64> = clients.filter_map(|client| client.blackout_ms).collect();
    ensure!(
        blackouts.len() == CLIENTS,
        "{} of {CLIENTS} run",
        blackouts.len()
    );
    let spread = Spread::of(blackouts).context("no client")?;
    let running = marks(MarkKind::ServiceRunning).filter_map(|mark| mark.at.ticks);
    let end = running.max().context("no service runs")?;
    Ok(Sample {
        client: Some(spread.median),
        last_client: Some(spread.most),
        ..parts(&report, init_ticks(&hello)?, end)?
    })
}

fn init_ticks(hello: &Hello) -> anyhow::Result<u64> {
    hello.tsc.context("the guest has no counter")
}

fn ms(from: u64, to: u64, hz: u64) -> anyhow::Result<f64> {
    let ticks = to
        .checked_sub(from)
        .context("the counter ran backwards over the jump")?;
    // Half an hour of ticks fits a double exactly.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ms = ticks as f64 * 1_000.0 / hz as f64;
    Ok(ms)
}

/// The number behind the last `mark` in a text.
fn number_after(text: &str, mark: &str) -> anyhow::Result<u64> {
    let Some((_, rest)) = text.rsplit_once(mark) else {
        bail!("no {mark:?} in:\n{text}")
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .with_context(|| format!("{mark:?} is followed by {digits:?}"))
}

/// The counter's rate as the kernel has it: `tsc: Refined TSC clocksource calibration: 2499.999 MHz`
/// (`arch/x86/kernel/tsc.c`, v7.2 and v7.3).
fn ticks_hz(serial: &str) -> anyhow::Result<u64> {
    let mark = "Refined TSC clocksource calibration: ";
    let Some((_, rest)) = serial.rsplit_once(mark) else {
        bail!("the kernel printed no rate")
    };
    let (whole, rest) = rest.split_once('.').context("no rate")?;
    let thousandths = rest.get(..3).context("no rate")?;
    let khz: u64 = format!("{whole}{thousandths}").parse().context("no rate")?;
    Ok(khz * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_last_mark() {
        assert_eq!(
            number_after("x done at 1\ndone at 23 y", "done at ").unwrap(),
            23
        );
        assert!(number_after("nothing", "done at ").is_err());
        let line = "tsc: Refined TSC clocksource calibration: 2499.999 MHz\n";
        assert_eq!(ticks_hz(line).unwrap(), 2_499_999_000);
    }

    #[test]
    fn cases_are_chosen_by_name_and_an_unknown_one_is_refused() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(Case::named(&[]).unwrap(), Case::ALL);
        let chosen = Case::named(&names(&["200 x 22 MiB", "bare"])).unwrap();
        assert_eq!(chosen, [Case::Bare, Case::Many]);
        assert!(Case::named(&names(&["bare", "2 TiB"])).is_err());
    }

    #[test]
    fn a_counter_that_ran_backwards_is_an_error() {
        assert!((ms(10, 1_010, 1_000).unwrap() - 1_000.0).abs() < f64::EPSILON);
        assert!(ms(11, 10, 1_000).is_err());
    }
}

//! What `luoctl compose` makes of a plan, started by `luoctl boot`: Linux retrieves every session and
//! file as planned, and hands them over itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::artifacts::{self, Kernel};
use e2e::{COMMAND_LINE, Initramfs, Machine, Series};
use initrd::Permissions;

use crate::composed::{COUNT, EXEC_FROM, PATIENCE, console, machine};
use crate::harness::{Lab, Scenario, guest_kernel};

/// Where the list of sessions and tokens is in the image.
const LIST: &str = "/planned/list";
/// Where the composed handover is in the image of the loader.
const COMPOSED: &str = "/planned/composed";
/// A handover for another machine.
const FOREIGN: &str = "/planned/foreign";
/// More than fit into one block of sessions, and of files.
const SESSIONS: u64 = 58;
const FILES: u64 = 70;
/// A program of the kernel's own tests that finds the sessions of its first stage in the plan.
const SELFTEST: &str = "luo_kexec_simple";
/// Scratch of the other machine: where the loader has no memory.
const FOREIGN_PLAN: &str = "[machine]\nmemory = \"4G\"\n\
                            scratch = [{ start = 0x60000000, bytes = \"256M\" }]\n";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let ways = [(Series::V7_3, Series::V7_2), (Series::V7_2, Series::V7_3)];
    let straight = ways.map(|(series, next)| {
        let name = format!("composed::{}::sessions_of_a_plan", series.name());
        Scenario::new(name, move |lab| straight(lab, series, next))
    });
    let name = "composed::7.2::sessions_of_a_plan_loaded_by_7.3";
    let loaded = Scenario::new(name, |lab| loaded(lab, Series::V7_3, Series::V7_2));
    straight.into_iter().chain([loaded]).collect()
}

/// A plan under construction, and what must come of it.
#[derive(Default)]
struct Planned {
    plan: String,
    /// Sessions with their tokens, as `e2e-client carry` reads them.
    list: String,
    /// What it prints.
    wanted: Vec<String>,
    folder: PathBuf,
    session: String,
}

/// What a file is in a plan.
#[derive(Default)]
struct File<'a> {
    token: u64,
    content: &'a [u8],
    /// Content, and zeros up to here.
    size: usize,
    position: u64,
    /// As in the plan, and as `fcntl(2)` tells them.
    seals: (&'a str, u32),
}

impl Planned {
    fn session(&mut self, name: &str) -> anyhow::Result<()> {
        write!(self.plan, "[[session]]\nname = \"{name}\"\n\n")?;
        let separator = if self.list.is_empty() { "" } else { "\n" };
        write!(self.list, "{separator}{name}")?;
        name.clone_into(&mut self.session);
        Ok(())
    }

    /// A file of the last session; its content goes to a file beside the plan.
    fn file(&mut self, file: &File<'_>) -> anyhow::Result<()> {
        let File {
            token,
            content,
            size,
            position,
            seals: (seals, bits),
        } = *file;
        let mut bytes = content.to_vec();
        bytes.resize(content.len().max(size), 0);
        let size = bytes.len();
        let line = format!("[[session.file]]\ntoken = \"{token:#x}\"\nsize = {size}");
        writeln!(
            self.plan,
            "{line}\nposition = {position}\nseals = [{seals}]"
        )?;
        if !content.is_empty() {
            let name = format!("content-{}-{token}", self.session);
            fs::write(self.folder.join(&name), content)?;
            writeln!(self.plan, "content = \"{name}\"")?;
        }
        writeln!(self.plan)?;
        write!(self.list, " {token}")?;
        let (session, checksum) = (&self.session, crc32fast::hash(&bytes));
        self.wanted.push(format!(
            "{session} {token} size {size} position {position} seals {bits:#x} checksum {checksum:08x}"
        ));
        Ok(())
    }

    /// Every kind of file, and more sessions and files than fit into a block.
    fn everything(folder: &Path) -> anyhow::Result<Self> {
        let mut planned = Self {
            folder: folder.to_owned(),
            plan: format!(
                "[handover]\nrelease = \"composed-on-host\"\nkexec_count = {COUNT}\n\
                 liveupdate_number = {COUNT}\n\n[machine]\nmemory = \"1G\"\n\n"
            ),
            ..Self::default()
        };
        planned.kinds()?;
        planned.session("many")?;
        for token in 0..FILES {
            let content = token.to_le_bytes().repeat(usize::try_from(token)?);
            let content = content.as_slice();
            planned.file(&File {
                token,
                content,
                ..File::default()
            })?;
        }
        for index in 0..SESSIONS {
            planned.session(&format!("session-{index}"))?;
            // Some have no file.
            if index % 8 != 0 {
                let content = index.to_le_bytes();
                planned.file(&File {
                    token: index,
                    content: &content,
                    ..File::default()
                })?;
            }
        }
        planned.selftest_and_flbs()?;
        Ok(planned)
    }

    fn kinds(&mut self) -> anyhow::Result<()> {
        let content: Vec<u8> = (0_u32..1_700_000).flat_map(u32::to_le_bytes).collect();
        let large = content.get(..(6 << 20) + 123).context("content")?;
        let middle = content.get(5..10_005).context("content")?;
        let mut sparse = vec![0; 1 << 20];
        for (page, from) in sparse.chunks_mut(4096).step_by(16).zip(large.chunks(4096)) {
            page.copy_from_slice(from);
        }
        self.session("kinds")?;
        self.file(&File::default())?;
        let file = |token, content, size, position, seals| File {
            token,
            content,
            size,
            position,
            seals,
        };
        let no_seals = ("", 0);
        for file in [
            file(u64::MAX, b"1", 0, 0, no_seals),
            file(1, &sparse, 0, 0, no_seals),
            file(2, b"", 3 << 20, 0, no_seals),
            file(3, middle, 20_000, 0x1234, no_seals),
            file(4, middle, 0, 0, ("\"seal\", \"shrink\", \"grow\"", 7)),
            file(5, middle, 0, 9, ("\"write\"", 8)),
            file(6, large, 0, 6 << 20, no_seals),
        ] {
            self.file(&file)?;
        }
        Ok(())
    }

    /// What the selftest's first stage leaves (`luo_kexec_simple.c`), and what kernels with
    /// `CONFIG_LIVEUPDATE_TEST` expect (`lib/tests/liveupdate.c`; both v7.2 and v7.3).
    fn selftest_and_flbs(&mut self) -> anyhow::Result<()> {
        // These are not for the list: the selftest retrieves them.
        let (list, wanted) = (self.list.clone(), self.wanted.clone());
        for (session, token, content) in [
            ("test-session", 0x1a, "hello kexec world"),
            ("kexec_simple_state", 999, "2"),
        ] {
            self.session(session)?;
            self.file(&File {
                token,
                content: content.as_bytes(),
                size: 4096,
                ..File::default()
            })?;
        }
        (self.list, self.wanted) = (list, wanted);
        for index in 0..3 {
            let data = 0xfeed_f00d_cafe_bee0_u64 + index;
            let name = format!("liveupdate-test-flb-v{index}");
            writeln!(
                self.plan,
                "[[flb]]\ncompatible = \"{name}\"\ndata = \"{data:#x}\"\n"
            )?;
        }
        Ok(())
    }
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
    let folder = lab.folder().to_owned();
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
        COMMAND_LINE,
    ];
    luoctl(&folder, &[&words[..], &options[..]].concat())?;
    let elf = folder.join("start.elf");
    let machine = machine(lab, &kernel, elf.clone()).boot(PATIENCE)?;
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
    fs::remove_file(elf)?;
    Ok(fs::remove_file(folder.join("composed/pages.bin"))?)
}

/// A Linux that takes no part in it loads the handover with its kernel and jumps; a handover for
/// another machine it refuses.
fn loaded(lab: &Lab, loader: Series, series: Series) -> anyhow::Result<()> {
    let folder = lab.folder().to_owned();
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
    let path = guest_kernel(series);
    let command = |handover| {
        let words = ["/bin/luoctl", "boot", handover, "--kernel", &path];
        let options = [
            "--initrd",
            "/sys/firmware/initrd",
            "--cmdline",
            COMMAND_LINE,
        ];
        [&words[..], &options[..]].concat()
    };
    let refused = machine.run(command(FOREIGN))?;
    let error = refused.output();
    let words = "is not all memory of this machine's map";
    ensure!(error.contains(words), "{error}");
    let kernel = artifacts::kernel(series)?;
    let hello = machine.jump(command(COMPOSED), PATIENCE)?;
    ensure!(hello.release == kernel.release, "{hello:?}");
    received(lab, &machine, &kernel, &planned)?;
    machine.poweroff()?;
    Ok(fs::remove_file(folder.join("composed/pages.bin"))?)
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

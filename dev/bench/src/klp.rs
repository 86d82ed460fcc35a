//! Checksums of a kernel's objects, beside `objtool` of the same kernel on the same file.
#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kernel_build::LivepatchFiles;

use crate::sample::Spread;

/// How often the memory of a running program is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Copies of the object that is measured.
const BEFORE: &str = "before.o";
const AFTER: &str = "after.o";

/// Programs that run one after another, and count together.
#[derive(Debug)]
struct Contender {
    name: &'static str,
    program: PathBuf,
    /// Arguments of each run, in a folder of its own.
    calls: Vec<Vec<OsString>>,
    threads: Option<u32>,
}

/// Times and peak memory of the runs of one contender.
#[derive(Debug, Default)]
struct Runs {
    milliseconds: Vec<f64>,
    peak_kib: u64,
}

/// Measures checksums and comparisons of `vmlinux.o`, and of six of it in one object; prints medians and ratios.
///
/// # Errors
/// When a program cannot be run or fails.
pub fn klp(klp: &Path, kernel: &LivepatchFiles, runs: usize, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let six = folder.join("six.o");
    if !six.exists() {
        println!("linking six of {} into one", kernel.vmlinux_o.display());
        multiply(&kernel.vmlinux_o, &six, folder)?;
    }
    // Objtool finds it in the current folder.
    fs::copy(&kernel.module_symvers, folder.join("Module.symvers"))?;
    for (name, object) in [("vmlinux.o", &kernel.vmlinux_o), ("six of it", &six)] {
        let objtool = &kernel.objtool;
        let checksums = [
            contender(
                "objtool klp checksum",
                objtool,
                &[&["klp", "checksum", "--dry-run"]],
                object,
            ),
            contender(
                "klp checksum --compat, 1 thread",
                klp,
                &[&["checksum", "--compat"]],
                object,
            )
            .on_one_thread(),
            contender("klp checksum, 1 thread", klp, &[&["checksum"]], object).on_one_thread(),
            contender("klp checksum", klp, &[&["checksum"]], object),
        ];
        measure(
            &format!("checksums of {name}"),
            object,
            &checksums,
            runs,
            folder,
        )?;
        let comparisons = [
            pair("objtool: 2 checksums and diff", objtool, PairOf::Objtool),
            pair("klp diff, 1 thread", klp, PairOf::Klp).on_one_thread(),
            pair("klp diff", klp, PairOf::Klp),
        ];
        measure(
            &format!("{name} compared with itself"),
            object,
            &comparisons,
            runs,
            folder,
        )?;
    }
    Ok(())
}

fn contender(name: &'static str, program: &Path, calls: &[&[&str]], object: &Path) -> Contender {
    let with_object = |call: &&[&str]| {
        let words = call.iter().map(OsString::from);
        words.chain([object.into()]).collect()
    };
    Contender {
        name,
        program: program.to_owned(),
        calls: calls.iter().map(with_object).collect(),
        threads: None,
    }
}

/// Whose words a comparison is written in.
#[derive(Clone, Copy)]
enum PairOf {
    Objtool,
    Klp,
}

fn pair(name: &'static str, program: &Path, of: PairOf) -> Contender {
    let words = |call: &[&str]| call.iter().map(OsString::from).collect();
    let calls = match of {
        PairOf::Objtool => vec![
            words(&["klp", "checksum", BEFORE]),
            words(&["klp", "checksum", AFTER]),
            words(&["klp", "diff", BEFORE, AFTER, "out.o"]),
        ],
        PairOf::Klp => vec![words(&["diff", BEFORE, AFTER])],
    };
    Contender {
        name,
        program: program.to_owned(),
        calls,
        threads: None,
    }
}

impl Contender {
    fn on_one_thread(mut self) -> Self {
        self.threads = Some(1);
        self
    }
}

/// Runs everybody in turns, so that a busy moment of the machine meets all.
fn measure(
    title: &str,
    object: &Path,
    contenders: &[Contender],
    runs: usize,
    folder: &Path,
) -> Result<()> {
    let mut found: Vec<Runs> = contenders.iter().map(|_| Runs::default()).collect();
    for _ in 0..runs {
        for (contender, found) in contenders.iter().zip(&mut found) {
            // Objtool writes into its input.
            fs::copy(object, folder.join(BEFORE))?;
            fs::copy(object, folder.join(AFTER))?;
            run(contender, folder, found)?;
        }
    }
    print(title, object, contenders, &found)
}

/// Six copies of an object in one; symbols of each have a prefix of their own.
fn multiply(object: &Path, six: &Path, folder: &Path) -> Result<()> {
    let mut parts = Vec::new();
    for number in 0..6 {
        let part = folder.join(format!("part{number}.o"));
        let prefix = format!("--prefix-symbols=c{number}_");
        finish(Command::new("objcopy").arg(prefix).arg(object).arg(&part))?;
        parts.push(part);
    }
    let unfinished = folder.join("six.part");
    finish(
        Command::new("ld")
            .args(["-r", "-o"])
            .arg(&unfinished)
            .args(&parts),
    )?;
    for part in parts {
        fs::remove_file(part)?;
    }
    fs::rename(&unfinished, six)?;
    Ok(())
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    if !status.success() {
        bail!("run {command:?}: {status}");
    }
    Ok(())
}

fn run(contender: &Contender, folder: &Path, runs: &mut Runs) -> Result<()> {
    let start = Instant::now();
    for call in &contender.calls {
        let mut command = Command::new(&contender.program);
        command
            .args(call)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(threads) = contender.threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("run {command:?}"))?;
        runs.peak_kib = runs.peak_kib.max(watch(&mut child)?);
    }
    runs.milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Waits for the end; returns the highest peak of resident memory that was seen, in KiB.
fn watch(child: &mut Child) -> Result<u64> {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        if let Some(end) = child.try_wait()? {
            if !end.success() {
                bail!("the measured program failed: {end}");
            }
            return Ok(peak);
        }
        peak = peak.max(high_water(&status).unwrap_or(0));
        thread::sleep(LOOK);
    }
}

fn high_water(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn print(title: &str, object: &Path, contenders: &[Contender], found: &[Runs]) -> Result<()> {
    let mib = fs::metadata(object)?.len() / 1024 / 1024;
    println!("\n{title}, {mib} MiB; median (least..most), ratios over objtool");
    let spread = |runs: &Runs| Spread::of(runs.milliseconds.clone()).context("no runs");
    let first = found.first().context("no runs")?;
    let peer = spread(first)?;
    for (contender, runs) in contenders.iter().zip(found) {
        let own = spread(runs)?;
        println!(
            "{:<34} {:>7.0} ms ({:.0}..{:.0}) {:>6.1}x   {:>5} MiB {:>6.1}x",
            contender.name,
            own.median,
            own.least,
            own.most,
            peer.median / own.median,
            runs.peak_kib / 1024,
            ratio(first.peak_kib, runs.peak_kib),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio with one digit")]
fn ratio(peer: u64, own: u64) -> f64 {
    peer as f64 / own.max(1) as f64
}

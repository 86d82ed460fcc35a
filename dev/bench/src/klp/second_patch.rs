//! A second patch of a kernel for which `klp build` has everything: what it costs beside compiling the patched files.
#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use kernel_build::{Kernel, LivepatchFiles};
use klp_cases::{Edit, Sources};

use crate::sample::Spread;

/// What may be left when the time of the kernel's own compiling is taken off, in milliseconds.
const TARGET_MS: f64 = 2000.0;

/// What `klp build` says when it begins to compile patched files; the next line says that it is done.
const COMPILE: &str = "patched objects";

/// A line of a format that a reader of `/proc/version` sees.
const FORMAT: Edit = Edit {
    file: "fs/proc/version.c",
    find: "seq_printf(m, linux_proc_banner,",
    replace: "seq_puts(m, \"NUMBER \");\n\tseq_printf(m, linux_proc_banner,",
};

/// Builds a module of one patch, then of another of the same file, `runs` times; prints the second one's time.
pub(super) fn measure(
    klp: &Path,
    kernel: &Kernel,
    files: &LivepatchFiles,
    runs: usize,
    folder: &Path,
) -> Result<()> {
    let patches = folder.join("patches");
    fs::create_dir_all(&patches)?;
    let sources = Sources::new(&kernel.source, patches);
    // The first one prepares the tree and keeps the original objects.
    build(klp, kernel, files, &patch(&sources, "first")?, folder)?;
    let (mut all, mut rest) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let patch = patch(&sources, &format!("second{run}"))?;
        let (total, compiling) = build(klp, kernel, files, &patch, folder)?;
        all.push(total);
        rest.push(total - compiling);
    }
    println!("\na second patch of a kernel; median (least..most)");
    for (name, times) in [
        ("klp build", all),
        ("  without compiling patched files", rest),
    ] {
        let Spread {
            median,
            least,
            most,
        } = Spread::of(times).context("no runs")?;
        println!("{name:<34} {median:>7.0} ms ({least:.0}..{most:.0})");
    }
    println!("  target of the second line: {TARGET_MS:.0} ms, linking the module included");
    Ok(())
}

/// Each patch has contents of its own.
fn patch(sources: &Sources<'_>, name: &str) -> Result<PathBuf> {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let text = FORMAT
        .replace
        .replace("NUMBER", &stamp.as_nanos().to_string());
    sources.patch(
        name,
        &[Edit {
            replace: text.leak(),
            ..FORMAT
        }],
    )
}

/// Builds a module; returns how long that took and how much of it went into compiling patched files, in milliseconds.
fn build(
    klp: &Path,
    kernel: &Kernel,
    files: &LivepatchFiles,
    patch: &Path,
    folder: &Path,
) -> Result<(f64, f64)> {
    let cache = kernel.folder.join("klp");
    let module = folder.join("livepatch-second.ko");
    let options: [(&str, &Path); 7] = [
        ("--kernel-tree", &kernel.source),
        ("--config", &kernel.config),
        ("--vmlinux", &files.vmlinux),
        ("--symvers", &files.module_symvers),
        ("--modules", &files.modules),
        ("--cache", &cache),
        ("--output", &module),
    ];
    let options = options.map(|(name, path)| [OsString::from(name), path.into()]);
    let start = Instant::now();
    let mut child = Command::new(klp)
        .arg("build")
        .arg(patch)
        .args(options.as_flattened())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {}", klp.display()))?;
    let told = child.stderr.take().context("no pipe")?;
    let (mut said, mut compiling, mut total_compiling) = (String::new(), None, 0.0);
    for line in BufReader::new(told).lines() {
        let line = line?;
        let now = start.elapsed().as_secs_f64() * 1e3;
        if let Some(began) = compiling.take() {
            total_compiling += now - began;
        }
        compiling = line.ends_with(COMPILE).then_some(now);
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("klp build ended with {status}:\n{said}");
    }
    if total_compiling <= 0.0 {
        bail!("klp build compiled no patched file:\n{said}");
    }
    Ok((start.elapsed().as_secs_f64() * 1e3, total_compiling))
}

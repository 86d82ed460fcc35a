//! Checksums of a kernel's objects, beside `objtool` of the same kernel on the same file.
#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use kernel_build::LivepatchFiles;

use crate::contender::{self, Contender, Runs};

/// Copies of the object that is measured.
const BEFORE: &str = "before.o";
const AFTER: &str = "after.o";

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
        input: None,
        sync: None,
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
        input: None,
        sync: None,
        threads: None,
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
            contender.run(folder, found)?;
        }
    }
    let mib = fs::metadata(object)?.len() / 1024 / 1024;
    contender::print(
        &format!("{title}, {mib} MiB"),
        "objtool",
        contenders,
        &found,
    )
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

//! Checksums and comparisons of a kernel's objects, beside `objtool` of the same kernel on the same files, and what a second
//! patch costs.
#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use kernel_build::Kernel;
use object::read::elf::FileHeader as _;
use object::{Endianness, elf};

mod second_patch;

use crate::contender::{self, Contender, Runs};

/// Copies of the object that is measured.
const BEFORE: &str = "before.o";
const AFTER: &str = "after.o";

/// Measures checksums and comparisons of `vmlinux.o`, of six of it in one object, of that object as link-time optimisation
/// makes it, and a second patch; prints medians and ratios.
///
/// # Errors
/// When a program cannot be run or fails.
pub fn klp(klp: &Path, kernel: &Kernel, runs: usize, folder: &Path) -> Result<()> {
    let files = kernel
        .livepatch()
        .with_context(|| format!("{} lost its livepatch files", kernel.folder.display()))?;
    fs::create_dir_all(folder)?;
    let [six, lto] = ["six.o", "six-lto.o"].map(|name| folder.join(name));
    if !six.exists() {
        println!("linking six of {} into one", files.vmlinux_o.display());
        multiply(&files.vmlinux_o, &six, folder)?;
    }
    // Objtool finds it in the current folder, and the kernel beside its object.
    fs::copy(&files.module_symvers, folder.join("Module.symvers"))?;
    let objtool = &files.objtool;
    for (name, object) in [("vmlinux.o", &files.vmlinux_o), ("six of it", &six)] {
        measure(
            &format!("checksums of {name}"),
            object,
            &checksums(objtool, klp, object),
            runs,
            folder,
        )?;
        measure(
            &format!("{name} compared with itself"),
            object,
            &comparisons(objtool, klp, PairOf::Objtool),
            runs,
            folder,
        )?;
    }
    without_files(&six, &lto)?;
    run(objtool, &["klp", "checksum"], &lto)?;
    measure(
        "six of it from one source file, as LTO has it, compared with itself; objtool's checksums are there",
        &lto,
        &comparisons(objtool, klp, PairOf::ObjtoolDiff),
        runs,
        folder,
    )?;
    second_patch::measure(klp, kernel, &files, runs, folder)
}

fn checksums(objtool: &Path, klp: &Path, object: &Path) -> [Contender; 4] {
    let dry_run: &[&str] = &["klp", "checksum", "--dry-run"];
    [
        contender("objtool klp checksum", objtool, &[dry_run], object),
        contender(
            "klp checksum --compat, 1 thread",
            klp,
            &[&["checksum", "--compat"]],
            object,
        )
        .on_one_thread(),
        contender("klp checksum, 1 thread", klp, &[&["checksum"]], object).on_one_thread(),
        contender("klp checksum", klp, &[&["checksum"]], object),
    ]
}

fn comparisons(objtool: &Path, klp: &Path, peer: PairOf) -> [Contender; 3] {
    let name = match peer {
        PairOf::ObjtoolDiff => "objtool: diff alone",
        _ => "objtool: 2 checksums and diff",
    };
    [
        pair(name, objtool, peer),
        pair("klp diff, 1 thread", klp, PairOf::Klp).on_one_thread(),
        pair("klp diff", klp, PairOf::Klp),
    ]
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
    /// Its last step alone.
    ObjtoolDiff,
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
        PairOf::ObjtoolDiff => vec![words(&["klp", "diff", BEFORE, AFTER, "out.o"])],
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

/// Makes all local symbols those of one source file, as they are when all of a kernel is compiled at once: the other symbols
/// of files become symbols of no type.
fn without_files(object: &Path, other: &Path) -> Result<()> {
    let mut data = fs::read(object)?;
    let header = elf::FileHeader64::<Endianness>::parse(&*data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, &*data)?;
    let symbols = sections.symbols(endian, &*data, elf::SHT_SYMTAB)?;
    let table = sections.section(symbols.section())?;
    let start = usize::try_from(table.sh_offset.get(endian))?;
    let numbered = symbols.iter().enumerate();
    let files = numbered.filter(|(_, symbol)| symbol.st_type() == elf::STT_FILE);
    let places: Vec<usize> = files
        .skip(1)
        .map(|(number, _)| start + number * size_of::<elf::Sym64<Endianness>>() + INFO)
        .collect();
    for place in places {
        *data.get_mut(place).context("the symbol table is outside")? = LOCAL_WITHOUT_TYPE;
    }
    fs::write(other, data).with_context(|| format!("write {}", other.display()))
}

/// Offset of `st_info` in `Elf64_Sym`, and its value for a local symbol without type.
const INFO: usize = 4;
const LOCAL_WITHOUT_TYPE: u8 = 0;

fn run(program: &Path, words: &[&str], object: &Path) -> Result<()> {
    finish(Command::new(program).args(words).arg(object))
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

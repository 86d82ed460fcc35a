//! Objects from source, and the program to try on them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Options of the kernel that decide what objects look like.
const KERNEL: [&str; 10] = [
    "-O2",
    "-fno-pic",
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mno-sse",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-ffunction-sections",
    "-fdata-sections",
];

/// A folder for the objects of one test.
pub(crate) struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles C as the kernel is compiled for livepatching, without calls of the tracer.
    pub(crate) fn c(&self, name: &str, source: &str) -> PathBuf {
        self.compile(name, "c", source, &KERNEL)
    }

    /// Compiles C as the kernel is compiled for livepatching.
    pub(crate) fn traced_c(&self, name: &str, source: &str) -> PathBuf {
        let options = [&KERNEL[..], &["-pg", "-mfentry"]].concat();
        self.compile(name, "c", source, &options)
    }

    /// Compiles several sources and links them into one object, as a module is.
    pub(crate) fn linked(&self, folder: &str, sources: &[(&str, &str)]) -> PathBuf {
        let parts: Vec<PathBuf> = sources
            .iter()
            .map(|(name, source)| self.traced_c(&format!("{folder}/{name}"), source))
            .collect();
        let output = self.path(folder).join("linked.o");
        run(Command::new("ld")
            .arg("-r")
            .args(&parts)
            .arg("-o")
            .arg(&output));
        output
    }

    /// Assembles.
    pub(crate) fn asm(&self, name: &str, source: &str) -> PathBuf {
        self.compile(name, "s", source, &[])
    }

    /// Compiles Rust, optimised, for a machine without an operating system's libraries.
    pub(crate) fn rust(&self, name: &str, source: &str) -> PathBuf {
        let (folder, stem) = name.split_once('/').unwrap_or(("", name));
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(stem).with_extension("rs"), source).unwrap();
        let mut command = Command::new("rustc");
        command
            .current_dir(&folder)
            .args(["--crate-type", "lib", "--emit", "obj", "--edition", "2021"])
            .args([
                "-C",
                "opt-level=2",
                "-C",
                "panic=abort",
                "-C",
                "codegen-units=1",
            ])
            .args(["-C", "relocation-model=static"])
            .arg(format!("{stem}.rs"));
        run(&mut command);
        folder.join(stem).with_extension("o")
    }

    fn compile(&self, name: &str, extension: &str, source: &str, options: &[&str]) -> PathBuf {
        // The name of the source is in the object; that of a patched one must be the same.
        let (folder, stem) = name.rsplit_once('/').unwrap_or(("", name));
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let input = folder.join(stem).with_extension(extension);
        let output = folder.join(stem).with_extension("o");
        fs::write(&input, source).unwrap();
        let mut command = Command::new("gcc");
        command
            .current_dir(&folder)
            .args(options)
            .arg("-c")
            .arg(input.file_name().unwrap())
            .arg("-o")
            .arg(&output);
        run(&mut command);
        output
    }
}

/// Runs what must succeed and returns what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program.
pub(crate) fn klp(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klp"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs the program, which must succeed, and returns what it printed.
pub(crate) fn klp_text(arguments: &[&dyn AsRef<OsStr>]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp"));
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    run(&mut command)
}

/// Runs a program of binutils on a file.
pub(crate) fn binutils(program: &str, options: &[&str], file: &Path) -> String {
    run(Command::new(program)
        .env("LC_ALL", "C")
        .args(options)
        .arg(file))
}

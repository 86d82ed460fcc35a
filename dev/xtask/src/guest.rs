//! `cargo xtask guest`: the static programs that run inside guest machines, and the one that is such a
//! machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use kernel_build::LoggedCommand;

use crate::workspace::{Workspace, cargo};

/// Packages whose programs go into a guest.
const GUEST_PACKAGES: [&str; 8] = [
    "luod",
    "luoctl",
    "luo-emu",
    "klp-guest",
    "kvcache",
    "e2e-agent",
    "e2e-client",
    "luo-cases",
];

/// The client library for C.
const C_LIBRARY: &str = "liveupdate-c";

/// A guest has no dynamic loader, whatever the machine it was built on has.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const RUSTFLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";
/// The profile of this name in the workspace manifest.
const PROFILE: &str = "guest";

/// Builds the guest programs and returns their folder.
pub(crate) fn guest_binaries(workspace: &Workspace) -> Result<PathBuf> {
    let is_member = |name: &str| {
        workspace
            .packages
            .iter()
            .any(|package| package.name == name)
    };
    let absent: Vec<_> = GUEST_PACKAGES
        .into_iter()
        .filter(|name| !is_member(name))
        .collect();
    if !absent.is_empty() {
        bail!(
            "packages of the guest are not in the workspace: {}",
            absent.join(", ")
        );
    }
    let log = workspace.target.join("xtask-logs/guest-build.log");
    let folder = build_static(&workspace.root, &workspace.target, &GUEST_PACKAGES, log)?;
    build_c_examples(workspace, &folder)?;
    Ok(folder)
}

/// Examples of the client library for C; in a guest each is called `c-NAME`.
const C_EXAMPLES: [&str; 2] = ["counter", "direct"];

/// Builds the examples of the client library for C, linked statically with it.
fn build_c_examples(workspace: &Workspace, folder: &Path) -> Result<()> {
    let logs = workspace.target.join("xtask-logs");
    let mut library = cargo();
    library
        .current_dir(&workspace.root)
        .env("RUSTFLAGS", RUSTFLAGS)
        .args(["rustc", "--package", C_LIBRARY, "--lib"])
        .args(["--crate-type", "staticlib"])
        .args(["--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(&workspace.target);
    let log = logs.join("guest-c-library.log");
    LoggedCommand::new("guest library for C", library, log).run()?;
    let source = workspace.root.join("svc/liveupdate-c");
    for example in C_EXAMPLES {
        let mut compiler = Command::new("cc");
        compiler
            .args(["-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-static", "-s"])
            .args(["-Wall", "-Wextra", "-Werror"])
            .arg("-I")
            .arg(source.join("include"))
            .arg(source.join(format!("examples/{example}.c")))
            .arg(folder.join("libliveupdate_c.a"))
            .arg("-o")
            .arg(folder.join(format!("c-{example}")));
        let log = logs.join(format!("guest-c-{example}.log"));
        LoggedCommand::new("guest example in C", compiler, log).run()?;
    }
    Ok(())
}

/// Builds the client library for C as programs of a host link it, and returns its folder: shared and static.
pub(crate) fn c_library(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args(["build", "--package", C_LIBRARY, "--lib"])
        .args(["--profile", PROFILE, "--target-dir"])
        .arg(&workspace.target);
    let log = workspace.target.join("xtask-logs/c-library.log");
    LoggedCommand::new("library for C", command, log).run()?;
    Ok(workspace.target.join(PROFILE))
}

/// Builds the programs of the Debian package, which are static as well, and returns their folder.
pub(crate) fn package_binaries(workspace: &Workspace) -> Result<PathBuf> {
    let log = workspace.target.join("xtask-logs/package-build.log");
    build_static(&workspace.root, &workspace.target, &["luod", "luoctl"], log)
}

fn build_static(root: &Path, target: &Path, packages: &[&str], log: PathBuf) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .current_dir(root)
        .env("RUSTFLAGS", RUSTFLAGS)
        .args(["build", "--bins", "--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(target);
    for package in packages {
        command.args(["--package", package]);
    }
    LoggedCommand::new("guest programs", command, log).run()?;
    Ok(target.join(TARGET).join(PROFILE))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// `PT_INTERP`: the program header that names a dynamic loader (`include/uapi/linux/elf.h`).
    const PT_INTERP: u32 = 3;

    fn program_header_types(elf: &[u8]) -> Vec<u32> {
        let u16_at =
            |at: usize| usize::from(u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()));
        let table = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
        let (size, count) = (u16_at(54), u16_at(56));
        let headers = (0..count).map(|index| table + index * size);
        headers
            .map(|at| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap()))
            .collect()
    }

    #[test]
    fn guest_programs_are_static_and_run() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [profile.guest]\ninherits = \"release\"\n[workspace]\n";
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        fs::write(
            root.join("src/main.rs"),
            "fn main() { println!(\"alive\") }",
        )
        .unwrap();
        let built = build_static(root, &root.join("target"), &["tiny"], root.join("log")).unwrap();
        let program = built.join("tiny");
        let types = program_header_types(&fs::read(&program).unwrap());
        assert!(
            !types.is_empty() && !types.contains(&PT_INTERP),
            "{types:?}"
        );
        let output = Command::new(program).output().unwrap();
        assert_eq!(output.stdout, b"alive\n");
    }
}

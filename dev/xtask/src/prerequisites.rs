//! Tools from Debian that the other commands need: found by presence, installed with apt when that is possible.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use kernel_build::{Cache, LoggedCommand};

use crate::output;

/// What a tool is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building kernels and their selftests.
    Kernel,
    /// Running guest machines.
    Machine,
    /// Unit and service tests on this machine.
    Test,
    /// Making a Debian package.
    Package,
}

/// How a tool is recognised.
#[derive(Clone, Copy, Debug)]
enum Presence {
    /// A program in `PATH`.
    Program(&'static str),
    /// A header, a library or a data file: under any of the usual prefixes.
    File(&'static str),
}

/// One tool with its package and the reason.
#[derive(Clone, Copy, Debug)]
struct Tool {
    presence: Presence,
    package: &'static str,
    purpose: Purpose,
    why: &'static str,
}

const fn program(
    name: &'static str,
    package: &'static str,
    purpose: Purpose,
    why: &'static str,
) -> Tool {
    let presence = Presence::Program(name);
    Tool {
        presence,
        package,
        purpose,
        why,
    }
}

const fn file(path: &'static str, package: &'static str, why: &'static str) -> Tool {
    let presence = Presence::File(path);
    Tool {
        presence,
        package,
        purpose: Purpose::Kernel,
        why,
    }
}

/// Why there are tools that pack.
const PACKS: &str = "packs what tests unpack";

const TOOLS: [Tool; 29] = [
    program(
        "gcc",
        "gcc",
        Purpose::Kernel,
        "compiles kernels and selftests",
    ),
    program("ld", "binutils", Purpose::Kernel, "links kernels"),
    program("make", "make", Purpose::Kernel, "drives the kernel build"),
    program("flex", "flex", Purpose::Kernel, "generates Kconfig's lexer"),
    program(
        "bison",
        "bison",
        Purpose::Kernel,
        "generates Kconfig's parser",
    ),
    program(
        "bc",
        "bc",
        Purpose::Kernel,
        "generates kernel/time constants",
    ),
    program(
        "perl",
        "perl",
        Purpose::Kernel,
        "runs scripts of the kernel build",
    ),
    program(
        "xz",
        "xz-utils",
        Purpose::Kernel,
        "unpacks the kernel source",
    ),
    program("tar", "tar", Purpose::Kernel, "unpacks the kernel source"),
    program(
        "gzip",
        "gzip",
        Purpose::Kernel,
        "compresses the kernel image",
    ),
    program(
        "rsync",
        "rsync",
        Purpose::Kernel,
        "installs kernel headers for selftests",
    ),
    file(
        "include/libelf.h",
        "libelf-dev",
        "objtool reads kernel objects with it",
    ),
    file(
        "include/xxhash.h",
        "libxxhash-dev",
        "objtool computes checksums of functions with it",
    ),
    file(
        "include/openssl/opensslv.h",
        "libssl-dev",
        "the kernel's certificate tools use it",
    ),
    file(
        "lib/libc.a",
        "libc6-dev",
        "static selftests and guest programs link it",
    ),
    file(
        "share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "proves that the kernel source is Debian's",
    ),
    program(
        "qemu-system-x86_64",
        "qemu-system-x86",
        Purpose::Machine,
        "runs the guest machine",
    ),
    program(
        "mmdebstrap",
        "mmdebstrap",
        Purpose::Machine,
        "makes the root file system of a guest with systemd",
    ),
    program(
        "debugfs",
        "e2fsprogs",
        Purpose::Machine,
        "makes disks of guests and adds files to them",
    ),
    program("dpkg-deb", "dpkg", Purpose::Package, "makes packages"),
    program(
        "pkg-config",
        "pkgconf",
        Purpose::Package,
        "tries the packages of the client library for C",
    ),
    program(
        "as",
        "binutils",
        Purpose::Test,
        "makes modules and reads them as a second reader",
    ),
    program(
        "redis-cli",
        "redis-tools",
        Purpose::Test,
        "talks to kvcache as an independent client",
    ),
    program("bzip2", "bzip2", Purpose::Test, PACKS),
    program("lz4", "lz4", Purpose::Test, PACKS),
    program("lzop", "lzop", Purpose::Test, PACKS),
    program("xz", "xz-utils", Purpose::Test, PACKS),
    program("zstd", "zstd", Purpose::Test, PACKS),
    program(
        "strace",
        "strace",
        Purpose::Machine,
        "traces programs that the emulated machine traces too",
    ),
];

/// Makes sure that the tools for some purposes are there.
///
/// As root the missing ones are installed; else the one command that installs them is the error.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<()> {
    let missing = missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    output::news(&listing(&missing));
    let packages = packages(&missing);
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{} tools are missing; install them with:\n  sudo apt-get install -y --no-install-recommends {}",
            missing.len(),
            packages.join(" ")
        );
    }
    install(&packages)?;
    let still = self::missing(purposes);
    if !still.is_empty() {
        bail!("still missing after the installation:\n{}", listing(&still));
    }
    Ok(())
}

/// Installs packages, fetching package lists only when the installation does not work without.
fn install(packages: &[&str]) -> Result<()> {
    let cache = Cache::from_env()?;
    let apt = |step: &str, arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-q")
            .args(arguments);
        let log = cache.root().join("logs").join(format!("apt-{step}.log"));
        LoggedCommand::new(&format!("apt-get {step}"), command, log).run()
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    output::news(&format!("installing {}", packages.join(" ")));
    if apt("install", &arguments).is_err() {
        apt("update", &["update"])?;
        apt("install", &arguments)?;
    }
    Ok(())
}

fn missing(purposes: &[Purpose]) -> Vec<Tool> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    missing_of(&TOOLS, purposes, |presence| is_present(presence, &folders))
}

fn missing_of(
    tools: &[Tool],
    purposes: &[Purpose],
    is_present_fn: impl Fn(Presence) -> bool,
) -> Vec<Tool> {
    tools
        .iter()
        .filter(|tool| purposes.contains(&tool.purpose))
        .filter(|tool| !is_present_fn(tool.presence))
        .copied()
        .collect()
}

fn is_present(presence: Presence, path: &[PathBuf]) -> bool {
    match presence {
        Presence::Program(name) => path.iter().any(|folder| folder.join(name).is_file()),
        Presence::File(file) => file_places(file).iter().any(|place| place.exists()),
    }
}

/// Debian puts headers and libraries of an architecture one folder deeper.
fn file_places(file: &str) -> Vec<PathBuf> {
    let usr = Path::new("/usr");
    let mut places = vec![usr.join(file), usr.join("local").join(file)];
    if let Some((kind, rest)) = file.split_once('/') {
        places.push(usr.join(kind).join("x86_64-linux-gnu").join(rest));
    }
    places
}

fn packages(missing: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn listing(missing: &[Tool]) -> String {
    let lines: Vec<String> = missing
        .iter()
        .map(|tool| {
            let (Presence::Program(name) | Presence::File(name)) = tool.presence;
            format!("missing: {name} (package {}): {}", tool.package, tool.why)
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_for_the_purpose_is_named_with_its_reason() {
        let has_all_but = |absent: &'static [&str]| {
            move |presence: Presence| {
                let (Presence::Program(name) | Presence::File(name)) = presence;
                !absent.contains(&name)
            }
        };
        let absent = &["flex", "include/libelf.h", "qemu-system-x86_64"];
        let found = missing_of(&TOOLS, &[Purpose::Kernel], has_all_but(absent));
        assert_eq!(packages(&found), ["flex", "libelf-dev"]);
        let text = listing(&found);
        assert!(
            text.contains("flex (package flex): generates Kconfig's lexer"),
            "{text}"
        );
        let found = missing_of(&TOOLS, &[Purpose::Machine], has_all_but(absent));
        assert_eq!(packages(&found), ["qemu-system-x86"]);
    }

    #[test]
    fn a_program_is_found_in_any_folder_of_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = [PathBuf::from("/nonexistent"), folder.path().to_owned()];
        assert!(!is_present(Presence::Program("tool"), &path));
        std::fs::write(folder.path().join("tool"), "").unwrap();
        assert!(is_present(Presence::Program("tool"), &path));
    }
}

//! Runs gcc over the probes, with shims for an unbuilt tree or as the kernel's own build does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kho_abi::PageSize;

use crate::{Error, Result};

/// The compiler; the kernel's own build uses the same name.
const COMPILER: &str = "gcc";

/// Stand-ins for the few kernel headers that only work inside a configured build.
const SHIMS: &[(&str, &str)] = &[
    ("linux/types.h", include_str!("../shims/linux/types.h")),
    ("linux/fcntl.h", include_str!("../shims/linux/fcntl.h")),
    ("linux/err.h", include_str!("../shims/linux/err.h")),
    ("linux/errno.h", include_str!("../shims/linux/errno.h")),
    ("linux/bits.h", include_str!("../shims/linux/bits.h")),
    ("linux/log2.h", include_str!("../shims/linux/log2.h")),
    ("linux/math.h", include_str!("../shims/linux/math.h")),
    ("linux/align.h", include_str!("../shims/linux/align.h")),
    ("linux/utsname.h", include_str!("../shims/linux/utsname.h")),
    ("asm/page.h", include_str!("../shims/asm/page.h")),
    ("asm/ioctl.h", include_str!("../shims/asm/ioctl.h")),
    ("asm/fcntl.h", include_str!("../shims/asm/fcntl.h")),
];

/// How the headers are compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// With shims, for a page size of choice.
    Shims(PageSize),
    /// With everything of a configured x86 build.
    Build(&'a Path),
}

impl Mode<'_> {
    /// Page size of the headers in this mode.
    pub(crate) const fn page_size(self) -> PageSize {
        match self {
            Self::Shims(page_size) => page_size,
            Self::Build(_) => PageSize::Size4K,
        }
    }
}

/// Compiles `source` against the headers of `tree` and returns the assembly.
pub(crate) fn assembly(tree: &Path, mode: Mode<'_>, source: &str) -> Result<String> {
    let shims = write_shims()?;
    let mut command = Command::new(COMPILER);
    command.args([
        "-x",
        "c",
        "-std=gnu11",
        "-fms-extensions",
        "-nostdinc",
        "-w",
    ]);
    match mode {
        Mode::Shims(page_size) => {
            command.arg(format!("-DPAGE_SHIFT={}", page_size.shift()));
            command.arg("-I").arg(shims.path());
            for folder in ["include", "include/uapi", "arch/x86/include/uapi"] {
                command.arg("-I").arg(tree.join(folder));
            }
        }
        Mode::Build(build) => add_build_flags(&mut command, tree, build)?,
    }
    command.args(["-fno-asynchronous-unwind-tables", "-S", "-o", "-", "-"]);
    run(command, source, mode.page_size())
}

/// The parts of Kbuild's command line that decide what headers mean.
fn add_build_flags(command: &mut Command, tree: &Path, build: &Path) -> Result<()> {
    let configuration = build.join("include/generated/autoconf.h");
    if !configuration.is_file() {
        return Err(Error::NotABuildDir {
            path: configuration,
        });
    }
    let folders = [
        tree.join("arch/x86/include"),
        build.join("arch/x86/include/generated"),
        tree.join("include"),
        build.join("include"),
        tree.join("arch/x86/include/uapi"),
        build.join("arch/x86/include/generated/uapi"),
        tree.join("include/uapi"),
        build.join("include/generated/uapi"),
    ];
    for folder in folders {
        command.arg("-I").arg(folder);
    }
    for header in ["compiler-version.h", "kconfig.h", "compiler_types.h"] {
        command
            .arg("-include")
            .arg(tree.join("include/linux").join(header));
    }
    command.args(["-D__KERNEL__", "-O2", "-m64", "-mcmodel=kernel"]);
    command.args([
        "-fno-PIE",
        "-fno-common",
        "-mno-sse",
        "-mno-mmx",
        "-mno-80387",
    ]);
    command.args([
        "-mno-red-zone",
        "-fcf-protection=none",
        "-fno-stack-protector",
    ]);
    command.args([
        "-DKBUILD_MODNAME=\"header_check\"",
        "-DKBUILD_MODFILE=\"header_check\"",
    ]);
    Ok(())
}

/// Writes the shims to a folder of their own.
fn write_shims() -> Result<tempfile::TempDir> {
    let io = |path: &Path, source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let folder = tempfile::tempdir().map_err(|error| io(Path::new("temporary folder"), error))?;
    for (name, text) in SHIMS {
        let path: PathBuf = folder.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| io(parent, error))?;
        }
        std::fs::write(&path, text).map_err(|error| io(&path, error))?;
    }
    Ok(folder)
}

/// Feeds `source` to the compiler and returns its output.
fn run(mut command: Command, source: &str, page_size: PageSize) -> Result<String> {
    let no_compiler = |source| Error::NoCompiler {
        program: COMPILER,
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(no_compiler)?;
    // The compiler reads its whole input before it writes; an early exit shows in its status.
    if let Some(mut stdin) = child.stdin.take() {
        let _reported_by_status = stdin.write_all(source.as_bytes());
    }
    let output = child.wait_with_output().map_err(no_compiler)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Compile {
        page_bytes: page_size.bytes(),
        diagnostics: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

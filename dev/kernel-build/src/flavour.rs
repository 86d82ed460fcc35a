//! What a kernel is built for: its configuration, and what of the build is kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::error::{Error, io_error};
use crate::fragment::Fragment;
use crate::kernel::Kernel;
use crate::kernel_make::KernelMake;
use crate::logged_command::Finished;
use crate::rust_toolchain::{RustToolchain, rust_toolchain};
use crate::series::KernelSeries;

/// Folder of [`LivepatchFiles`] in a finished kernel.
const LIVEPATCH: &str = "livepatch";

/// What a kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flavour {
    /// Live updates.
    Liveupdate,
    /// Building and loading livepatch modules, with a section for each function and object.
    Livepatch,
    /// Building and loading modules in Rust, and as small as that can be.
    Rust,
}

impl Flavour {
    /// Every flavour.
    pub const ALL: [Self; 3] = [Self::Liveupdate, Self::Livepatch, Self::Rust];

    /// What is built unless something is asked for: all but what needs a compiler of Rust's kernel kind.
    pub const USUAL: [Self; 2] = [Self::Liveupdate, Self::Livepatch];

    /// Returns the name that commands take.
    pub fn name(self) -> &'static str {
        match self {
            Self::Liveupdate => "liveupdate",
            Self::Livepatch => "livepatch",
            Self::Rust => "modules in Rust",
        }
    }

    /// Returns what `cargo xtask kernel build` has to be told to build it, with a blank behind it.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Liveupdate | Self::Livepatch => "",
            Self::Rust => "--rust ",
        }
    }

    /// Returns the series that are always built in this flavour.
    pub fn series(self) -> &'static [KernelSeries] {
        match self {
            Self::Liveupdate | Self::Rust => &KernelSeries::ALL,
            Self::Livepatch => &[KernelSeries::V7_3],
        }
    }

    /// Returns the configuration.
    pub fn fragment(self) -> Fragment {
        match self {
            Self::Liveupdate => Fragment::liveupdate(),
            Self::Livepatch => Fragment::livepatch(),
            Self::Rust => Fragment::rust(),
        }
    }

    /// Compiles what this flavour needs.
    pub(crate) fn compile(self, make: &KernelMake<'_>) -> Result<Finished, Error> {
        match self {
            Self::Liveupdate => make.compile(&["bzImage"]),
            Self::Livepatch => make.compile(&[
                // As scripts/livepatch/klp-build does (v7.3).
                "KCFLAGS=-ffunction-sections -fdata-sections",
                "KBUILD_MODPOST_WARN=1",
                "KLP_SYMIDS=1",
                "bzImage",
                "modules",
            ]),
            // `modules` also says which symbols are exported, though none is one.
            Self::Rust => make.compile(&["bzImage", "modules"]),
        }
    }

    /// Returns the toolchain that `make` has to be told of. The caller holds the cache's lock.
    pub(crate) fn toolchain(self, cache: &Cache) -> Result<Option<RustToolchain>, Error> {
        match self {
            Self::Liveupdate | Self::Livepatch => Ok(None),
            Self::Rust => rust_toolchain(cache).map(Some),
        }
    }

    /// Returns what of the output folder stays, beside its headers.
    pub(crate) fn kept(self) -> &'static [&'static str] {
        match self {
            Self::Liveupdate | Self::Livepatch => &[],
            // What modules are built with; links and makefiles lead to the source.
            Self::Rust => &[
                "Makefile",
                "Module.symvers",
                "rust",
                "scripts",
                "source",
                "tools/objtool/objtool",
            ],
        }
    }

    /// Keeps what only this flavour has.
    pub(crate) fn collect(self, make: &KernelMake<'_>, folder: &Path) -> Result<(), Error> {
        match self {
            Self::Liveupdate | Self::Rust => Ok(()),
            Self::Livepatch => collect_livepatch(&make.output, &folder.join(LIVEPATCH)),
        }
    }
}

/// What livepatch modules are built from, of a kernel in [`Flavour::Livepatch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LivepatchFiles {
    /// The linked kernel.
    pub vmlinux: PathBuf,
    /// The kernel before the last link, with a section for each function.
    pub vmlinux_o: PathBuf,
    /// Which symbols are exported.
    pub module_symvers: PathBuf,
    /// The kernel's own tool, from the same source.
    pub objtool: PathBuf,
    /// Modules below their folders, each as `.ko` and as the `.o` it was linked from.
    pub modules: PathBuf,
}

impl Kernel {
    /// Returns the files of a kernel in [`Flavour::Livepatch`]; `None` for any other.
    pub fn livepatch(&self) -> Option<LivepatchFiles> {
        let folder = self.folder.join(LIVEPATCH);
        let files = LivepatchFiles {
            vmlinux: folder.join("vmlinux"),
            vmlinux_o: folder.join("vmlinux.o"),
            module_symvers: folder.join("Module.symvers"),
            objtool: folder.join("objtool"),
            modules: folder.join("modules"),
        };
        let is_whole = [
            &files.vmlinux,
            &files.vmlinux_o,
            &files.module_symvers,
            &files.objtool,
            &files.modules,
        ]
        .iter()
        .all(|path| path.exists());
        is_whole.then_some(files)
    }
}

fn collect_livepatch(output: &Path, folder: &Path) -> Result<(), Error> {
    let copy = |from: &Path, to: &Path| {
        let parent = to.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        fs::copy(from, to).map_err(io_error("copy", from))
    };
    for (from, to) in [
        ("vmlinux", "vmlinux"),
        ("vmlinux.o", "vmlinux.o"),
        ("Module.symvers", "Module.symvers"),
        ("tools/objtool/objtool", "objtool"),
    ] {
        copy(&output.join(from), &folder.join(to))?;
    }
    let order = output.join("modules.order");
    let modules = fs::read_to_string(&order).map_err(io_error("read", &order))?;
    for module in modules.lines().map(Path::new) {
        for extension in ["o", "ko"] {
            let file = module.with_extension(extension);
            copy(&output.join(&file), &folder.join("modules").join(&file))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavours_have_different_configurations() {
        let mut hashes = Flavour::ALL.map(|flavour| flavour.fragment().hash().to_string());
        hashes.sort();
        let [first, second, third] = hashes;
        assert!(first != second && second != third);
        let lost = Flavour::Livepatch.fragment().lost_in("");
        for option in ["CONFIG_LIVEPATCH", "CONFIG_KLP_BUILD"] {
            assert!(lost.iter().any(|lost| lost.option == option), "{option}");
        }
    }

    #[test]
    fn objects_of_modules_are_kept_where_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("build");
        for file in [
            "vmlinux",
            "vmlinux.o",
            "Module.symvers",
            "tools/objtool/objtool",
            "fs/fuse/fuse.o",
            "fs/fuse/fuse.ko",
        ] {
            let path = output.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::write(output.join("modules.order"), "fs/fuse/fuse.o\n").unwrap();
        let kept = folder.path().join("kept");
        collect_livepatch(&output, &kept).unwrap();
        assert!(kept.join("modules/fs/fuse/fuse.ko").exists());
        assert!(kept.join("modules/fs/fuse/fuse.o").exists());
        assert!(kept.join("objtool").exists());
        fs::remove_file(output.join("vmlinux.o")).unwrap();
        assert!(collect_livepatch(&output, &kept).is_err());
    }
}

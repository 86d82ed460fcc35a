//! What a verification finds.

use alloc::string::String;

use kernel_symbols::klp::{Finding, Severity};

/// A reason not to load a livepatch module, or something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A livepatch symbol, relocation or function.
    #[error("{0}")]
    Livepatch(Finding),
    /// It was built for another kernel.
    #[error(
        "the module is for \"{found}\", the kernel is \"{kernel}\": the module loader refuses it"
    )]
    Vermagic {
        /// Version string of the module.
        found: String,
        /// That of the kernel.
        kernel: String,
    },
    /// The module has no version string.
    #[error(
        "the module has no version string (vermagic): the module loader refuses it unless forced"
    )]
    NoVermagic,
    /// The kernel's version string is not known.
    #[error("the version string of the kernel is not checked: vmlinux has no symbol vermagic")]
    KernelVermagicUnknown,
    /// A module to be patched belongs to another kernel.
    #[error(
        "module {module} is for \"{found}\", the kernel is \"{kernel}\": its file is not that of this kernel"
    )]
    ModuleOfAnotherKernel {
        /// Name of the module.
        module: String,
        /// Its version string.
        found: String,
        /// That of the kernel.
        kernel: String,
    },
    /// Nobody exports a symbol.
    #[error(
        "{name} is exported by neither the kernel nor a given module: the module loader refuses it"
    )]
    NotExported {
        /// Name of the symbol.
        name: String,
    },
    /// A namespace is not imported.
    #[error("{name} is exported in the namespace {namespace}, which the module does not import")]
    Namespace {
        /// Name of the symbol.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// A symbol is for other modules.
    #[error(
        "{name} is exported to some modules only ({namespace}), and the module is none of them"
    )]
    ForOthers {
        /// Name of the symbol.
        name: String,
        /// To which.
        namespace: String,
    },
    /// A dependency that is not said.
    #[error(
        "{name} is exported by {module}, which is not in depends=: the module cannot be loaded before it"
    )]
    Depends {
        /// Name of the symbol.
        name: String,
        /// Who exports it.
        module: String,
    },
    /// A dependency that was not given.
    #[error("the module depends on {module}, which was not given: its exports are not checked")]
    DependencyNotGiven {
        /// Name of the module.
        module: String,
    },
    /// The livepatch interface is exported to compatible licences only.
    #[error(
        "the licence \"{found}\" is not compatible with the GPL: klp_enable_patch() is not exported to the module"
    )]
    License {
        /// The licence; empty when there is none.
        found: String,
    },
    /// The file is not what runs.
    #[error(
        "{object} runs with build id {running}, the file has {found}: symbols are checked against the wrong file"
    )]
    BuildId {
        /// `vmlinux`, or a module.
        object: String,
        /// Of what runs, as hexadecimal digits.
        running: String,
        /// Of the file.
        found: String,
    },
    /// Whether a file is what runs is not known.
    #[error("whether {object} is what runs is not checked: {why}")]
    BuildIdUnknown {
        /// `vmlinux`, or a module.
        object: String,
        /// Why not.
        why: &'static str,
    },
}

impl Problem {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Livepatch(finding) => finding.severity(),
            Self::KernelVermagicUnknown
            | Self::DependencyNotGiven { .. }
            | Self::BuildIdUnknown { .. } => Severity::Note,
            Self::Depends { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

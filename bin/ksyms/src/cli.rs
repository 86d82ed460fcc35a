//! The command line.

use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  ksyms lookup ffffffff81234567             # which symbol is it in, in the running kernel
  perf script -F ip | ksyms lookup -        # the same for many, one a line
  ksyms name schedule                       # where is it
  ksyms sympos ext4 ext4_init_fs            # at which positions does livepatch count it
  ksyms sympos -f vmlinux vmlinux cleanup 2 # what does livepatch find at the second
  ksyms klp-check patch.ko -f vmlinux -f ext4.ko
  ksyms sort-check /lib/modules/7.3.4       # which positions a sorted symbol table would change

Exit codes:
  0  found; nothing is wrong         4  the kernel hides addresses from this user
  1  something was not found         5  klp-check found an error
  2  wrong usage                     6  sort-check found names whose order would change
  3  a file cannot be read";

/// Kernel symbols, by the rules of the kernel.
#[derive(Debug, clap::Parser)]
#[command(name = "ksyms", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Tells which symbol an address is in
    Lookup(LookupArgs),
    /// Tells which symbols have a name
    Name(NameArgs),
    /// Tells what livepatch finds for a name and position, or all positions of a name
    Sympos(SymposArgs),
    /// Checks a livepatch module against the objects that it patches
    KlpCheck(KlpCheckArgs),
    /// Finds names whose positions would change if symbol tables were sorted by address
    SortCheck(SortCheckArgs),
    /// Prints the JSON Schema of what a command prints with --json
    Schema {
        /// The command; `error` is any failure [default: list them]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

/// Where symbols come from.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// Text as in /proc/kallsyms, System.map, vmlinux, or a module, also packed; may be repeated [default: /proc/kallsyms]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Folder with the modules that are loaded, for where their memory ends, as /lib/modules/VERSION
    #[arg(long, value_name = "FOLDER")]
    pub(crate) modules: Option<PathBuf>,

    /// Where the kernel tells the addresses of sections
    #[arg(long, value_name = "FOLDER", default_value = symbol_files::SYS_MODULE)]
    pub(crate) sys_module: PathBuf,

    /// Modules given with -f are loaded: take the addresses of their sections from the kernel
    #[arg(long)]
    pub(crate) loaded: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LookupArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Hexadecimal addresses; `-` reads them from standard input, one a line
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SymposArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// vmlinux, or the name of a module
    #[arg(value_name = "OBJECT")]
    pub(crate) object: String,

    /// Name of the symbol
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Position from 1; 0 is for a name that must be the only one [default: show all]
    #[arg(value_name = "POSITION")]
    pub(crate) position: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KlpCheckArgs {
    /// The livepatch module
    #[arg(value_name = "PATCH")]
    pub(crate) patch: PathBuf,

    /// An object that it names symbols of: vmlinux, a module, or text as in /proc/kallsyms; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SortCheckArgs {
    /// Modules, or folders with modules
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Which of the two symbol tables that the kernel has of a module
    #[arg(long, value_enum, default_value_t = TableOf::Loading)]
    pub(crate) table: TableOf,
}

/// A symbol table of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TableOf {
    /// All symbols, while it is loaded
    Loading,
    /// Those that are left after its init function
    Live,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }
}

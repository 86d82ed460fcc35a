//! The command line.

use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  sframe dump vmlinux                               # as objdump --sframe does
  sframe verify vmlinux --policy kernel-arm64       # is there anything a kernel must never meet?
  sframe verify module.ko --policy kernel-arm64-module --json
  sframe coverage module.ko                         # which functions have no unwind data?
  sframe lookup program 0x401136 0x401140           # the rules at these instructions
  sframe convert program --to v2 --output program.sframe
  objcopy --update-section .sframe=program.sframe program
  sframe sort module.ko --output sorted.sframe

A FILE is an ELF file, or a section as `objcopy -O binary -j .sframe` takes it out. Of a relocatable
file (.o, .ko) the relocations are applied, with its sections one behind the other; for `dump` all at 0.
What `convert` and `sort` write of one is for these addresses: it does not go back into the file, whose
relocations are for the old order.

Exit codes:
  0  done                                  4  verification found errors
  1  an internal error                     5  the format cannot express a function
  2  wrong usage                           6  nothing covers an instruction, or a function
  3  the file cannot be read or written";

/// Looks into SFrame stack trace data, versions 1 to 3, and writes it anew.
#[derive(Debug, clap::Parser)]
#[command(name = "sframe", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Prints every function and row, byte for byte as objdump --sframe does
    Dump(InputArgs),
    /// Says everything that is wrong; exit code 4 if there is an error
    Verify(VerifyArgs),
    /// Writes the section in another version
    Convert(ConvertArgs),
    /// Writes the section with functions in the order of their addresses
    Sort(SortArgs),
    /// Says which functions of the symbol table have no unwind data
    Coverage(CoverageArgs),
    /// Prints the rules at instructions
    Lookup(LookupArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// For whom it is to be good
    #[arg(long, value_enum, default_value_t = PolicyArg::Spec)]
    pub(crate) policy: PolicyArg,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Version to write
    #[arg(long, value_enum)]
    pub(crate) to: VersionArg,

    /// What start addresses count from [default: field, section in version 1]
    #[arg(long, value_enum)]
    pub(crate) starts: Option<StartsArg>,

    /// Leave functions out that the version cannot express, and name them
    #[arg(long)]
    pub(crate) leave_out: bool,

    /// The section's bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SortArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// The section's bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CoverageArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Fail with exit code 6 if less than this share of code is covered
    #[arg(long, value_name = "PERCENT")]
    pub(crate) at_least: Option<f64>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LookupArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,

    /// Addresses of instructions
    #[arg(value_name = "ADDRESS", required = true, value_parser = address)]
    pub(crate) addresses: Vec<u64>,

    /// Print one JSON object for each
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// ELF file, or the section's bytes
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Name of the section
    #[arg(long, value_name = "NAME", default_value = ".sframe")]
    pub(crate) section: String,

    /// Address of the section's bytes, when FILE is not an ELF file
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = address)]
    pub(crate) address: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum PolicyArg {
    /// Anybody: what the specification says
    Spec,
    /// An unwinder of linked programs: sorted, for the file's processor
    User,
    /// The AArch64 kernel's image
    KernelArm64,
    /// A module of it, sorted when it is loaded
    KernelArm64Module,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum VersionArg {
    /// binutils 2.40
    V1,
    /// binutils 2.41 to 2.45
    V2,
    /// binutils 2.46 and later
    V3,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum StartsArg {
    /// The section's first byte
    Section,
    /// The field itself
    Field,
}

fn address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_text| "an address like 0x401136".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_hexadecimal_or_decimal() {
        let parse = |address: &str| Cli::try_parse_from(["sframe", "lookup", "file", address]);
        for good in ["0x401136", "4198710", "0XFFFFFFFFFFFFFFFF"] {
            parse(good).unwrap();
        }
        for bad in ["401136h", "-1", "0x", "0x10000000000000000"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

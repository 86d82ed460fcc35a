//! `klp objtool klp`: the words of `objtool klp`, for scripts that call it.
//!
//! What `scripts/livepatch/klp-build` asks for (`tools/objtool/builtin-klp.c`, `klp-checksum.c`, `klp-diff.c`,
//! `klp-post-link.c`, v7.3), with the same files, lines on the standard output and exit codes 0 and not 0. Differences are
//! in what is found: see the guide.

mod checksum;
mod diff;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use crate::link::Link;

/// Takes the arguments of `objtool klp`, so that the kernel's klp-build can call this program in its place
///
/// A program that is started as `objtool` takes them right away: make a link of that name to klp, and name it in
/// scripts/livepatch/klp-build. Only `objtool klp` is there: the kernel's build needs its own objtool, too.
#[derive(Debug, clap::Args)]
pub(crate) struct Objtool {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Livepatch modules
    #[command(subcommand)]
    Klp(Klp),
}

#[derive(Debug, clap::Subcommand)]
enum Klp {
    Checksum(checksum::Checksum),
    Diff(diff::Diff),
    /// Makes livepatch relocations of the records in a linked module, in place
    PostLink {
        /// The module
        module: PathBuf,
    },
}

impl Objtool {
    pub(crate) fn run(self, output: &mut dyn Write) -> Result<ExitCode> {
        let Command::Klp(klp) = self.command;
        match klp {
            Klp::Checksum(checksum) => checksum.run(),
            Klp::Diff(diff) => diff.run(output),
            Klp::PostLink { module } => {
                let link = Link {
                    module,
                    output: None,
                };
                link.run(output)
            }
        }
    }
}

/// The arguments of this program; one that is started as `objtool` is told to be it.
pub(crate) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let program = given.next();
    let name = program.as_deref().map(Path::new).and_then(Path::file_name);
    let as_objtool = (name == Some(OsStr::new("objtool"))).then(|| OsString::from("objtool"));
    program
        .into_iter()
        .chain(as_objtool)
        .chain(iter::from_fn(|| given.next()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_named_objtool_is_it() {
        let arguments = |words: &[&str]| arguments(words.iter().map(OsString::from));
        assert_eq!(
            arguments(&["/bin/objtool", "klp", "diff"]),
            ["/bin/objtool", "objtool", "klp", "diff"]
        );
        assert_eq!(arguments(&["klp", "diff"]), ["klp", "diff"]);
        assert_eq!(arguments(&[]), [""; 0]);
    }
}

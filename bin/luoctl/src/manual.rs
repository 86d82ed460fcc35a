//! Completions and manual pages, from the table of the command line.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use luod_api::Code;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::inspect::cannot_write;

/// What a shell reads to complete words.
pub(crate) fn completions(shell: Shell) -> Result<String, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "luoctl", &mut script);
    String::from_utf8(script).map_err(|error| Failure::new(Code::Internal, error))
}

/// `luoctl.1`, and `luoctl-COMMAND.1` for each command.
pub(crate) fn write(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    page(folder, command.clone(), "luoctl")?;
    for part in command.get_subcommands() {
        let name = format!("luoctl-{}", part.get_name());
        page(folder, part.clone(), &name)?;
    }
    Ok(())
}

fn page(folder: &Path, command: Command, name: &str) -> Result<(), Failure> {
    let path = folder.join(format!("{name}.1"));
    let man = Man::new(command.display_name(name.to_owned()));
    let mut text = Vec::new();
    let written = man.render(&mut text).and_then(|()| fs::write(&path, &text));
    written.map_err(|error| cannot_write(&path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_completions_and_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let scripts =
            [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| completions(shell).unwrap());
        for part in Cli::command().get_subcommands() {
            let name = part.get_name();
            assert!(scripts.iter().all(|script| script.contains(name)), "{name}");
            let page = folder.path().join(format!("luoctl-{name}.1"));
            let page = fs::read_to_string(page).unwrap();
            assert!(
                page.contains(".SH NAME") && page.contains("\\-\\-json"),
                "{page}"
            );
        }
        let main = fs::read_to_string(folder.path().join("luoctl.1")).unwrap();
        assert!(main.contains("Exit codes"), "{main}");
    }
}

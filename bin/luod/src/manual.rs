//! The manual page, from the table of the command line.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::Cli;

/// Writes `luod.8`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let mut page = Vec::new();
    Man::new(Cli::command()).section("8").render(&mut page)?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(folder.join("luod.8"), page))
        .with_context(|| format!("writing into {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_of_section_8_and_has_every_option() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("luod.8")).unwrap();
        assert!(page.contains(".TH luod 8"), "{page}");
        for option in Cli::command().get_arguments() {
            let name = option.get_id().as_str().replace('_', "\\-");
            assert!(page.contains(&name), "{name}: {page}");
        }
    }
}

//! `luoctl pstore setup`: the configuration, printed and stored.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luod_api::Code;
use pstore::{Driver, Label, Recipe};
use running_kernel::Sources;
use serde_json::json;

use crate::cli::{Cli, DriverArg, SetupArgs};
use crate::failure::{Failure, chain};
use crate::output::{self, Layout};

/// Words for the command line, for scripts and `luoctl update --append`.
const WORDS_FILE: &str = "etc/luod/pstore-cmdline";
/// Parameters of the module.
const MODPROBE_FILE: &str = "etc/modprobe.d/luod-ramoops.conf";
/// That the module is loaded at boot.
const LOAD_FILE: &str = "etc/modules-load.d/luod-ramoops.conf";
const WRITTEN_BY: &str = "# Written by `luoctl pstore setup --write`; see luoctl-pstore(1).\n";

pub(super) fn setup(cli: &Cli, args: &SetupArgs) -> Result<ExitCode, Failure> {
    let wrong = |error: pstore::RecipeError| Failure::new(Code::InvalidParameter, chain(&error));
    let label = Label::new(&args.label).map_err(wrong)?;
    let recipe = Recipe::for_log(label, args.log_size).map_err(wrong)?;
    let driver = match args.driver {
        Some(DriverArg::BuiltIn) => Driver::BuiltIn,
        Some(DriverArg::Module) => Driver::Module,
        None => driver_here()?,
    };
    let words = recipe.words(driver).join(" ");
    let files = files(&recipe, driver, &words);
    let mut written = Vec::new();
    if args.write {
        for (name, content) in &files {
            let path = args.root.join(name);
            write(&path, content).map_err(|error| crate::inspect::cannot_write(&path, &error))?;
            written.push(path);
        }
    }
    if cli.json {
        let contents = files.iter().map(|(name, text)| (format!("/{name}"), text));
        let value = json!({
            "words": recipe.words(driver),
            "driver": if driver == Driver::BuiltIn { "built-in" } else { "module" },
            "region": recipe.region_word(),
            "zones": recipe.geometry.zones,
            "files": contents.collect::<std::collections::BTreeMap<_, _>>(),
            "written": written,
        });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&text(&words, driver, &files, &written));
    }
    Ok(ExitCode::SUCCESS)
}

/// As the running kernel is built.
fn driver_here() -> Result<Driver, Failure> {
    let unknown = || {
        let text = "whether ramoops is in this kernel or a module cannot be told";
        Failure::new(Code::InvalidParameter, text)
            .with_hint("say --driver built-in or --driver module")
    };
    let config = Sources::default().config().ok_or_else(unknown)?;
    match config.get("CONFIG_PSTORE_RAM") {
        Some("y") => Ok(Driver::BuiltIn),
        Some("m") => Ok(Driver::Module),
        _ => Err(unknown()),
    }
}

fn files(recipe: &Recipe, driver: Driver, words: &str) -> Vec<(&'static str, String)> {
    let mut files = vec![(WORDS_FILE, format!("{words}\n"))];
    if driver == Driver::Module {
        let line = recipe.modprobe_line();
        files.push((MODPROBE_FILE, format!("{WRITTEN_BY}{line}\n")));
        files.push((LOAD_FILE, format!("{WRITTEN_BY}ramoops\n")));
    }
    files
}

fn text(words: &str, driver: Driver, files: &[(&str, String)], written: &[PathBuf]) -> String {
    let mut text = format!(
        "Words for the command line of every kernel, from the next cold boot on:\n\n  {words}\n\n\
         Where they go: GRUB, GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub; kernel-install and unified\n\
         images, /etc/kernel/cmdline; systemd-boot, the options line of the entry. luoctl does not edit any of them.\n\
         `luoctl update --reuse-cmdline` takes them along.\n"
    );
    if driver == Driver::Module {
        text += "\nramoops is a module here: its parameters are in modprobe.d, which modprobe reads when it is loaded.\n";
    }
    for (name, content) in files {
        let content = content.lines().map(|line| format!("  {line}\n"));
        text += &format!("\n/{name}:\n{}", content.collect::<String>());
    }
    if written.is_empty() {
        text += "\nNothing was written; --write stores these files.\n";
    } else {
        text += "\nThese files are written. `luoctl pstore check` after the cold boot tells whether all is well.\n";
    }
    text
}

/// Whole or not at all.
fn write(path: &Path, content: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

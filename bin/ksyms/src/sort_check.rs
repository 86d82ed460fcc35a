//! `ksyms sort-check`.

use std::path::Path;

use anyhow::Context as _;
use kernel_symbols::module::Phase;
use kernel_symbols::{Duplicates, Module};
use serde::Serialize;
use symbol_files::{module_files, module_name};

use crate::cli::{Cli, SortCheckArgs, TableOf};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What was found in all modules.
#[derive(Debug, Default, Serialize)]
struct Totals {
    modules: usize,
    duplicate_names: usize,
    most_copies: usize,
    mixed: usize,
    modules_with_changes: usize,
    changes: Vec<Change>,
}

/// A name whose positions would mean other symbols.
#[derive(Debug, Serialize)]
struct Change {
    module: String,
    name: String,
    /// The symbols by position, today, by their numbers in the file.
    today: Vec<u32>,
    /// The same if the table was sorted by address.
    sorted: Vec<u32>,
}

impl Change {
    fn line(&self) -> String {
        let list = |numbers: &[u32]| {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            numbers.join(",")
        };
        let (today, sorted) = (list(&self.today), list(&self.sorted));
        format!(
            "{} {}: symbols {today} would be {sorted}",
            self.module, self.name
        )
    }
}

pub(crate) fn run(cli: &Cli, args: &SortCheckArgs) -> Result<Outcome, Failure> {
    let mut totals = Totals::default();
    let phase = match args.table {
        TableOf::Loading => Phase::Loading,
        TableOf::Live => Phase::Live,
    };
    for path in &args.paths {
        if path.is_dir() {
            for path in module_files(path).map_err(anyhow::Error::new)? {
                examine(&path, phase, &mut totals)?;
            }
        } else {
            examine(path, phase, &mut totals)?;
        }
    }
    let lines = totals.changes.iter().map(Change::line);
    let Totals {
        modules,
        duplicate_names,
        most_copies,
        mixed,
        modules_with_changes,
        changes,
    } = &totals;
    let total = format!(
        "{modules} modules, {duplicate_names} names of more than one symbol (up to {most_copies}, {mixed} of both \
         code and data), {} in {modules_with_changes} modules would change their order",
        changes.len()
    );
    output::print(cli, &totals, lines.chain([total]));
    Ok(if totals.changes.is_empty() {
        Outcome::Done
    } else {
        Outcome::OrderChanges
    })
}

fn examine(path: &Path, phase: Phase, totals: &mut Totals) -> Result<(), Failure> {
    /// Where it is does not matter for the order.
    const BASE: u64 = 0xffff_ffff_c000_0000;
    let bytes = symbol_files::read(path).map_err(anyhow::Error::new)?;
    let of = || format!("use {}", path.display());
    let module = Module::parse(&bytes).with_context(of)?;
    let table = module.table(BASE, phase).with_context(of)?;
    let duplicates = table.duplicates();
    let name = module.name().map(|name| name.to_string());
    let name = name
        .or_else(|| module_name(path))
        .unwrap_or_else(|| shown(path));
    let before = totals.changes.len();
    totals.modules += 1;
    totals.duplicate_names += duplicates.len();
    totals.mixed += duplicates.iter().filter(|group| group.is_mixed()).count();
    for group in &duplicates {
        totals.most_copies = totals.most_copies.max(group.symbols().len());
        if group.order_changes() {
            totals.changes.push(change(&name, group));
        }
    }
    totals.modules_with_changes += usize::from(totals.changes.len() > before);
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn change(module: &str, group: &Duplicates<'_>) -> Change {
    let numbers = |symbols: &[kernel_symbols::Symbol<'_>]| {
        symbols.iter().map(|symbol| symbol.index()).collect()
    };
    Change {
        module: module.to_owned(),
        name: group.name().to_string(),
        today: numbers(group.symbols()),
        sorted: numbers(&group.sorted()),
    }
}

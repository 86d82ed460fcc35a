//! Kernel symbols: the table of a running kernel is that of its `System.map`, and look-ups answer as the kernel does.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use e2e::{Machine, Series};
use kernel_symbols::{Table, VMLINUX, kallsyms};

use crate::harness::{Lab, Scenario};

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let per_series = Series::ALL.into_iter().map(|series| {
        let name = format!(
            "symbols::{}::running_kernel_answers_like_its_table",
            series.name()
        );
        Scenario::new(name, move |lab| running_kernel(lab, series))
    });
    per_series.collect()
}

fn running_kernel(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let machine = lab.machine(&kernel, lab.image()?)?.boot()?;
    let text = machine.read_file("/proc/kallsyms")?;
    let running = kallsyms::parse(text, &[])?;
    let map = std::fs::read(&kernel.system_map)?;
    let built = kallsyms::parse(map, &[])?;
    let slide = same_symbols(&running, &built)?;
    same_positions(&running, &built, slide)?;
    let lines = traces(&machine, &running)?;
    ensure!(
        lines >= 5,
        "only {lines} lines of the kernel's own traces were compared"
    );
    hidden(&machine)?;
    Ok(machine.poweroff()?)
}

/// Every symbol of the map is in the kernel, in the same order, as far from the first one. Returns how far they moved.
fn same_symbols(running: &Table<'_>, built: &Table<'_>) -> anyhow::Result<u64> {
    let start = |table: &Table<'_>| {
        let found = table
            .sympos("_stext", VMLINUX, 0)
            .map(|symbol| symbol.address());
        found.context("find _stext")
    };
    let slide = start(running)?.wrapping_sub(start(built)?);
    let list = |table: &Table<'_>, slide: u64| -> BTreeSet<(u64, String)> {
        let symbols = table
            .symbols()
            .filter(|symbol| symbol.object().name == VMLINUX);
        let symbols = symbols.filter(|symbol| !symbol.kind().is_absolute());
        symbols
            .map(|symbol| {
                (
                    symbol.address().wrapping_add(slide),
                    symbol.name().to_string(),
                )
            })
            .collect()
    };
    let (running, built) = (list(running, 0), list(built, slide));
    let missing: Vec<_> = built.difference(&running).take(5).collect();
    let extra: Vec<_> = running.difference(&built).take(5).collect();
    ensure!(
        missing.is_empty() && extra.is_empty(),
        "missing: {missing:x?}; extra: {extra:x?}"
    );
    ensure!(running.len() > 50_000, "{} symbols", running.len());
    Ok(slide)
}

/// Livepatch finds the same symbols by position in both.
fn same_positions(running: &Table<'_>, built: &Table<'_>, slide: u64) -> anyhow::Result<()> {
    let mut running = running.clone();
    running.index_names();
    let groups = built.duplicates();
    ensure!(
        groups.len() > 500,
        "{} names of several symbols",
        groups.len()
    );
    for group in &groups {
        let name = group.name();
        let name = name.as_str().context("a name that is no text")?;
        for (symbol, position) in group.symbols().iter().zip(1..) {
            let found = running.sympos(name, VMLINUX, position)?.address();
            let expected = symbol.address().wrapping_add(slide);
            let is_moved = !symbol.kind().is_absolute();
            ensure!(
                found == expected || !is_moved,
                "{name},{position}: {found:#x} instead of {expected:#x}"
            );
        }
    }
    Ok(())
}

/// The kernel prints where its tasks sleep, `name+0xoffset/0xsize`, by its own look-up: ours must say the same. How many
/// lines there were.
fn traces(machine: &Machine, table: &Table<'_>) -> anyhow::Result<usize> {
    let mut lines = 0;
    for task in 1..12 {
        let Ok(stack) = machine.read_file(&format!("/proc/{task}/stack")) else {
            continue;
        };
        for line in String::from_utf8_lossy(&stack).lines() {
            let Some(trace) = line.strip_prefix("[<0>] ") else {
                continue;
            };
            same_place(table, trace).with_context(|| format!("task {task}: {line}"))?;
            lines += 1;
        }
    }
    Ok(lines)
}

fn same_place(table: &Table<'_>, trace: &str) -> anyhow::Result<()> {
    let (name, rest) = trace.split_once('+').context("no offset")?;
    let (offset, size) = rest.split_once('/').context("no size")?;
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16);
    let (offset, size) = (hex(offset)?, hex(size)?);
    // These are return addresses: the kernel looks up the call before them (`%pB`, `sprint_backtrace`, v7.3). Of several
    // symbols of the name one is meant.
    let answers: Vec<String> = table
        .by_name(name)
        .filter_map(|symbol| table.lookup(symbol.address().wrapping_add(offset).wrapping_sub(1)))
        .map(|found| {
            let (name, offset) = (found.symbol().name(), found.offset_bytes().wrapping_add(1));
            format!("{name}+{offset:#x}/{:#x}", found.size_bytes())
        })
        .collect();
    let expected = format!("{name}+{offset:#x}/{size:#x}");
    if !answers.contains(&expected) {
        bail!("{answers:?} instead of {expected}");
    }
    Ok(())
}

/// A kernel that hides addresses is told apart from one without symbols.
fn hidden(machine: &Machine) -> anyhow::Result<()> {
    machine.write_file("/proc/sys/kernel/kptr_restrict", 0o644, b"2\n")?;
    let text = machine.read_file("/proc/kallsyms")?;
    match kallsyms::parse(text, &[]) {
        Err(kallsyms::KallsymsError::Restricted { symbols }) => ensure!(symbols > 50_000),
        other => bail!(
            "{:?} instead of hidden addresses",
            other.map(|table| table.len())
        ),
    }
    Ok(())
}

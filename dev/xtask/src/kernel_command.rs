//! `cargo xtask kernel`: builds, lists and names the kernels of the test matrix.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use kernel_build::{
    Cache, Entry, Flavour, Freshness, Kernel, KernelSeries, ModuleSource, Origin, UnknownSeries,
    build_flavour, build_module, build_tree, entries, locate, locate_flavour, locate_key,
};
use serde_json::{Value, json};

use crate::output;
use crate::prerequisites::{self, Purpose};
use crate::workspace::Workspace;

/// What to do with kernels.
#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Build kernels that are not in the cache yet.
    ///
    /// The source comes from Debian's linux-source packages of the mirror that apt on this machine already uses. The
    /// cache is `$LIVEUPDATE_CACHE`, else `$XDG_CACHE_HOME/liveupdate`, else `~/.cache/liveupdate`.
    Build {
        /// Which series: 7.2, 7.3 or all.
        #[arg(default_value = "all", value_parser = parse_selection, conflicts_with = "source")]
        series: Selection,
        /// Build this kernel tree instead, out of tree; compiles only what changed since the last time.
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Ask the package mirror for a newer release even when the cache has one.
        #[arg(long, conflicts_with = "source")]
        refresh: bool,
        /// Build kernels that load modules in Rust, and the pstore backend of kmod/ for them, instead of the usual ones.
        ///
        /// The library source of the compiler in PATH comes from Debian's rust-src, bindgen from its crate, libclang from this
        /// machine's suite: all into the cache.
        #[arg(long, conflicts_with = "source")]
        rust: bool,
    },
    /// List the kernels in the cache.
    List {
        /// Print one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print a path of a finished kernel.
    Path {
        /// A series (7.2, 7.3) or a key that `kernel list` shows.
        kernel: String,
        /// Which path.
        #[arg(value_enum, default_value_t = Part::Bzimage)]
        part: Part,
    },
}

/// Series to build.
#[derive(Clone, Debug)]
pub(crate) struct Selection(Vec<KernelSeries>);

/// What `kernel path` prints.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// The bootable image.
    Bzimage,
    /// The source tree.
    Source,
    /// The final configuration.
    Config,
}

fn parse_selection(text: &str) -> Result<Selection, String> {
    match text {
        "all" => Ok(Selection(KernelSeries::ALL.to_vec())),
        one => one
            .parse()
            .map(|series| Selection(vec![series]))
            .map_err(|error: UnknownSeries| format!("{error}; `all` builds both")),
    }
}

/// Runs a kernel command.
pub(crate) fn run(command: KernelCommand) -> Result<()> {
    match command {
        KernelCommand::Build {
            source: Some(tree), ..
        } => {
            prerequisites::ensure(&[Purpose::Kernel])?;
            report(&build_tree(&tree)?);
            Ok(())
        }
        KernelCommand::Build {
            series,
            refresh,
            rust,
            ..
        } => {
            let freshness = if refresh {
                Freshness::Refresh
            } else {
                Freshness::Cached
            };
            let flavours = if rust {
                &[Flavour::Rust][..]
            } else {
                &Flavour::USUAL
            };
            build(&series.0, flavours, freshness)
        }
        KernelCommand::List { json } => list(if json { Format::Json } else { Format::Table }),
        KernelCommand::Path { kernel, part } => {
            output::line(&path(&find(&kernel)?, part).display().to_string());
            Ok(())
        }
    }
}

/// Builds what is missing of some series, in those of some flavours that they are tested in.
fn build(series: &[KernelSeries], flavours: &[Flavour], freshness: Freshness) -> Result<()> {
    let wanted: Vec<(KernelSeries, Flavour)> = flavours
        .iter()
        .flat_map(|flavour| flavour.series().iter().map(|one| (*one, *flavour)))
        .filter(|(one, _)| series.contains(one))
        .collect();
    let is_all_built = wanted
        .iter()
        .all(|(one, flavour)| locate_flavour(*one, *flavour).is_ok());
    if freshness == Freshness::Refresh || !is_all_built {
        prerequisites::ensure(&[Purpose::Kernel])?;
    }
    for (one, flavour) in wanted {
        let kernel = build_flavour(one, flavour, freshness)
            .with_context(|| format!("kernel {one} for {}", flavour.name()))?;
        report(&kernel);
        if flavour == Flavour::Rust {
            let module =
                build_module(&kernel, &ModuleSource::pstore_kho(&Workspace::load()?.root))?;
            output::line(&format!(
                "module for {}: {}",
                kernel.version,
                module.display()
            ));
        }
    }
    Ok(())
}

fn report(kernel: &Kernel) {
    output::line(&format!(
        "kernel {} ({}): {}",
        kernel.version,
        kernel.release,
        kernel.bzimage.display()
    ));
}

fn find(name: &str) -> Result<Kernel> {
    match name.parse::<KernelSeries>() {
        Ok(series) => Ok(locate(series)?),
        Err(_) => Ok(locate_key(name)?),
    }
}

fn path(kernel: &Kernel, part: Part) -> &PathBuf {
    match part {
        Part::Bzimage => &kernel.bzimage,
        Part::Source => &kernel.source,
        Part::Config => &kernel.config,
    }
}

#[derive(Clone, Copy)]
enum Format {
    Table,
    Json,
}

fn list(format: Format) -> Result<()> {
    let entries = entries()?;
    match format {
        Format::Json => {
            let all: Vec<Value> = entries.iter().map(as_json).collect();
            output::line(&serde_json::to_string_pretty(&all)?);
        }
        Format::Table if entries.is_empty() => output::line(&format!(
            "no kernels in {}: build them with `cargo xtask kernel build`",
            Cache::from_env()?.root().display()
        )),
        Format::Table => {
            let rows: Vec<[String; 5]> = entries.iter().map(as_row).collect();
            table(["RELEASE", "VERSION", "CONFIG", "IMAGE", "KEY"], &rows);
        }
    }
    Ok(())
}

fn as_json(entry: &Entry) -> Value {
    json!({
        "key": entry.key,
        "series": entry.series().map(KernelSeries::name),
        "version": entry.record.version,
        "release": entry.record.release,
        "config_hash": entry.record.config_hash,
        "is_current": entry.is_current(),
        "flavour": entry.flavour().map(Flavour::name),
        "origin": entry.record.origin,
        "compiler": entry.record.compiler,
        "objects": entry.record.objects,
        "build_seconds": entry.record.build_seconds,
        "bzimage": entry.kernel.bzimage,
        "source": entry.kernel.source,
        "config": entry.kernel.config,
    })
}

fn as_row(entry: &Entry) -> [String; 5] {
    let configuration = entry.flavour().map_or("outdated", Flavour::name);
    let origin = match &entry.record.origin {
        Origin::Tree { path } => format!("{} (tree {})", entry.record.version, path.display()),
        _ => entry.record.version.clone(),
    };
    let image_kib = entry
        .kernel
        .bzimage
        .metadata()
        .map_or(0, |metadata| metadata.len() / 1024);
    [
        entry.record.release.clone(),
        origin,
        configuration.to_owned(),
        format!("{image_kib} KiB"),
        entry.key.clone(),
    ]
}

fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in all() {
        let cells = row.iter().zip(widths);
        let text: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        output::line(text.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_selects_every_series_and_an_unknown_one_is_refused() {
        assert_eq!(parse_selection("all").unwrap().0, KernelSeries::ALL);
        assert_eq!(parse_selection("7.3").unwrap().0, [KernelSeries::V7_3]);
        assert!(
            parse_selection("6.1")
                .unwrap_err()
                .contains("known are 7.2 and 7.3")
        );
    }
}

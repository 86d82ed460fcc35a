//! `kvcache`: the cache as a program.
#![expect(
    clippy::print_stdout,
    reason = "the ready line is the output of this program"
)]

use std::fs::OpenOptions;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use kvcache::ByteSize;
use kvcache::arena::{self, ArenaSource};
use kvcache::server::{Control, Listener, Server};

/// An in-memory cache for Redis clients, in a memfd that outlives the process.
#[derive(Debug, Parser)]
struct Arguments {
    /// TCP address to listen on.
    #[arg(long, default_value = "127.0.0.1:6379", conflicts_with = "unix")]
    listen: String,
    /// Unix socket to listen on instead.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// Size of a new arena, with K, M or G; it can never change.
    #[arg(long, default_value = "64M", conflicts_with = "arena")]
    memory: ByteSize,
    /// Memfd to go on with, such as /proc/PID/fd/N of whoever kept it.
    #[arg(long)]
    arena: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let source = match &arguments.arena {
        None => ArenaSource::Fresh {
            len: arguments.memory.0,
        },
        Some(path) => {
            let file = OpenOptions::new().read(true).write(true).open(path);
            ArenaSource::Inherited(file.with_context(|| path.display().to_string())?.into())
        }
    };
    // The descriptor is the data: it stays open as long as the program runs.
    let (_memfd, table) = arena::open(source).context("cannot use the arena")?;
    let listener = match &arguments.unix {
        Some(path) => Listener::unix(path).with_context(|| path.display().to_string())?,
        None => Listener::tcp(&arguments.listen).with_context(|| arguments.listen.clone())?,
    };
    let keys = table.entries()?;
    let place = match (&arguments.unix, listener.tcp_address()) {
        (Some(path), _) => path.display().to_string(),
        (None, address) => address.map_or(arguments.listen, |address| address.to_string()),
    };
    println!("ready on {place} with {keys} keys");
    Server::new(listener, table).run(&Control::new()?)?;
    Ok(())
}

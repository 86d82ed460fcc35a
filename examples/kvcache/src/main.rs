//! `kvcache`: the cache as a program.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the ready line is the output of this program, refusals its log"
)]

use std::fs::OpenOptions;

use anyhow::{Context as _, Result};
use clap::Parser;
use kvcache::arena::{self, ArenaSource};
use kvcache::kept::Kept;
use kvcache::server::{Control, Listener, Server};

mod cli;

fn main() -> Result<()> {
    let arguments = cli::Arguments::parse();
    let mut kept = None;
    let source = match (&arguments.arena, &arguments.service) {
        (None, Some(service)) => {
            let (store, memfd) = Kept::open(service, arguments.memory.0)
                .with_context(|| format!("cannot get the arena of {service}"))?;
            kept = Some(store);
            ArenaSource::Inherited(memfd)
        }
        (None, None) => ArenaSource::Fresh {
            len: arguments.memory.0,
        },
        (Some(path), _) => {
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
    let origin = kept.as_ref().map_or("not kept", Kept::origin);
    let control = Control::new()?;
    println!("ready on {place} with {keys} keys, arena {origin}");
    if let Some(kept) = kept {
        kept.serve(control.clone(), |error| eprintln!("luod: {error}"));
    }
    Server::new(listener, table).run(&control)?;
    Ok(())
}

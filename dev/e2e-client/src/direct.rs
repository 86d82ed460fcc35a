//! A program that keeps its files without luod, as in an initramfs.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::thread;

use anyhow::Context as _;
use liveupdate::{Origin, Store};

use crate::content::{Kind, seed};
use crate::say;

/// What to keep.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the kernel session.
    #[arg(long)]
    session: String,
    /// A file to keep, as for a service; may be repeated.
    #[arg(long = "item")]
    items: Vec<Kind>,
}

/// Checksum of a file's content, for whoever looks at the memory from outside.
fn checksum(fd: BorrowedFd<'_>) -> anyhow::Result<u32> {
    let file = File::from(fd.try_clone_to_owned()?);
    let mut content = vec![0; usize::try_from(file.metadata()?.len())?];
    file.read_exact_at(&mut content, 0)?;
    Ok(crc32fast::hash(&content))
}

/// Fills or verifies the files, preserves them, and holds the session until the jump.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut store = Store::direct(&arguments.session)?;
    let mut files = Vec::new();
    for kind in &arguments.items {
        let name = kind.item();
        let seed = seed(&arguments.session, &name);
        let item = store.memfd(&name, &kind.spec())?;
        if item.origin() == Origin::New {
            kind.fill(item.fd(), seed)?;
            say!("{name} filled, checksum {:08x}", checksum(item.fd())?);
        } else {
            kind.verify(item.fd(), seed).with_context(|| name.clone())?;
            say!("{name} verified, {:?}", item.origin());
        }
        files.push(item);
    }
    store.finish()?;
    let _preserved = store.preserve()?;
    say!("preserved");
    loop {
        thread::park();
    }
}

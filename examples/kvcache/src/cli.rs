//! The command line.

use std::path::PathBuf;

use clap::Parser;
use kvcache::ByteSize;

/// An in-memory cache for Redis clients, in a memfd that outlives the process.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// TCP address to listen on.
    #[arg(long, default_value = "127.0.0.1:6379", conflicts_with = "unix")]
    pub(crate) listen: String,
    /// Unix socket to listen on instead.
    #[arg(long)]
    pub(crate) unix: Option<PathBuf>,
    /// Size of a new arena, with K, M or G; it can never change.
    #[arg(long, default_value = "64M", conflicts_with = "arena")]
    pub(crate) memory: ByteSize,
    /// Name of this service: luod keeps the arena over restarts and live updates.
    #[arg(long, conflicts_with = "arena")]
    pub(crate) service: Option<String>,
    /// Memfd to go on with, such as /proc/PID/fd/N of whoever kept it.
    #[arg(long)]
    pub(crate) arena: Option<PathBuf>,
}

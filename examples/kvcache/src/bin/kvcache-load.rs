//! `kvcache-load`: fills a server with known data, or verifies that it is there.
#![expect(
    clippy::print_stdout,
    reason = "counts and mismatches are the output of this program"
)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use kvcache::load::{Data, connect, fill, verify};

/// Fill a server with known data, or verify every byte of it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Store all keys.
    Fill(Load),
    /// Compare all keys; exit code 1 when any is missing or wrong.
    Verify(Load),
}

#[derive(Debug, Clone, clap::Args)]
struct Load {
    /// Number of keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of every value.
    #[arg(long, default_value_t = 200)]
    value_bytes: usize,
    /// Different seeds give different keys and values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Server: host:port, or the path of a Unix socket.
    #[arg(long, default_value = "127.0.0.1:6379")]
    connect: String,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().action {
        Action::Fill(load) => {
            let started = Instant::now();
            fill(&mut *load.stream()?, load.data())?;
            println!("filled {} keys in {:.1?}", load.keys, started.elapsed());
            Ok(ExitCode::SUCCESS)
        }
        Action::Verify(load) => {
            let started = Instant::now();
            let outcome = verify(&mut *load.stream()?, load.data())?;
            for named in &outcome.named {
                println!("{named}");
            }
            let (right, missing, wrong) = (outcome.right, outcome.missing, outcome.wrong);
            let time = started.elapsed();
            println!("verified {right} keys, {missing} missing, {wrong} wrong, in {time:.1?}");
            Ok(ExitCode::from(u8::from(!outcome.is_clean())))
        }
    }
}

impl Load {
    fn data(&self) -> Data {
        Data {
            keys: self.keys,
            value_bytes: self.value_bytes,
            seed: self.seed,
        }
    }

    fn stream(&self) -> Result<Box<dyn kvcache::load::Stream>> {
        connect(&self.connect).with_context(|| format!("cannot connect to {}", self.connect))
    }
}

//! Runs targets with damaged input: `cargo xtask fuzz` starts it, optimised.
//!
//! Each run may take as much memory as its input justifies, and no more: an allocation beyond that
//! ends the program. With `--trace` the number of each input is printed before it is used, so that
//! the last one printed is the one that did it.
#![expect(clippy::print_stdout, reason = "what ran is to be read")]

use std::alloc::System;
use std::panic;
use std::path::PathBuf;
use std::time::Instant;

use cap::Cap;
use fuzz::{Plan, TARGETS, run};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes a run may take for each byte of its input.
const FACTOR: usize = 16;

/// Runs targets with damaged input.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Number of the first input.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Inputs for each target.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Print the number of each input.
    #[arg(long)]
    trace: bool,
    /// Folder for inputs that fail.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = clap::Parser::parse();
    let plan = Plan {
        from: arguments.from,
        count: arguments.count,
        folder: arguments.folder,
    };
    // A panic is printed with a backtrace, and that takes what it takes.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let _unlimited = ALLOCATOR.set_limit(usize::MAX);
        print(info);
    }));
    for target in TARGETS {
        if arguments
            .target
            .as_ref()
            .is_some_and(|wanted| wanted != target.name)
        {
            continue;
        }
        let begin = Instant::now();
        run(target, &plan, &mut |number, input, parse| {
            if arguments.trace {
                println!("{} {number}", target.name);
            }
            let limit = ALLOCATOR.allocated() + target.base_bytes() + FACTOR * input.len();
            if ALLOCATOR.set_limit(limit).is_ok() {
                parse();
            }
            let _unlimited = ALLOCATOR.set_limit(usize::MAX);
        })?;
        let (count, took) = (plan.count, begin.elapsed());
        println!(
            "{:<14} {count} inputs from {} in {took:.1?}",
            target.name, plan.from
        );
    }
    Ok(())
}

//! `luoctl update`: PREPARE, then FREEZE and the jump.

use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use luod_api::manager::{Execute, Prepare, Progress, method};
use update::Phase;

use crate::cli::{Cli, UpdateArgs};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::next_kernel::NextKernel;
use crate::output::{self, Layout};

/// Longest time between the end of luod and that of this program, when the kernel is replaced.
const JUMP_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn update(cli: &Cli, args: &UpdateArgs) -> Result<ExitCode, Failure> {
    let mut connection = Connection::open(cli)?;
    let deadline_ms = milliseconds(args.deadline);
    if !args.go_on {
        let next = NextKernel::open(&args.next)?;
        let prepare = Prepare {
            force: args.force.clone(),
            update_id: args.id.clone(),
            ..request(&next, deadline_ms)
        };
        send(cli, &next, &prepare, &mut connection)?;
    }
    if !args.prepare_only {
        let mut phase = Phase::Prepared;
        let seen = |progress: &Progress| {
            phase = progress.phase;
            step(cli, progress);
        };
        let jump = connection.watch(method::EXECUTE, &Execute { deadline_ms }, &[], seen);
        let is_gone = |failure: &Failure| failure.kind == Failure::UNREACHABLE;
        if jump.as_ref().is_err_and(is_gone) && phase == Phase::Frozen {
            // The jump ends luod and this program, in either order: only one that is still here after a while has
            // anything to tell.
            thread::sleep(JUMP_PATIENCE);
        }
        jump?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Of the seconds of a deadline.
pub(crate) fn milliseconds(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 3600 seconds, checked when it was parsed"
    )]
    let milliseconds = (seconds * 1000.0) as u64;
    milliseconds
}

/// What is asked of luod, with nothing forced and no id.
pub(crate) fn request(next: &NextKernel, deadline_ms: u64) -> Prepare {
    Prepare {
        cmdline: next.cmdline.clone(),
        has_initrd: next.initrd.is_some(),
        deadline_ms,
        force: Vec::new(),
        update_id: None,
    }
}

/// Loads the next kernel and preserves everything; prints each step.
pub(crate) fn send(
    cli: &Cli,
    next: &NextKernel,
    prepare: &Prepare,
    connection: &mut Connection,
) -> Result<(), Failure> {
    let mut fds = vec![next.kernel.as_fd()];
    fds.extend(next.initrd.as_ref().map(|initrd| initrd.as_fd()));
    let seen = |progress: &Progress| step(cli, progress);
    connection.watch(method::PREPARE, prepare, &fds, seen)
}

fn step(cli: &Cli, progress: &Progress) {
    if cli.json {
        output::json(progress, Layout::Line);
    } else {
        output::text(&format!("[{}] {}", progress.phase, progress.message));
    }
}

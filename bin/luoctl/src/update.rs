//! `luoctl update`: PREPARE, then FREEZE and the jump.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use luod_api::Code;
use luod_api::manager::{Execute, Prepare, Progress, method};

use crate::cli::{Cli, UpdateArgs};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Layout};

pub(crate) fn update(cli: &Cli, args: &UpdateArgs) -> Result<ExitCode, Failure> {
    let mut connection = Connection::open(cli)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 3600 seconds, checked when it was parsed"
    )]
    let deadline_ms = (args.deadline * 1000.0) as u64;
    if let Some(kernel) = &args.kernel {
        prepare(cli, args, kernel, deadline_ms, &mut connection)?;
    }
    if !args.prepare_only {
        let seen = |progress: &Progress| step(cli, progress);
        connection.watch(method::EXECUTE, &Execute { deadline_ms }, &[], seen)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn prepare(
    cli: &Cli,
    args: &UpdateArgs,
    kernel: &Path,
    deadline_ms: u64,
    connection: &mut Connection,
) -> Result<(), Failure> {
    let kernel = open("kernel", kernel)?;
    let initrd = args
        .initrd
        .as_deref()
        .map(|path| open("initrd", path))
        .transpose()?;
    let prepare = Prepare {
        cmdline: cmdline(args)?,
        has_initrd: initrd.is_some(),
        deadline_ms,
    };
    let mut fds = vec![kernel.as_fd()];
    fds.extend(initrd.as_ref().map(|initrd| initrd.as_fd()));
    let seen = |progress: &Progress| step(cli, progress);
    connection.watch(method::PREPARE, &prepare, &fds, seen)
}

fn step(cli: &Cli, progress: &Progress) {
    if cli.json {
        output::json(progress, Layout::Line);
    } else {
        output::text(&format!("[{}] {}", progress.phase, progress.message));
    }
}

/// Opened here: the path means what it means to the caller.
fn open(what: &str, path: &Path) -> Result<File, Failure> {
    let refuse = |error: io::Error| {
        let text = format!("the {what} {}: {error}", path.display());
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Failure::new(Code::PermissionDenied, text).with_hint("run luoctl as root");
        }
        Failure::new(Code::ImageRefused, text)
            .with_hint("nothing was changed; name a file that can be read")
    };
    let file = File::open(path).map_err(refuse)?;
    if file.metadata().map_err(refuse)?.is_dir() {
        return Err(refuse(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

fn cmdline(args: &UpdateArgs) -> Result<String, Failure> {
    let mut cmdline = match &args.cmdline {
        Some(cmdline) => cmdline.clone(),
        None => {
            let running = fs::read_to_string("/proc/cmdline").map_err(|error| {
                Failure::new(Code::Internal, format!("reading /proc/cmdline: {error}"))
                    .with_hint("give the command line with --cmdline")
            })?;
            reusable(&running)
        }
    };
    if let Some(append) = &args.append {
        cmdline = format!("{cmdline} {append}");
    }
    Ok(cmdline.trim().to_owned())
}

/// The running command line without what a boot loader added.
fn reusable(running: &str) -> String {
    let words = running
        .split_ascii_whitespace()
        .filter(|word| !word.starts_with("BOOT_IMAGE="));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_loaders_word_is_not_reused() {
        let running = "BOOT_IMAGE=/vmlinuz-7.2 root=/dev/vda ro liveupdate=on\n";
        assert_eq!(reusable(running), "root=/dev/vda ro liveupdate=on");
    }

    #[test]
    fn a_missing_file_is_named_with_its_path() {
        let failure = open("initrd", Path::new("/does/not/exist")).unwrap_err();
        assert!(
            failure.message.starts_with("the initrd /does/not/exist: "),
            "{failure:?}"
        );
        assert_eq!(failure.exit_code, 7);
    }
}

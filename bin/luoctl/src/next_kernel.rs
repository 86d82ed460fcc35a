//! The next kernel, as it was named: a file, a boot loader entry, a unified kernel image.

mod entry;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use kexec_sys::SealedImage;
use kimage::Uki;
use luod_api::Code;

use crate::cli::NextKernelArgs;
use crate::failure::{Failure, chain};

/// The next kernel, opened: the paths mean what they mean to the caller.
#[derive(Debug)]
pub(crate) struct NextKernel {
    pub(crate) kernel: File,
    pub(crate) initrd: Option<File>,
    pub(crate) cmdline: String,
}

impl NextKernel {
    pub(crate) fn open(args: &NextKernelArgs) -> Result<Self, Failure> {
        if let Some(named) = &args.entry {
            return entry::open(named, args);
        }
        let Some(kernel) = &args.kernel else {
            let text = "neither --kernel nor --entry";
            return Err(Failure::new(Code::InvalidParameter, text));
        };
        let initrd = args.initrd.as_deref();
        Ok(Self {
            kernel: open("kernel", kernel)?,
            initrd: initrd.map(|path| open("initrd", path)).transpose()?,
            cmdline: cmdline(args, None)?,
        })
    }

    /// What is in a unified kernel image; its own command line counts unless another one is given.
    fn of_uki(file: &[u8], args: &NextKernelArgs) -> Option<Result<Self, Failure>> {
        let uki = Uki::parse(file)?;
        let parts = || {
            Ok(Self {
                kernel: in_memory("kernel", uki.linux)?,
                initrd: uki
                    .initrd
                    .map(|bytes| in_memory("initrd", bytes))
                    .transpose()?,
                cmdline: cmdline(args, uki.cmdline)?,
            })
        };
        Some(parts())
    }
}

/// All bytes of an open file, which is at its start again afterwards.
pub(crate) fn content(what: &str, file: &File) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        let mut file = file;
        file.read_to_end(&mut bytes)?;
        io::Seek::rewind(&mut file)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| {
        Failure::new(Code::ImageRefused, format!("reading the {what}: {error}"))
    })
}

/// A file of these bytes that has no name.
fn in_memory(what: &'static str, bytes: &[u8]) -> Result<File, Failure> {
    let internal = |error: &dyn std::error::Error| Failure::new(Code::Internal, chain(error));
    let image = SealedImage::copy(what, bytes).map_err(|error| internal(&error))?;
    image.file().try_clone().map_err(|error| internal(&error))
}

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

/// The command line: what is given, else that of the entry.
pub(crate) fn cmdline(args: &NextKernelArgs, own: Option<&str>) -> Result<String, Failure> {
    let mut cmdline = match (&args.cmdline, own) {
        (Some(cmdline), _) => cmdline.clone(),
        (None, Some(own)) if !args.reuse_cmdline => own.to_owned(),
        _ => {
            let running = fs::read_to_string("/proc/cmdline").map_err(|error| {
                Failure::new(Code::Internal, format!("reading /proc/cmdline: {error}"))
                    .with_hint("give the command line with --cmdline")
            })?;
            reusable(&running)
        }
    };
    if let Some(words) = &args.append {
        cmdline = appended(&cmdline, words);
    }
    Ok(cmdline.trim().to_owned())
}

/// Words at the end of what is the kernel's: what is behind `--` is for the first program.
fn appended(cmdline: &str, words: &str) -> String {
    match format!("{cmdline} ").split_once(" -- ") {
        Some((kernel, program)) => format!("{kernel} {words} -- {}", program.trim_end()),
        None => format!("{cmdline} {words}"),
    }
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
    fn words_are_appended_to_what_is_the_kernels() {
        let both = "liveupdate=on kho=on";
        assert_eq!(
            appended("root=/dev/vda ro", both),
            format!("root=/dev/vda ro {both}")
        );
        assert_eq!(
            appended("ro -- --port 5", both),
            format!("ro {both} -- --port 5")
        );
        assert_eq!(appended("ro --", both), format!("ro {both} -- "));
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

//! Files of the machine that can be read.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use kho::Area;
use luo::Errno;
use notify_sys::Notification;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, openat};

use super::{EACCES, ENOTDIR, Outcome};
use crate::files::errno;
use crate::generation::Generation;
use crate::kernel_image::config_gz;
use crate::nodes::{Node, Text};

impl Generation<'_> {
    pub(super) fn open_text(&self, call: &Notification, text: Text, flags: OFlags) -> Outcome {
        if flags.contains(OFlags::DIRECTORY) {
            return Outcome::Fail(ENOTDIR);
        }
        let is_secret = Node::Text(text).mode() & 0o4 == 0;
        let is_write = flags.intersects(OFlags::RWMODE) && !flags.contains(OFlags::PATH);
        if is_write || is_secret && !self.may_use_device(call.task) {
            return Outcome::Fail(EACCES);
        }
        let Some(content) = self.content(text) else {
            return Outcome::Fail(Errno::ENOENT);
        };
        match file_of(&content) {
            Ok(fd) => self.give(call, fd.as_fd(), flags),
            Err(other) => Outcome::Fail(errno(other)),
        }
    }

    /// What is in it now; `None` when there is no such file.
    pub(super) fn content(&self, text: Text) -> Option<Vec<u8>> {
        let kernel = &self.kernel;
        let line = |text: &str| Some(format!("{text}\n").into_bytes());
        match text {
            Text::BootId => line(&self.boot_id),
            Text::OsRelease => line(&kernel.release),
            Text::Cmdline => {
                let mut cmdline = kernel.cmdline.clone();
                cmdline.push(b'\n');
                Some(cmdline)
            }
            Text::Misc => {
                let mut misc = String::from("258 liveupdate\n");
                misc += &fs::read_to_string("/proc/misc").unwrap_or_default();
                Some(misc.into_bytes())
            }
            Text::Loaded => line(if kernel.image.is_some() { "1" } else { "0" }),
            Text::Zero => line("0"),
            Text::NoLimit => line("-1"),
            Text::Config => Some(config_gz()),
            Text::Lockdown => line("[none] integrity confidentiality"),
            Text::OutFdt => kernel.out_fdt(),
            Text::InFdt => kernel.in_fdt(),
            Text::ScratchPhys => Some(self.scratch(|area| area.addr.0)),
            Text::ScratchLen => Some(self.scratch(|area| area.bytes)),
            Text::OutLuo => kernel.out_blob("LUO"),
            Text::OutMetadata => kernel.out_blob(kho_abi::kexec_metadata::NODE_NAME),
        }
    }

    fn scratch(&self, field: impl Fn(&Area) -> u64) -> Vec<u8> {
        let mut text = String::new();
        for area in self.kernel.scratch().areas() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:#x}", field(area));
        }
        text.into_bytes()
    }
}

/// A file with this content, open for reading at its start.
fn file_of(content: &[u8]) -> rustix::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("text", MemfdFlags::CLOEXEC)?;
    let mut rest = content;
    while !rest.is_empty() {
        let done = rustix::io::write(&file, rest)?;
        rest = rest.get(done..).unwrap_or_default();
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

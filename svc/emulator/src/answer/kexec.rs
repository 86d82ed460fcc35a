//! `kexec_file_load()` and `reboot()`.

use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt as _;

use kimage::BzImage;
use luo::Errno;
use notify_sys::{Notification, Task};
use rustix::fs::{FileType, OFlags};

use super::{EADDRNOTAVAIL, EPERM, Outcome};
use crate::call::KexecFileLoad;
use crate::caller;
use crate::files::errno;
use crate::generation::{Generation, Turn};
use crate::inject::{CallName, Effect, Part};
use crate::report::Event;

/// `KEXEC_FILE_*` of `include/uapi/linux/kexec.h`, v7.3.
const UNLOAD: u64 = 0x1;
const ON_CRASH: u64 = 0x2;
const NO_INITRAMFS: u64 = 0x4;
const KNOWN_FLAGS: u64 = 0x3f;
/// A larger kernel is not looked into.
const MAX_KERNEL: u64 = 256 << 20;
/// `COMMAND_LINE_SIZE` of x86 and arm64.
const MAX_CMDLINE: u64 = 2048;

// `include/uapi/linux/reboot.h`, v7.3.
const MAGIC: u32 = 0xfee1_dead;
const MAGIC_2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
const RESTART: u32 = 0x0123_4567;
const HALT: u32 = 0xcdef_0123;
const CAD_ON: u32 = 0x89ab_cdef;
const CAD_OFF: u32 = 0;
const POWER_OFF: u32 = 0x4321_fedc;
const RESTART_2: u32 = 0xa1b2_c3d4;
const KEXEC: u32 = 0x4558_4543;

impl Generation<'_> {
    /// The order is that of the call in `kernel/kexec_file.c`, v7.3. Any file will do as a kernel:
    /// there is no processor to run it. From a kernel of x86 its release is taken.
    pub(super) fn kexec_file_load(
        &mut self,
        call: &Notification,
        load: &KexecFileLoad,
        stalled: Option<Effect>,
    ) -> Outcome {
        if !self.may_boot(call.task) {
            return Outcome::Fail(EPERM);
        }
        if let Err(outcome) = self.interfere(CallName::KexecFileLoad, stalled) {
            return outcome;
        }
        if load.flags & !KNOWN_FLAGS != 0 {
            return Outcome::Fail(Errno::EINVAL);
        }
        let is_crash = load.flags & ON_CRASH != 0;
        if load.flags & UNLOAD != 0 {
            if !is_crash {
                self.kernel.image = None;
            }
            return Outcome::Value(0);
        }
        match self.check_load(call.task, load) {
            Err(errno) => Outcome::Fail(errno),
            // No memory is reserved for a crash kernel.
            Ok(_) if is_crash => Outcome::Fail(EADDRNOTAVAIL),
            Ok(loaded) => {
                self.kernel.load(loaded.cmdline, loaded.release);
                self.report(&Event::Loaded);
                Outcome::Value(0)
            }
        }
    }

    /// What of it is kept, when everything can be loaded.
    fn check_load(&self, task: Task, load: &KexecFileLoad) -> Result<Loaded, Errno> {
        let kernel_bytes = self.check_image(task, load.kernel)?;
        let mut initrd_bytes = 0;
        if load.flags & NO_INITRAMFS == 0 {
            initrd_bytes = self.check_image(task, load.initrd)?;
        }
        let cmdline = read_cmdline(task, load)?;
        let kernel = kernel_of(task, load.kernel);
        let needed_bytes = kernel.as_ref().map_or(kernel_bytes, |it| it.needed_bytes);
        if load.flags & ON_CRASH == 0 && !self.kernel.has_room(&[needed_bytes, initrd_bytes]) {
            return Err(EADDRNOTAVAIL);
        }
        let release = kernel.and_then(|it| it.release);
        Ok(Loaded { cmdline, release })
    }

    /// The size of a file that can be read: `kernel_read_file_from_fd()`: open for reading, a regular file, not empty.
    fn check_image(&self, task: Task, fd: RawFd) -> Result<u64, Errno> {
        if caller::held(&self.objects, task, fd).is_some() {
            return Err(Errno::EINVAL);
        }
        let file = task.duplicate_fd(fd).map_err(errno)?;
        let flags = rustix::fs::fcntl_getfl(&file).map_err(errno)?;
        if flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == OFlags::WRONLY {
            return Err(Errno::EBADF);
        }
        let stat = rustix::fs::fstat(&file).map_err(errno)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        match u64::try_from(stat.st_size) {
            Ok(bytes) if is_file && bytes > 0 => Ok(bytes),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Nothing of it reaches the host.
    pub(super) fn reboot(
        &mut self,
        call: &Notification,
        [magic, magic_2]: [u32; 2],
        cmd: u32,
        stalled: Option<Effect>,
    ) -> Outcome {
        if !self.may_boot(call.task) {
            return Outcome::Fail(EPERM);
        }
        if magic != MAGIC || !MAGIC_2.contains(&magic_2) {
            return Outcome::Fail(Errno::EINVAL);
        }
        match cmd {
            KEXEC => self.kexec(stalled),
            RESTART | RESTART_2 => {
                self.report(&Event::Restart);
                Outcome::Turn(Turn::Restart)
            }
            HALT | POWER_OFF => {
                self.report(&Event::PowerOff);
                Outcome::Turn(Turn::PowerOff)
            }
            CAD_ON | CAD_OFF => Outcome::Value(0),
            _ => Outcome::Fail(Errno::EINVAL),
        }
    }

    fn kexec(&mut self, stalled: Option<Effect>) -> Outcome {
        let behind = match self.interfere(CallName::Reboot, stalled) {
            Ok(behind) => behind,
            Err(outcome) => return outcome,
        };
        // Before anything of LUO.
        if self.kernel.image.is_none() {
            return Outcome::Fail(Errno::EINVAL);
        }
        for grown in self.kernel.grown() {
            self.report(&Event::Grown(&grown));
        }
        if let Err(errno) = self.kernel.luo.reboot() {
            self.report(&Event::NotFrozen(errno));
            return errno.into();
        }
        if let Some(Effect::Corrupt(part)) = behind {
            self.corrupt(part);
        }
        let sessions = self.kernel.luo.sessions();
        let outgoing = || sessions.iter().filter(|it| !it.is_incoming);
        self.report(&Event::Jump {
            sessions: outgoing().count(),
            files: outgoing().map(|it| it.tokens.len()).sum(),
        });
        Outcome::Turn(Turn::Jump)
    }

    fn corrupt(&mut self, part: Part) {
        if self.kernel.corrupt(part).is_none() {
            self.report(&Event::NothingToCorrupt(part));
        }
    }
}

/// What is kept of an image.
struct Loaded {
    cmdline: Vec<u8>,
    release: Option<String>,
}

fn read_cmdline(task: Task, load: &KexecFileLoad) -> Result<Vec<u8>, Errno> {
    if load.cmdline_len > MAX_CMDLINE {
        return Err(Errno::EINVAL);
    }
    let len = usize::try_from(load.cmdline_len).or(Err(Errno::EINVAL))?;
    let mut cmdline = vec![0; len];
    if task.read(load.cmdline, &mut cmdline).is_err() {
        return Err(Errno::EFAULT);
    }
    match cmdline.pop() {
        None | Some(0) => {}
        Some(_) => return Err(Errno::EINVAL),
    }
    // A string: it ends with its first NUL.
    let end = cmdline.iter().position(|&byte| byte == 0);
    cmdline.truncate(end.unwrap_or(cmdline.len()));
    Ok(cmdline)
}

/// A kernel that a file is.
struct KernelFile {
    /// What `uname -r` says on it.
    release: Option<String>,
    /// Memory that it wants to start in: `init_size`, which `bzImage64_load()` asks for
    /// (`arch/x86/kernel/kexec-bzimage64.c`, v7.3).
    needed_bytes: u64,
}

/// The kernel that a file of a task is, when it is a bzImage.
fn kernel_of(task: Task, fd: RawFd) -> Option<KernelFile> {
    let file = File::from(task.duplicate_fd(fd).ok()?);
    let len = file.metadata().ok()?.len();
    if len > MAX_KERNEL {
        return None;
    }
    let mut content = vec![0; usize::try_from(len).ok()?];
    // Not where the task reads.
    file.read_exact_at(&mut content, 0).ok()?;
    let image = BzImage::parse(&content).ok()?;
    Some(KernelFile {
        release: image.release().map(str::to_owned),
        needed_bytes: image.needed_bytes(),
    })
}

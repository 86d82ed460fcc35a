//! A machine before its boot: of a kernel and an image, of one ELF file, or emulated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::accel::Accel;
use crate::carrier::Carrier;
use crate::control::Control;
use crate::diagnosis;
use crate::error::Error;
use crate::luo_emu::{Emulation, LuoEmu};
use crate::machine::Machine;
use crate::qemu::{Hardware, MemoryBacking, Qemu, Software, Userspace};

/// What every guest is booted with. `liveupdate=on`: off by default in the kernel.
/// `retain_initrd`: keeps `/sys/firmware/initrd`, so that the next kernel can be given the same
/// image. `panic=-1`: with `-no-reboot` a panic ends QEMU at once. `tsc=reliable`: under emulation
/// on a busy host the clock watchdog sees skew that is not there.
pub const COMMAND_LINE: &str = "console=ttyS0 liveupdate=on kho=on retain_initrd panic=-1 oops=panic \
                       tsc=reliable no_timer_check printk.devkmsg=on";

/// What a guest with a distribution on its disk is booted with instead of `retain_initrd`: the root, and
/// every line of process 1 in the kernel's log.
const DISK_COMMAND_LINE: &str =
    "root=/dev/vda rw systemd.log_ratelimit_kmsg=no systemd.show_status=no";

/// Memory unless a scenario asks for another.
///
/// By default KHO reserves twice what the kernel has reserved when it boots, R, for all areas that
/// may lie anywhere; then the same for each NUMA node, and here the areas just made count as
/// reserved (`scratch_size_update`, `scratch_size_node` in `kernel/liveupdate/kexec_handover.c`,
/// `memblock_alloc_range_nid` in `mm/memblock.c`, v7.2 and v7.3): 2 R and 4 to 6 R, each in one
/// piece. The kernel's randomised place splits the memory. Without room for either KHO turns itself
/// off ("Failed to reserve scratch area").
///
/// R is 60 to 80 MiB up to 2816 MiB, and both fit. From there on q35 puts the memory beyond 2 GiB
/// above the gap for devices, where the kernel wants bounce buffers too: R is 150 MiB, and the node's
/// area of 0.9 GiB does not fit beside an unlucky kernel in 2 + 1 GiB. So either less than that, or
/// [`LARGE_MEMORY_MIB`].
const MEMORY_MIB: u32 = 1536;

/// Memory of a machine that needs more than 2816 MiB: with 3 GiB above the gap for devices there is
/// room for scratch wherever the kernel lies.
pub const LARGE_MEMORY_MIB: u32 = 5120;

/// Longest boot, in emulation on a busy host.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// A machine before its boot.
#[derive(Clone, Debug)]
pub struct Builder {
    kernel: PathBuf,
    userspace: Userspace,
    log_folder: PathBuf,
    cmdline: String,
    emulation: Option<Emulation>,
    data_disk: Option<PathBuf>,
    memory_mib: u32,
    memory_backing: MemoryBacking,
    cpus: u32,
}

impl Builder {
    /// A machine with the usual memory, processors and command line.
    pub(crate) fn new(kernel: &Path, initramfs: &Path, log_folder: &Path) -> Self {
        Self {
            kernel: kernel.to_owned(),
            userspace: Userspace::Initramfs(initramfs.to_owned()),
            log_folder: log_folder.to_owned(),
            cmdline: COMMAND_LINE.to_owned(),
            emulation: None,
            data_disk: None,
            memory_mib: MEMORY_MIB,
            memory_backing: MemoryBacking::OnDemand,
            cpus: 2,
        }
    }

    /// Has a disk with a root file system instead of an image. Its agent is a service of the guest.
    #[must_use]
    pub fn with_disk(mut self, disk: &Path) -> Self {
        self.userspace = Userspace::Disk(disk.to_owned());
        self.append(DISK_COMMAND_LINE)
    }

    /// Adds a disk of raw bytes, `/dev/vda`. It is not the root; what the guest writes to it stays in the file.
    #[must_use]
    pub fn data_disk(mut self, disk: &Path) -> Self {
        self.data_disk = Some(disk.to_owned());
        self
    }

    /// Sets the memory (1.5 GiB else). Less may leave no room for KHO's scratch areas: see the note on
    /// the default in this file.
    #[must_use]
    pub const fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Has the host give all memory before the guest starts. Else each page costs the host time when
    /// the guest touches it first, and a measurement depends on which pages that are.
    #[must_use]
    pub const fn preallocated(mut self) -> Self {
        self.memory_backing = MemoryBacking::Preallocated;
        self
    }

    /// Sets the number of processors (2 else).
    #[must_use]
    pub const fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Adds to the kernel's command line; a later word wins over an earlier one.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.cmdline.push(' ');
        self.cmdline.push_str(words);
        self
    }

    /// Has `luo-emu` be the machine instead of QEMU: the kernel is not started, its command line is
    /// that of the host, and processors are as many as the host has.
    #[must_use]
    pub fn emulated(mut self, emulation: Emulation) -> Self {
        self.emulation = Some(emulation);
        self
    }

    /// Starts the machine and waits until its agent answers.
    ///
    /// # Errors
    /// [`Error`] tells apart a missing QEMU, its end, a panic of the guest, and silence.
    pub fn boot(self) -> Result<Machine, Error> {
        self.boot_within(BOOT_PATIENCE)
    }

    /// The same with more patience: for a guest that is a whole distribution.
    ///
    /// # Errors
    /// As [`Self::boot`].
    pub fn boot_within(self, patience: Duration) -> Result<Machine, Error> {
        if let (Some(emulation), Userspace::Initramfs(image)) = (&self.emulation, &self.userspace) {
            make_folder(&self.log_folder)?;
            let (machine, stream) =
                LuoEmu::start(emulation, image, self.memory_mib, &self.log_folder)?;
            let carrier = Carrier::LuoEmu(machine);
            return meet(carrier, Control::over(stream), self.log_folder, patience);
        }
        let hardware = Hardware {
            accel: Accel::choose(&self.kernel),
            software: Software::Linux {
                kernel: self.kernel,
                userspace: self.userspace,
                cmdline: self.cmdline,
            },
            data_disk: self.data_disk,
            memory_mib: self.memory_mib,
            memory_backing: self.memory_backing,
            cpus: self.cpus,
        };
        start(&hardware, self.log_folder, patience)
    }
}

/// A machine whose memory is filled from one ELF file: kernel, image, command line and whatever else
/// a kernel can be given.
#[derive(Clone, Debug)]
pub struct ElfMachine {
    /// The file.
    pub elf: PathBuf,
    /// A kernel with which to find out whether the host can virtualize.
    pub kernel: PathBuf,
    /// Folder of the logs.
    pub log_folder: PathBuf,
    /// Memory.
    pub memory_mib: u32,
}

impl ElfMachine {
    /// Starts the machine and waits until its agent answers.
    ///
    /// # Errors
    /// As [`Builder::boot`]; [`Error::Deadline`] when nothing was heard within `patience`.
    pub fn boot(self, patience: Duration) -> Result<Machine, Error> {
        let hardware = Hardware {
            accel: Accel::choose(&self.kernel),
            software: Software::Elf(self.elf),
            data_disk: None,
            memory_mib: self.memory_mib,
            memory_backing: MemoryBacking::OnDemand,
            cpus: 2,
        };
        start(&hardware, self.log_folder, patience)
    }
}

fn start(hardware: &Hardware, log_folder: PathBuf, patience: Duration) -> Result<Machine, Error> {
    make_folder(&log_folder)?;
    let qemu = Qemu::start(hardware, &log_folder)?;
    let control = Control::connect(&qemu.socket());
    meet(Carrier::Qemu(qemu), control, log_folder, patience)
}

fn make_folder(log_folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(log_folder).map_err(Error::host("make the folder", log_folder))
}

/// Waits for the first hello.
fn meet(
    mut carrier: Carrier,
    control: io::Result<Control>,
    log_folder: PathBuf,
    patience: Duration,
) -> Result<Machine, Error> {
    let control = match control {
        Ok(control) => control,
        Err(error) => return Err(diagnosis::closed(&mut carrier, error.to_string())),
    };
    let hello = control
        .wait_hello(None, Instant::now() + patience)
        .map_err(|lost| diagnosis::explain(&mut carrier, lost, "the first boot", patience))?;
    Ok(Machine::booted(control, carrier, hello, log_folder))
}

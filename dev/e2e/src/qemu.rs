//! The QEMU process of one machine.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e_protocol::{CONTROL_PORT, LOG_PORT};
use tempfile::TempDir;

use crate::accel::Accel;
use crate::error::Error;

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// When the host gives the guest its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryBacking {
    /// When it is touched first: cheap, and paid for somewhere in the middle.
    OnDemand,
    /// All of it before the guest starts: for measurements.
    Preallocated,
}

/// What QEMU puts into a machine's memory.
#[derive(Clone, Debug)]
pub(crate) enum Software {
    /// A kernel with its userspace and its command line.
    Linux {
        kernel: PathBuf,
        userspace: Userspace,
        cmdline: String,
    },
    /// One ELF file with all of it.
    Elf(PathBuf),
}

/// What a kernel finds to run.
#[derive(Clone, Debug)]
pub(crate) enum Userspace {
    /// An image that QEMU loads beside the kernel.
    Initramfs(PathBuf),
    /// A disk with an ext4 file system. What the guest writes to it lasts as long as the machine.
    Disk(PathBuf),
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    pub(crate) software: Software,
    /// A disk beside what is booted; what the guest writes to it stays.
    pub(crate) data_disk: Option<PathBuf>,
    pub(crate) memory_mib: u32,
    pub(crate) memory_backing: MemoryBacking,
    pub(crate) cpus: u32,
    pub(crate) accel: Accel,
}

/// A running QEMU; killed when dropped.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    log_folder: PathBuf,
    /// Holds the socket: its path must be short (`sun_path`), which a log folder's need not be.
    socket_folder: TempDir,
}

impl Qemu {
    /// Starts the machine; its logs go to `log_folder`, which exists.
    pub(crate) fn start(hardware: &Hardware, log_folder: &Path) -> Result<Self, Error> {
        let socket_folder =
            TempDir::new().map_err(Error::host("make a folder in", std::env::temp_dir()))?;
        let arguments = arguments(hardware, log_folder, socket_folder.path());
        let words: Vec<_> = arguments
            .iter()
            .map(|word| quote(&word.to_string_lossy()))
            .collect();
        let command = log_folder.join("command");
        fs::write(&command, format!("{PROGRAM} {}\n", words.join(" ")))
            .map_err(Error::host("write", &command))?;
        let words = log_folder.join("qemu.log");
        let stderr = File::create(&words).map_err(Error::host("create", &words))?;
        let child = Command::new(PROGRAM)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|source| Error::NoQemu {
                program: PROGRAM.to_owned(),
                source,
            })?;
        Ok(Self {
            child,
            log_folder: log_folder.to_owned(),
            socket_folder,
        })
    }

    /// The socket of the control channel.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_folder.path().join("control")
    }

    /// The socket of the gdb stub.
    pub(crate) fn stub(&self) -> PathBuf {
        self.socket_folder.path().join("stub")
    }

    /// The socket of QEMU's machine protocol.
    pub(crate) fn monitor(&self) -> PathBuf {
        self.socket_folder.path().join("monitor")
    }

    /// The serial console's log.
    pub(crate) fn serial_log(&self) -> PathBuf {
        self.log_folder.join("serial.log")
    }

    /// QEMU's own messages.
    pub(crate) fn own_log(&self) -> PathBuf {
        self.log_folder.join("qemu.log")
    }

    /// Waits for the end of QEMU; `None` if `patience` was not enough.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < patience => thread::sleep(Duration::from_millis(5)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn arguments(hardware: &Hardware, log_folder: &Path, sockets: &Path) -> Vec<OsString> {
    let file = |name: &str| option_path(&log_folder.join(name));
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(OsString::from));
    add(&[
        "-machine",
        "q35,i8042=off,sata=off,smbus=off",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    ]);
    add(&hardware.accel.arguments());
    add(&[
        "-smp",
        &hardware.cpus.to_string(),
        "-m",
        &hardware.memory_mib.to_string(),
    ]);
    if hardware.memory_backing == MemoryBacking::Preallocated {
        let size = hardware.memory_mib;
        let ram = format!("memory-backend-ram,id=ram,size={size}M,prealloc=on");
        add(&["-object", &ram, "-machine", "memory-backend=ram"]);
    }
    add(&[
        "-chardev",
        &format!("file,id=serial,path={}", file("serial.log")),
    ]);
    add(&["-serial", "chardev:serial", "-device", "virtio-serial-pci"]);
    for name in ["control", "stub", "monitor"] {
        let socket = option_path(&sockets.join(name));
        add(&[
            "-chardev",
            &format!("socket,id={name},path={socket},server=on,wait=off"),
        ]);
    }
    add(&["-gdb", "chardev:stub", "-qmp", "chardev:monitor"]);
    add(&[
        "-device",
        &format!("virtserialport,chardev=control,name={CONTROL_PORT}"),
    ]);
    add(&[
        "-chardev",
        &format!("file,id=log,path={}", file("agent.log")),
    ]);
    add(&[
        "-device",
        &format!("virtserialport,chardev=log,name={LOG_PORT}"),
    ]);
    let mut add_word = |option: &str, value: &OsStr| {
        all.push(option.into());
        all.push(value.to_owned());
    };
    match &hardware.software {
        Software::Linux {
            kernel,
            userspace,
            cmdline,
        } => {
            add_word("-append", cmdline.as_ref());
            add_word("-kernel", kernel.as_ref());
            match userspace {
                Userspace::Initramfs(image) => add_word("-initrd", image.as_ref()),
                Userspace::Disk(image) => {
                    let drive = "id=root,format=raw,if=none,snapshot=on,file=";
                    let drive = format!("{drive}{}", option_path(image));
                    add_word("-drive", drive.as_ref());
                    add_word("-device", "virtio-blk-pci,drive=root".as_ref());
                }
            }
        }
        Software::Elf(file) => add_word("-kernel", file.as_ref()),
    }
    if let Some(disk) = &hardware.data_disk {
        let drive = format!("id=data,format=raw,if=none,file={}", option_path(disk));
        add_word("-drive", drive.as_ref());
        add_word("-device", "virtio-blk-pci,drive=data".as_ref());
    }
    all
}

/// A path inside an option list, where a comma must be doubled.
fn option_path(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A word as a shell reads it.
fn quote(word: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./=,:+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_command_can_be_pasted_into_a_shell() {
        assert_eq!(quote("-m"), "-m");
        assert_eq!(quote("it's here"), r"'it'\''s here'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn comma_in_a_log_folder_does_not_end_the_option() {
        assert_eq!(option_path(Path::new("/a,b/c")), "/a,,b/c");
    }
}

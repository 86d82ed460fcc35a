//! A file as a block device, which is let go of with its last user.
//!
//! C header: `include/uapi/linux/loop.h`, v7.3.
#![expect(unsafe_code, reason = "an ioctl has no safe form")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, ioctl};

/// `LOOP_CTL_GET_FREE`.
const GET_FREE: Opcode = 0x4c82;
/// `LOOP_CONFIGURE`.
const CONFIGURE: Opcode = 0x4c0a;
/// `LO_FLAGS_AUTOCLEAR`.
const AUTOCLEAR: u32 = 4;
/// Tries when somebody else takes the device that was free.
const TRIES: usize = 16;

/// `struct loop_config`: 304 bytes, in words; what is not named here is zero.
#[derive(Clone, Copy)]
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// `struct loop_info64` up to `lo_flags`.
    before_flags: [u32; 13],
    flags: u32,
    rest: [u32; 60],
}

const _: () = assert!(size_of::<LoopConfig>() == 304);

/// Makes a file a block device. It is the file's until the last descriptor and mount of the device are gone.
///
/// # Errors
/// `EACCES` and `EPERM` without the right to; whatever else opening and configuring devices leads to.
pub fn attach(file: &File) -> io::Result<(File, PathBuf)> {
    for _ in 0..TRIES {
        let path = PathBuf::from(format!("/dev/loop{}", free()?));
        let device = File::options().read(true).write(true).open(&path)?;
        match configure(&device, file) {
            Err(Errno::BUSY) => {}
            answer => return answer.map(|()| (device, path)).map_err(Into::into),
        }
    }
    Err(Errno::BUSY.into())
}

/// `LOOP_CTL_GET_FREE`, whose answer is the number of a device.
struct GetFree;

// SAFETY: the ioctl takes no argument and touches no memory of ours; its answer is its return value.
unsafe impl Ioctl for GetFree {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<Self::Output, Errno> {
        Ok(out)
    }
}

fn free() -> io::Result<IoctlOutput> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    // SAFETY: by the proof of `GetFree`; the descriptor is open.
    Ok(unsafe { ioctl(&control, GetFree) }?)
}

fn configure(device: &File, file: &File) -> Result<(), Errno> {
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(|_negative| Errno::BADF)?,
        block_size: 0,
        before_flags: [0; 13],
        flags: AUTOCLEAR,
        rest: [0; 60],
    };
    // SAFETY: the number is that of an ioctl which reads one `loop_config`, and `LoopConfig` is as long.
    let setter = unsafe { Setter::<CONFIGURE, LoopConfig>::new(config) };
    // SAFETY: `setter` owns what is read; both descriptors are open.
    unsafe { ioctl(device, setter) }
}

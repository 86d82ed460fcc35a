//! File systems on devices: what the kernel refuses, and in which words.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use mounts::{Call, Create, FsContext, MountError, Param, Reconfigure, Reuse, Severity};
use rustix::io::Errno;

use crate::own_mounts;

/// A device with an ext4, and what keeps it; `None` where that cannot be, which is told.
struct Device {
    path: PathBuf,
    _device: File,
    _image: tempfile::NamedTempFile,
    folder: tempfile::TempDir,
}

fn device() -> Option<Device> {
    let folder = own_mounts()?;
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(8 << 20).unwrap();
    let made = Command::new("mkfs.ext4")
        .arg("-q")
        .arg(image.path())
        .status();
    if let Err(error) = made {
        eprintln!("skipped: mkfs.ext4 of the package e2fsprogs: {error}");
        return None;
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(image.path())
        .unwrap();
    match loop_sys::attach(&file) {
        Ok((device, path)) => Some(Device {
            path,
            _device: device,
            _image: image,
            folder,
        }),
        Err(error) => {
            eprintln!("skipped: a loop device: {error}");
            None
        }
    }
}

fn context(source: &Path) -> FsContext<Create> {
    let context = FsContext::<Create>::open("ext4").unwrap();
    let source = source.to_str().unwrap();
    context.set("source", Param::String(source)).unwrap();
    context
}

fn told(error: &MountError, call: Call, errno: Errno, words: &str) {
    assert_eq!((error.call, error.errno), (call, errno), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_source_is_text_and_there_is_one() {
    let Some(device) = device() else { return };
    let context = FsContext::<Create>::open("ext4").unwrap();
    let path = Param::Path(None, &device.path);
    let error = context.set("source", path).unwrap_err();
    told(&error, Call::Set, Errno::INVAL, "Non-string source");
    let text = Param::String(device.path.to_str().unwrap());
    context.set("source", text).unwrap();
    let error = context.set("source", text).unwrap_err();
    told(&error, Call::Set, Errno::INVAL, "Multiple sources");
    let error = context.set("data", Param::String("somehow")).unwrap_err();
    told(&error, Call::Set, Errno::INVAL, "Bad value for 'data'");
    context.create(Reuse::Refuse).unwrap();
}

#[test]
fn a_file_system_that_is_mounted_is_not_taken_for_a_new_one() {
    let Some(device) = device() else { return };
    let (mount, _context) = context(&device.path)
        .create(Reuse::Refuse)
        .unwrap()
        .mount()
        .unwrap();
    mount.attach(device.folder.path()).unwrap();
    let error = context(&device.path).create(Reuse::Refuse).unwrap_err();
    let words = "reusing existing filesystem not allowed";
    told(&error, Call::CreateExclusive, Errno::BUSY, words);
    assert_eq!(error.messages[0].severity, Severity::Warning);
    context(&device.path).create(Reuse::Allow).unwrap();
    let read_only = context(&device.path);
    read_only.set("ro", Param::Flag).unwrap();
    let error = read_only.create(Reuse::Allow).unwrap_err();
    told(
        &error,
        Call::Create,
        Errno::BUSY,
        "Can't mount, would change RO state",
    );
}

#[test]
fn what_is_no_device_or_somebody_elses_is_told() {
    let Some(device) = device() else { return };
    let error = context(Path::new("/dev/null"))
        .create(Reuse::Refuse)
        .unwrap_err();
    told(&error, Call::CreateExclusive, Errno::NOTBLK, "/dev/null");
    let error = context(Path::new("/nowhere"))
        .create(Reuse::Refuse)
        .unwrap_err();
    told(&error, Call::CreateExclusive, Errno::NOENT, "/nowhere");
    let xfs_or_nothing = FsContext::<Create>::open("ext2").or_else(|_| FsContext::open("ext3"));
    if let Ok(other) = xfs_or_nothing {
        let (mount, _kept) = context(&device.path)
            .create(Reuse::Refuse)
            .unwrap()
            .mount()
            .unwrap();
        let source = device.path.to_str().unwrap();
        other.set("source", Param::String(source)).unwrap();
        let error = other.create(Reuse::Refuse).unwrap_err();
        assert_eq!(error.errno, Errno::BUSY, "{error}");
        drop(mount);
    } else {
        eprintln!("skipped the rest: no second file system for the same device");
    }
}

#[test]
fn a_change_that_fails_ends_the_context_and_leaves_the_file_system() {
    let Some(device) = device() else { return };
    let (mount, _context) = context(&device.path)
        .create(Reuse::Refuse)
        .unwrap()
        .mount()
        .unwrap();
    mount.attach(device.folder.path()).unwrap();
    let change = FsContext::<Reconfigure>::pick(device.folder.path()).unwrap();
    change.set("data", Param::String("journal")).unwrap();
    let error = change.reconfigure().unwrap_err();
    // ext4 says why in the log of the kernel, not in that of the context.
    let words = "the kernel's own log may say why";
    told(&error, Call::Reconfigure, Errno::INVAL, words);
    std::fs::write(device.folder.path().join("file"), "x").unwrap();
}

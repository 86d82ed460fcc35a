//! Paths of this very process.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::nodes::Text;

const DEVICE: Found = Found::Node(Node::Device);

fn objects() -> Objects {
    let (a, _) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (c, _) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    Objects::new(&a, &c).unwrap()
}

fn found(objects: &Objects, dir: RawFd, path: &str, last_link: LastLink) -> Found {
    let place = Place {
        task: Task::new(rustix::thread::gettid()),
        dir,
        path: path.as_bytes(),
        last_link,
        resolve: Resolve::empty(),
    };
    place.resolve(objects)
}

fn absolute(path: &str) -> Found {
    found(&objects(), CWD.as_raw_fd(), path, LastLink::Follow)
}

#[test]
fn the_device_is_found_in_every_spelling() {
    for path in [
        "/dev/liveupdate",
        "//dev/./liveupdate",
        "/dev/../dev/liveupdate",
        "/../dev/liveupdate",
        "/proc/self/root/dev/liveupdate",
        "/proc/thread-self/root/dev/liveupdate",
        "/dev/fd/../liveupdate/../../dev/liveupdate",
    ] {
        let expected = match path.contains("fd/..") {
            // `/dev/fd` is a link to a folder of procfs, and `..` is the folder above that.
            true => Found::Other,
            false => DEVICE,
        };
        assert_eq!(absolute(path), expected, "{path}");
    }
}

#[test]
fn what_only_looks_like_the_device_is_not() {
    for path in [
        "/dev/liveupdate/x",
        "/tmp/liveupdate",
        "/dev/liveupdates",
        "/nowhere/../dev/liveupdate",
        "/dev/null/liveupdate",
        "",
        "/",
        "/dev/null",
    ] {
        assert_eq!(absolute(path), Found::Other, "{path}");
    }
}

#[test]
fn links_and_folders_lead_to_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    symlink("/dev/liveupdate", at("link")).unwrap();
    symlink("link", at("second")).unwrap();
    symlink("/dev", at("folder")).unwrap();
    symlink("loop", at("loop")).unwrap();
    File::create(at("file")).unwrap();
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    for name in ["link", "second", "folder/liveupdate"] {
        assert_eq!(absolute(&text(name)), DEVICE, "{name}");
    }
    for name in ["loop", "file", "missing"] {
        assert_eq!(absolute(&text(name)), Found::Other, "{name}");
    }
    assert_eq!(absolute("/dev/liveupdate/"), Found::NoFolder);
    assert_eq!(absolute(&text("link/")), Found::NoFolder);
    let itself = found(&objects(), -100, &text("link"), LastLink::Itself);
    assert_eq!(itself, Found::Other);

    let folder = File::open(dir.path()).unwrap();
    let from = |path| found(&objects(), folder.as_raw_fd(), path, LastLink::Follow);
    assert_eq!(from("second"), DEVICE);
    assert_eq!(from("./folder/liveupdate"), DEVICE);
    assert_eq!(from("liveupdate"), Found::Other);
    let dev = File::open("/dev").unwrap();
    let from_dev = found(&objects(), dev.as_raw_fd(), "liveupdate", LastLink::Follow);
    assert_eq!(from_dev, DEVICE);
}

#[test]
fn a_path_stays_where_it_must() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dev")).unwrap();
    symlink("/dev", dir.path().join("link")).unwrap();
    let [here, dev, root] = [dir.path(), "/dev".as_ref(), "/".as_ref()].map(|path: &Path| {
        let folder = File::open(path);
        folder.unwrap()
    });
    let found = |dir: &File, path: &str, resolve| {
        let place = Place {
            task: Task::new(rustix::thread::gettid()),
            dir: dir.as_raw_fd(),
            path: path.as_bytes(),
            last_link: LastLink::Follow,
            resolve,
        };
        place.resolve(&objects())
    };
    let other = Found::Other;
    for (dir, path, resolve, expected) in [
        (&root, "/dev/liveupdate", Resolve::IN_ROOT, DEVICE),
        (&dev, "/../liveupdate", Resolve::IN_ROOT, DEVICE),
        // A folder called dev is not the one with devices.
        (&here, "/dev/liveupdate", Resolve::IN_ROOT, other),
        (&here, "link/liveupdate", Resolve::IN_ROOT, other),
        (&here, "link/liveupdate", Resolve::empty(), DEVICE),
        (&here, "link/liveupdate", Resolve::NO_SYMLINKS, other),
        (&here, "link/liveupdate", Resolve::BENEATH, other),
        (&dev, "liveupdate", Resolve::BENEATH, DEVICE),
        (&dev, "../dev/liveupdate", Resolve::BENEATH, other),
        (&dev, "/dev/liveupdate", Resolve::BENEATH, other),
        (&root, "dev/liveupdate", Resolve::NO_XDEV, other),
    ] {
        assert_eq!(found(dir, path, resolve), expected, "{path} {resolve:?}");
    }
}

#[test]
fn a_descriptor_of_ours_is_found_in_proc() {
    let mut objects = objects();
    let given = objects.make(Held::Device).unwrap();
    let fd = given.fd.as_raw_fd();
    for path in [
        format!("/proc/self/fd/{fd}"),
        format!("/dev/fd/{fd}"),
        format!("/proc/{}/fd/{fd}", std::process::id()),
    ] {
        let found = found(&objects, -100, &path, LastLink::Follow);
        assert_eq!(found, Found::Held(Held::Device), "{path}");
    }
    let other = found(&objects, -100, "/proc/self/fd/2", LastLink::Follow);
    assert_eq!(other, Found::Other);
}

#[test]
fn files_of_folders_that_are_not_there_are_found() {
    let luo = Found::Node(Node::Text(Text::OutLuo));
    assert_eq!(absolute("/sys/kernel/debug/kho/out/sub_fdts/LUO"), luo);
    let loaded = Found::Node(Node::Text(Text::Loaded));
    assert_eq!(absolute("/sys/kernel/kexec/loaded"), loaded);
    let boot = Found::Node(Node::Text(Text::BootId));
    assert_eq!(absolute("/proc/sys/kernel/random/boot_id"), boot);
    assert_eq!(absolute("/proc/1/cmdline"), Found::Other);
}

//! Roots, groups and owners: what a mount is to processes and to other mounts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mounts::{
    Call, DetachedMount, MountAttributes, Propagation, Reach, RootSwitch, SwitchError, join_group,
    listmount, switch_root,
};
use rustix::io::Errno;

use crate::{mounted, own_mounts, tmpfs};

/// A mount with folders for what is moved along, and what is mounted beside it.
fn next_root(folder: &Path) -> (PathBuf, Vec<PathBuf>) {
    let new = mounted(folder, "new");
    let along = [mounted(folder, "one"), mounted(folder, "two")];
    for path in &along {
        fs::create_dir_all(new.join(path.strip_prefix("/").unwrap())).unwrap();
    }
    (new, along.to_vec())
}

#[test]
fn the_root_is_switched_and_mounts_go_along() {
    let Some(folder) = own_mounts() else { return };
    let (new, mut along) = next_root(folder.path());
    // Nothing is mounted there.
    along.push("/usr".into());
    along.push("/nowhere".into());
    let how = switch_root(&new, &along).unwrap();
    assert_eq!(how, RootSwitch::Pivoted);
    assert!(Path::new("/new").exists() && !Path::new("/usr").exists());
    assert!(along[0].join("one").exists() && along[1].join("two").exists());
    assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
    // The new root and what came along: nothing of the old one is mounted any more.
    assert_eq!(listmount(None).unwrap().len(), 3);
}

#[test]
fn a_root_without_a_place_for_what_goes_along_is_refused_and_nothing_is_moved() {
    let Some(folder) = own_mounts() else { return };
    let (new, mut along) = next_root(folder.path());
    along.push(mounted(folder.path(), "three"));
    let count = listmount(None).unwrap().len();
    let error = switch_root(&new, &along).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("three along: the new root has no such folder"),
        "{error}"
    );
    assert!(along[0].join("one").exists());
    let error = switch_root(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, SwitchError::NotAMount { .. }), "{error}");
    assert_eq!(listmount(None).unwrap().len(), count);
}

#[test]
fn what_was_moved_is_moved_back_when_the_root_cannot_be_switched() {
    let Some(folder) = own_mounts() else { return };
    let above = mounted(folder.path(), "above");
    let (new, along) = next_root(&above);
    let along: Vec<PathBuf> = along
        .iter()
        .map(|path| folder.path().join(path.file_name().unwrap()))
        .collect();
    for path in &along {
        mounted(folder.path(), path.file_name().unwrap().to_str().unwrap());
        fs::create_dir_all(new.join(path.strip_prefix("/").unwrap())).unwrap();
    }
    // pivot_root(2) refuses a new root below a mount that hands its mounts on.
    let shared = MountAttributes {
        propagation: Some(Propagation::Shared),
        ..MountAttributes::default()
    };
    let above = fs::File::open(&above).unwrap();
    mount_sys::set_attributes(&above, Reach::One, shared).unwrap();
    let error = switch_root(&new, &along).unwrap_err();
    let SwitchError::Mount(cause) = &error else {
        panic!("{error}");
    };
    assert_eq!((cause.call, cause.errno), (Call::Pivot, Errno::INVAL));
    assert!(error.to_string().contains("make them private"), "{error}");
    assert!(along[0].join("one").exists() && along[1].join("two").exists());
    assert!(Path::new("/usr").exists());
}

#[test]
fn a_mount_joins_the_group_of_another() {
    let Some(folder) = own_mounts() else { return };
    let first = mounted(folder.path(), "first");
    fs::create_dir(first.join("below")).unwrap();
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    let clone = DetachedMount::clone_of(&first, Reach::One, MountAttributes::default()).unwrap();
    clone.attach(&second).unwrap();
    let error = join_group(&second, &first).unwrap_err();
    assert_eq!((error.call, error.errno), (Call::JoinGroup, Errno::INVAL));
    assert!(error.to_string().contains("is in no group"), "{error}");
    let shared = MountAttributes {
        propagation: Some(Propagation::Shared),
        ..MountAttributes::default()
    };
    let opened = fs::File::open(&first).unwrap();
    mount_sys::set_attributes(&opened, Reach::One, shared).unwrap();
    join_group(&second, &first).unwrap();
    tmpfs("shown").attach(&first.join("below")).unwrap();
    assert!(second.join("below/shown").exists());
    let other = mounted(folder.path(), "other");
    let error = join_group(&other, &first).unwrap_err();
    assert_eq!(error.errno, Errno::INVAL, "of another file system: {error}");
}

/// A process in a user namespace where 0 is what 1000 is here.
struct Mapped(Child);

impl Mapped {
    fn start() -> Self {
        let mut sleep = Command::new("unshare");
        sleep.args(["--user", "sleep", "60"]).stdout(Stdio::null());
        let child = sleep.spawn().unwrap();
        let of = |name: &str| format!("/proc/{}/{name}", child.id());
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        while fs::read_link(of("ns/user")).is_ok_and(|its| its == own) {
            thread::sleep(Duration::from_millis(1));
        }
        fs::write(of("uid_map"), "0 1000 10").unwrap();
        fs::write(of("gid_map"), "0 1000 10").unwrap();
        Self(child)
    }

    fn namespace(&self) -> fs::File {
        fs::File::open(format!("/proc/{}/ns/user", self.0.id())).unwrap()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn owners_are_mapped_once_and_before_anybody_sees_them() {
    let Some(folder) = own_mounts() else { return };
    let mapped = Mapped::start();
    let path = mounted(folder.path(), "plain");
    let clone = DetachedMount::clone_of(&path, Reach::Tree, MountAttributes::default()).unwrap();
    clone.map_ids(Reach::Tree, mapped.namespace()).unwrap();
    let error = clone.map_ids(Reach::Tree, mapped.namespace()).unwrap_err();
    assert_eq!((error.call, error.errno), (Call::MapIds, Errno::PERM));
    assert!(error.to_string().contains("mapped already"), "{error}");
    let to = folder.path().join("mapped");
    fs::create_dir(&to).unwrap();
    clone.attach(&to).unwrap();
    assert_eq!(fs::metadata(path.join("plain")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(to.join("plain")).unwrap().uid(), 1000);
    let other = tmpfs("other");
    assert_eq!(
        other
            .map_ids(Reach::One, fs::File::open("/").unwrap())
            .unwrap_err()
            .errno,
        Errno::INVAL
    );
}

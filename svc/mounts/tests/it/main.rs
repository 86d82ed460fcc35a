//! The mount API of the kernel that runs, in mounts of the test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod devices;
mod roots;

use std::fs;
use std::path::Path;

use mounts::{
    AttributeFlags, Call, Create, DetachedMount, FsContext, MountAttributes, MountId, Param, Reach,
    Reconfigure, Reuse, Severity, UpgradeError, listmount, upgrade,
};
use rustix::io::Errno;

/// A folder in mounts of this thread's own; `None` when that is not permitted, which is told.
fn own_mounts() -> Option<tempfile::TempDir> {
    if let Err(errno) = mount_sys::unshare_mounts() {
        eprintln!("skipped: a mount namespace of its own: {errno}; run as root");
        return None;
    }
    Some(tempfile::tempdir().unwrap())
}

/// A new tmpfs with a file of this name.
fn tmpfs(name: &str) -> DetachedMount {
    let context = FsContext::<Create>::open("tmpfs").unwrap();
    context.set("size", Param::String("1M")).unwrap();
    context.set("source", Param::String(name)).unwrap();
    let (mount, _context) = context.create(Reuse::Refuse).unwrap().mount().unwrap();
    // Before anybody sees it.
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::openat(&mount, name, flags, mode).unwrap();
    mount
}

/// A folder of this name with a tmpfs on it.
fn mounted(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    tmpfs(name).attach(&path).unwrap();
    path
}

#[test]
fn a_parameter_that_is_none_is_told_in_the_kernels_words() {
    let Some(_folder) = own_mounts() else { return };
    let context = FsContext::<Create>::open("tmpfs").unwrap();
    let error = context.set("nonsense", Param::Flag).unwrap_err();
    assert_eq!((error.call, error.errno), (Call::Set, Errno::INVAL));
    assert_eq!(error.messages.len(), 1, "{error:?}");
    assert_eq!(error.messages[0].severity, Severity::Error);
    let text = error.to_string();
    assert!(text.contains("Unknown parameter 'nonsense'"), "{text}");
    // The context is as it was, and each error has its own messages.
    let error = context.set("size", Param::String("much")).unwrap_err();
    assert_eq!(error.messages.len(), 1, "{error:?}");
    assert!(error.to_string().contains("size"), "{error}");
    context.set("size", Param::String("1M")).unwrap();
    context.create(Reuse::Refuse).unwrap();
}

#[test]
fn a_type_that_is_none_and_a_path_that_is_no_mount_are_told() {
    let Some(folder) = own_mounts() else { return };
    let error = FsContext::<Create>::open("nofs").unwrap_err();
    assert_eq!(error.errno, Errno::NODEV);
    assert!(
        error
            .to_string()
            .contains("does not know such a file system")
    );
    let error = FsContext::<Reconfigure>::pick(folder.path()).unwrap_err();
    assert_eq!(error.errno, Errno::INVAL);
    assert!(
        error.to_string().contains("not the root of a mount"),
        "{error}"
    );
}

#[test]
fn a_mounted_file_system_is_reconfigured() {
    let Some(folder) = own_mounts() else { return };
    let path = mounted(folder.path(), "mount");
    let context = FsContext::<Reconfigure>::pick(&path).unwrap();
    context.set("ro", Param::Flag).unwrap();
    let context = context.reconfigure().unwrap();
    let refused = fs::write(path.join("file"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::ROFS.raw_os_error()));
    context.set("rw", Param::Flag).unwrap();
    context.reconfigure().unwrap();
    fs::write(path.join("file"), "x").unwrap();
}

#[test]
fn a_clone_has_attributes_of_its_own() {
    let Some(folder) = own_mounts() else { return };
    let path = mounted(folder.path(), "mount");
    let read_only = MountAttributes {
        set: AttributeFlags::RDONLY,
        ..MountAttributes::default()
    };
    let clone = DetachedMount::clone_of(&path, Reach::Tree, MountAttributes::default()).unwrap();
    clone.set_attributes(Reach::Tree, read_only).unwrap();
    let to = folder.path().join("clone");
    fs::create_dir(&to).unwrap();
    clone.attach(&to).unwrap();
    assert!(fs::write(to.join("file"), "x").is_err());
    fs::write(path.join("file"), "x").unwrap();
    let info = mounts::statmount(clone.id().unwrap()).unwrap();
    assert!(info.attributes.contains(AttributeFlags::RDONLY));
    assert_eq!(info.mount_point.as_deref(), to.to_str());
    match DetachedMount::clone_of(&path, Reach::One, read_only) {
        Ok(clone) => assert!(rustix::fs::mkdirat(&clone, "x", 0o755.into()).is_err()),
        Err(error) if error.errno == Errno::NOSYS => {
            eprintln!("skipped the rest: no open_tree_attr(2) on this kernel");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_tree_is_replaced_while_files_of_the_old_one_stay() {
    let Some(folder) = own_mounts() else { return };
    let path = mounted(folder.path(), "old");
    let in_use = fs::File::open(path.join("old")).unwrap();
    let before = MountId::of(fs::File::open(&path).unwrap()).unwrap();
    let count = listmount(None).unwrap().len();
    let new = tmpfs("new");
    let done = upgrade(&path, &new, &|_| Ok(())).unwrap();
    assert_eq!((done.old.id, done.new.id), (before, new.id().unwrap()));
    assert_eq!(done.new.source.as_deref(), Some("new"));
    assert!(path.join("new").exists() && !path.join("old").exists());
    assert_eq!(in_use.metadata().unwrap().len(), 0);
    assert_eq!(listmount(None).unwrap().len(), count);
}

#[test]
fn what_is_not_as_it_should_be_is_undone() {
    let Some(folder) = own_mounts() else { return };
    let path = mounted(folder.path(), "old");
    let count = listmount(None).unwrap().len();
    let refused = upgrade(&path, &tmpfs("new"), &|_| Err("no".to_owned()));
    assert!(
        matches!(refused, Err(UpgradeError::Refused { .. })),
        "{refused:?}"
    );
    assert!(path.join("old").exists());
    // Good at first sight, and not when everybody sees it.
    let looks = std::cell::Cell::new(0);
    let judge = |_: &fs::File| {
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            Ok(())
        } else {
            Err("not any more".to_owned())
        }
    };
    let undone = upgrade(&path, &tmpfs("new"), &judge).unwrap_err();
    assert!(
        matches!(undone, UpgradeError::RolledBack { .. }),
        "{undone:?}"
    );
    assert!(undone.to_string().contains("not any more"), "{undone}");
    assert!(path.join("old").exists() && !path.join("new").exists());
    assert_eq!(listmount(None).unwrap().len(), count);
}

#[test]
fn where_nothing_is_mounted_nothing_is_replaced() {
    let Some(folder) = own_mounts() else { return };
    let error = upgrade(folder.path(), &tmpfs("new"), &|_| Ok(())).unwrap_err();
    assert!(matches!(error, UpgradeError::NotAMount { .. }), "{error:?}");
    // The kernel says the same of the call, without words.
    let error = tmpfs("new").attach_beneath(folder.path()).unwrap_err();
    assert_eq!(
        (error.call, error.errno),
        (Call::AttachBeneath, Errno::INVAL)
    );
    assert!(error.to_string().contains("nothing is mounted right there"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = upgrade(Path::new("/tmp/.."), &tmpfs("new"), &|_| Ok(())).unwrap_err();
    assert!(matches!(error, UpgradeError::Root), "{error:?}");
}

/// The ring of a context holds eight messages; each call's are taken at once, so that none is lost.
#[test]
fn many_mistakes_have_a_message_each() {
    let Some(_folder) = own_mounts() else { return };
    let context = FsContext::<Create>::open("tmpfs").unwrap();
    for number in 0..12 {
        let key = format!("wrong{number}");
        let error = context.set(&key, Param::Flag).unwrap_err();
        assert!(error.messages[0].text.contains(&key), "{error}");
    }
    assert!(context.messages().is_empty());
}

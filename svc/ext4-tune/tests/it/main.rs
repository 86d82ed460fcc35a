//! A file system in a file, mounted in mounts of the test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::fs::File;
use std::process::Command;

use ext4_tune::{Error, Setting, read, tune};
use mounts::{Create, FsContext, Param, Reuse};
use rustix::io::Errno;

/// A mounted file system, which ends with this.
struct Mounted {
    root: File,
    image: tempfile::NamedTempFile,
    _folder: tempfile::TempDir,
}

/// Makes and mounts one; `None` where that cannot be, which is told.
fn mounted(features: &str) -> Option<Mounted> {
    let skipped = |what: &str, why: &dyn std::fmt::Display| eprintln!("skipped: {what}: {why}");
    if let Err(errno) = mount_sys::unshare_mounts() {
        skipped("a mount namespace of its own", &errno);
        return None;
    }
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-O", features])
        .arg(image.path())
        .status();
    if let Err(error) = made {
        skipped("mkfs.ext4 of the package e2fsprogs", &error);
        return None;
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open(image.path())
        .unwrap();
    let (_device, path) = match loop_sys::attach(&file) {
        Ok(attached) => attached,
        Err(error) => {
            skipped("a loop device", &error);
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let context = FsContext::<Create>::open("ext4").unwrap();
    context
        .set("source", Param::String(path.to_str().unwrap()))
        .unwrap();
    let (mount, _context) = context.create(Reuse::Refuse).unwrap().mount().unwrap();
    mount.attach(folder.path()).unwrap();
    let root = File::open(folder.path()).unwrap();
    if let Err(Error::Get {
        errno: Errno::NOTTY,
    }) = read(&root)
    {
        skipped(
            "parameters of a mounted ext4",
            &"the kernel is older than 6.18",
        );
        return None;
    }
    Some(Mounted {
        root,
        image,
        _folder: folder,
    })
}

impl Mounted {
    fn tune(&self, settings: &[&str]) -> Result<Vec<String>, Error> {
        let settings = settings.iter().map(|text| Setting::parse(text));
        let settings: Vec<_> = settings.collect::<Result<_, _>>()?;
        let found = tune(&self.root, &settings)?.into_iter();
        Ok(found
            .map(|it| format!("{} {}->{}", it.name, it.before, it.after))
            .collect())
    }

    fn value(&self, name: &str) -> String {
        let all = read(&self.root).unwrap();
        all.into_iter().find(|(key, _)| *key == name).unwrap().1
    }

    /// What another reader of the superblock says, once it is on the device.
    fn dumped(&self, name: &str) -> String {
        rustix::fs::syncfs(&self.root).unwrap();
        let output = Command::new("dumpe2fs")
            .arg("-h")
            .arg(self.image.path())
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .trim_start_matches(':')
            .trim()
            .to_owned()
    }
}

#[test]
fn what_is_set_is_read_again_and_by_others() {
    let Some(mounted) = mounted("has_journal") else {
        return;
    };
    let changed = mounted
        .tune(&[
            "errors=panic",
            "reserved-uid=100000",
            "max-mount-count=30",
            "check-interval=86400",
        ])
        .unwrap();
    assert_eq!(
        changed,
        [
            "errors continue->panic",
            "max-mount-count 65535->30",
            "check-interval 0->86400",
            "reserved-uid 0->100000"
        ]
    );
    assert_eq!(mounted.dumped("Errors behavior"), "Panic");
    assert_eq!(mounted.dumped("Maximum mount count"), "30");
    assert_eq!(mounted.tune(&[]).unwrap(), [""; 0]);
}

/// Linux up to 7.2 wipes them with every other change.
#[test]
fn stored_mount_options_outlive_other_changes() {
    let Some(mounted) = mounted("has_journal") else {
        return;
    };
    mounted
        .tune(&["mount-options=commit=10,noatime"])
        .unwrap_err();
    mounted
        .tune(&["mount-options=commit=10,nodelalloc"])
        .unwrap();
    mounted.tune(&["errors=remount-ro"]).unwrap();
    assert_eq!(mounted.value("mount-options"), "commit=10,nodelalloc");
    assert_eq!(mounted.dumped("Mount options"), "commit=10,nodelalloc");
    mounted.tune(&["mount-options="]).unwrap();
    assert_eq!(mounted.value("mount-options"), "");
}

#[test]
fn what_the_kernel_would_regret_is_refused() {
    let Some(mounted) = mounted("^has_journal") else {
        return;
    };
    let before = read(&mounted.root).unwrap();
    let error = mounted.tune(&["mount-options=commit=10"]).unwrap_err();
    assert!(matches!(error, Error::NeedsJournal { .. }), "{error:?}");
    let error = mounted.tune(&["mount-options=nonsense"]).unwrap_err();
    let Error::MountOption { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        source.to_string().contains("Unknown parameter 'nonsense'"),
        "{source}"
    );
    let error = mounted.tune(&["reserved-blocks=9000000"]).unwrap_err();
    assert!(matches!(error, Error::Reserved { .. }), "{error:?}");
    let error = mounted
        .tune(&["errors=panic", "errors=continue"])
        .unwrap_err();
    assert_eq!(error, Error::Twice { key: "errors" });
    assert_eq!(mounted.tune(&["casefold"]).unwrap_err(), Error::Casefold);
    assert_eq!(read(&mounted.root).unwrap(), before);
}

#[test]
fn another_file_system_is_told() {
    let error = read(File::open("/proc").unwrap()).unwrap_err();
    assert!(error.to_string().contains("it is no ext4"), "{error}");
}

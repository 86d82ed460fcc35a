//! A folder taken and placed, with a map in the place of luod.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;

/// Keeps everything in this process.
#[derive(Default)]
struct Map {
    kept: BTreeMap<String, OwnedFd>,
    /// Refuses to keep more than this many.
    limit: Option<usize>,
}

impl Keeping for Map {
    fn names(&self) -> Vec<String> {
        self.kept.keys().cloned().collect()
    }

    fn get(&mut self, name: &str) -> Result<Option<OwnedFd>, Error> {
        let file = self.kept.get(name);
        Ok(file.map(|file| file.try_clone().unwrap()))
    }

    fn keep(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), Error> {
        if self.limit.is_some_and(|limit| self.kept.len() >= limit) {
            return Err(Error::Keeping("no more".into()));
        }
        let file = file.try_clone_to_owned().unwrap();
        self.kept.insert(name.to_owned(), file);
        Ok(())
    }

    fn forget(&mut self, name: &str) -> Result<(), Error> {
        self.kept.remove(name).unwrap();
        Ok(())
    }
}

impl Map {
    /// Whether every file here could be preserved: none has a name.
    fn is_without_names(&self) -> bool {
        self.kept
            .values()
            .all(|file| rustix::fs::fstat(file).unwrap().st_nlink == 0)
    }
}

/// On tmpfs, as /dev/shm is everywhere.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn large() -> Vec<u8> {
    (0..COPY_LIMIT_BYTES + 4097)
        .map(|at| (at % 251) as u8)
        .collect()
}

/// Files small and large, a folder, a link, a socket.
fn fill(path: &Path) {
    fs::create_dir(path.join("sub")).unwrap();
    fs::set_permissions(path.join("sub"), Permissions::from_mode(0o750)).unwrap();
    fs::write(path.join("sub/large"), large()).unwrap();
    fs::write(path.join("small"), "little").unwrap();
    fs::set_permissions(path.join("small"), Permissions::from_mode(0o640)).unwrap();
    let old = UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7);
    let small = File::options()
        .write(true)
        .open(path.join("small"))
        .unwrap();
    small.set_modified(old).unwrap();
    fs::write(path.join("empty"), "").unwrap();
    symlink("sub/large", path.join("link")).unwrap();
    let _listener = UnixListener::bind(path.join("socket")).unwrap();
}

#[track_caller]
fn check(path: &Path) {
    assert_eq!(fs::read(path.join("sub/large")).unwrap(), large());
    assert_eq!(fs::read(path.join("link")).unwrap(), large());
    assert_eq!(fs::read(path.join("small")).unwrap(), b"little");
    let small = fs::symlink_metadata(path.join("small")).unwrap();
    assert!(small.is_file());
    assert_eq!(
        (small.mode() & 0o7777, small.mtime()),
        (0o640, 1_000_000_000)
    );
    assert_eq!(small.mtime_nsec(), 7);
    assert_eq!(fs::read(path.join("empty")).unwrap(), b"");
    let sub = fs::metadata(path.join("sub")).unwrap();
    assert_eq!(sub.mode() & 0o7777, 0o750);
}

#[test]
fn a_folder_is_the_same_in_the_next_kernel() {
    let (scratch, mut map) = (scratch(), Map::default());
    let path = scratch.path().join("kept");
    let (mut folder, opened) = KeptFolder::open(&path, &mut map).unwrap();
    assert_eq!(opened, Opened::New);
    fill(&path);
    let (problems, bytes) = folder.look().unwrap();
    assert_eq!((problems, bytes), (vec![], large().len() as u64 + 6));
    assert_eq!(folder.take(&mut map).unwrap(), 3);
    assert!(map.is_without_names());
    drop(folder);

    // The tmpfs of the last kernel is gone.
    fs::remove_dir_all(&path).unwrap();
    let (mut folder, opened) = KeptFolder::open(&path, &mut map).unwrap();
    assert_eq!(opened, Opened::Kept(3));
    assert!(folder.taken_at().unwrap().elapsed().unwrap().as_secs() < 3600);
    folder.place(&mut map).unwrap();
    check(&path);
    assert!(!path.join("socket").exists());
    // Only what names link to stays in keeping, and how it is called.
    assert_eq!(map.kept.len(), 2, "{:?}", map.names());

    // What the program changes goes over the next time, by the same file.
    let link = fs::read_link(path.join("sub/large")).unwrap();
    File::options()
        .append(true)
        .open(path.join("sub/large"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    fs::remove_file(path.join("small")).unwrap();
    fs::write(path.join("new"), "new").unwrap();
    assert_eq!(folder.take(&mut map).unwrap(), 2);
    assert!(map.is_without_names());
    drop(folder);
    fs::remove_dir_all(&path).unwrap();
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    folder.place(&mut map).unwrap();
    let expected = [large(), b"more".to_vec()].concat();
    assert_eq!(fs::read(path.join("sub/large")).unwrap(), expected);
    assert_eq!(fs::read(path.join("new")).unwrap(), b"new");
    assert!(!path.join("small").exists());
    assert!(link.starts_with("/proc/self/fd"));
}

#[test]
fn a_program_inherits_what_the_names_link_to() {
    let (scratch, mut map) = (scratch(), Map::default());
    let path = scratch.path().join("kept");
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    fs::write(path.join("large"), large()).unwrap();
    folder.take(&mut map).unwrap();
    folder.place(&mut map).unwrap();
    let sum = std::process::Command::new("cat")
        .arg(path.join("large"))
        .output()
        .unwrap();
    assert_eq!(sum.stdout, large());
}

#[test]
fn a_cancelled_update_puts_every_name_back() {
    let (scratch, mut map) = (scratch(), Map::default());
    let path = scratch.path().join("kept");
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    fill(&path);
    folder.take(&mut map).unwrap();
    folder.place(&mut map).unwrap();
    check(&path);
    // And once more, now that a name is a link already.
    folder.take(&mut map).unwrap();
    folder.place(&mut map).unwrap();
    check(&path);
}

#[test]
fn taking_may_stop_anywhere_and_nothing_is_lost() {
    for limit in 0..5 {
        let (scratch, mut map) = (scratch(), Map::default());
        let path = scratch.path().join("kept");
        let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
        fill(&path);
        map.limit = Some(limit);
        let taken = folder.take(&mut map);
        assert_eq!(taken.is_err(), limit < 4, "{taken:?}");
        map.limit = None;
        // By the same process, or by the next one.
        if limit % 2 == 0 {
            drop(folder);
            (folder, _) = KeptFolder::open(&path, &mut map).unwrap();
        }
        folder.place(&mut map).unwrap();
        check(&path);
    }
}

#[test]
fn a_restarted_program_finds_its_files_but_for_those_it_removed() {
    let (scratch, mut map) = (scratch(), Map::default());
    let path = scratch.path().join("kept");
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(path.join(name), large()).unwrap();
    }
    folder.take(&mut map).unwrap();
    folder.place(&mut map).unwrap();
    fs::remove_file(path.join("a")).unwrap();
    fs::remove_file(path.join("b")).unwrap();
    fs::write(path.join("b"), "another").unwrap();
    // Ended, and started again on the same kernel.
    drop(folder);
    let (mut folder, opened) = KeptFolder::open(&path, &mut map).unwrap();
    assert_eq!(opened, Opened::Kept(1));
    folder.place(&mut map).unwrap();
    assert!(!path.join("a").exists());
    assert_eq!(fs::read(path.join("b")).unwrap(), b"another");
    assert_eq!(fs::read(path.join("c")).unwrap(), large());
    assert_eq!(map.kept.len(), 2, "{:?}", map.names());
    // A supervisor that clears the folder has not removed a file.
    drop(folder);
    fs::remove_dir_all(&path).unwrap();
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    folder.place(&mut map).unwrap();
    assert_eq!(fs::read(path.join("c")).unwrap(), large());
}

#[test]
fn what_cannot_be_kept_is_named_and_nothing_is_taken() {
    let (scratch, mut map) = (scratch(), Map::default());
    let path = scratch.path().join("kept");
    let (mut folder, _) = KeptFolder::open(&path, &mut map).unwrap();
    fs::write(path.join("one"), "one").unwrap();
    fs::hard_link(path.join("one"), path.join("two")).unwrap();
    symlink("/proc/self/fd/77", path.join("astray")).unwrap();
    let (problems, _) = folder.look().unwrap();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let texts = texts.join("\n");
    assert!(texts.contains("one has 2 names (hard links)"), "{texts}");
    assert!(
        texts.contains("astray links to /proc/self/fd/77"),
        "{texts}"
    );
    let error = folder.take(&mut map).unwrap_err();
    assert!(matches!(error, Error::Problems(_)), "{error}");
    assert!(map.kept.is_empty() && path.join("one").exists());
}

#[test]
fn a_folder_that_is_not_on_tmpfs_is_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let error = KeptFolder::open(folder.path(), &mut Map::default()).unwrap_err();
    assert!(matches!(error, Error::NotTmpfs { .. }), "{error}");
}

#[test]
fn a_description_that_leads_out_of_the_folder_is_refused() {
    for astray in ["../outside", "/tmp/outside", "a/../../outside", ".."] {
        let (scratch, mut map) = (scratch(), Map::default());
        let path = scratch.path().join("kept");
        let tree = Tree {
            state: State::Taken,
            taken_at: None,
            entries: vec![Entry {
                path: astray.to_owned(),
                mode: 0o600,
                uid: 0,
                gid: 0,
                mtime: (0, 0),
                kind: Kind::Folder,
            }],
        };
        map.keep("tree-1", tree.write().unwrap().as_fd()).unwrap();
        let placed =
            KeptFolder::open(&path, &mut map).and_then(|(mut folder, _)| folder.place(&mut map));
        assert!(placed.is_err(), "{astray}");
        assert!(!scratch.path().join("outside").exists());
    }
}

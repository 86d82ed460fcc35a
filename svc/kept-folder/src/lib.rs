//! A folder on tmpfs whose files go over a live update, for programs that know nothing of it.
//!
//! The kernel preserves a tmpfs file without copying it once the file has no name any more
//! (`memfd_luo_can_preserve`, `mm/memfd_luo.c`, v7.3: `shmem_file(file) && !inode->i_nlink`). So when
//! the program has been stopped for the jump, [`KeptFolder::take`] writes down what the folder looks
//! like, gives every file into keeping and takes its name away. In the next kernel, or when the
//! update is cancelled, [`KeptFolder::place`] makes the folder look as before:
//!
//! * folders and symbolic links are made anew;
//! * a file of up to [`COPY_LIMIT_BYTES`] is copied into a new file of its name;
//! * a larger file is not copied: its name becomes a symbolic link to `/proc/self/fd/N`, and the
//!   program, which must be started by this process, inherits the descriptor N. Another process than
//!   the program's own could not follow a link to a descriptor of a third one when their users differ.
//!
//! At no moment does only one process have a file: it is held elsewhere ([`Keeping`]) before its name
//! goes.

mod error;
mod keeping;
mod numbered;
mod place;
mod scan;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use luo_sys::{TMPFS_MAGIC, filesystem_magic};
use rustix::fs::{Mode, OFlags, unlinkat};

pub use self::error::Error;
pub use self::keeping::Keeping;
use self::numbered::Numbered;
use self::scan::Found;
pub use self::scan::Problem;
use self::tree::{Entry, Kind, State, Tree};

/// Files up to this size are copied to their names; larger ones are linked to.
pub const COPY_LIMIT_BYTES: u64 = 1 << 20;

/// A folder whose files are kept.
#[derive(Debug)]
pub struct KeptFolder {
    path: PathBuf,
    root: OwnedFd,
    /// What the folder should look like, as far as that is not in the folder itself: between taking
    /// and placing everything, otherwise the files that names link to.
    entries: Vec<Entry>,
    /// Their files, by item.
    files: BTreeMap<String, OwnedFd>,
    /// The files that names link to now, by item.
    linked: BTreeMap<String, Numbered>,
    /// Number of the next item.
    next: u64,
    /// When it was taken last.
    taken_at: Option<SystemTime>,
}

/// What was found when a folder was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Nothing was kept of it.
    New,
    /// This many files are kept; [`KeptFolder::place`] gives them their names.
    Kept(usize),
}

impl KeptFolder {
    /// Opens the folder, which is made if its own folder is there, and gets what is kept of it.
    ///
    /// # Errors
    /// [`Error::NotTmpfs`]; [`Error::Lost`] names a file that did not come over; [`Error::Io`] and
    /// [`Error::Keeping`].
    pub fn open(path: &Path, keeping: &mut dyn Keeping) -> Result<(Self, Opened), Error> {
        let at = |source| Error::io("opening the folder", path, source);
        let is_new = match fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(Error::io("making the folder", path, error)),
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| at(errno.into()))?;
        check_tmpfs(path, &root)?;
        let mut folder = Self {
            path: path.to_owned(),
            root,
            entries: Vec::new(),
            files: BTreeMap::new(),
            linked: BTreeMap::new(),
            next: 1,
            taken_at: None,
        };
        let opened = folder.load(keeping, is_new)?;
        Ok((folder, opened))
    }

    /// Gets the newest tree and its files; whatever else is kept is left over and given up.
    fn load(&mut self, keeping: &mut dyn Keeping, is_new: bool) -> Result<Opened, Error> {
        let names = keeping.names();
        self.next = tree::next_number(&names);
        let Some(newest) = tree::newest(&names) else {
            return Ok(Opened::New);
        };
        let tree = match keeping.get(newest)? {
            Some(file) => Tree::read(file)?,
            None => return Ok(Opened::New),
        };
        self.taken_at = tree.taken_at.map(|at| UNIX_EPOCH + at);
        let state = match tree.state {
            // Nobody can have removed a name from a folder that was not there.
            State::Placed if is_new => State::Taken,
            state => state,
        };
        for entry in tree.entries {
            if let Kind::File { item, .. } = &entry.kind {
                // The program has removed or replaced it since.
                if state == State::Placed && !place::is_linked(&self.root, &entry.path) {
                    continue;
                }
                match keeping.get(item)? {
                    Some(file) => drop(self.files.insert(item.clone(), file)),
                    None if place::is_there(&self.root, &entry.path) => {}
                    None => {
                        return Err(Error::Lost {
                            path: self.path.join(&entry.path),
                        });
                    }
                }
            }
            self.entries.push(entry);
        }
        for name in &names {
            if name != newest && !self.files.contains_key(name) {
                // What is not retrieved cannot be given up.
                drop(keeping.get(name)?);
                keeping.forget(name)?;
            }
        }
        Ok(Opened::Kept(self.files.len()))
    }

    /// When the folder was taken last, by the wall clock; also in the kernel before.
    pub const fn taken_at(&self) -> Option<SystemTime> {
        self.taken_at
    }

    /// What could not be taken if the program stopped now, and how many bytes would be.
    ///
    /// # Errors
    /// [`Error::Io`]: the folder cannot be read.
    pub fn look(&self) -> Result<(Vec<Problem>, u64), Error> {
        let Found { entries, problems } = scan::scan(&self.path, &self.root, &self.linked)?;
        let sizes = entries.iter().map(|(entry, _)| entry.size_bytes());
        Ok((problems, sizes.sum()))
    }

    /// Gives every file into keeping and takes its name away; the number of files. The program must
    /// have been stopped. After an error [`KeptFolder::place`] puts back what was taken.
    ///
    /// # Errors
    /// [`Error::Problems`] before anything is taken; [`Error::Io`] and [`Error::Keeping`].
    pub fn take(&mut self, keeping: &mut dyn Keeping) -> Result<usize, Error> {
        let found = scan::scan(&self.path, &self.root, &self.linked)?;
        if !found.problems.is_empty() {
            return Err(Error::Problems(found.problems));
        }
        let mut named = Vec::new();
        self.entries.clear();
        for (mut entry, file) in found.entries {
            if let (Kind::File { item, .. }, Some(file)) = (&mut entry.kind, file) {
                *item = tree::file_name(self.next);
                self.next += 1;
                named.push((entry.path.clone(), item.clone(), file));
            }
            self.entries.push(entry);
        }
        let count = named.len();
        self.taken_at = Some(SystemTime::now());
        self.write_tree(State::Taken, keeping)?;
        for (path, item, file) in named {
            keeping.keep(&item, file.as_fd())?;
            let (parent, name) = place::parent(&self.root, &path)
                .map_err(|error| Error::io("opening its folder", &self.path.join(&path), error))?;
            self.files.insert(item, file);
            unlinkat(&parent, name, rustix::fs::AtFlags::empty()).map_err(|errno| {
                Error::io("taking its name away", &self.path.join(&path), errno.into())
            })?;
        }
        Ok(count)
    }

    /// Makes the folder look as it did when it was taken, and gives up what is only a copy now. The
    /// descriptors that names link to are open in this process, and in every program it starts.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Keeping`]. What could not be placed is still kept.
    pub fn place(&mut self, keeping: &mut dyn Keeping) -> Result<(), Error> {
        let mut copied = Vec::new();
        let mut linked_entries = Vec::new();
        for entry in &self.entries {
            let at = |source| Error::io("placing", &self.path.join(&entry.path), source);
            let Kind::File { item, .. } = &entry.kind else {
                place::make(&self.root, entry).map_err(at)?;
                continue;
            };
            let Some(file) = self.files.get(item) else {
                continue;
            };
            match place::file(&self.root, entry, file).map_err(at)? {
                place::Placed::Here => copied.push(item.clone()),
                place::Placed::Linked(number) => {
                    self.linked.insert(item.clone(), number);
                    linked_entries.push(entry.clone());
                }
            }
        }
        self.entries = linked_entries;
        self.write_tree(State::Placed, keeping)?;
        for item in copied {
            self.files.remove(&item);
            if keeping.names().contains(&item) {
                keeping.forget(&item)?;
            }
        }
        Ok(())
    }

    /// Writes down how the folder should look; the one written before is given up.
    fn write_tree(&mut self, state: State, keeping: &mut dyn Keeping) -> Result<(), Error> {
        let old: Vec<_> = keeping
            .names()
            .into_iter()
            .filter(|name| tree::is_tree(name))
            .collect();
        let name = tree::tree_name(self.next);
        self.next += 1;
        let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).ok();
        let tree = Tree {
            state,
            taken_at: self.taken_at.and_then(since),
            entries: self.entries.clone(),
        };
        keeping.keep(&name, tree.write()?.as_fd())?;
        if state == State::Placed {
            old.iter().try_for_each(|name| keeping.forget(name))?;
        }
        Ok(())
    }
}

/// Only files of tmpfs can be kept without copying them.
fn check_tmpfs(path: &Path, root: &OwnedFd) -> Result<(), Error> {
    let magic = filesystem_magic(root)
        .map_err(|errno| Error::io("asking for its file system", path, errno.into()))?;
    if magic == TMPFS_MAGIC {
        return Ok(());
    }
    Err(Error::NotTmpfs {
        path: path.to_owned(),
        magic,
    })
}

#[cfg(test)]
mod tests;

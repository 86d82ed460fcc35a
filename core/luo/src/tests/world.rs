//! Open files that exist only here.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use crate::{Errno, ShmemFiles, ShmemState};

pub(super) const PAGE: u64 = 4096;
/// The same, in memory of the test.
pub(super) const PAGE_LEN: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Shmem,
    /// A file of the recording handler of that number.
    Recorded(u32),
    /// Something nobody preserves.
    Null,
}

#[derive(Debug)]
pub(super) struct Inode {
    number: u64,
    kind: Kind,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) seals: u32,
    pub(super) mode: u32,
    pub(super) frozen: u32,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// An open file; a clone is the same one.
#[derive(Clone, Debug)]
pub(super) struct File(Rc<(Rc<RefCell<Inode>>, Cell<u64>)>);

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl File {
    pub(super) fn inode(&self) -> core::cell::RefMut<'_, Inode> {
        self.0.0.borrow_mut()
    }

    pub(super) fn number(&self) -> u64 {
        self.inode().number
    }

    pub(super) fn kind(&self) -> Kind {
        self.inode().kind
    }

    /// The same file, opened once more.
    pub(super) fn reopen(&self) -> Self {
        Self(Rc::new((Rc::clone(&self.0.0), Cell::new(0))))
    }

    pub(super) fn seek(&self, pos: u64) {
        self.0.1.set(pos);
    }

    pub(super) fn pos(&self) -> u64 {
        self.0.1.get()
    }

    /// References to the open file, this one included.
    pub(super) fn references(&self) -> usize {
        Rc::strong_count(&self.0)
    }

    /// As a program writes: no growth of a frozen file.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        let mut inode = self.inode();
        let end = offset + bytes.len() as u64;
        assert!(inode.frozen == 0 || end <= inode.size);
        inode.size = inode.size.max(end);
        inode.put(offset, bytes);
    }

    pub(super) fn content(&self) -> Vec<u8> {
        let inode = self.inode();
        let mut bytes = vec![0; usize::try_from(inode.size).unwrap()];
        inode.get(0, &mut bytes);
        bytes
    }

    /// A hole where the content was: what a world does that cannot hold the allocation.
    pub(super) fn punch(&self) {
        self.inode().pages.clear();
    }

    pub(super) fn pages(&self) -> usize {
        self.inode().pages.len()
    }
}

impl Inode {
    /// Parts of an access: page, offset in it, place in the buffer.
    fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
        let mut done = 0;
        core::iter::from_fn(move || {
            let at = offset + done as u64;
            let in_page = usize::try_from(at % PAGE).unwrap();
            let here = (len - done).min(PAGE_LEN - in_page);
            done += here;
            (here != 0).then(|| (at / PAGE, in_page, done - here..done))
        })
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (page, in_page, place) in Self::parts(offset, bytes.len()) {
            let page = self.pages.entry(page);
            let page = page.or_insert_with(|| vec![0; PAGE_LEN]);
            page[in_page..in_page + place.len()].copy_from_slice(&bytes[place]);
        }
    }

    fn get(&self, offset: u64, bytes: &mut [u8]) {
        for (page, in_page, place) in Self::parts(offset, bytes.len()) {
            match self.pages.get(&page) {
                Some(page) => {
                    let len = place.len();
                    bytes[place].copy_from_slice(&page[in_page..in_page + len]);
                }
                None => bytes[place].fill(0),
            }
        }
    }
}

/// All files have their inode number from here. Clones are the same world.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    last: Rc<Cell<u64>>,
    /// What the next `create` answers.
    pub(super) create_error: Rc<Cell<Option<Errno>>>,
    /// What `read_at` answers.
    pub(super) read_error: Rc<Cell<Option<Errno>>>,
}

impl World {
    pub(super) fn file(&self, kind: Kind) -> File {
        self.last.set(self.last.get() + 1);
        let inode = Inode {
            number: self.last.get(),
            kind,
            links: 0,
            size: 0,
            seals: 0,
            mode: 0o777,
            frozen: 0,
            pages: BTreeMap::new(),
        };
        File(Rc::new((Rc::new(RefCell::new(inode)), Cell::new(0))))
    }

    pub(super) fn memfd(&self, content: &[u8]) -> File {
        let file = self.file(Kind::Shmem);
        file.write(0, content);
        file
    }
}

impl ShmemFiles for World {
    type File = File;

    fn shmem(&mut self, file: &File) -> Option<ShmemState> {
        let inode = file.inode();
        (inode.kind == Kind::Shmem).then(|| ShmemState {
            inode: inode.number,
            links: inode.links,
            size: inode.size,
            pos: file.pos(),
            seals: inode.seals,
        })
    }

    fn freeze(&mut self, file: &File) -> Result<(), Errno> {
        file.inode().frozen += 1;
        Ok(())
    }

    fn thaw(&mut self, file: &File) {
        file.inode().frozen -= 1;
    }

    fn data(&mut self, file: &File, offset: u64) -> Option<Range<u64>> {
        let inode = file.inode();
        let (&page, _) = inode.pages.range(offset / PAGE..).next()?;
        let run = (page..).take_while(|page| inode.pages.contains_key(page));
        Some((page * PAGE).max(offset)..(page + run.count() as u64) * PAGE)
    }

    fn read_at(&mut self, file: &File, offset: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        if let Some(errno) = self.read_error.get() {
            return Err(errno);
        }
        let inode = file.inode();
        assert!(offset + bytes.len() as u64 <= inode.size);
        inode.get(offset, bytes);
        Ok(())
    }

    fn create(&mut self, size: u64, mode: u32) -> Result<File, Errno> {
        if let Some(errno) = self.create_error.take() {
            return Err(errno);
        }
        let file = self.file(Kind::Shmem);
        file.inode().size = size;
        file.inode().mode = mode;
        Ok(file)
    }

    fn write_at(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut inode = file.inode();
        assert!(offset + bytes.len() as u64 <= inode.size);
        inode.put(offset, bytes);
        Ok(())
    }

    fn finish_create(&mut self, file: &File, pos: u64, seals: u32) -> Result<(), Errno> {
        file.seek(pos);
        let mut inode = file.inode();
        inode.seals |= seals;
        // `memfd_add_seals()`.
        if seals & 0x20 != 0 && inode.mode & 0o111 != 0 {
            inode.seals |= 0x1e;
        }
        Ok(())
    }
}

//! An image of memory, whatever it is kept in.

use std::ops::Range;
use std::path::Path;

use handover::PageImage;
use kho::{MemError, PageSize, PhysAddr, PhysMem};

use crate::error::ImageError;
use crate::file::{Format, MemoryFile};

/// What an image is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ELF dump.
    Elf,
    /// A raw image: byte n is the byte at physical address n.
    Raw,
    /// A folder with `pages.bin` and `index.txt`.
    Pages,
    /// The running kernel.
    Running,
}

impl Kind {
    /// A short name: `elf`, `raw`, `pages`, `running`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Raw => "raw",
            Self::Pages => "pages",
            Self::Running => "running",
        }
    }
}

/// An image of memory with pages of 4 KiB: x86-64, and arm64 by default.
#[derive(Debug)]
pub struct Image {
    kind: Kind,
    memory: Memory,
    ranges: Vec<Range<u64>>,
}

#[derive(Debug)]
enum Memory {
    File(MemoryFile),
    Pages(PageImage),
}

/// Memory of the running kernel, as an ELF dump.
const KCORE: &str = "/proc/kcore";
/// The same as a device.
const DEVMEM: &str = "/dev/mem";
const PAGE_SIZE: PageSize = PageSize::Size4K;

impl Image {
    /// Opens a dump, a raw image, a folder of pages, `/proc/kcore` or `/dev/mem`.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        if path.is_dir() {
            return Self::pages(path);
        }
        let (file, format) = MemoryFile::open(path)?;
        let kind = match format {
            Format::Elf => Kind::Elf,
            Format::Raw => Kind::Raw,
            Format::Device => Kind::Running,
        };
        let kind = if path == Path::new(KCORE) {
            Kind::Running
        } else {
            kind
        };
        Ok(Self::of_file(kind, file))
    }

    /// Opens the memory of the running kernel: `/proc/kcore`, or else `/dev/mem`. It goes on
    /// changing.
    ///
    /// # Errors
    /// [`ImageError::NotShown`]: it takes root, and `CONFIG_PROC_KCORE`, or `CONFIG_DEVMEM` without
    /// `CONFIG_STRICT_DEVMEM`.
    pub fn running() -> Result<Self, ImageError> {
        Self::open(Path::new(KCORE)).or_else(|kcore| {
            Self::open(Path::new(DEVMEM)).map_err(|devmem| ImageError::NotShown {
                kcore: Box::new(kcore),
                devmem: Box::new(devmem),
            })
        })
    }

    fn of_file(kind: Kind, file: MemoryFile) -> Self {
        Self {
            kind,
            ranges: file.segments.ranges(),
            memory: Memory::File(file),
        }
    }

    fn pages(folder: &Path) -> Result<Self, ImageError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => Ok(bytes),
                Err(source) => Err(ImageError::File { path, source }),
            }
        };
        let index = read("index.txt")?;
        let index = String::from_utf8_lossy(&index);
        let pages = PageImage::new(PAGE_SIZE, &index, read("pages.bin")?);
        let pages = pages.map_err(|source| ImageError::Index {
            path: folder.join("index.txt"),
            source,
        })?;
        let page_bytes = PAGE_SIZE.bytes() as u64;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for PhysAddr(addr) in pages.addresses() {
            match ranges.last_mut() {
                Some(last) if last.end == addr => last.end = addr + page_bytes,
                _ => ranges.push(addr..addr.saturating_add(page_bytes)),
            }
        }
        Ok(Self {
            kind: Kind::Pages,
            memory: Memory::Pages(pages),
            ranges,
        })
    }

    /// What it is kept in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Memory that is in it, in bytes, ascending.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Where the next byte is, from `addr` on, that is not in a hole of a file: what is before it is
    /// zeros. At most the end of the range `addr` is in.
    pub(crate) fn next_data(&self, addr: u64) -> u64 {
        match &self.memory {
            Memory::File(file) => file.next_data(addr),
            Memory::Pages(_) => addr,
        }
    }

    /// Fills `bytes` from `addr` as far as there is memory; how far.
    pub(crate) fn read_some(&self, addr: u64, bytes: &mut [u8]) -> usize {
        match &self.memory {
            // What cannot be read is not there: of a running kernel some pages cannot.
            Memory::File(file) => file.read(addr, bytes).unwrap_or(0),
            Memory::Pages(pages) => match pages.read(PhysAddr(addr), bytes) {
                Ok(()) => bytes.len(),
                Err(_) => 0,
            },
        }
    }
}

impl PhysMem for Image {
    fn page_size(&self) -> PageSize {
        PAGE_SIZE
    }

    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool {
        match &self.memory {
            // How much memory there was is not known.
            Memory::Pages(pages) => pages.is_memory(addr, bytes),
            Memory::File(_) => {
                let after = self.ranges.partition_point(|range| range.start <= addr.0);
                let range = after.checked_sub(1).and_then(|at| self.ranges.get(at));
                let end = addr.0.checked_add(bytes);
                range.zip(end).is_some_and(|(range, end)| end <= range.end)
            }
        }
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        if self.read_some(addr.0, bytes) == bytes.len() {
            Ok(())
        } else {
            Err(MemError {
                addr,
                len_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            })
        }
    }
}

//! Files of memory: ELF dumps, raw images, and `/dev/mem`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;

use object::elf::{ELFMAG, ET_CORE, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::error::ImageError;
use crate::iomem;
use crate::segments::{Segment, Segments};

/// Header of what `makedumpfile` writes without `-E`.
const KDUMP_MAGIC: &[u8; 8] = b"KDUMP   ";
const DISKDUMP_MAGIC: &[u8; 8] = b"DISKDUMP";
/// Physical address of a segment that has none (`fs/proc/kcore.c`, v7.3).
const NO_ADDRESS: u64 = u64::MAX;

/// Below it firmware is, which is always shown.
const FIRST_MIB: u64 = 1 << 20;

/// Memory in a file.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    file: File,
    pub(crate) segments: Segments,
}

/// What a file is.
pub(crate) enum Format {
    Elf,
    Raw,
    /// A device: memory of the running kernel.
    Device,
}

impl MemoryFile {
    pub(crate) fn open(path: &Path) -> Result<(Self, Format), ImageError> {
        let error = |source| ImageError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        if metadata.file_type().is_char_device() {
            let segments = device_segments(&file, path)?;
            return Ok((Self { file, segments }, Format::Device));
        }
        let mut head = [0; 8];
        let read = file.read_at(&mut head, 0).map_err(error)?;
        if read == 0 {
            return Err(ImageError::Empty {
                path: path.to_owned(),
            });
        }
        if &head == KDUMP_MAGIC || &head == DISKDUMP_MAGIC {
            return Err(ImageError::Compressed {
                path: path.to_owned(),
            });
        }
        let (segments, format) = if head.starts_with(&ELFMAG) {
            (load_segments(&file, path)?, Format::Elf)
        } else {
            let bytes = metadata.len();
            let whole = Segment {
                addr: 0,
                bytes,
                offset: 0,
            };
            (vec![whole], Format::Raw)
        };
        let segments = Segments::new(segments);
        Ok((Self { file, segments }, format))
    }

    /// Where the next byte is that is not in a hole of the file; at most the end of the segment.
    pub(crate) fn next_data(&self, addr: u64) -> u64 {
        let Some((offset, left)) = self.segments.place(addr) else {
            return addr;
        };
        let skipped = match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.saturating_sub(offset).min(left),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => left,
            // Not every file system knows.
            Err(_) => 0,
        };
        addr.saturating_add(skipped)
    }

    /// Fills `bytes` from `addr`; not all of it when the memory ends before.
    pub(crate) fn read(&self, addr: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = addr.checked_add(u64::try_from(done).unwrap_or(u64::MAX));
            let Some((offset, left)) = at.and_then(|at| self.segments.place(at)) else {
                break;
            };
            let here = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match rest.get_mut(..here) {
                Some(here) => self.file.read_at(here, offset)?,
                None => 0,
            };
            if read == 0 {
                // The file is shorter than its headers say.
                break;
            }
            done += read;
        }
        Ok(done)
    }
}

/// Memory as `/proc/iomem` has it, if the first page that is no firmware's can be read: the rest is
/// refused or shown with it (`devmem_is_allowed()`, v7.3).
fn device_segments(file: &File, path: &Path) -> Result<Segments, ImageError> {
    let text = std::fs::read_to_string(iomem::PATH).map_err(|source| ImageError::File {
        path: iomem::PATH.into(),
        source,
    })?;
    let segments = iomem::segments(&text)?;
    let first = segments.iter().find(|segment| segment.addr >= FIRST_MIB);
    let addr = first.map_or(0, |segment| segment.addr);
    if file.read_at(&mut [0], addr).is_ok_and(|read| read == 1) {
        Ok(Segments::new(segments))
    } else {
        Err(ImageError::Restricted {
            path: path.to_owned(),
            addr,
        })
    }
}

fn load_segments(file: &File, path: &Path) -> Result<Vec<Segment>, ImageError> {
    let bad = |why: &dyn ToString| ImageError::Elf {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache).map_err(|error| bad(&error))?;
    let endian = header.endian().map_err(|error| bad(&error))?;
    if header.e_type(endian) != ET_CORE {
        return Err(bad(&"it is a program or library, no dump of memory"));
    }
    let headers = header.program_headers(endian, &cache);
    let headers = headers.map_err(|error| bad(&error))?;
    let segments = headers
        .iter()
        .filter(|header| header.p_type(endian) == PT_LOAD)
        .filter(|header| header.p_paddr(endian) != NO_ADDRESS)
        .map(|header| Segment {
            addr: header.p_paddr(endian),
            bytes: header.p_filesz(endian),
            offset: header.p_offset(endian),
        })
        .filter(|segment| segment.addr.checked_add(segment.bytes).is_some())
        .filter(|segment| segment.offset.checked_add(segment.bytes).is_some())
        .collect();
    Ok(segments)
}

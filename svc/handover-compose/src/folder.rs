//! A handover in a folder: `pages.bin`, `index.txt`, `handoff.json`.
//!
//! The first two are a folder of pages as crate `memory-image` reads it: a line of the index is a
//! physical address and the number of its page in `pages.bin`. All pages of zeros are one page
//! there. The third is what a boot needs beside the pages; it is written last.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use handoff::{Content, E820Entry, E820Kind, Handover, MemoryMap};
use handover::PageImage;
use kho::{Area, PageSize, PhysAddr, ScratchAreas};
use serde::{Deserialize, Serialize};

use crate::compose::Composition;
use crate::error::FolderError;

const PAGES: &str = "pages.bin";
const INDEX: &str = "index.txt";
const DESCRIPTION: &str = "handoff.json";
/// Format of the description; changes when a reader of before would misread it.
const FORMAT: u32 = 1;
const PAGE: u64 = 4096;
const ZEROS: [u8; 4096] = [0; 4096];

/// What is in `handoff.json`. Addresses are text like `0x5cc000`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: u32,
    fdt: Address,
    scratch: Vec<AreaText>,
    memory_map: Vec<RangeText>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AreaText {
    addr: Address,
    bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct RangeText {
    addr: Address,
    bytes: u64,
    /// The number of `struct boot_e820_entry`.
    kind: u32,
}

/// An address as text: many readers of JSON have no integers of 64 bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Address(u64);

impl From<Address> for String {
    fn from(addr: Address) -> Self {
        format!("{:#x}", addr.0)
    }
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let digits = text.strip_prefix("0x").unwrap_or_default();
        let addr = u64::from_str_radix(digits, 16).ok().map(Self);
        addr.ok_or("no address like 0x5cc000")
    }
}

impl Composition {
    /// Writes the handover into a folder, which is made if it is not there. A handover that is in
    /// it is replaced.
    ///
    /// # Errors
    /// [`FolderError`]; then the folder has no `handoff.json`.
    pub fn save(&self, folder: &Path) -> Result<(), FolderError> {
        let writing = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Write { path, source }
        };
        let path = folder.join(DESCRIPTION);
        fs::create_dir_all(folder).map_err(writing(folder))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(writing(&path)(error));
            }
            _ => {}
        }
        let handover = self.handover()?;
        let pages = folder.join(PAGES);
        let index = write_pages(&handover, &pages).map_err(writing(&pages))?;
        let index_path = folder.join(INDEX);
        fs::write(&index_path, index).map_err(writing(&index_path))?;
        let description = serde_json::to_vec_pretty(&self.description());
        let description = description.map_err(|error| writing(&path)(error.into()))?;
        fs::write(&path, description).map_err(writing(&path))
    }

    fn description(&self) -> Description {
        let area = |area: &Area| AreaText {
            addr: Address(area.addr.0),
            bytes: area.bytes,
        };
        let range = |entry: &E820Entry| RangeText {
            addr: Address(entry.addr.0),
            bytes: entry.bytes,
            kind: entry.kind.0,
        };
        Description {
            format: FORMAT,
            fdt: Address(self.fdt().0),
            scratch: self.scratch().areas().iter().map(area).collect(),
            memory_map: self.map().entries().iter().map(range).collect(),
        }
    }
}

/// Writes the pages; their index.
fn write_pages(handover: &Handover<'_>, path: &Path) -> io::Result<String> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut index = String::new();
    // Page 0 is the one of zeros.
    out.write_all(&ZEROS)?;
    let mut count = 1_u64;
    for content in &handover.content {
        let mut chunks = content.bytes.chunks(ZEROS.len());
        for offset in (0..content.len_bytes).step_by(ZEROS.len()) {
            let addr = content.addr.0.saturating_add(offset);
            let bytes = chunks.next().unwrap_or_default();
            let number = if bytes.iter().all(|&byte| byte == 0) {
                0
            } else {
                out.write_all(bytes)?;
                out.write_all(ZEROS.get(bytes.len()..).unwrap_or_default())?;
                count += 1;
                count - 1
            };
            // Writing to a string cannot fail.
            let _infallible = writeln!(index, "{addr:#x} {number}");
        }
    }
    out.flush()?;
    Ok(index)
}

/// A handover that was read from a folder.
#[derive(Debug)]
pub struct Saved {
    pages: PageImage,
    fdt: PhysAddr,
    scratch: ScratchAreas,
    map: MemoryMap,
}

impl Saved {
    /// Reads a folder that [`Composition::save`] has written, wholly into memory.
    ///
    /// What the handover consists of is not checked: `handover::examine` does, and `handoff`
    /// whether it can be booted.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let (path, description) = describe(folder)?;
        let entry = |range: &RangeText| E820Entry {
            addr: PhysAddr(range.addr.0),
            bytes: range.bytes,
            kind: E820Kind(range.kind),
        };
        let map = MemoryMap::new(description.memory_map.iter().map(entry).collect());
        let map = map.map_err(|source| FolderError::Map { path, source })?;
        let index_path = folder.join(INDEX);
        let index = read(&index_path)?;
        let index = String::from_utf8_lossy(&index);
        let pages = PageImage::new(PageSize::Size4K, &index, read(&folder.join(PAGES))?);
        let pages = pages.map_err(|source| FolderError::Index {
            path: index_path,
            source,
        })?;
        Ok(Self {
            pages,
            fdt: PhysAddr(description.fdt.0),
            scratch: areas(&description),
            map,
        })
    }

    /// Only the scratch areas of a folder; `None` of one that has pages and nothing else.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn scratch_of(folder: &Path) -> Result<Option<ScratchAreas>, FolderError> {
        if !folder.join(DESCRIPTION).exists() {
            return Ok(None);
        }
        Ok(Some(areas(&describe(folder)?.1)))
    }

    /// The memory of the machine it was composed for.
    pub const fn map(&self) -> &MemoryMap {
        &self.map
    }

    /// The pages.
    pub const fn pages(&self) -> &PageImage {
        &self.pages
    }

    /// The handover itself. Zeros have no content.
    pub fn handover(&self) -> Handover<'_> {
        let mut content: Vec<Content<'_>> = Vec::new();
        for (addr, bytes) in self.pages.pages() {
            let is_zeros = bytes.iter().all(|&byte| byte == 0);
            match content.last_mut() {
                Some(last) if is_zeros && last.addr.0.saturating_add(last.len_bytes) == addr.0 => {
                    last.len_bytes = last.len_bytes.saturating_add(PAGE);
                }
                _ => content.push(Content {
                    addr,
                    bytes: if is_zeros { &[] } else { bytes },
                    len_bytes: PAGE,
                }),
            }
        }
        Handover {
            fdt: self.fdt,
            scratch: &self.scratch,
            content,
        }
    }
}

fn areas(description: &Description) -> ScratchAreas {
    let area = |area: &AreaText| Area {
        addr: PhysAddr(area.addr.0),
        bytes: area.bytes,
    };
    ScratchAreas::new(description.scratch.iter().map(area).collect())
}

/// The description, with its path.
fn describe(folder: &Path) -> Result<(PathBuf, Description), FolderError> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    let path = folder.join(DESCRIPTION);
    let bytes = read(&path)?;
    let wrap = |source| FolderError::Description {
        path: path.clone(),
        source,
    };
    let found = serde_json::from_slice::<Any>(&bytes).map_err(wrap)?.format;
    if found != FORMAT {
        return Err(FolderError::Format {
            path,
            found,
            supported: FORMAT,
        });
    }
    let description = serde_json::from_slice(&bytes).map_err(wrap)?;
    Ok((path, description))
}

fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    fs::read(path).map_err(|source| FolderError::Read {
        path: path.to_owned(),
        source,
    })
}

//! Some pages of a memory, with their addresses.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kho::{MemError, PageSize, PhysAddr, PhysMem};

/// Pages somebody has saved: what was not saved cannot be read.
///
/// How much memory there was is not known, so every address counts as memory.
#[derive(Clone, Debug)]
pub struct PageImage {
    page_size: PageSize,
    /// Where in `bytes` the page of an address starts.
    pages: BTreeMap<u64, usize>,
    bytes: Vec<u8>,
}

/// What is wrong with an index of pages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageIndexError {
    /// A line is no address and number.
    #[error("line {line} is no physical address (hexadecimal) and page number")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// An address is not that of a page.
    #[error("line {line}: no page starts at {addr}")]
    Misaligned {
        /// Its number, from 1.
        line: usize,
        /// The address.
        addr: PhysAddr,
    },
    /// A page is listed twice.
    #[error("line {line}: the page at {addr} is listed twice")]
    Twice {
        /// Its number, from 1.
        line: usize,
        /// The address.
        addr: PhysAddr,
    },
    /// A page is not in the file of pages.
    #[error("line {line}: page {number} is behind the end of the pages, there are {pages}")]
    Behind {
        /// Its number, from 1.
        line: usize,
        /// The page's number, from 0.
        number: usize,
        /// Pages there are.
        pages: usize,
    },
}

impl PageImage {
    /// Pages `bytes` with the index `index`: a line for each, its physical address in hexadecimal
    /// and its number among the pages, from 0.
    ///
    /// # Errors
    /// [`PageIndexError`].
    pub fn new(page_size: PageSize, index: &str, bytes: Vec<u8>) -> Result<Self, PageIndexError> {
        let page_bytes = page_size.bytes();
        let there_are = bytes.len().checked_div(page_bytes).unwrap_or(0);
        let mut pages = BTreeMap::new();
        for (line, text) in (1_usize..).zip(index.lines()) {
            let mut words = text.split_ascii_whitespace();
            let addr = words.next().map(|word| word.trim_start_matches("0x"));
            let addr = addr.and_then(|addr| u64::from_str_radix(addr, 16).ok());
            let number = words.next().and_then(|number| number.parse().ok());
            let (Some(addr), Some(number), None) = (addr, number, words.next()) else {
                return Err(PageIndexError::Line { line });
            };
            let addr = PhysAddr(addr);
            if !addr.is_page_aligned(page_size) {
                return Err(PageIndexError::Misaligned { line, addr });
            }
            if number >= there_are {
                return Err(PageIndexError::Behind {
                    line,
                    number,
                    pages: there_are,
                });
            }
            let start = number.saturating_mul(page_bytes);
            if pages.insert(addr.0, start).is_some() {
                return Err(PageIndexError::Twice { line, addr });
            }
        }
        Ok(Self {
            page_size,
            pages,
            bytes,
        })
    }

    /// The same pages with other bytes at some addresses; what is outside of the pages is ignored.
    #[cfg(test)]
    pub(crate) fn with(mut self, changes: &[(u64, Vec<u8>)]) -> Self {
        for (addr, bytes) in changes {
            for (at, &byte) in (*addr..).zip(bytes) {
                let page = at & !0xfff;
                if let Some(start) = self.pages.get(&page) {
                    self.bytes[start + usize::try_from(at - page).unwrap()] = byte;
                }
            }
        }
        self
    }

    /// Addresses of the pages, ascending.
    pub fn addresses(&self) -> impl Iterator<Item = PhysAddr> {
        self.pages.keys().map(|&addr| PhysAddr(addr))
    }

    /// The pages with their content, ascending by address.
    pub fn pages(&self) -> impl Iterator<Item = (PhysAddr, &[u8])> {
        self.pages.iter().map(|(&addr, &start)| {
            let end = start.saturating_add(self.page_size.bytes());
            // The index was checked against the pages.
            (
                PhysAddr(addr),
                self.bytes.get(start..end).unwrap_or_default(),
            )
        })
    }
}

impl PhysMem for PageImage {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn is_memory(&self, addr: PhysAddr, bytes: u64) -> bool {
        addr.checked_add(bytes).is_some()
    }

    fn read(&self, addr: PhysAddr, bytes: &mut [u8]) -> Result<(), MemError> {
        let out = MemError {
            addr,
            len_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        };
        let mut at = addr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = at.pfn(self.page_size).addr(self.page_size).ok_or(out)?;
            let start = *self.pages.get(&page.0).ok_or(out)?;
            let offset = usize::try_from(at.0.saturating_sub(page.0)).map_err(|_large| out)?;
            let left = self.page_size.bytes().saturating_sub(offset);
            let here = left.min(rest.len());
            let from = start.saturating_add(offset);
            let from = self.bytes.get(from..from.saturating_add(here)).ok_or(out)?;
            let (now, later) = rest.split_at_mut(here);
            now.copy_from_slice(from);
            rest = later;
            at = at
                .checked_add(u64::try_from(here).unwrap_or(u64::MAX))
                .ok_or(out)?;
        }
        Ok(())
    }
}

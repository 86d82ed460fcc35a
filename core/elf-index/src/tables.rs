//! Reading tables out of the bytes of a file, with every number checked.

use core::ffi::CStr;

use object::Pod;
use object::read::ReadRef as _;

use crate::error::{Error, Table};

/// Where a table is meant to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) table: Table,
    pub(crate) section: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Extent {
    pub(crate) fn bytes(self, data: &[u8]) -> Result<&[u8], Error> {
        data.read_bytes_at(self.offset, self.len)
            .map_err(|()| self.outside(data))
    }

    /// The entries of a table; bytes behind the last whole one do not count.
    pub(crate) fn entries<T: Pod>(self, data: &[u8]) -> Result<&[T], Error> {
        let bytes = self.bytes(data)?;
        let count = bytes.len().checked_div(size_of::<T>()).unwrap_or(0);
        object::pod::slice_from_bytes(bytes, count)
            .map(|(entries, _rest)| entries)
            .map_err(|()| self.outside(data))
    }

    fn outside(self, data: &[u8]) -> Error {
        Error::Outside {
            table: self.table,
            section: self.section,
            offset: self.offset,
            len: self.len,
            file: u64::try_from(data.len()).unwrap_or(u64::MAX),
        }
    }
}

/// The name at an offset of a table of names.
pub(crate) fn name(names: &[u8], offset: u32, table: Table, entry: u64) -> Result<&str, Error> {
    let wrong = Error::Name {
        table,
        entry,
        offset,
    };
    // A file without names has no table of them; offset 0 is the empty name everywhere.
    if offset == 0 && names.is_empty() {
        return Ok("");
    }
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| names.get(offset..))
        .ok_or(wrong)?;
    let name = CStr::from_bytes_until_nul(rest).ok().ok_or(wrong)?;
    name.to_str().ok().ok_or(wrong)
}

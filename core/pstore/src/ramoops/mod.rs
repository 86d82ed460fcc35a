//! The memory of ramoops, the backend that keeps records in a region of plain memory.
//!
//! The region is divided into *zones*: first those of dumps, then console, pmsg and ftrace. A zone is a header of
//! 12 bytes and a ring of data; with ECC (`ramoops.ecc`), parity of the data and of the header stands at its end.
//!
//! Source: `fs/pstore/ram.c`, `fs/pstore/ram_core.c`, v7.3.

mod geometry;
mod image;
mod zone;

pub use geometry::{Ecc, Geometry, GeometryError, Parameters, Zone, ZoneKind, rounded_down};
pub use image::{RegionRecord, ZoneRead, ZoneState, records};
pub use zone::{HEADER_BYTES, SIGNATURE, ZoneError, ring};

//! What the v4 series hands over: an FDT `luo-v1`, one of the sessions, and two kinds of entries.
//!
//! Source: LUO v4 series, `luo_core.c`, `luo_subsystems.c`, `luo_session.c` (patch 11),
//! `luo_file.c` (patch 13). Files are handed over by the handlers of the mainline dialect
//! (`memfd-v2`), not by those of the series: both kernels of such an update are of this crate.

use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::{Node as _, Property as _};
use kho::fdt::{self, Layout, Node};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::boot_error::BootError;

/// Version of the root.
pub(super) const COMPATIBLE: &str = "luo-v1";
/// Name of the subsystem that sessions are, and version of its FDT.
pub(super) const SESSIONS: &str = "luo-session-v1";
/// Bytes of a session's name with its NUL.
pub(super) const NAME_LENGTH: usize = 56;

const SUBSYSTEMS_NODE: &str = "subsystems";
const SUBSYSTEMS_COMPATIBLE: &str = "subsystems-v1";

/// One session; `struct luo_session_ser`, packed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(super) struct SessionSer {
    /// Name, NUL-terminated; empty of a session that was closed after it was prepared.
    pub(super) name: [u8; NAME_LENGTH],
    /// Physical address of its files; 0 when there is none.
    pub(super) files: u64,
    /// Always 0: the series forgets to set it.
    pub(super) pgcnt: u64,
    /// Files.
    pub(super) count: u64,
}

const _: () = assert!(size_of::<SessionSer>() == 80);

/// The FDT of the sessions. Its integers are big-endian, unlike those of KHO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionsFdt {
    /// Entries.
    pub(super) count: u64,
    /// Physical address of the first one; 0 when there is none.
    pub(super) data: u64,
    /// Pages they take.
    pub(super) pgcnt: u64,
}

fn with_nul(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

impl SessionsFdt {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        // The series names this root `luo-session`, which is no root to other readers.
        let node = Node::new("")
            .with("compatible", &with_nul(SESSIONS))
            .with("count", &self.count.to_be_bytes())
            .with("data", &self.data.to_be_bytes())
            .with("pgcnt", &self.pgcnt.to_be_bytes());
        node.to_fdt(&[], Layout::Sequential)
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BootError> {
        let fdt = fdt::read(bytes)?;
        let root = fdt.root();
        let property = |name: &str| root.property(name).map(|it| it.value().to_vec());
        check_compatible(property("compatible"), SESSIONS)?;
        let integer = |name: &str| {
            let value = property(name).and_then(|value| value.try_into().ok());
            let missing = || BootError::Property { name: name.into() };
            value.map(u64::from_be_bytes).ok_or_else(missing)
        };
        Ok(Self {
            count: integer("count")?,
            data: integer("data")?,
            pgcnt: integer("pgcnt")?,
        })
    }
}

/// The root: names of subsystems and their words, in the machine's own byte order.
pub(super) fn write_root(words: &[(&str, u64)]) -> Vec<u8> {
    let subsystems =
        Node::new(SUBSYSTEMS_NODE).with("compatible", &with_nul(SUBSYSTEMS_COMPATIBLE));
    let subsystems = words.iter().fold(subsystems, |node, (name, word)| {
        node.with(name, &word.to_ne_bytes())
    });
    let mut root = Node::new("").with("compatible", &with_nul(COMPATIBLE));
    root.children.push(subsystems);
    root.to_fdt(&[], Layout::Sequential)
}

/// Reads the root: names of subsystems and their words; those without 8 bytes are left out.
pub(super) fn read_root(bytes: &[u8]) -> Result<Vec<(String, u64)>, BootError> {
    let fdt = fdt::read(bytes)?;
    let root = fdt.root();
    let compatible = root.property("compatible").map(|it| it.value().to_vec());
    check_compatible(compatible, COMPATIBLE)?;
    let node = root.children().find(|node| node.name() == SUBSYSTEMS_NODE);
    let missing = || BootError::Property {
        name: SUBSYSTEMS_NODE.into(),
    };
    let node = node.ok_or_else(missing)?;
    let compatible = node.property("compatible").map(|it| it.value().to_vec());
    check_compatible(compatible, SUBSYSTEMS_COMPATIBLE)?;
    let word = |value: &[u8]| Some(u64::from_ne_bytes(value.try_into().ok()?));
    let words = node.properties();
    Ok(words
        .filter_map(|it| Some((it.name().into(), word(it.value())?)))
        .collect())
}

fn check_compatible(found: Option<Vec<u8>>, supported: &'static str) -> Result<(), BootError> {
    let found = found.unwrap_or_default();
    let mut elements = found.split(|&byte| byte == 0);
    if elements.any(|one| one == supported.as_bytes()) {
        return Ok(());
    }
    Err(BootError::Incompatible {
        found: String::from_utf8_lossy(&found)
            .trim_end_matches('\0')
            .into(),
        supported,
    })
}

//! The root of a handover: where the tree of preserved memory and the subtrees are.

use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::{Node as _, Property as _};
use kho_abi::PageSize;
use kho_abi::kexec_handover::{
    COMPATIBLE, MEMORY_MAP_PROP_NAME, SUB_TREE_PROP_NAME, SUB_TREE_SIZE_PROP_NAME,
};

use crate::fdt::{self, FdtError, Layout, Node};
use crate::phys::PhysAddr;

/// Order of the string table in what Linux writes: `fdt_create()` fills it from its end,
/// `fdt_setprop()` appends.
const STRINGS: [&str; 4] = [
    MEMORY_MAP_PROP_NAME,
    "compatible",
    SUB_TREE_PROP_NAME,
    SUB_TREE_SIZE_PROP_NAME,
];

/// The root FDT; one page at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFdt {
    /// Root of the tree of preserved memory.
    pub memory_map: PhysAddr,
    /// Subtrees as the FDT has them: the newest first.
    pub subtrees: Vec<Subtree>,
}

/// A node under the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Name, for example `LUO`.
    pub name: String,
    /// Where its blob is; `None` when the property is missing or has not 8 bytes.
    pub data: Option<PhysAddr>,
    /// Bytes of the blob; `None` when the property is missing or has not 8 bytes.
    pub size_bytes: Option<u64>,
}

impl Subtree {
    /// Blob and its bytes, as `kho_retrieve_subtree()` wants both.
    ///
    /// # Errors
    /// [`SubtreeError::Incomplete`].
    pub fn blob(&self) -> Result<(PhysAddr, u64), SubtreeError> {
        let incomplete = |property| SubtreeError::Incomplete {
            name: self.name.clone(),
            property,
        };
        let data = self.data.ok_or_else(|| incomplete(SUB_TREE_PROP_NAME))?;
        let size = self.size_bytes;
        Ok((
            data,
            size.ok_or_else(|| incomplete(SUB_TREE_SIZE_PROP_NAME))?,
        ))
    }
}

impl RootFdt {
    /// Reads the FDT at the start of `bytes`, by the rules of `kho_populate()` and
    /// `kho_get_mem_map_phys()` (`kernel/liveupdate/kexec_handover.c`, v7.3).
    ///
    /// # Errors
    /// [`RootFdtError`]: a kernel that finds this boots as if there were no handover.
    pub fn read(bytes: &[u8]) -> Result<Self, RootFdtError> {
        let fdt = fdt::read(bytes)?;
        let root = fdt.root();
        let found = root.property("compatible");
        let found = found.as_ref().map(|found| found.value());
        let found = found.unwrap_or_default();
        // Any element of the list will do.
        if !found
            .split_inclusive(|&byte| byte == 0)
            .any(|one| one.strip_suffix(&[0]) == Some(COMPATIBLE.as_bytes()))
        {
            return Err(RootFdtError::Compatible {
                found: String::from_utf8_lossy(found).trim_end_matches('\0').into(),
            });
        }
        let map = root.property(MEMORY_MAP_PROP_NAME);
        let map = map.as_ref().ok_or(RootFdtError::NoMemoryMap)?.value();
        let memory_map = native_u64(map).ok_or(RootFdtError::MemoryMapLength {
            found_bytes: map.len(),
        })?;
        if memory_map == 0 {
            return Err(RootFdtError::NoMemoryMap);
        }
        let subtrees = root
            .children()
            .map(|node| {
                let value = |name| native_u64(node.property(name)?.value());
                Subtree {
                    name: node.name().into(),
                    data: value(SUB_TREE_PROP_NAME).map(PhysAddr),
                    size_bytes: value(SUB_TREE_SIZE_PROP_NAME),
                }
            })
            .collect();
        Ok(Self {
            memory_map: PhysAddr(memory_map),
            subtrees,
        })
    }

    /// The FDT as Linux 7.3 writes it, packed.
    ///
    /// # Errors
    /// [`SubtreeError::Full`]: it would not fit in a page. [`SubtreeError::Incomplete`].
    pub fn to_bytes(&self, page_size: PageSize) -> Result<Vec<u8>, SubtreeError> {
        let mut compatible = COMPATIBLE.as_bytes().to_vec();
        compatible.push(0);
        let mut root = Node::new("")
            .with("compatible", &compatible)
            .with(MEMORY_MAP_PROP_NAME, &self.memory_map.0.to_ne_bytes());
        for subtree in &self.subtrees {
            let (data, size) = subtree.blob()?;
            // The kernel sets the size last and libfdt puts a new property first.
            let node = Node::new(&subtree.name)
                .with(SUB_TREE_SIZE_PROP_NAME, &size.to_ne_bytes())
                .with(SUB_TREE_PROP_NAME, &data.0.to_ne_bytes());
            root.children.push(node);
        }
        let bytes = root.to_fdt(&STRINGS, Layout::Packed);
        if bytes.len() > page_size.bytes() {
            return Err(SubtreeError::Full {
                wanted_bytes: bytes.len(),
            });
        }
        Ok(bytes)
    }

    /// The subtree of a name.
    pub fn subtree(&self, name: &str) -> Option<&Subtree> {
        self.subtrees.iter().find(|subtree| subtree.name == name)
    }

    /// Adds a subtree.
    ///
    /// # Errors
    /// [`SubtreeError::Exists`], [`SubtreeError::Full`]; then nothing is added.
    pub fn add(
        &mut self,
        name: &str,
        data: PhysAddr,
        size_bytes: u64,
        page_size: PageSize,
    ) -> Result<(), SubtreeError> {
        if self.subtree(name).is_some() {
            return Err(SubtreeError::Exists { name: name.into() });
        }
        let subtree = Subtree {
            name: name.into(),
            data: Some(data),
            size_bytes: Some(size_bytes),
        };
        self.subtrees.insert(0, subtree);
        if let Err(full) = self.to_bytes(page_size) {
            self.subtrees.remove(0);
            return Err(full);
        }
        Ok(())
    }

    /// Removes the first subtree whose blob is at `data`; whether there was one.
    pub fn remove(&mut self, data: PhysAddr) -> Option<Subtree> {
        let at = self
            .subtrees
            .iter()
            .position(|tree| tree.data == Some(data))?;
        Some(self.subtrees.remove(at))
    }
}

/// The value of a property that is one integer of the machine's own byte order.
pub(crate) fn native_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(value.try_into().ok()?))
}

/// What is wrong with a root FDT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootFdtError {
    /// It is no FDT.
    #[error(transparent)]
    Fdt(#[from] FdtError),
    /// It is of another version.
    #[error("the handover is \"{found}\", supported is \"{COMPATIBLE}\"")]
    Compatible {
        /// What it says it is.
        found: String,
    },
    /// There is no memory map, or its address is 0.
    #[error("the handover has no memory map")]
    NoMemoryMap,
    /// The address of the memory map is not 8 bytes.
    #[error("the address of the memory map has {found_bytes} bytes instead of 8")]
    MemoryMapLength {
        /// Bytes it has.
        found_bytes: usize,
    },
}

/// Why a subtree could not be added or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubtreeError {
    /// The name is taken; the kernel answers `EEXIST`.
    #[error("there is a subtree \"{name}\" already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The FDT would not fit in its page; the kernel answers `ENOMEM`.
    #[error("the root FDT is full: it would have {wanted_bytes} bytes")]
    Full {
        /// Bytes it would have.
        wanted_bytes: usize,
    },
    /// There is none; the kernel answers `ENOENT`.
    #[error("there is no subtree \"{name}\"")]
    Missing {
        /// The name.
        name: String,
    },
    /// A property is missing or has not 8 bytes; the kernel answers `EINVAL`.
    #[error("the subtree \"{name}\" has no proper {property}")]
    Incomplete {
        /// The name.
        name: String,
        /// The property.
        property: &'static str,
    },
    /// Its blob is not in one received block, or no more: it may be anyone's memory. The kernel
    /// does not look.
    #[error(
        "{bytes} bytes at {addr}, the blob of \"{name}\", are in no block that was handed over"
    )]
    NotPreserved {
        /// The name.
        name: String,
        /// Where the blob is.
        addr: PhysAddr,
        /// Bytes of the blob.
        bytes: u64,
    },
}

#[cfg(test)]
mod tests;

//! What a boot loader knows of the machine, read back from the running kernel.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use handoff::{E820Entry, E820Kind, MapError, MemoryMap};
use kho::PhysAddr;

/// Most bytes of a file here: `boot_params` has 4096, a line of the memory map far fewer.
const FILE_LIMIT: u64 = 4096;

/// Where the kernel shows it.
#[derive(Clone, Debug)]
pub struct MachinePaths {
    boot_params: PathBuf,
    memory_map: PathBuf,
}

impl Default for MachinePaths {
    fn default() -> Self {
        Self {
            boot_params: "/sys/kernel/boot_params/data".into(),
            memory_map: "/sys/firmware/memmap".into(),
        }
    }
}

/// The machine's memory and its ACPI root pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The memory, as the firmware told it.
    pub memory_map: MemoryMap,
    /// The ACPI root pointer, if a boot loader told the kernel. UEFI machines have no other way to
    /// find it; on the others the next kernel finds it by itself.
    pub rsdp: Option<PhysAddr>,
}

/// Why the machine is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has something else than was expected.
    #[error("{} has `{}` where a number is expected", path.display(), text.escape_debug())]
    Nonsense {
        /// Which.
        path: PathBuf,
        /// What it has.
        text: String,
    },
    /// The ranges are no memory map.
    #[error("the memory map in {} cannot be used", path.display())]
    Map {
        /// Where it came from.
        path: PathBuf,
        /// Why.
        #[source]
        source: MapError,
    },
}

impl Machine {
    /// Reads `/sys/kernel/boot_params/data` (an x86 kernel's own `boot_params`) and, where the
    /// kernel has it, `/sys/firmware/memmap`.
    ///
    /// The latter is taken first: `boot_params` has room for 128 ranges only and does not tell when
    /// there were more (`append_e820_table` and `SETUP_E820_EXT`, `arch/x86/kernel/e820.c`, v7.3).
    /// `/proc/iomem` would not do: it shows what the running kernel made of the map, hides the
    /// addresses from ordinary users, and calls memory it has given away otherwise.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn read(paths: &MachinePaths) -> Result<Self, MachineError> {
        let boot_params = read(&paths.boot_params)?;
        let (path, map) = match read_memmap(&paths.memory_map)? {
            Some(entries) => (&paths.memory_map, MemoryMap::new(entries)),
            None => (
                &paths.boot_params,
                MemoryMap::from_boot_params(&boot_params),
            ),
        };
        let memory_map = map.map_err(|source| MachineError::Map {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            memory_map,
            rsdp: handoff::rsdp(&boot_params),
        })
    }
}

impl MachinePaths {
    /// Another file than `/sys/kernel/boot_params/data`, another folder than `/sys/firmware/memmap`.
    pub const fn new(boot_params: PathBuf, memory_map: PathBuf) -> Self {
        Self {
            boot_params,
            memory_map,
        }
    }
}

/// The ranges by their numbers; `None` in a kernel without `CONFIG_FIRMWARE_MEMMAP`.
fn read_memmap(folder: &Path) -> Result<Option<Vec<E820Entry>>, MachineError> {
    let wrap = |source| MachineError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrap(error)),
    };
    let mut ranges = Vec::new();
    for entry in entries {
        ranges.push(read_range(&entry.map_err(wrap)?.path())?);
    }
    ranges.sort_unstable_by_key(|range| range.addr);
    Ok(Some(ranges))
}

/// `start`, `end` (the last byte) and `type` of one range (`drivers/firmware/memmap.c`, v7.3).
fn read_range(folder: &Path) -> Result<E820Entry, MachineError> {
    let start = read_number(&folder.join("start"))?;
    let end = read_number(&folder.join("end"))?;
    let kind = read_text(&folder.join("type"))?;
    let bytes = end.checked_sub(start).and_then(|last| last.checked_add(1));
    Ok(E820Entry {
        addr: PhysAddr(start),
        bytes: bytes.ok_or_else(|| MachineError::Nonsense {
            path: folder.join("end"),
            text: format!("{end:#x}, before {start:#x}"),
        })?,
        kind: kind_of(&kind),
    })
}

/// `e820_type_to_string`, `arch/x86/kernel/e820.c`, v7.3. What is not known is not to be touched.
fn kind_of(text: &str) -> E820Kind {
    match text {
        "System RAM" => E820Kind::RAM,
        "ACPI Tables" => E820Kind::ACPI,
        "ACPI Non-volatile Storage" => E820Kind::NVS,
        _ => E820Kind::RESERVED,
    }
}

fn read_number(path: &Path) -> Result<u64, MachineError> {
    let text = read_text(path)?;
    let digits = text.strip_prefix("0x");
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(MachineError::Nonsense {
            path: path.to_owned(),
            text,
        })
}

fn read_text(path: &Path) -> Result<String, MachineError> {
    let bytes = read(path)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, MachineError> {
    let read = || {
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(fs::File::open(path)?, FILE_LIMIT),
            &mut bytes,
        )?;
        Ok(bytes)
    };
    read().map_err(|source| MachineError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: u64 = 0x10_0000;

    /// A `boot_params` with one range of memory, and an ACPI root pointer.
    fn boot_params() -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[0x70..0x78].copy_from_slice(&0xf_5a20_u64.to_le_bytes());
        bytes[0x1e8] = 1;
        bytes[0x2d0..0x2d8].copy_from_slice(&RAM.to_le_bytes());
        bytes[0x2d8..0x2e0].copy_from_slice(&RAM.to_le_bytes());
        bytes[0x2e0] = 1;
        bytes
    }

    fn machine(ranges: &[[&str; 3]]) -> Result<Machine, MachineError> {
        let dir = tempfile::tempdir().unwrap();
        let paths = MachinePaths::new(dir.path().join("data"), dir.path().join("memmap"));
        fs::write(&paths.boot_params, boot_params()).unwrap();
        for (number, texts) in ranges.iter().enumerate() {
            let folder = paths.memory_map.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in ["start", "end", "type"].iter().zip(texts) {
                fs::write(folder.join(name), format!("{text}\n")).unwrap();
            }
        }
        Machine::read(&paths)
    }

    #[test]
    fn boot_params_is_enough() {
        let machine = machine(&[]).unwrap();
        assert_eq!(machine.rsdp, Some(PhysAddr(0xf_5a20)));
        let ram: Vec<_> = machine.memory_map.ram().collect();
        assert_eq!(ram, [(PhysAddr(RAM), RAM)]);
    }

    #[test]
    fn the_firmwares_own_map_comes_first() {
        let machine = machine(&[
            ["0x100000", "0x3fffffff", "System RAM"],
            ["0x0", "0x9fbff", "System RAM"],
            ["0x9fc00", "0x9ffff", "Something New"],
        ])
        .unwrap();
        let ram: Vec<_> = machine.memory_map.ram().collect();
        assert_eq!(ram, [(PhysAddr(0), 0x9_fc00), (PhysAddr(RAM), 0x3ff0_0000)]);
        assert_eq!(machine.memory_map.entries()[1].kind, E820Kind::RESERVED);
    }

    #[test]
    fn nonsense_in_the_map_is_an_error_that_names_the_file() {
        for (range, file) in [
            (["zero", "0xfff", "System RAM"], "start"),
            (["0x1000", "0xfff", "System RAM"], "end"),
        ] {
            let error = machine(&[range]).map(|_| ()).unwrap_err();
            let MachineError::Nonsense { path, .. } = error else {
                panic!("{error}");
            };
            assert!(path.ends_with(file), "{}", path.display());
        }
        let none = machine(&[["0x0", "0xfff", "Reserved"]]).unwrap_err();
        assert!(matches!(
            none,
            MachineError::Map {
                source: MapError::NoRam,
                ..
            }
        ));
    }
}

//! The file handler of memfds and other files of shmem without a name, layout `memfd-v2`
//! (`mm/memfd_luo.c`, v7.3).
//!
//! In the kernel a preserved file *is* its folios. Here the file is outside of the emulated
//! machine: [`FileHandler::preserve`] allocates the folios, [`FileHandler::freeze`] fills them, so
//! that writes in between are carried over, and [`FileHandler::retrieve`] makes a file of them.

mod content;
mod folios;

use alloc::collections::BTreeMap;
use core::fmt;

use kho::{Kho, KhoError, KhoMem, PhysAddr};
use kho_abi::kexec_handover::Vmalloc;
use kho_abi::memfd::{COMPATIBLE, MemfdSer, Seals};

use crate::errno::Errno;
use crate::handler::{Context, FileHandler, RetrieveStatus};
use crate::shmem::{ShmemFiles, ShmemState};
use content::Content;
use folios::Folios;

const SER_BYTES: u64 = 48;
const _: () = assert!(size_of::<MemfdSer>() == 48);

/// Mode of a memfd unless it was made with `MFD_NOEXEC_SEAL` (`mm/memfd.c`).
const MODE_EXECUTABLE: u32 = 0o777;
/// Mode of a memfd made with `MFD_NOEXEC_SEAL`.
const MODE_PLAIN: u32 = 0o666;
/// What `F_SEAL_EXEC` brings on an executable file (`memfd_add_seals()`).
const IMPLIED_BY_EXEC: u32 =
    Seals::SHRINK.0 | Seals::GROW.0 | Seals::WRITE.0 | Seals::FUTURE_WRITE.0;

/// The handler.
pub struct MemfdHandler<W> {
    files: W,
    /// Folios of the preserved files, by their data.
    preserved: BTreeMap<u64, Preserved>,
}

struct Preserved {
    folios: Folios,
    /// The content was copied once, for a jump that failed.
    is_filled: bool,
}

impl<W: ShmemFiles> MemfdHandler<W> {
    /// A handler of the files of this world.
    pub const fn new(files: W) -> Self {
        Self {
            files,
            preserved: BTreeMap::new(),
        }
    }

    fn state(&mut self, file: &W::File) -> Result<ShmemState, Errno> {
        self.files.shmem(file).ok_or(Errno::EINVAL)
    }

    /// Everything of preserve but the freeze of the file.
    fn preserve_frozen<M: KhoMem>(
        &mut self,
        kho: &mut Kho<M>,
        file: &W::File,
    ) -> Result<u64, Errno> {
        let ser_addr = kho.alloc_preserve(SER_BYTES)?;
        let made = self.describe(kho, file).and_then(|(ser, folios)| {
            let written = kho.memory_mut().write_value(ser_addr, &ser);
            written.map_err(KhoError::from)?;
            Ok(folios)
        });
        match made {
            Ok(folios) => {
                let preserved = Preserved {
                    folios,
                    is_filled: false,
                };
                self.preserved.insert(ser_addr.0, preserved);
                Ok(ser_addr.0)
            }
            Err(errno) => {
                kho.unpreserve_free(ser_addr)?;
                Err(errno)
            }
        }
    }

    fn describe<M: KhoMem>(
        &mut self,
        kho: &mut Kho<M>,
        file: &W::File,
    ) -> Result<(MemfdSer, Folios), Errno> {
        let state = self.state(file)?;
        check_seals(state.seals)?;
        let page_bytes = folios::page_bytes(kho);
        if state.size.div_ceil(page_bytes) > u64::from(u32::MAX) {
            return Err(Errno::EFBIG);
        }
        let folios = Folios::preserve(kho, state.size)?;
        let ser = MemfdSer {
            pos: state.pos,
            size: state.size,
            seals: Seals(state.seals),
            flags: 0,
            nr_folios: folios.count(),
            folios: folios.descriptor(),
        };
        Ok((ser, folios))
    }

    /// Makes the file; with the description, which is freed by the caller.
    fn make<M: KhoMem>(
        &mut self,
        context: &mut Context<'_, M>,
        ser: &MemfdSer,
    ) -> Result<W::File, Errno> {
        let kho = &mut *context.kho;
        let content = if ser.nr_folios == 0 {
            Content::empty()
        } else {
            Content::restore(kho, &ser.folios, ser.nr_folios)?
        };
        let made = check_seals(ser.seals.0).and_then(|()| {
            let seals = ser.seals.0;
            let (mode, seals) = if context.defects.exec_seal_seals_writes {
                (MODE_EXECUTABLE, with_implied(seals))
            } else {
                (mode_of(seals), seals)
            };
            let file = self.files.create(ser.size, mode)?;
            content.copy_to(kho, &mut self.files, &file, ser.size)?;
            // A position that no file can have is not set, and nobody hears of it.
            let pos = if i64::try_from(ser.pos).is_ok() {
                ser.pos
            } else {
                0
            };
            self.files.finish_create(&file, pos, seals)?;
            Ok(file)
        });
        // Content is the file's now, or lost.
        content.free(kho);
        made
    }
}

/// Seals that this layout cannot carry are refused.
fn check_seals(seals: u32) -> Result<(), Errno> {
    match Seals(seals).unknown() {
        0 => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn with_implied(seals: u32) -> u32 {
    if Seals(seals).contains(Seals::EXEC) {
        seals | IMPLIED_BY_EXEC
    } else {
        seals
    }
}

/// The mode a file with these seals must have had: an executable one would have more.
fn mode_of(seals: u32) -> u32 {
    if seals == with_implied(seals) {
        MODE_EXECUTABLE
    } else {
        MODE_PLAIN
    }
}

/// Reads a description that was received.
fn read_ser<M: KhoMem>(kho: &Kho<M>, data: u64) -> Result<MemfdSer, Errno> {
    let addr = PhysAddr(data);
    // The kernel reads whatever is there.
    kho.received_bytes(addr).ok_or(Errno::EINVAL)?;
    Ok(kho.memory().read_value(addr).map_err(KhoError::from)?)
}

impl<M: KhoMem, W: ShmemFiles> FileHandler<M, W::File> for MemfdHandler<W> {
    fn compatible(&self) -> &str {
        COMPATIBLE
    }

    fn can_preserve(&mut self, file: &W::File) -> bool {
        self.files.shmem(file).is_some_and(|state| state.links == 0)
    }

    fn id(&mut self, file: &W::File) -> u64 {
        self.files.shmem(file).map_or(0, |state| state.inode)
    }

    fn preserve(&mut self, context: &mut Context<'_, M>, file: &W::File) -> Result<u64, Errno> {
        self.files.freeze(file)?;
        let preserved = self.preserve_frozen(context.kho, file);
        if preserved.is_err() {
            self.files.thaw(file);
        }
        preserved
    }

    fn unpreserve(&mut self, context: &mut Context<'_, M>, file: &W::File, data: u64) {
        if let Some(Preserved { folios, .. }) = self.preserved.remove(&data) {
            self.files.thaw(file);
            folios.unpreserve(context.kho);
            // It was allocated here, and the handover is open.
            context.kho.unpreserve_free(PhysAddr(data)).ok();
        }
    }

    fn freeze(
        &mut self,
        context: &mut Context<'_, M>,
        file: &W::File,
        data: &mut u64,
    ) -> Result<(), Errno> {
        let state = self.state(file)?;
        let preserved = self.preserved.get_mut(data).ok_or(Errno::EINVAL)?;
        let kho = &mut *context.kho;
        let addr = PhysAddr(*data);
        let mut ser: MemfdSer = kho.memory().read_value(addr).map_err(KhoError::from)?;
        // The world did not hold it: better no jump than a part of the file.
        if state.size != ser.size {
            return Err(Errno::EIO);
        }
        ser.pos = state.pos;
        if !context.defects.seals_are_of_preserve {
            check_seals(state.seals)?;
            ser.seals = Seals(state.seals);
        }
        preserved
            .folios
            .fill(kho, &mut self.files, file, state.size, preserved.is_filled)?;
        preserved.is_filled = true;
        let written = kho.memory_mut().write_value(addr, &ser);
        Ok(written.map_err(KhoError::from)?)
    }

    fn retrieve(&mut self, context: &mut Context<'_, M>, data: u64) -> Result<W::File, Errno> {
        let ser = read_ser(context.kho, data)?;
        let made = self.make(context, &ser);
        context.kho.restore_free(PhysAddr(data))?;
        made
    }

    fn finish(
        &mut self,
        context: &mut Context<'_, M>,
        _: Option<&W::File>,
        data: u64,
        status: RetrieveStatus,
    ) {
        if status != RetrieveStatus::NotTried {
            return;
        }
        let kho = &mut *context.kho;
        if let Ok(ser) = read_ser(kho, data) {
            if ser.nr_folios != 0
                && let Ok(content) = Content::restore(kho, &ser.folios, ser.nr_folios)
            {
                content.free(kho);
            }
            // It was received, as just seen.
            kho.restore_free(PhysAddr(data)).ok();
        }
    }
}

/// The descriptor of an empty file.
const NO_AREA: Vmalloc = Vmalloc {
    first: 0,
    total_pages: 0,
    flags: kho_abi::kexec_handover::VmallocFlags(0),
    order: 0,
};

impl<W> fmt::Debug for MemfdHandler<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.preserved.len();
        f.debug_struct("MemfdHandler")
            .field("preserved", &count)
            .finish_non_exhaustive()
    }
}

//! The kernel of one generation: KHO, LUO and the image for the next.

use kho::{
    Boot, Handoff, Kho, KhoDefects, KhoError, Lifecycle, PhysAddr, PhysMem as _, PhysMemMut as _,
    ScratchAreas, SparseMemory,
};
use kho_abi::luo::LuoSer;
use luo::{BootError, Defects, Dialect, Luo, MemfdHandler};

use crate::files::{Files, Grown, OpenFile};
use crate::inject::Part;
use crate::ram::{self, MemorySize};

/// Which kernel is emulated.
#[derive(Clone, Debug, Default)]
pub struct KernelConfig {
    /// Memory of the machine.
    pub memory: MemorySize,
    /// Which LUO it has.
    pub dialect: Dialect,
    /// Defects of LUO to reproduce.
    pub luo_defects: Defects,
    /// Defects of KHO to reproduce.
    pub kho_defects: KhoDefects,
}

/// The kernel does not come up: Linux panics here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Panic {
    /// No memory, or memory that is not there.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// LUO cannot go on with what it received.
    #[error(transparent)]
    Luo(#[from] BootError),
    /// The memfd handler cannot be registered.
    #[error("the memfd handler: {0}")]
    Handler(luo::Errno),
}

/// An image for the next kernel, as it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) cmdline: Vec<u8>,
    /// Of the kernel in it, when it is one.
    release: Option<String>,
    /// What of KHO it was given: latched at the load.
    handoff: Option<Handoff>,
}

/// What is left of a generation after the jump.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) memory: SparseMemory,
    pub(crate) handoff: Option<Handoff>,
    pub(crate) cmdline: Vec<u8>,
    /// Of the image jumped to.
    pub(crate) release: Option<String>,
}

/// The kernel.
pub(crate) struct Kernel {
    pub(crate) luo: Luo<SparseMemory, OpenFile>,
    pub(crate) dialect: Dialect,
    pub(crate) files: Files,
    pub(crate) image: Option<Image>,
    pub(crate) cmdline: Vec<u8>,
    pub(crate) release: String,
    /// Kexecs since the cold boot.
    pub(crate) kexec_count: u32,
    scratch: ScratchAreas,
    /// Bytes of the FDT that debugfs shows, 0 for no file; all without the defect.
    debugfs_fdt: Option<usize>,
}

/// How a kernel came up.
pub(crate) struct Started {
    pub(crate) kernel: Kernel,
    /// Why a handover was not received.
    pub(crate) refused: Option<kho::BootError>,
}

impl Kernel {
    /// Switches a machine on.
    pub(crate) fn cold(
        config: &KernelConfig,
        cmdline: Vec<u8>,
        release: String,
    ) -> Result<Started, Panic> {
        let memory = ram::fresh(config.memory);
        let scratch = ram::scratch(&memory);
        let remains = Remains {
            memory,
            handoff: None,
            cmdline,
            release: None,
        };
        Self::start(config, remains, scratch, release)
    }

    /// Starts on what the kernel before left; it has `release` unless the image says another.
    pub(crate) fn warm(
        config: &KernelConfig,
        remains: Remains,
        release: String,
    ) -> Result<Started, Panic> {
        let scratch = match &remains.handoff {
            Some(handoff) => ScratchAreas::new(handoff.scratch.clone()),
            None => ram::scratch(&remains.memory),
        };
        let release = remains.release.clone().unwrap_or(release);
        Self::start(config, remains, scratch, release)
    }

    fn start(
        config: &KernelConfig,
        remains: Remains,
        scratch: ScratchAreas,
        release: String,
    ) -> Result<Started, Panic> {
        let Remains {
            mut memory,
            handoff,
            cmdline,
            release: _,
        } = remains;
        ram::power_on(&mut memory, &scratch);
        let lifecycle = match config.dialect {
            Dialect::Mainline => Lifecycle::Stateless,
            Dialect::V4 => Lifecycle::Finalize,
        };
        let kho_config = kho::Config {
            lifecycle,
            defects: config.kho_defects,
            ..kho::Config::default()
        };
        let (mut kho, boot) = Kho::start(memory, scratch.clone(), handoff.as_ref(), kho_config)?;
        let refused = match boot {
            Boot::Refused(why) => Some(why),
            Boot::Cold | Boot::Handover => None,
        };
        let kexec_count = kho.received_metadata().map_or(0, |found| found.kexec_count);
        kho.announce_metadata(&release)?;
        let debugfs_fdt = if config.kho_defects.stale_debugfs {
            let bytes = kho.outgoing().to_bytes(kho.memory().page_size());
            let bytes = bytes.map_err(KhoError::from)?.len();
            // After a jump there is no file at all.
            Some(if kho.incoming().is_some() { 0 } else { bytes })
        } else {
            None
        };
        let luo_config = luo::Config {
            dialect: config.dialect,
            defects: config.luo_defects,
        };
        let mut luo = Luo::boot(kho, luo_config)?;
        let files = Files::default();
        luo.register_file_handler(Box::new(MemfdHandler::new(files.clone())))
            .map_err(Panic::Handler)?;
        // Whatever is not preserved is the new kernel's to use.
        luo.kho_mut().memory_mut().clear_free();
        let kernel = Self {
            luo,
            dialect: config.dialect,
            files,
            image: None,
            cmdline,
            release,
            kexec_count,
            scratch,
            debugfs_fdt,
        };
        Ok(Started { kernel, refused })
    }

    /// Takes an image in, with what KHO is now.
    pub(crate) fn load(&mut self, cmdline: Vec<u8>, release: Option<String>) {
        let handoff = self.luo.kho().handoff();
        self.image = Some(Image {
            cmdline,
            release,
            handoff,
        });
    }

    /// Files that will be handed over shorter than they are.
    pub(crate) fn grown(&self) -> Vec<Grown> {
        self.files.grown()
    }

    /// Jumps to the image, if there is one.
    pub(crate) fn jump(self) -> Option<Remains> {
        let image = self.image?;
        Some(Remains {
            memory: self.luo.into_kho().into_memory(),
            handoff: image.handoff,
            cmdline: image.cmdline,
            release: image.release,
        })
    }

    /// Damages a part of the handover; the address, unless there is no such part.
    pub(crate) fn corrupt(&mut self, part: Part) -> Option<PhysAddr> {
        let kho = self.luo.kho();
        let fdt = kho.handoff()?.fdt;
        let luo = || kho.outgoing().subtree("LUO")?.blob().ok();
        let addr = match part {
            Part::Fdt => fdt,
            Part::Luo => luo()?.0,
            Part::Sessions => {
                let luo: LuoSer = kho.memory().read_value(luo()?.0).ok()?;
                let sessions = luo.sessions_pa;
                // The number of files, behind the block's header, the name and the address.
                PhysAddr(sessions.checked_add(16 + 64 + 8)?)
            }
            Part::Content => first_content(kho.memory(), fdt)?,
        };
        let memory = self.luo.kho_mut().memory_mut();
        let mut bytes = [0; 8];
        memory.read(addr, &mut bytes).ok()?;
        memory.write(addr, &bytes.map(|byte: u8| !byte)).ok()?;
        Some(addr)
    }

    /// Root FDT of what will be handed over.
    pub(crate) fn out_fdt(&self) -> Option<Vec<u8>> {
        let kho = self.luo.kho();
        let mut fdt = kho.outgoing().to_bytes(kho.memory().page_size()).ok()?;
        if let Some(bytes) = self.debugfs_fdt {
            fdt.truncate(bytes);
        }
        (!fdt.is_empty()).then_some(fdt)
    }

    /// Root FDT of what was received.
    pub(crate) fn in_fdt(&self) -> Option<Vec<u8>> {
        let kho = self.luo.kho();
        kho.incoming()?.to_bytes(kho.memory().page_size()).ok()
    }

    /// A blob that will be handed over.
    pub(crate) fn out_blob(&self, name: &str) -> Option<Vec<u8>> {
        let kho = self.luo.kho();
        let (addr, bytes) = kho.outgoing().subtree(name)?.blob().ok()?;
        let mut blob = vec![0; usize::try_from(bytes.min(1 << 20)).ok()?];
        kho.memory().read(addr, &mut blob).ok()?;
        Some(blob)
    }

    /// Whether an image of these parts can be placed: each as a whole in scratch, the only memory
    /// that the next kernel may use before it knows what is preserved (`kho_locate_mem_hole()`,
    /// `kernel/liveupdate/kexec_handover.c`, v7.3). What else is loaded is small, and left out.
    pub(crate) fn has_room(&self, parts_bytes: &[u64]) -> bool {
        let areas = self.scratch.areas().iter();
        let mut free: Vec<u64> = areas.map(|area| area.bytes).collect();
        parts_bytes.iter().all(|&bytes| {
            let place = free.iter_mut().find(|free| **free >= bytes);
            place
                .map(|free| *free = free.saturating_sub(bytes))
                .is_some()
        })
    }

    /// Scratch, for debugfs.
    pub(crate) const fn scratch(&self) -> &ScratchAreas {
        &self.scratch
    }
}

/// First byte of the first memfd's content in a handover.
fn first_content(memory: &SparseMemory, fdt: PhysAddr) -> Option<PhysAddr> {
    let mut found = None;
    handover::examine(memory, fdt, None, &mut |event| {
        if let handover::Event::Extent { addr, owner, .. } = event
            && owner == handover::Owner::Memfd
        {
            found.get_or_insert(addr);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cold(kho_defects: KhoDefects) -> Kernel {
        let config = KernelConfig {
            memory: "256M".parse().unwrap(),
            dialect: Dialect::Mainline,
            luo_defects: Defects::default(),
            kho_defects,
        };
        let started = Kernel::cold(&config, Vec::new(), "7.3.4".to_owned());
        started.unwrap().kernel
    }

    /// 7.3.4 fixes the length at an initcall, and LUO adds its subtree later: 233 bytes were seen of
    /// an FDT of 345.
    #[test]
    fn debugfs_shows_the_whole_root_but_as_linux_does_only_a_part() {
        let whole = cold(KhoDefects::default()).out_fdt().unwrap();
        let root = kho::RootFdt::read(&whole).unwrap();
        assert_eq!(root.subtrees.len(), 2);
        let part = cold(KhoDefects::LINUX_7_3_4).out_fdt().unwrap();
        assert_eq!(part.len(), 233);
        assert_eq!(&part[..4], &whole[..4]);
        let cut = kho::RootFdt::read(&part);
        assert!(
            matches!(
                cut,
                Err(kho::RootFdtError::Fdt(kho::FdtError::Truncated {
                    found: 233,
                    ..
                }))
            ),
            "{cut:?}"
        );
    }
}

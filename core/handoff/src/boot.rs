//! Everything a boot consists of, and where it goes.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use kho::{Location, PhysAddr};
use kho_abi::setup_data::{KhoData, SetupData};
use kimage::BzImage;
use kimage::bzimage::{ENTRY64_OFFSET, XLoadFlags};

use crate::boot_params::{Pointers, zero_page};
use crate::error::Error;
use crate::handover::Handover;
use crate::machine_code::{TABLE_PAGES, Trampoline, stub64};
use crate::memory_map::MemoryMap;
use crate::place::{FOUR_GIB, Places};
use crate::preflight;
use crate::span::{PAGE, length, page_up};

/// What is to be started, with what, on which machine.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// The kernel.
    pub kernel: BzImage<'a>,
    /// Its initrd; empty for none.
    pub initrd: &'a [u8],
    /// Its command line.
    pub command_line: &'a str,
    /// The machine's memory.
    pub memory_map: &'a MemoryMap,
    /// The machine's ACPI root pointer, where the kernel cannot find it by itself: UEFI machines.
    pub rsdp: Option<PhysAddr>,
    /// The handover.
    pub handover: Handover<'a>,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The protected-mode code, and the memory behind it that the kernel unpacks itself into.
    Kernel,
    /// The initrd.
    Initrd,
    /// The instructions that start the kernel in long mode.
    Stub,
    /// `struct boot_params`.
    BootParams,
    /// The command line.
    CommandLine,
    /// The `setup_data` node and, in the same page behind it, the copy of the scratch array.
    SetupData,
    /// The way from protected into long mode, for [`Prepared::elf`] only.
    Trampoline,
    /// A part of the handover.
    Handover,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "the kernel",
            Self::Initrd => "the initrd",
            Self::Stub => "the stub",
            Self::BootParams => "boot_params",
            Self::CommandLine => "the command line",
            Self::SetupData => "setup_data",
            Self::Trampoline => "the way into long mode",
            Self::Handover => "the handover",
        })
    }
}

/// Bytes at an address.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// What it is.
    pub role: Role,
    /// Where it goes; a page.
    pub addr: PhysAddr,
    /// What is there.
    pub bytes: Cow<'a, [u8]>,
    /// Whole pages; zeros behind `bytes`.
    pub len_bytes: u64,
}

/// A boot that was checked and has its place.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    pub(crate) segments: Vec<Segment<'a>>,
    pub(crate) entry: PhysAddr,
    pub(crate) entry32: PhysAddr,
    pub(crate) ram_bytes: u64,
}

/// Where the parts in scratch go.
struct Layout {
    kernel: PhysAddr,
    initrd: PhysAddr,
    stub: PhysAddr,
    boot_params: PhysAddr,
    command_line: PhysAddr,
    setup_data: PhysAddr,
    trampoline: PhysAddr,
}

impl<'a> Boot<'a> {
    /// Checks everything, finds a place in scratch for what is not the handover, and fills in the
    /// pointers.
    ///
    /// # Errors
    /// [`Error`]: the first thing that would fail at the boot.
    pub fn prepare(&self) -> Result<Prepared<'a>, Error> {
        preflight::kernel(&self.kernel, self.command_line)?;
        let parts = [
            page_up(self.kernel.needed_bytes()),
            page_up(length(self.initrd)),
            page_up(self.command_line_bytes()),
            PAGE.saturating_mul(3),
            PAGE.saturating_mul(TRAMPOLINE_PAGES),
        ];
        let inside = parts
            .iter()
            .fold(0_u64, |sum, &part| sum.saturating_add(part));
        preflight::scratch(self.handover.scratch, self.memory_map, inside)?;
        preflight::handover(&self.handover, self.memory_map)?;
        let layout = self.place()?;
        Ok(Prepared {
            segments: self.segments(&layout),
            entry: layout.stub,
            entry32: layout.trampoline_code(),
            ram_bytes: self.memory_map.ram_bytes(),
        })
    }

    /// With its NUL.
    fn command_line_bytes(&self) -> u64 {
        length(self.command_line.as_bytes()).saturating_add(1)
    }

    fn place(&self) -> Result<Layout, Error> {
        let mut places = Places::new(self.handover.scratch);
        let initrd_limit = if self.kernel.xload_flags().contains(XLoadFlags::ABOVE_4G) {
            FOUR_GIB
        } else {
            self.kernel.initrd_max_address().saturating_add(1)
        };
        let mut take = |role, bytes, alignment, limit| places.take(role, bytes, alignment, limit);
        let kernel = self.kernel.needed_bytes();
        let alignment = self.kernel.alignment().max(PAGE);
        let trampoline = PAGE.saturating_mul(TRAMPOLINE_PAGES);
        let command_line = self.command_line_bytes();
        Ok(Layout {
            kernel: take(Role::Kernel, kernel, alignment, FOUR_GIB)?,
            initrd: take(Role::Initrd, length(self.initrd), PAGE, initrd_limit)?,
            stub: take(Role::Stub, PAGE, PAGE, FOUR_GIB)?,
            boot_params: take(Role::BootParams, PAGE, PAGE, FOUR_GIB)?,
            command_line: take(Role::CommandLine, command_line, PAGE, FOUR_GIB)?,
            setup_data: take(Role::SetupData, PAGE, PAGE, FOUR_GIB)?,
            trampoline: take(Role::Trampoline, trampoline, PAGE, FOUR_GIB)?,
        })
    }

    fn segments(&self, layout: &Layout) -> Vec<Segment<'a>> {
        let segment = |role, addr, bytes: Cow<'a, [u8]>| {
            let len_bytes = page_up(length(&bytes));
            Segment {
                role,
                addr,
                bytes,
                len_bytes,
            }
        };
        let has_initrd = !self.initrd.is_empty();
        let pointers = Pointers {
            command_line: layout.command_line,
            initrd: has_initrd.then(|| (layout.initrd, length(self.initrd))),
            setup_data: layout.setup_data,
            rsdp: self.rsdp,
        };
        let mut command_line = self.command_line.as_bytes().to_vec();
        command_line.push(0);
        let entry = PhysAddr(layout.kernel.0.saturating_add(ENTRY64_OFFSET));
        let boot_params = zero_page(&self.kernel, self.memory_map, pointers);
        let stub = stub64(layout.boot_params, entry);
        let setup_data = self.setup_data(layout.setup_data);
        let code = self.kernel.protected_mode_code();
        let mut all = Vec::from([
            Segment {
                len_bytes: page_up(self.kernel.needed_bytes().max(length(code))),
                ..segment(Role::Kernel, layout.kernel, code.into())
            },
            segment(Role::Stub, layout.stub, stub.into()),
            segment(Role::BootParams, layout.boot_params, boot_params.into()),
            segment(Role::CommandLine, layout.command_line, command_line.into()),
            segment(Role::SetupData, layout.setup_data, setup_data.into()),
            segment(Role::Trampoline, layout.trampoline, layout.way_in().into()),
        ]);
        if has_initrd {
            all.push(segment(Role::Initrd, layout.initrd, self.initrd.into()));
        }
        all.extend(self.handover.content.iter().map(|content| Segment {
            role: Role::Handover,
            addr: content.addr,
            bytes: content.bytes.into(),
            len_bytes: content.len_bytes,
        }));
        all
    }

    /// The node that leads to the handover, and behind it the copy of the scratch array.
    ///
    /// The copy is in the node's own page, behind the node, for a reason: when the kernel randomises
    /// its place it keeps clear of every `setup_data` node (`mem_avoid_overlap`,
    /// `arch/x86/boot/compressed/kaslr.c`, v7.3) but not of what a node points to. A place that
    /// starts at a multiple of 2 MiB and keeps clear of the node is clear of the rest of the page
    /// behind it, too. With the copy elsewhere in scratch 7.2 and 7.3 now and then overwrite it, and
    /// hang.
    fn setup_data(&self, addr: PhysAddr) -> Vec<u8> {
        let array = self.handover.scratch.to_bytes();
        let location = Location {
            fdt: self.handover.fdt,
            fdt_bytes: PAGE,
            scratch: PhysAddr(addr.0.saturating_add(NODE_BYTES)),
            scratch_bytes: length(&array),
        };
        let mut node = location.to_setup_data(PhysAddr(0));
        node.extend(array);
        node
    }
}

/// Bytes of the node with its payload.
const NODE_BYTES: u64 = 48;
const _: () = assert!(size_of::<SetupData>() + size_of::<KhoData>() == 48);

/// Page tables, then the page with the code.
const TRAMPOLINE_PAGES: u64 = TABLE_PAGES + 1;

impl Layout {
    fn trampoline_page(&self) -> PhysAddr {
        let tables = TABLE_PAGES.saturating_mul(PAGE);
        PhysAddr(self.trampoline.0.saturating_add(tables))
    }

    fn trampoline_code(&self) -> PhysAddr {
        let offset = crate::machine_code::ENTRY32_OFFSET;
        PhysAddr(self.trampoline_page().0.saturating_add(offset))
    }

    /// Page tables and code of the way from protected into long mode.
    fn way_in(&self) -> Vec<u8> {
        // Everything was placed below 4 GiB.
        let low = |addr: PhysAddr| u32::try_from(addr.0).unwrap_or(u32::MAX);
        let trampoline = Trampoline {
            page: low(self.trampoline_page()),
            tables: low(self.trampoline),
            stub: low(self.stub),
        };
        let mut bytes = trampoline.tables();
        bytes.extend(trampoline.code());
        bytes
    }
}

impl<'a> Prepared<'a> {
    /// Everything that is put into memory.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The same, to change them: nothing is checked again, and pointers among them stay as they are.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = &mut Segment<'a>> {
        self.segments.iter_mut()
    }

    /// Where a machine in long mode, with memory mapped one to one, is to be sent.
    pub const fn entry(&self) -> PhysAddr {
        self.entry
    }
}

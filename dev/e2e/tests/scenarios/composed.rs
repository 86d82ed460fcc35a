//! Handovers that no Linux wrote, given to Linux: straight from the virtual machine's loader, and
//! from a Linux that takes no part in it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::artifacts::Kernel;
use e2e::{COMMAND_LINE, ElfMachine, Series, artifacts};
use handoff::{Boot, Content, Handover, MemoryMap, Prepared};
use initrd::Permissions;
use kho::{
    Area, Config, Kho, Order, PageSize, PhysAddr, PhysMemMut as _, ScratchAreas, SparseMemory,
};
use kho_abi::kexec_metadata::{self, KexecMetadata};
use kimage::BzImage;
use zerocopy::IntoBytes as _;

use crate::harness::{Lab, Scenario, guest_kernel};

/// Memory of the machine that handovers are composed for.
pub(crate) const MEMORY_MIB: u32 = 1024;
/// Longest boot or jump in emulation on a busy host.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Kexec boots that the composed handover claims.
pub(crate) const COUNT: u32 = 41;
/// What a kernel says that has read the metadata of such a handover.
pub(crate) const EXEC_FROM: &str = "KHO: exec from: composed-on-host (count 41)";
const RELEASE: &str = "composed-on-host";
/// Scratch, with an area of no size as real kernels have them.
const SCRATCH: [(u64, u64); 3] = [
    (0x1000_0000, 128 << 20),
    (0x1800_0000, 0),
    (0x1a00_0000, 32 << 20),
];
/// Where a handover is composed.
const RAM: Range<u64> = 0x3000_0000..0x3400_0000;
/// The same on a machine of [`LARGE_MIB`]: out of reach of the 32-bit entry's page tables.
const HIGH_RAM: Range<u64> = 0x1_4000_0000..0x1_4400_0000;
const LARGE_MIB: u32 = 6144;
/// Where a handover for the loader Linux is in its image.
const GUEST_FOLDER: &str = "/handover";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let plain = Series::ALL.map(|series| {
        let name = format!("composed::{}::straight_in_the_machine", series.name());
        Scenario::new(name, move |lab| straight(lab, series, MEMORY_MIB, &RAM))
    });
    let name = "composed::7.3::above_4_gib";
    let high = Scenario::new(name, |lab| {
        straight(lab, Series::V7_3, LARGE_MIB, &HIGH_RAM)
    });
    let ways = [(Series::V7_3, Series::V7_2), (Series::V7_2, Series::V7_3)];
    let loaded = ways.map(|(loader, series)| {
        let name = format!("composed::{}::loaded_by_{}", series.name(), loader.name());
        Scenario::new(name, move |lab| loaded(lab, loader, series))
    });
    plain.into_iter().chain(loaded).chain([high]).collect()
}

/// A handover under composition, for the machine of [`MEMORY_MIB`].
pub(crate) struct Composed {
    pub(crate) kho: Kho<SparseMemory>,
    pub(crate) scratch: ScratchAreas,
}

impl Composed {
    /// One with metadata and nothing else.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::in_memory(&RAM)
    }

    fn in_memory(ram: &Range<u64>) -> anyhow::Result<Self> {
        let area = |(addr, bytes)| Area {
            addr: PhysAddr(addr),
            bytes,
        };
        let scratch = ScratchAreas::new(SCRATCH.map(area).to_vec());
        let memory = SparseMemory::new(PageSize::Size4K, slice::from_ref(ram));
        let (mut kho, _cold) = Kho::start(memory, scratch.clone(), None, Config::default())?;
        let size = size_of::<KexecMetadata>() as u64;
        let metadata = kho.alloc_preserve(size)?;
        let mut previous_release = [0; kexec_metadata::RELEASE_LENGTH];
        previous_release[..RELEASE.len()].copy_from_slice(RELEASE.as_bytes());
        let value = KexecMetadata {
            version: kexec_metadata::VERSION.into(),
            previous_release,
            kexec_count: COUNT.into(),
        };
        kho.memory_mut().write(metadata, value.as_bytes())?;
        kho.add_subtree(kexec_metadata::NODE_NAME, metadata, size)?;
        Ok(Self { kho, scratch })
    }

    /// The page of the FDT.
    pub(crate) fn fdt(&self) -> anyhow::Result<PhysAddr> {
        let handoff = self.kho.handoff().context("nothing is handed over")?;
        Ok(handoff.fdt)
    }
}

/// What a machine is started with.
pub(crate) struct Start<'a> {
    pub(crate) kernel: &'a [u8],
    pub(crate) image: &'a [u8],
    pub(crate) command_line: &'a str,
    pub(crate) map: &'a MemoryMap,
    pub(crate) handover: Handover<'a>,
}

impl<'a> Start<'a> {
    /// Checks and places everything.
    pub(crate) fn prepare(self) -> anyhow::Result<Prepared<'a>> {
        let boot = Boot {
            kernel: BzImage::parse(self.kernel)?,
            initrd: self.image,
            command_line: self.command_line,
            memory_map: self.map,
            rsdp: None,
            handover: self.handover,
        };
        Ok(boot.prepare()?)
    }
}

/// Memory of a machine that is given so much.
pub(crate) fn memory_map(memory_mib: u32) -> anyhow::Result<MemoryMap> {
    Ok(MemoryMap::qemu_q35(u64::from(memory_mib) << 20)?)
}

/// Writes the ELF file of a prepared boot, with holes where there are zeros.
pub(crate) fn write_elf(prepared: &Prepared<'_>, path: &Path) -> anyhow::Result<()> {
    let elf = prepared.elf()?;
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    for (offset, bytes) in elf.pieces() {
        file.write_all_at(&bytes, offset)?;
    }
    Ok(file.set_len(elf.len_bytes())?)
}

/// Describes a machine that starts from `elf`.
pub(crate) fn machine(lab: &Lab, kernel: &Kernel, elf: PathBuf) -> ElfMachine {
    ElfMachine {
        elf,
        kernel: kernel.image.clone(),
        log_folder: lab.folder().to_owned(),
        memory_mib: MEMORY_MIB,
    }
}

/// What the kernels of a scenario have written to the console.
pub(crate) fn console(lab: &Lab) -> anyhow::Result<String> {
    let bytes = fs::read(lab.folder().join("serial.log"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The kernel reads the handover, shows the FDT as it was composed, and hands over itself.
fn straight(lab: &Lab, series: Series, memory_mib: u32, ram: &Range<u64>) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(series)?;
    let mut composed = Composed::in_memory(ram)?;
    let folio = composed.kho.alloc_folio(Order(9))?;
    composed.kho.preserve_folio(folio)?;
    let fdt = composed.fdt()?;
    let scratch = composed.scratch.clone();
    let root = composed.kho.outgoing().to_bytes(PageSize::Size4K)?;
    let memory = composed.kho.into_memory();
    let image = lab.write_image(lab.image_with_client()?)?;
    let (bzimage, image) = (fs::read(&kernel.image)?, fs::read(image)?);
    let release = BzImage::parse(&bzimage)?.release().map(str::to_owned);
    ensure!(release.as_deref() == Some(&*kernel.release), "{release:?}");
    let map = memory_map(memory_mib)?;
    let start = Start {
        kernel: &bzimage,
        image: &image,
        command_line: COMMAND_LINE,
        map: &map,
        handover: Handover::collect(&memory, fdt, &scratch)?,
    };
    let elf = lab.folder().join("start.elf");
    write_elf(&start.prepare()?, &elf)?;
    let start = ElfMachine {
        memory_mib,
        ..machine(lab, &kernel, elf.clone())
    };
    let machine = start.boot(PATIENCE)?;
    ensure!(machine.hello().release == kernel.release);
    let log = console(lab)?;
    ensure!(log.contains("KHO: found kexec handover data."), "{log}");
    ensure!(log.contains(EXEC_FROM), "{log}");
    let shown = machine.read_file("/sys/kernel/debug/kho/in/fdt")?;
    ensure!(shown == root, "the kernel shows another FDT: {shown:?}");
    let path = guest_kernel(series);
    machine.jump(
        ["/bin/e2e-client", "bare-kexec", "--kernel", &path],
        PATIENCE,
    )?;
    let next = format!("KHO: exec from: {} (count {})", kernel.release, COUNT + 1);
    let log = console(lab)?;
    ensure!(log.contains(&next), "no `{next}` in {log}");
    machine.poweroff()?;
    Ok(fs::remove_file(elf)?)
}

/// A Linux that takes no part in KHO puts the handover in place and jumps.
fn loaded(lab: &Lab, loader: Series, series: Series) -> anyhow::Result<()> {
    let composed = Composed::new()?;
    let fdt = composed.fdt()?;
    let memory = composed.kho.into_memory();
    let (index, pages) = page_files(&Handover::collect(&memory, fdt, &composed.scratch)?)?;
    let mut image = lab.image_with_client()?;
    let path = |name: &str| format!("{GUEST_FOLDER}/{name}");
    image.bytes(&path("index.txt"), Permissions::DATA, index.as_bytes())?;
    image.bytes(&path("pages.bin"), Permissions::DATA, &pages)?;
    let kernel = artifacts::kernel(loader)?;
    let machine = lab.machine(&kernel, image)?.memory_mib(MEMORY_MIB);
    let machine = machine.append("kho=off").boot()?;
    let mut command = vec![
        "/bin/e2e-client".to_owned(),
        "composed-kexec".to_owned(),
        format!("--kernel={}", guest_kernel(series)),
        format!("--cmdline={COMMAND_LINE}"),
        format!("--handover={GUEST_FOLDER}"),
        format!("--fdt={fdt}"),
    ];
    command.extend(SCRATCH.map(|(addr, bytes)| format!("--scratch={addr:#x}+{bytes:#x}")));
    let hello = machine.jump(command, PATIENCE)?;
    ensure!(hello.release == artifacts::kernel(series)?.release);
    let log = console(lab)?;
    ensure!(log.contains(EXEC_FROM), "{log}");
    let devices = String::from_utf8(machine.read_file("/proc/misc")?)?;
    ensure!(devices.contains(" liveupdate\n"), "{devices:?}");
    Ok(machine.poweroff()?)
}

/// The handover as an index and pages.
fn page_files(handover: &Handover<'_>) -> anyhow::Result<(String, Vec<u8>)> {
    let mut index = String::new();
    let mut pages = Vec::new();
    for Content {
        addr,
        bytes,
        len_bytes,
    } in &handover.content
    {
        let first = pages.len();
        pages.extend_from_slice(bytes);
        pages.resize(first + usize::try_from(*len_bytes)?, 0);
        for offset in (0..*len_bytes).step_by(4096) {
            let number = (first + usize::try_from(offset)?) / 4096;
            writeln!(index, "{:#x} {number}", addr.0 + offset)?;
        }
    }
    Ok((index, pages))
}

//! Loads a kernel together with a handover that was composed elsewhere, and jumps.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use handoff::{Boot, Content, Handover};
use handover::PageImage;
use kexec_sys::{Machine, MachinePaths};
use kho::{Area, PageSize, PhysAddr, PhysMem as _, ScratchAreas};
use kimage::BzImage;

/// The image that the running kernel was booted with.
const RUNNING_INITRD: &str = "/sys/firmware/initrd";

/// What to jump to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The kernel image.
    #[arg(long)]
    kernel: PathBuf,
    /// The next kernel's command line.
    #[arg(long)]
    cmdline: String,
    /// Folder with the handover: `pages.bin` and `index.txt`.
    #[arg(long)]
    handover: PathBuf,
    /// Physical address of the handover's FDT.
    #[arg(long, value_parser = number)]
    fdt: u64,
    /// A scratch area, `ADDRESS+BYTES`; may be repeated.
    #[arg(long = "scratch", value_parser = area)]
    scratch: Vec<Area>,
}

/// Returns only with the reason why there was no jump.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kernel = read(&arguments.kernel)?;
    let initrd = read(Path::new(RUNNING_INITRD))?;
    let machine = Machine::read(&MachinePaths::default())?;
    let pages = pages(&arguments.handover)?;
    let scratch = ScratchAreas::new(arguments.scratch.clone());
    let boot = Boot {
        kernel: BzImage::parse(&kernel)
            .with_context(|| format!("read {}", arguments.kernel.display()))?,
        initrd: &initrd,
        command_line: &arguments.cmdline,
        memory_map: &machine.memory_map,
        rsdp: machine.rsdp,
        handover: Handover {
            fdt: PhysAddr(arguments.fdt),
            scratch: &scratch,
            content: pages.iter().map(content).collect(),
        },
    };
    let prepared = boot.prepare()?;
    let segments = prepared.kexec_segments()?;
    kexec_sys::load_segments(prepared.entry(), &segments)?;
    match kexec_sys::reboot::kexec()? {}
}

fn content((addr, bytes): &(PhysAddr, Vec<u8>)) -> Content<'_> {
    Content {
        addr: *addr,
        bytes,
        len_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    }
}

fn pages(folder: &Path) -> anyhow::Result<Vec<(PhysAddr, Vec<u8>)>> {
    let index = read(&folder.join("index.txt"))?;
    let index = String::from_utf8(index).context("the index is no text")?;
    let bytes = read(&folder.join("pages.bin"))?;
    let image = PageImage::new(PageSize::Size4K, &index, bytes)?;
    let page = |addr| Ok((addr, image.read_page(addr)?));
    image.addresses().map(page).collect()
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

fn area(text: &str) -> Result<Area, String> {
    let (addr, bytes) = text.split_once('+').ok_or("no `+`")?;
    Ok(Area {
        addr: PhysAddr(number(addr)?),
        bytes: number(bytes)?,
    })
}

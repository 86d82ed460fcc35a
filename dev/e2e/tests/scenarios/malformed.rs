//! Handovers with one thing wrong each, given to real Linux; what it does is asserted, and told in
//! `docs/src/reference/malformed-handovers.md`.
//!
//! Each case starts from a handover that is received (`composed`) and changes one thing after
//! everything was checked and placed: our own preflight would refuse most of them.

mod boot_cases;
mod luo_cases;
mod memfd_cases;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{COMMAND_LINE, Error, Initramfs, Machine, Series, artifacts};
use handoff::{Content, Handover, Prepared, Role};
use initrd::Permissions;
use kho::fdt::Node;
use kho::{Order, PageSize, PhysAddr, PhysMem as _, PhysMemMut as _, SparseMemory};
use kho_abi::kexec_handover::{
    COMPATIBLE, MEMORY_MAP_PROP_NAME, SUB_TREE_PROP_NAME, SUB_TREE_SIZE_PROP_NAME,
};
use kimage::BzImage;

use crate::composed::{
    Composed, EXEC_FROM, MEMORY_MIB, PATIENCE, Start, console, machine, memory_map, write_elf,
};
use crate::harness::{Lab, Scenario};

/// How long a kernel that stops before its console is given to say something. It cannot be told
/// from one that is slow, only from one that has said something: that is looked at first.
const SILENCE: Duration = Duration::from_secs(6);
/// The case that is run on every kernel.
const CONTROL: &str = "fdt_of_kho_v3";
/// What a kernel says that takes a handover.
const FOUND: &str = "KHO: found kexec handover data.";
/// What a kernel says that does not.
const DISABLED: &str = "KHO: disabling KHO revival";

/// Where a program finds what to retrieve.
const LIST: &str = "/list";

/// One thing that is wrong, and what Linux makes of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) change_fn: fn(&mut Rig) -> anyhow::Result<()>,
    pub(crate) outcome: Outcome,
}

/// What Linux does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Says why and boots as if there were nothing.
    Cold(&'static str),
    /// Boots with the handover and says this, if anything; the metadata is read.
    Received(Option<&'static str>),
    /// Boots with the handover and says this; the metadata is not read.
    WithoutMetadata(Option<&'static str>),
    /// Boots with the handover; opening `/dev/liveupdate` fails with `EIO` and these words.
    DeviceFails(&'static str),
    /// Boots with the handover; what a program is told that retrieves the file.
    Retrieved(&'static str),
    /// Says this and panics.
    Panics(&'static str),
    /// Ends the machine before there is a console: `panic=-1` resets it, and nobody sees why.
    Resets,
    /// Stops before there is a console.
    Hangs,
}

impl Outcome {
    /// As the documentation says it: what Linux does, and the words of the console that are quoted.
    fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cold(words) => ("boots cold", words),
            Self::Received(words) => ("received", words.unwrap_or_default()),
            Self::WithoutMetadata(words) => ("metadata not read", words.unwrap_or_default()),
            Self::DeviceFails(words) => ("device fails", words),
            Self::Retrieved(words) => ("retrieved", words),
            Self::Panics(words) => ("panics", words),
            Self::Resets => ("resets", ""),
            Self::Hangs => ("hangs", ""),
        }
    }
}

/// All of them.
fn cases() -> impl Iterator<Item = &'static Case> {
    let boot = boot_cases::CASES.iter();
    boot.chain(luo_cases::CASES).chain(memfd_cases::CASES)
}

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let all = cases().map(|case| (Series::V7_3, case));
    // What every other scenario with a composed handover stands on, on the other kernel.
    let controls = cases().filter(|case| case.name == CONTROL);
    let controls = controls.map(|case| (Series::V7_2, case));
    let runs = all.chain(controls).map(|(series, case)| {
        let name = format!("malformed::{}::{}", series.name(), case.name);
        Scenario::new(name, move |lab| run(lab, series, case))
    });
    let page = Scenario::new("malformed::page_has_every_case", |_| page_has_every_case());
    runs.chain([page]).collect()
}

/// A handover that can be changed.
pub(crate) struct Rig {
    /// Bytes the kernel needs where it unpacks itself.
    pub(crate) kernel_bytes: u64,
    pub(crate) composed: Composed,
    /// Root node of the FDT, written in the end.
    pub(crate) root: Node,
    /// Bytes of the FDT that are changed after it was written, by offset.
    pub(crate) fdt_changes: Vec<(usize, Vec<u8>)>,
    /// Bytes of the page with the `setup_data` node and the scratch array, by offset.
    pub(crate) setup_changes: Vec<(usize, Vec<u8>)>,
    /// The kernel's command line.
    pub(crate) command_line: String,
    /// Pages of the handover that are put elsewhere: from, to.
    pub(crate) moved: Vec<(PhysAddr, PhysAddr)>,
}

/// Offsets in the page with the `setup_data` node.
pub(crate) mod setup_page {
    /// `len` of the node.
    pub(crate) const LEN: usize = 12;
    /// `fdt_addr` of the payload.
    pub(crate) const FDT_ADDR: usize = 16;
    /// `fdt_size`.
    pub(crate) const FDT_SIZE: usize = 24;
    /// `scratch_addr`.
    pub(crate) const SCRATCH_ADDR: usize = 32;
    /// `scratch_size`.
    pub(crate) const SCRATCH_SIZE: usize = 40;
    /// The first scratch area.
    pub(crate) const AREAS: usize = 48;
}

impl Rig {
    fn new(kernel: &BzImage<'_>) -> anyhow::Result<Self> {
        let composed = Composed::new()?;
        let map = composed.kho.tree().root();
        let mut rig = Self {
            kernel_bytes: kernel.needed_bytes(),
            composed,
            root: Node::new("")
                .with("compatible", format!("{COMPATIBLE}\0").as_bytes())
                .with(MEMORY_MAP_PROP_NAME, &map.0.to_ne_bytes()),
            fdt_changes: Vec::new(),
            setup_changes: Vec::new(),
            command_line: COMMAND_LINE.to_owned(),
            moved: Vec::new(),
        };
        let subtrees = rig.composed.kho.outgoing().subtrees.clone();
        for subtree in subtrees {
            let (addr, bytes) = subtree.blob()?;
            rig.add_subtree(&subtree.name, addr, bytes);
        }
        Ok(rig)
    }

    pub(crate) fn memory(&mut self) -> &mut SparseMemory {
        self.composed.kho.memory_mut()
    }

    /// A preserved page with this content.
    pub(crate) fn page(&mut self, content: &[u8]) -> anyhow::Result<PhysAddr> {
        let addr = self.composed.kho.alloc_folio(Order(0))?;
        self.composed.kho.preserve_folio(addr)?;
        self.memory().write(addr, content)?;
        Ok(addr)
    }

    pub(crate) fn add_subtree(&mut self, name: &str, addr: PhysAddr, bytes: u64) {
        let node = Node::new(name)
            .with(SUB_TREE_PROP_NAME, &addr.0.to_ne_bytes())
            .with(SUB_TREE_SIZE_PROP_NAME, &bytes.to_ne_bytes());
        self.root.children.insert(0, node);
    }

    /// A property of the root, or of a subtree of this name.
    pub(crate) fn property(&mut self, node: &str, name: &str) -> anyhow::Result<&mut Vec<u8>> {
        let properties = match node {
            "" => &mut self.root.properties,
            _ => {
                let mut children = self.root.children.iter_mut();
                let child = children.find(|child| child.name == node);
                &mut child.context("no such subtree")?.properties
            }
        };
        let mut properties = properties.iter_mut();
        let found = properties.find(|(known, _)| known == name);
        Ok(&mut found.context("no such property")?.1)
    }

    /// The metadata's page.
    pub(crate) fn metadata(&self) -> anyhow::Result<PhysAddr> {
        let subtrees = &self.composed.kho.outgoing().subtrees;
        Ok(subtrees.first().context("no metadata")?.blob()?.0)
    }

    /// A node of the tree on the way to the keys of single pages, by its level.
    pub(crate) fn tree_node(&mut self, level: u32) -> anyhow::Result<PhysAddr> {
        let mut node = self.composed.kho.tree().root();
        for _ in level..PageSize::Size4K.radix_levels() - 1 {
            let page = self.memory().read_page(node)?;
            let words = page.chunks_exact(8).map(|word| word.try_into());
            let words: Result<Vec<[u8; 8]>, _> = words.collect();
            let mut words = words?.into_iter().map(u64::from_ne_bytes);
            // Single pages have the highest order bit, so the last entry is the way to them.
            node = PhysAddr(words.rfind(|word| *word != 0).context("an empty node")?);
        }
        Ok(node)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let fdt = self.composed.fdt()?;
        let mut bytes = self.root.to_fdt(&[], kho::fdt::Layout::Packed);
        for (offset, change) in &self.fdt_changes {
            bytes[*offset..*offset + change.len()].copy_from_slice(change);
        }
        Ok(self.memory().write(fdt, &bytes)?)
    }
}

/// The documentation has a row for each case, with its outcome, and no other.
fn page_has_every_case() -> anyhow::Result<()> {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../",
        "docs/src/reference/malformed-handovers.md"
    );
    let page = fs::read_to_string(page)?;
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (_wrong, does) = rest.split_once(" | ")?;
        Some((name, does))
    });
    let mut rows: Vec<_> = rows.collect();
    for case in cases() {
        let at = rows.iter().position(|(name, _)| *name == case.name);
        let (_, does) = rows.remove(at.with_context(|| format!("no row for {}", case.name))?);
        let (label, words) = case.outcome.in_words();
        ensure!(
            does.starts_with(label),
            "{}: {does}, not {label}",
            case.name
        );
        ensure!(does.contains(words), "{}: {does}, not {words}", case.name);
    }
    ensure!(rows.is_empty(), "rows without a case: {rows:?}");
    Ok(())
}

/// Everything that was composed, whether it can still be read or not.
fn everything(composed: &Composed) -> anyhow::Result<Handover<'_>> {
    let page = |(addr, bytes)| Content {
        addr,
        bytes,
        len_bytes: 4096,
    };
    Ok(Handover {
        fdt: composed.fdt()?,
        scratch: &composed.scratch,
        content: composed.kho.memory().written_pages().map(page).collect(),
    })
}

fn change_setup_page(prepared: &mut Prepared<'_>, changes: &[(usize, Vec<u8>)]) {
    let mut segments = prepared.segments_mut();
    if let Some(segment) = segments.find(|segment| segment.role == Role::SetupData) {
        let bytes = segment.bytes.to_mut();
        for (offset, change) in changes {
            let end = offset + change.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*offset..end].copy_from_slice(change);
        }
    }
}

fn run(lab: &Lab, series: Series, case: &Case) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(series)?;
    let bzimage = fs::read(&kernel.image)?;
    let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
    if matches!(case.outcome, Outcome::Retrieved(_)) {
        image.program(&artifacts::guest_program("e2e-client")?)?;
        let list = format!("{} {}", luo_cases::SESSION, luo_cases::TOKEN);
        image.bytes(LIST, Permissions::DATA, list.as_bytes())?;
    }
    let image = fs::read(lab.write_image(image)?)?;
    let mut rig = Rig::new(&BzImage::parse(&bzimage)?)?;
    (case.change_fn)(&mut rig)?;
    rig.finish()?;
    let map = memory_map(MEMORY_MIB)?;
    let start = Start {
        kernel: &bzimage,
        image: &image,
        command_line: &rig.command_line,
        map: &map,
        handover: everything(&rig.composed)?,
    };
    let mut prepared = start.prepare()?;
    change_setup_page(&mut prepared, &rig.setup_changes);
    for segment in prepared.segments_mut() {
        let moved = rig.moved.iter().find(|(from, _)| *from == segment.addr);
        segment.addr = moved.map_or(segment.addr, |(_, to)| *to);
    }
    let elf = lab.folder().join("start.elf");
    write_elf(&prepared, &elf)?;
    let patience = match case.outcome {
        Outcome::Hangs => SILENCE,
        _ => PATIENCE,
    };
    let booted = machine(lab, &kernel, elf.clone()).boot(patience);
    judge(lab, case.outcome, booted)?;
    Ok(fs::remove_file(elf)?)
}

/// Compares what was seen with what is expected.
fn judge(lab: &Lab, outcome: Outcome, booted: Result<Machine, Error>) -> anyhow::Result<()> {
    let log = console(lab)?;
    let says = |text: &str| -> anyhow::Result<()> {
        ensure!(log.contains(text), "no `{text}` on the console");
        Ok(())
    };
    let is_received = log.contains(FOUND);
    match outcome {
        Outcome::Cold(why) => {
            let machine = booted?;
            says(why)?;
            says(DISABLED)?;
            ensure!(!is_received, "received and refused?");
            ensure!(!log.contains("exec from"), "metadata without a handover");
            machine.poweroff()?;
        }
        Outcome::Received(words) | Outcome::WithoutMetadata(words) => {
            let machine = booted?;
            ensure!(is_received, "not received");
            words.map_or(Ok(()), says)?;
            let has_metadata = matches!(outcome, Outcome::Received(_));
            ensure!(log.contains(EXEC_FROM) == has_metadata, "metadata");
            machine.poweroff()?;
        }
        Outcome::DeviceFails(words) => {
            let machine = booted?;
            says(EXEC_FROM)?;
            let opened = machine.read_file("/dev/liveupdate");
            let error = opened.err().context("the device was opened and read")?;
            ensure!(error.to_string().contains("(os error 5)"), "{error}");
            let log = console(lab)?;
            ensure!(log.contains(words), "no `{words}` on the console");
            machine.poweroff()?;
        }
        Outcome::Retrieved(words) => {
            let machine = booted?;
            says(EXEC_FROM)?;
            machine.spawn("carry", ["/bin/e2e-client", "carry", "--list", LIST])?;
            machine.wait_log("carry", words, PATIENCE)?;
            machine.poweroff()?;
        }
        Outcome::Panics(words) => {
            let error = booted.err().context("booted")?;
            says(words)?;
            ensure!(matches!(error, Error::KernelPanic { .. }), "{error}");
        }
        Outcome::Resets => {
            let error = booted.err().context("booted")?;
            ensure!(log.is_empty(), "it has said something: {error}");
            ensure!(matches!(error, Error::QemuEnded { .. }), "{error}");
        }
        Outcome::Hangs => {
            let error = booted.err().context("booted")?;
            ensure!(log.is_empty(), "it has said something: {error}");
            ensure!(matches!(error, Error::Deadline { .. }), "{error}");
        }
    }
    Ok(())
}

//! What Linux makes of initramfs images, beside what the crate `initrd` says of them.
//!
//! Images that are taken stand one behind the other in one boot, as members of one image; every entry
//! of the root that the kernel leaves is compared. The kernel stops at the first image it refuses, so
//! each of those has a boot of its own, which ends in a panic.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use e2e::artifacts::Kernel;
use e2e::{Error, Initramfs, Machine, Series, artifacts, logs};
use initrd::{Archive, Permissions, Rules, Seen, Tree};
use initrd_images::{Case, Expected, cases, odd_entries};
use kimage::KernelConfig;

use crate::harness::{Lab, Scenario};

/// More than any of the images unpacks to.
const LIMIT_BYTES: usize = 64 << 20;
/// What the kernel says before its reason.
const FAILED: &str = "Initramfs unpacking failed: ";
/// The agent mounts over these, and writes there before.
const MOUNTED: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let taken = Series::ALL.into_iter().map(|series| {
        let name = format!("initrd::{}::images_that_are_taken", series.name());
        Scenario::new(name, move |lab| images_that_are_taken(lab, series))
    });
    // 7.2 reads images by the same code, but for its words; the first half and the second run side by
    // side.
    let refused = ["a", "b"].into_iter().enumerate().map(|(part, name)| {
        Scenario::new(
            format!("initrd::images_that_are_refused_{name}"),
            move |lab| images_that_are_refused(lab, part),
        )
    });
    taken.chain(refused).collect()
}

/// Each of the cases around an archive of its own.
fn numbered_cases() -> anyhow::Result<Vec<(String, Case)>> {
    let count = cases(&small_archive("count", "count")?).len();
    let numbered = (0..count).map(|number| {
        let folder = format!("case-{number}");
        let case = cases(&small_archive(&folder, &format!("{folder}/init"))?);
        let case = case.into_iter().nth(number).context("a case")?;
        Ok((folder, case))
    });
    numbered.collect()
}

/// A folder, a program that is none, and contents of every length of padding.
fn small_archive(folder: &str, program: &str) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.folders(folder)?;
    if program != folder {
        archive.file(program, Permissions::PROGRAM, b"\x7fELF, nearly")?;
    }
    for length in 0..5 {
        let content = folder.repeat(100);
        let content = content.get(..400 + length).unwrap_or(&content);
        let name = format!("{folder}/{length}");
        archive.file(&name, Permissions::PRIVATE, content.as_bytes())?;
    }
    Ok(archive.finish())
}

/// A line for each entry as `e2e-client tree` writes it, by what our reader says.
fn expected_tree(image: &[u8]) -> anyhow::Result<(BTreeSet<String>, Vec<String>)> {
    let mut tree = Tree::new();
    let mut lost = Vec::new();
    initrd::read(image, &Rules::new(LIMIT_BYTES), &mut |seen| match seen {
        Seen::Entry(entry) => {
            if let Err(loss) = tree.unpack(entry, crc32fast::hash(entry.content)) {
                lost.push(format!("{}: {loss}", entry.name.escape_ascii()));
            }
        }
        Seen::Trailer => tree.end_archive(),
        _ => {}
    })
    .map_err(|refused| anyhow::anyhow!("our reader refuses it: {refused:?}"))?;
    let mut lines = BTreeSet::new();
    tree.walk(&mut |name, node| {
        let is_folder = node.kind == initrd::EntryKind::Folder;
        let names = if is_folder { 0 } else { node.names };
        let mut target = node.target.escape_ascii().to_string();
        if !target.is_empty() {
            target.insert(0, ' ');
        }
        let (major, minor) = node.device;
        lines.insert(format!(
            "{:06o} {} {} {names} {} {major}:{minor} {:08x} {} {}{target}",
            node.mode,
            node.uid,
            node.gid,
            node.mtime,
            if node.bytes == 0 { 0 } else { node.content },
            node.bytes,
            name.escape_ascii(),
        ));
    });
    Ok((lines, lost))
}

/// Whether a line is compared: not what the agent covers, nor `root`, whose time is that of the kernel's
/// build.
fn is_compared(line: &str) -> bool {
    let name = line.split(' ').nth(8).unwrap_or_default();
    let top = name.split('/').next().unwrap_or_default();
    name != "root" && !MOUNTED.contains(&top)
}

fn images_that_are_taken(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(series)?;
    let mut base = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
    base.program(&artifacts::guest_program("e2e-client")?)?;
    let mut image = fs::read(lab.write_image(base)?)?;
    image.extend(odd_entries());
    let mut last = Vec::new();
    let mut taken = Vec::new();
    for (folder, case) in numbered_cases()? {
        if case.expected != Expected::Boots {
            continue;
        }
        taken.push((folder, case.name));
        // Boot configuration is what stands at the very end, and nowhere else.
        let at_end = case.image.ends_with(b"#BOOTCONFIG\n");
        let to = if at_end { &mut last } else { &mut image };
        // Four zeros more: lz4 has no end of its own.
        to.resize(to.len().next_multiple_of(4) + 4, 0);
        to.extend(case.image);
    }
    image.resize(image.len().next_multiple_of(4) + 4, 0);
    image.extend(last);
    let path = lab.folder().join("joined.img");
    fs::write(&path, &image)?;
    let machine = Machine::builder(&kernel.image, &path, lab.folder()).append("bootconfig");
    let machine = machine.boot()?;
    let found = machine.run(["/bin/e2e-client", "tree", "/"])?.success()?;
    let found: BTreeSet<_> = found.stdout().lines().map(str::to_owned).collect();
    let found: BTreeSet<_> = found.into_iter().filter(|line| is_compared(line)).collect();
    let (expected, lost) = expected_tree(&image)?;
    let expected: BTreeSet<_> = expected
        .into_iter()
        .filter(|line| is_compared(line))
        .collect();
    compare(&expected, &found)?;
    for (folder, name) in &taken {
        let line = format!(" {folder}/init");
        ensure!(
            found.iter().any(|entry| entry.ends_with(&line)),
            "{name} is not there"
        );
    }
    ensure!(taken.len() >= 21, "{} images are taken", taken.len());
    ensure!(lost.len() == 8, "entries that are lost: {lost:#?}");
    let serial = fs::read_to_string(lab.folder().join("serial.log"))?;
    ensure!(!serial.contains(FAILED), "the kernel complains");
    let config = machine.read_file("/proc/bootconfig")?;
    let config = String::from_utf8_lossy(&config);
    ensure!(
        config.contains("liveupdate.test"),
        "boot configuration: {config:?}"
    );
    fs::remove_file(&path)?;
    Ok(machine.poweroff()?)
}

fn compare(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> anyhow::Result<()> {
    let only_here: Vec<_> = expected.difference(found).collect();
    let only_there: Vec<_> = found.difference(expected).collect();
    ensure!(
        only_here.is_empty() && only_there.is_empty(),
        "our reader says:\n{only_here:#?}\nLinux says:\n{only_there:#?}"
    );
    Ok(())
}

fn images_that_are_refused(lab: &Lab, part: usize) -> anyhow::Result<()> {
    let kernel = artifacts::kernel(Series::V7_3)?;
    let config = configuration(&kernel)?;
    let refused = cases(&small_archive("case", "init")?);
    let refused = refused
        .into_iter()
        .filter(|case| case.expected != Expected::Boots);
    let mut wrong = Vec::new();
    let mut count = 0;
    for (number, case) in refused.enumerate().filter(|(number, _)| number % 2 == part) {
        let folder = lab.folder().join(number.to_string());
        let told = boot_refused(&kernel, &case, &folder)
            .with_context(|| format!("{}; logs in {}", case.name, folder.display()))?;
        let ours = our_words(&case, &config);
        if !told.fits(&case, ours.as_deref()) {
            let (name, expected) = (case.name, case.expected);
            wrong.push(format!(
                "{name}: {expected:?}, ours {ours:?}, Linux {told:?}"
            ));
        }
        count += 1;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(count >= 6, "{count} images are refused");
    Ok(())
}

/// The configuration that the kernel carries.
fn configuration(kernel: &Kernel) -> anyhow::Result<KernelConfig> {
    let file = fs::read(&kernel.image)?;
    let unpacked = kimage::unpack(&file)?;
    KernelConfig::find(&unpacked.kernel).context("the kernel carries no configuration")
}

fn our_words(case: &Case, config: &KernelConfig) -> Option<String> {
    let is_configured = |format: initrd::Format| config.is_built_in(format.initramfs_option());
    let rules = Rules {
        is_configured: &is_configured,
        ..Rules::new(LIMIT_BYTES)
    };
    let answer = initrd::read(&case.image, &rules, &mut |_| {});
    Some(answer.err()?.why.to_string())
}

/// What a kernel said of an image, and how it ended.
#[derive(Debug)]
struct Told {
    words: String,
    /// Whether it found a program to start, which is none.
    has_program: bool,
}

impl Told {
    /// Whether the kernel says what the list says, and ours the same.
    fn fits(&self, case: &Case, ours: Option<&str>) -> bool {
        let (words, ours_starts, has_program) = match case.expected {
            Expected::Boots => return false,
            Expected::BootsAnd(words) => (words, words, true),
            Expected::Fails(words) => (words, words, false),
            Expected::FailsInDecoder(words) => (words, "decompressor failed", false),
            Expected::StopsInDecoder(words) => (words, "decompressor failed", self.has_program),
        };
        self.words.lines().any(|line| line.starts_with(words))
            && ours.is_some_and(|ours| ours.starts_with(ours_starts))
            && self.has_program == has_program
    }
}

fn boot_refused(kernel: &Kernel, case: &Case, folder: &Path) -> anyhow::Result<Told> {
    fs::create_dir_all(folder)?;
    let image = folder.join("image");
    fs::write(&image, &case.image)?;
    // Nothing is kept, and less is set up.
    let machine = Machine::builder(&kernel.image, &image, folder).append("kho=off");
    let ended = machine.cpus(1).memory_mib(512).boot();
    let error = ended.err().context("it booted")?;
    let Error::KernelPanic { .. } = &error else {
        return Err(error).context("no panic");
    };
    let serial = String::from_utf8_lossy(&fs::read(folder.join("serial.log"))?).into_owned();
    let words = serial.lines().filter_map(|line| line.split_once(FAILED));
    let words: Vec<_> = words.map(|(_, words)| words.trim()).collect();
    ensure!(
        !words.is_empty(),
        "no complaint:\n{}",
        logs::tail(&folder.join("serial.log"), 20)
    );
    let root = "Unable to mount root fs";
    Ok(Told {
        words: words.join("\n"),
        has_program: !serial.contains(root),
    })
}

//! Initramfs images listed and built by `luoctl initrd`, beside 3cpio and, of what it can, GNU cpio.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::contender::{self, Contender, Runs};

/// The peer, as it is called in the registry of crates.
const PEER: [&str; 3] = ["threecpio", "--version", "0.14.0"];
/// Files of the tree, and the folders they are spread over.
const FILES: u64 = 2640;
const FOLDERS: u64 = 33;
/// Bytes that contents are cut from.
const POOL: usize = 64 << 20;
/// Manifests of ours and of the peer's.
const OURS: [&str; 2] = ["raw.toml", "zstd.toml"];
const THEIRS: [&str; 2] = ["raw.3cpio", "zstd.3cpio"];

/// Measures on a tree of about 800 MB that is made in `folder`; prints medians and ratios.
///
/// # Errors
/// The peer cannot be installed, or a program fails.
pub fn initrd(luoctl: &Path, runs: usize, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let peer = install_peer(folder)?;
    let bytes = make_tree(folder)?;
    make_manifests(folder)?;
    let of = format!("of {} MB in {} entries", bytes / 1_000_000, FILES + FOLDERS);
    for (index, how) in ["raw", "zstd -3"].into_iter().enumerate() {
        let image = format!("{}.img", ["raw", "zstd"].get(index).context("a name")?);
        let (ours, theirs) = (OURS.get(index), THEIRS.get(index));
        let (ours, theirs) = (ours.context("ours")?, theirs.context("theirs")?);
        let mut theirs_builds = program("3cpio --create", &peer, &["--create", "theirs.img"]);
        theirs_builds.input = Some(folder.join(theirs));
        let ours_builds = ["initrd", "build", ours, "--output", &image];
        // Ours is on the disk when it ends; theirs need not be.
        let mut synced = theirs_builds.clone();
        (synced.name, synced.sync) = ("3cpio --create, then sync", Some("theirs.img"));
        let ours_builds = program("luoctl initrd build", luoctl, &ours_builds);
        let builds = [theirs_builds, synced, ours_builds];
        measure(&format!("building, {how}, {of}"), &builds, runs, folder)?;
        let mut lists = vec![
            program(
                "3cpio --list --verbose",
                &peer,
                &["--list", "--verbose", &image],
            ),
            program("luoctl initrd list", luoctl, &["initrd", "list", &image]),
        ];
        if index == 0 {
            let mut cpio = program(
                "cpio --list --verbose",
                Path::new("cpio"),
                &["-tv", "--quiet"],
            );
            cpio.input = Some(folder.join(&image));
            lists.push(cpio);
        }
        measure(&format!("listing, {how}, {of}"), &lists, runs, folder)?;
        same_entries(&peer, folder, &image)?;
    }
    Ok(())
}

fn program(name: &'static str, program: &Path, words: &[&str]) -> Contender {
    Contender {
        name,
        program: program.to_owned(),
        calls: vec![words.iter().map(OsString::from).collect()],
        input: None,
        sync: None,
        threads: None,
    }
}

/// Everybody in turns, and once before, so that all files are in memory.
fn measure(title: &str, contenders: &[Contender], runs: usize, folder: &Path) -> Result<()> {
    let mut found: Vec<Runs> = contenders.iter().map(|_| Runs::default()).collect();
    for run in 0..=runs {
        for (contender, found) in contenders.iter().zip(&mut found) {
            let mut warm = Runs::default();
            contender.run(folder, if run == 0 { &mut warm } else { found })?;
        }
    }
    contender::print(title, "3cpio", contenders, &found)
}

/// What both built has the same names in it: they did the same work.
fn same_entries(peer: &Path, folder: &Path, image: &str) -> Result<()> {
    let names = |image: &str| -> Result<Vec<String>> {
        let listed = Command::new(peer)
            .args(["--list", image])
            .current_dir(folder)
            .output()?;
        ensure!(
            listed.status.success(),
            "3cpio --list {image}: {}",
            listed.status
        );
        let mut names: Vec<_> = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    };
    ensure!(
        names("theirs.img")? == names(image)?,
        "the two images differ"
    );
    Ok(())
}

fn install_peer(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("3cpio");
    let program = root.join("bin/3cpio");
    if !program.exists() {
        let mut cargo = Command::new("cargo");
        let install = ["install", "--quiet", "--locked", "--root"];
        let status = cargo.args(install).arg(&root).args(PEER).status()?;
        ensure!(status.success(), "cargo install threecpio: {status}");
    }
    Ok(program)
}

/// A generator of numbers (`splitmix64`): the same tree everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or(0)
    }
}

/// Bytes that compress to about a third, as programs do: half of them were there a little before.
fn pool() -> Vec<u8> {
    let mut numbers = Numbers(1);
    let mut pool: Vec<u8> = Vec::with_capacity(POOL + 1024);
    while pool.len() < POOL {
        if pool.len() > 1 << 16 && numbers.below(8) != 0 {
            let start = pool.len() - 1024 - numbers.below((1 << 16) - 1024);
            let copied = pool.get(start..start + 16 + numbers.below(100));
            pool.extend(copied.unwrap_or_default().to_vec());
        } else {
            for _ in 0..8 {
                pool.extend(numbers.next().to_le_bytes());
            }
        }
    }
    pool
}

/// Many small files and few large ones; returns their bytes.
fn make_tree(folder: &Path) -> Result<u64> {
    let tree = folder.join("tree");
    let mark = folder.join("tree.bytes");
    if let Ok(bytes) = fs::read_to_string(&mark) {
        return bytes.trim().parse().context("tree.bytes");
    }
    let (pool, mut numbers, mut sum) = (pool(), Numbers(2), 0);
    for number in 0..FILES {
        let to = tree.join(format!("folder-{:02}", number % FOLDERS));
        fs::create_dir_all(&to)?;
        // 1 KiB to 2 MiB, each power of 2 as often as the next.
        let bytes = (1024 << numbers.below(12)) + numbers.below(1024);
        let start = numbers.below(POOL - (3 << 20));
        let content = pool.get(start..start + bytes).context("content")?;
        fs::write(to.join(format!("file-{number}")), content)?;
        sum += u64::try_from(bytes)?;
    }
    fs::write(mark, sum.to_string())?;
    Ok(sum)
}

fn make_manifests(folder: &Path) -> Result<()> {
    let [raw, packed] = OURS;
    let tree = "[tree.\"/\"]\nsource = \"tree\"\n";
    fs::write(folder.join(raw), tree)?;
    let zstd = format!("compression = \"zstd\"\nlevel = 3\n{tree}");
    fs::write(folder.join(packed), zstd)?;
    let mut lines = String::new();
    for index in 0..FOLDERS {
        let name = format!("folder-{index:02}");
        writeln!(lines, "tree/{name}\t{name}")?;
        let mut files = fs::read_dir(folder.join("tree").join(&name))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            writeln!(lines, "tree/{name}/{file}\t{name}/{file}")?;
        }
    }
    let [raw, packed] = THEIRS;
    fs::write(folder.join(raw), &lines)?;
    fs::write(folder.join(packed), format!("#cpio: zstd -3\n{lines}"))?;
    Ok(())
}

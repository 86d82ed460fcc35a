//! Verifying and listing a handover of a terabyte.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use handover::{Content, Event, examine};
use kho::{PhysAddr, PhysMem as _, RadixTree};
use memory_image::Image;
use rustix::fs::{SeekFrom, seek};

use super::synthetic;

/// What the project aims at: time over that of the plain read.
const TARGET: f64 = 2.0;
/// Bytes of one read.
const STEP: usize = 1 << 20;

/// Measures, a line each.
///
/// # Errors
/// The image cannot be written or read, or what is read is not what was written.
pub fn measure(folder: &Path, gib: u64, runs: usize) -> anyhow::Result<Vec<String>> {
    let path = folder.join("handover.raw");
    let begin = Instant::now();
    let root = synthetic::write(&path, gib)?;
    let mut lines = vec![format!(
        "wrote a handover of {gib} GiB in {:.1?}",
        begin.elapsed()
    )];
    let before = peak_kib()?;
    let (mut reads, mut verifies) = (Vec::new(), Vec::new());
    let mut metadata = 0;
    for _ in 0..runs {
        let begin = Instant::now();
        metadata = read_all(&path)?;
        reads.push(begin.elapsed());
        let image = Image::open(&path)?;
        let begin = Instant::now();
        let (mut files, mut problems) = (0, 0);
        let totals = examine(&image, root, None, &mut |event| match event {
            Event::File(_) => files += 1,
            Event::Problem(problem) => {
                if problems == 0 {
                    tell(problem);
                }
                problems += 1;
            }
            _ => {}
        });
        verifies.push(begin.elapsed());
        anyhow::ensure!(problems == 0, "{problems} problems in a good handover");
        anyhow::ensure!(totals.memfd_bytes == gib << 30, "{totals:?}");
        anyhow::ensure!(
            totals.unknown_bytes == 0 && files == totals.files,
            "{totals:?}"
        );
    }
    let peak = peak_kib()?.max(before);
    let extraction = extract(&path, root, runs)?;
    let (read, verify) = (median(&mut reads), median(&mut verifies));
    let ratio = verify.as_secs_f64() / read.as_secs_f64();
    let mib = metadata >> 20;
    lines.push(format!(
        "{:<44} {read:>8.2?} for {mib} MiB",
        "read its metadata, plainly"
    ));
    lines.push(format!(
        "{:<44} {verify:>8.2?}, {ratio:.2} times that (target {TARGET}); {} folios",
        "verify and list it",
        gib << 18
    ));
    lines.push(format!(
        "{:<44} {:>8} MiB (target 256)",
        "memory at its highest",
        peak >> 10
    ));
    lines.push(extraction);
    std::fs::remove_file(&path)?;
    Ok(lines)
}

/// Content that is extracted.
const CONTENT_BYTES: u64 = 1 << 30;

/// Gets the first gibibyte of a memfd out, beside a plain read of as many bytes.
fn extract(path: &Path, root: PhysAddr, runs: usize) -> anyhow::Result<String> {
    synthetic::write_content(path, CONTENT_BYTES)?;
    let image = Image::open(path)?;
    let fdt = image.at(root).context("the root is gone")?.fdt;
    let tree = RadixTree::at(fdt.memory_map);
    let mut buffer = vec![0; STEP];
    let (mut reads, mut extractions) = (Vec::new(), Vec::new());
    let file = File::open(path)?;
    for _ in 0..runs {
        let begin = Instant::now();
        let content = Content::read(&image, tree, synthetic::FIRST_MEMFD)?;
        let mut plain = 0;
        for piece in &content.pieces {
            let mut done = 0;
            while done < piece.bytes.min(CONTENT_BYTES - plain) {
                image.read(PhysAddr(piece.addr.0 + done), &mut buffer)?;
                done += STEP as u64;
            }
            plain += done;
        }
        extractions.push(begin.elapsed());
        anyhow::ensure!(plain == CONTENT_BYTES, "{plain} bytes were extracted");
        let begin = Instant::now();
        let first = content.pieces.first().context("no content")?.addr.0;
        for at in (first..first + CONTENT_BYTES).step_by(STEP) {
            file.read_exact_at(&mut buffer, at)?;
        }
        reads.push(begin.elapsed());
    }
    let (read, extraction) = (median(&mut reads), median(&mut extractions));
    let ratio = extraction.as_secs_f64() / read.as_secs_f64();
    Ok(format!(
        "{:<44} {extraction:>8.2?}, {ratio:.2} times a plain read of it ({read:.2?})",
        "extract a GiB, with the table of its memfd"
    ))
}

#[expect(
    clippy::print_stderr,
    reason = "a measurement of nonsense is explained"
)]
fn tell(problem: &handover::Problem) {
    eprintln!("{problem}");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Reads every byte that is in the file, in order; how many.
fn read_all(path: &Path) -> anyhow::Result<u64> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let end = file.metadata()?.len();
    let mut buffer = vec![0; STEP];
    let (mut at, mut bytes) = (0, 0);
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        let hole = seek(&file, SeekFrom::Hole(data)).unwrap_or(end);
        at = data;
        while at < hole {
            let step = usize::try_from(hole - at)?.min(STEP);
            let read = file.read_at(buffer.get_mut(..step).unwrap_or_default(), at)?;
            at += read as u64;
            bytes += read as u64;
        }
    }
    Ok(bytes)
}

/// Most memory this process ever had, in KiB.
fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(digits.context("VmHWM")?.parse()?)
}

//! Kernels that cannot take over what is kept: told by `luoctl check`, refused by luod.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use e2e::Series;
use e2e::protocol::When;
use kimage::BzImage;

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::host::{Host, update_line};

const SERVICE: &str = "/bin/e2e-client service --name p --item full:4";
const REHEARSAL: &str = "a rehearsal: luoctl check --rehearse";
/// `syssize` and `payload_length` (`Documentation/arch/x86/boot.rst`, v7.3).
const SYSSIZE: usize = 0x1f4;
const PAYLOAD_LENGTH: usize = 0x24c;

/// A version, what it is replaced with, which check finds it, and what it says.
const WRONG: [(&str, &str, &str, &str); 3] = [
    ("kho-v4\0", "kho-v9\0", "kho-tag", "lost without a word"),
    ("luo-v5\0", "luo-v9\0", "luo-tag", "would panic"),
    ("memfd-v2\0", "memfd-v9\0", "memfd-tag", "would answer EIO"),
];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let name = "check::what_cannot_take_over_is_refused_before_anything_is_touched";
    vec![Scenario::new(name, wrong_kernels)]
}

fn wrong_kernels(lab: &Lab) -> anyhow::Result<()> {
    let host = Host::boot(lab, Series::V7_2, &[("p", When::Always, SERVICE)])?;
    host.wait_lines("p", "p: subscribed", 1)?;
    let kernel = fs::read(lab.kernel(Series::V7_3)?.image)?;

    good_kernel(&host)?;
    let path = "/tmp/wrong";
    let line = format!("--kernel {path} --reuse-cmdline");
    for (from, to, check, words) in WRONG {
        let wrong = patched(&kernel, &[(from, to)])?;
        host.machine.write_file(path, 0o600, &wrong)?;
        let outcome = host.luoctl(&format!("check {line}"))?;
        let said = outcome.output();
        ensure!(outcome.code() == Some(22), "{outcome:?}");
        ensure!(said.contains(words), "{said}");
        ensure!(said.contains(&format!("stopped by {check}\n")), "{said}");
        let parts = [words, "nothing was changed", &format!("--force {check}")];
        host.refused(&format!("update {line}"), 7, &parts)?;
    }
    // What is not found is not ok.
    let all = WRONG.map(|(from, ..)| (from, "?".repeat(from.len())));
    let all: Vec<_> = all.iter().map(|(from, to)| (*from, to.as_str())).collect();
    host.machine
        .write_file(path, 0o600, &patched(&kernel, &all)?)?;
    let parts = [
        "no version kho-v… was found in it",
        "kho-tag,luo-tag,memfd-tag",
    ];
    host.refused(&format!("update {line}"), 7, &parts)?;
    // Nothing was touched.
    let status = host.json("status")?;
    ensure!(status["phase"] == "normal", "{status:#}");
    ensure!(status["is_image_loaded"] == false, "{status:#}");
    let report = host.json("report")?;
    ensure!(report["cancelled"] == REHEARSAL, "{report:#}");

    forced(&host, &line)?;
    host.update(Series::V7_3)?;
    host.wait_lines("p", "p: all ready", 1)?;
    Ok(host.machine.poweroff()?)
}

/// Everything is known, and a rehearsal leaves everything as it was.
fn good_kernel(host: &Host) -> anyhow::Result<()> {
    let kernel = guest_kernel(Series::V7_3);
    // An emulated machine has the command line of its host, and what is started there.
    let line = format!(
        "check --kernel {kernel} --initrd /sys/firmware/initrd --reuse-cmdline --append rdinit=/init"
    );
    let found = host.json(&line)?;
    let findings = found["findings"].as_array().context("findings")?;
    ensure!(findings.len() >= 12, "{found:#}");
    for finding in findings {
        let is_known = finding["verdict"] == "ok";
        // Its own word of another version's kernel names the one that runs, too.
        ensure!(is_known, "{finding:#}");
    }
    ensure!(found["stops"] == serde_json::json!([]), "{found:#}");
    let outcome = host.luoctl(&format!("{line} --rehearse"))?.success()?;
    let said = outcome.stdout();
    ensure!(said.contains("rehearsed: prepared in "), "{said}");
    ensure!(said.contains("preserved 4 MiB of 1 service"), "{said}");
    host.wait_lines("p", "p: cancelled, going on", 1)?;
    host.check_normal(1)
}

/// What is forced is named, and only that.
fn forced(host: &Host, line: &str) -> anyhow::Result<()> {
    let refused = format!("update {line} --force kho-tag,luo-tag --prepare-only");
    host.refused(&refused, 7, &["(memfd-tag)"])?;
    let unknown = format!("update {line} --force everything");
    host.refused(&unknown, 2, &["no check \"everything\"", "luoctl check"])?;
    host.done(&format!(
        "update {line} --force kho-tag,luo-tag,memfd-tag --prepare-only"
    ))?;
    host.refused(&update_line(Series::V7_3), 8, &["the host is prepared"])?;
    host.done("cancel")
}

/// The kernel with other bytes in it, of the same length; it is looked into and never started.
fn patched(file: &[u8], changes: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let image = BzImage::parse(file)?;
    let unpacked = kimage::unpack(file)?;
    let mut kernel = unpacked.kernel.into_owned();
    for (from, to) in changes {
        let at = kernel
            .windows(from.len())
            .position(|bytes| bytes == from.as_bytes())
            .with_context(|| format!("{from:?} is not in the kernel"))?;
        let place = kernel.get_mut(at..at + from.len()).context("place")?;
        place.copy_from_slice(to.as_bytes());
    }
    let packed = match unpacked.compression {
        None => kernel,
        Some(_) => gzip(&kernel)?,
    };
    let (payload, code) = (image.payload(), image.protected_mode_code());
    let real_mode = file.len() - code.len();
    let start = real_mode + offset_of(payload, code)?;
    let (head, rest) = file.split_at_checked(start).context("payload")?;
    let behind = rest.get(payload.len()..).context("behind the payload")?;
    let mut file = [head, &packed, behind].concat();
    file.resize(file.len().next_multiple_of(16), 0);
    let paragraphs = (file.len() - real_mode) / 16;
    for (at, number) in [(SYSSIZE, paragraphs), (PAYLOAD_LENGTH, packed.len())] {
        let place = file.get_mut(at..at + 4).context("header")?;
        place.copy_from_slice(&u32::try_from(number)?.to_le_bytes());
    }
    Ok(file)
}

/// Where a part is in the whole it was taken from.
fn offset_of(part: &[u8], whole: &[u8]) -> anyhow::Result<usize> {
    let offset = part.as_ptr().addr().checked_sub(whole.as_ptr().addr());
    offset.context("no part of it")
}

/// As the kernel's build does it.
fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-n", "-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start gzip")?;
    let mut input = child.stdin.take().context("gzip's input")?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(bytes));
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "gzip: {}", output.status);
        let written = writer.join();
        written.map_err(|_panic| anyhow::anyhow!("the writer panicked"))??;
        Ok(output.stdout)
    })
}

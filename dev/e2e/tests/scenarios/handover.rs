//! What Linux hands over, read out of the guest's memory: stopped right before the jump, and again
//! at the first instruction of the next kernel that has page tables of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{Debugger, Machine, Series};
use handover::{Content, Event, examine};
use handover_view::{Session, View, collect};
use kho::{PhysAddr, PhysMem as _, RadixTree};
use memory_image::{Found, Image};

use crate::harness::{Lab, Scenario, guest_kernel};
use crate::update::start;

const PATIENCE: Duration = Duration::from_secs(60);
const SESSIONS: [&str; 2] = ["first", "second"];
const BEFORE: &str = "before.elf";
const AFTER: &str = "after.elf";
const ITEMS: [&str; 5] = ["empty", "one-byte", "sparse", "position", "sealed"];

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    [(Series::V7_2, Series::V7_3), (Series::V7_3, Series::V7_2)]
        .into_iter()
        .map(|(from, to)| {
            let name = format!("handover::{from}_to_{to}_is_read_on_both_sides");
            Scenario::new(name, move |lab| both_sides(lab, from, to))
        })
        .collect()
}

fn both_sides(lab: &Lab, from: Series, to: Series) -> anyhow::Result<()> {
    let mut image = lab.image_with_client()?;
    let items = ITEMS.map(|item| format!(" --item {item}")).concat();
    let services = SESSIONS.map(|name| {
        let command = format!("/bin/e2e-client direct --session {name}{items}");
        start(name, &command)
    });
    image.autostart(&services)?;
    let (old, new) = (e2e::artifacts::kernel(from)?, e2e::artifacts::kernel(to)?);
    // Else the kernels are not where System.map says.
    let machine = lab.machine(&old, image)?.append("nokaslr").boot()?;
    let mut checksums = BTreeMap::new();
    for session in SESSIONS {
        let log = machine.wait_log(session, "preserved", PATIENCE)?;
        checksums.insert(session, filled(&log)?);
    }

    let mut debugger = machine.debugger()?;
    let before = old.symbol("machine_kexec")?;
    debugger.stop_at(before)?;
    debugger.go()?;
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let jump = scope.spawn(|| jump(&machine, to));
        // Until the machine goes on, the jump is waited for: whatever is wrong here is told after.
        let seen = look_twice(
            lab,
            &mut debugger,
            before,
            new.symbol("start_kernel")?,
            &checksums,
        );
        let went_on = debugger.go();
        let jumped = jump.join();
        seen?;
        went_on?;
        let release = jumped.map_err(|_panic| anyhow::anyhow!("the jump panicked"))??;
        ensure!(
            release == new.release,
            "{release} runs, not {}",
            new.release
        );
        Ok(())
    })?;
    for session in SESSIONS {
        let log = machine.wait_log(session, "preserved", PATIENCE)?;
        let verified = log.matches(" verified, Updated").count();
        ensure!(
            verified == ITEMS.len(),
            "the guest does not see the same: {log}"
        );
    }
    Ok(machine.poweroff()?)
}

fn jump(machine: &Machine, to: Series) -> anyhow::Result<String> {
    let kernel = guest_kernel(to);
    let command = ["/bin/e2e-client", "bare-kexec", "--kernel", &kernel];
    Ok(machine.jump(command, PATIENCE)?.release)
}

/// Checksums of the files by name, as the client has printed them.
fn filled(log: &str) -> anyhow::Result<Vec<u32>> {
    let sums = log
        .lines()
        .filter_map(|line| line.split_once(" filled, checksum "));
    let sums: Result<Vec<u32>, _> = sums
        .map(|(_, sum)| u32::from_str_radix(sum.trim(), 16))
        .collect();
    let sums = sums?;
    ensure!(sums.len() == ITEMS.len(), "{log}");
    Ok(sums)
}

type Checksums = BTreeMap<&'static str, Vec<u32>>;

fn look_twice(
    lab: &Lab,
    debugger: &mut Debugger,
    before: u64,
    after: u64,
    checksums: &Checksums,
) -> anyhow::Result<()> {
    debugger.wait_stop(PATIENCE)?;
    let sent = look(lab, debugger, BEFORE, checksums).context("before the jump")?;
    debugger.pass(before)?;
    debugger.stop_at(after)?;
    debugger.go()?;
    debugger.wait_stop(PATIENCE)?;
    let received = look(lab, debugger, AFTER, checksums).context("after the jump")?;
    debugger.pass(after)?;
    ensure!(sent == received, "{sent}\n{received}");
    Ok(())
}

/// Reads the handover out of the memory; all of it as JSON.
fn look(
    lab: &Lab,
    debugger: &mut Debugger,
    name: &str,
    checksums: &Checksums,
) -> anyhow::Result<String> {
    let path = lab.folder().join(name);
    debugger.dump_memory(&path)?;
    let seen = read(&path, name, checksums);
    if seen.is_ok() {
        // A gibibyte each; kept only for whoever has to look at a failure.
        std::fs::remove_file(&path)?;
    }
    seen
}

fn read(path: &Path, name: &str, checksums: &Checksums) -> anyhow::Result<String> {
    let image = Image::open(path)?;
    let mut found = image.find();
    // The kernel before this one was booted cold: there is one handover only.
    let Some(Found { root, fdt, scratch }) = found.pop().filter(|_| found.is_empty()) else {
        anyhow::bail!("{} handovers are in memory", found.len());
    };
    let view = collect(&image, root, scratch.as_ref());
    if name == AFTER {
        let scratch = view
            .scratch
            .as_ref()
            .context("no boot parameters with scratch")?;
        ensure!(scratch.iter().any(|area| area.bytes != 0), "{scratch:?}");
    }
    ensure!(view.problems.is_empty(), "{:?}", view.problems);
    ensure!(view.totals.unknown_bytes == 0, "{}", view.to_text());
    let names: Vec<_> = view.sessions.iter().map(|session| &*session.name).collect();
    ensure!(
        names == SESSIONS || names == ["second", "first"],
        "{names:?}"
    );
    let tree = RadixTree::at(fdt.memory_map);
    for session in &view.sessions {
        let contents = contents(&image, root, tree, &session.name)?;
        // The session's own record is a file more.
        let sums = checksums.get(&*session.name).context("checksums")?;
        for sum in sums {
            ensure!(contents.contains(sum), "{sum:08x} is not in {contents:x?}");
        }
        check_files(session)?;
    }
    let view = View {
        source: String::new(),
        scratch: None,
        memory: Vec::new(),
        ..view
    };
    Ok(view.to_text())
}

fn check_files(session: &Session) -> anyhow::Result<()> {
    let memfds: Vec<_> = session
        .files
        .iter()
        .filter_map(|file| file.memfd.as_ref())
        .collect();
    let has = |size, pos, seals: &[&str]| {
        memfds
            .iter()
            .any(|memfd| memfd.size_bytes == size && memfd.pos_bytes == pos && memfd.seals == seals)
    };
    ensure!(has(0, 0, &[]), "no empty file: {memfds:?}");
    ensure!(has(1, 0, &[]), "no file of a byte: {memfds:?}");
    ensure!(has(1 << 20, 0, &[]), "no sparse file: {memfds:?}");
    ensure!(
        has(10_000, 0x1234, &[]),
        "no file with a position: {memfds:?}"
    );
    let sealed = has(10_000, 0, &["seal", "shrink", "grow"]);
    ensure!(sealed, "no sealed file: {memfds:?}");
    Ok(())
}

/// Checksums of the contents of a session's memfds.
fn contents(
    image: &Image,
    root: PhysAddr,
    tree: RadixTree,
    session: &str,
) -> anyhow::Result<Vec<u32>> {
    let mut headers = Vec::new();
    let mut is_inside = false;
    examine(image, root, None, &mut |event| match event {
        Event::Session(seen) => is_inside = seen.name == session,
        Event::File(file) if is_inside => {
            headers.extend(file.memfd.as_ref().map(|memfd| memfd.header));
        }
        _ => {}
    });
    let sum = |header| -> anyhow::Result<u32> {
        let content = Content::read(image, tree, header)?;
        let mut bytes = vec![0; usize::try_from(content.size_bytes)?];
        for piece in &content.pieces {
            let start = usize::try_from(piece.offset)?;
            let end = start + usize::try_from(piece.bytes)?;
            let place = bytes
                .get_mut(start..end)
                .context("a piece behind the end")?;
            image.read(piece.addr, place)?;
        }
        Ok(crc32fast::hash(&bytes))
    };
    headers.into_iter().map(sum).collect()
}

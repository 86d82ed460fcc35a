//! The module `kmod/pstore_kho` on kernels that load modules in Rust: what one kernel says at its end, the next one
//! shows.

mod hostile;

use std::fs;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{Initramfs, Machine, Outcome, Series, artifacts};
use flate2::read::DeflateDecoder;
use initrd::Permissions;
use kho_abi::pstore::{Blob, NODE_NAME, Reason, Slot};
use serde_json::Value;

use crate::composed::console;
use crate::harness::{Lab, Scenario, guest_kernel};

/// Longest jump in emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for what a kernel has said already.
const WORDS_PATIENCE: Duration = Duration::from_secs(20);
/// Where pstore is mounted.
const PSTORE: &str = "/sys/fs/pstore";
/// The file of a crash that the kernel survived.
const CRASH: &str = "dmesg-kho-0";
/// The file of a boot's end.
const SHUTDOWN: &str = "dmesg-kho-1";
/// The last line of a kernel before the next one runs (`kernel/kexec_core.c`, v7.2 and v7.3).
const LAST_LINE: &str = "Starting new kernel";
/// All reasons up to the end of a boot.
const WITH_SHUTDOWN: &str = "max_reason=4";
/// What pstore says of a file that it could not inflate, and how such a file is named.
const INFLATE_FAILED: &str = "zlib_inflate() failed, ret = -5!";
const COMPRESSED: &str = "dmesg-kho-1.enc.z";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let (old, new) = (Series::V7_2, Series::V7_3);
    let chains = [(old, new), (new, old)].map(|(first, second)| {
        let name = format!("pstore_kho::{first}_to_{second}_and_back_with_the_last_lines");
        Scenario::new(name, move |lab| chain(lab, first, second))
    });
    let hostile = Series::ALL.map(|series| {
        let name = format!("pstore_kho::{series}::hostile_handovers_are_refused");
        Scenario::new(name, move |lab| hostile::run(lab, series))
    });
    let others: [(&str, fn(&Lab) -> anyhow::Result<()>); 4] = [
        ("a_smaller_reader_leaves_inflating_to_a_tool", sizes),
        ("a_crash_is_kept_beside_the_end", crash),
        ("what_came_in_is_shown_without_room_to_go_out", read_only),
        ("without_kho_there_is_an_error_and_no_warning", kho_off),
    ];
    let others = others.map(|(name, run_fn)| Scenario::new(format!("pstore_kho::{name}"), run_fn));
    chains.into_iter().chain(hostile).chain(others).collect()
}

/// A guest whose image has both kernels and their modules.
struct Guest {
    machine: Machine,
}

impl Guest {
    fn boot(lab: &Lab, series: Series, words: &str) -> anyhow::Result<Self> {
        let (kernel, _) = artifacts::pstore_kho(series)?;
        let machine = lab.machine(&kernel, image()?)?;
        let machine = machine.append(words).boot()?;
        Self::of(machine)
    }

    fn of(machine: Machine) -> anyhow::Result<Self> {
        Ok(Self { machine })
    }

    fn client(&self, arguments: &[&str]) -> anyhow::Result<Outcome> {
        let mut command = vec!["/bin/e2e-client"];
        command.extend(arguments);
        Ok(self.machine.run(command)?)
    }

    /// Loads the module of the kernel that runs.
    fn try_load(&self, parameters: &[&str]) -> anyhow::Result<Outcome> {
        let path = guest_module(&self.machine.hello().release);
        let mut arguments = vec!["load-module", path.as_str()];
        arguments.extend(parameters);
        self.client(&arguments)
    }

    fn load(&self, parameters: &[&str]) -> anyhow::Result<()> {
        self.try_load(parameters)?.success()?;
        Ok(())
    }

    fn unload(&self) -> anyhow::Result<()> {
        self.client(&["unload-module", "pstore_kho"])?.success()?;
        Ok(())
    }

    /// Writes a line into the kernel's log.
    fn say(&self, line: &str) -> anyhow::Result<()> {
        let line = format!("<5>{line}\n");
        self.poke("/dev/kmsg", 0, line.as_bytes())?.success()?;
        Ok(())
    }

    fn poke(&self, path: &str, offset: u64, bytes: &[u8]) -> anyhow::Result<Outcome> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.client(&["poke", path, &hex, "--offset", &offset.to_string()])
    }

    fn record(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self.machine.read_file(&format!("{PSTORE}/{file}"))?)
    }

    fn text(&self, file: &str) -> anyhow::Result<String> {
        let bytes = self.record(file)?;
        String::from_utf8(bytes).with_context(|| format!("{file} is no text"))
    }

    fn has(&self, file: &str) -> bool {
        self.record(file).is_ok()
    }

    /// The blob that came in, as the kernel shows it.
    fn blob(&self) -> anyhow::Result<Vec<u8>> {
        let path = format!("/sys/kernel/debug/kho/in/sub_fdts/{NODE_NAME}");
        Ok(self.machine.read_file(&path)?)
    }

    /// What `luoctl inspect` says of the handover to come.
    fn inspect(&self) -> anyhow::Result<Value> {
        let shown = self.machine.run(["/bin/luoctl", "inspect", "--json"])?;
        Ok(serde_json::from_str(&shown.success()?.stdout())?)
    }

    fn jump(&self, series: Series) -> anyhow::Result<()> {
        let path = guest_kernel(series);
        let command = ["/bin/e2e-client", "bare-kexec", "--kernel", &path];
        let hello = self.machine.jump(command, PATIENCE)?;
        let (kernel, _) = artifacts::pstore_kho(series)?;
        ensure!(hello.release == kernel.release, "{}", hello.release);
        Ok(())
    }
}

fn guest_module(release: &str) -> String {
    format!("/lib/modules/{release}/pstore_kho.ko")
}

/// The agent, the client, luoctl, and every kernel that is there, with its module.
fn image() -> anyhow::Result<Initramfs> {
    let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
    image.program(&artifacts::guest_program("e2e-client")?)?;
    image.program(&artifacts::guest_program("luoctl")?)?;
    for series in Series::ALL {
        let Ok((kernel, module)) = artifacts::pstore_kho(series) else {
            continue;
        };
        image.file(&kernel.image, &guest_kernel(series), Permissions::DATA)?;
        let path = guest_module(&kernel.release);
        image.file(&module, &path, Permissions::DATA)?;
    }
    Ok(image)
}

/// Waits until the console has these words behind its first `from` bytes: it may lag behind what was done.
fn wait_said(lab: &Lab, from: usize, words: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let log = console(lab)?;
        let fresh = log.get(from..).context("the console got shorter")?;
        if fresh.contains(words) {
            return Ok(());
        }
        ensure!(start.elapsed() < WORDS_PATIENCE, "no `{words}` in {fresh}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A module that does nothing wrong is not warned of, whatever came in.
fn is_quiet(lab: &Lab) -> anyhow::Result<()> {
    let log = console(lab)?;
    for word in ["WARNING:", "BUG:", "Oops:"] {
        ensure!(!log.contains(word), "{word} on the console");
    }
    Ok(())
}

/// Two jumps; each kernel shows the last lines of the one before it, and only those.
fn chain(lab: &Lab, first: Series, second: Series) -> anyhow::Result<()> {
    let guest = Guest::boot(lab, first, "")?;
    guest.load(&[WITH_SHUTDOWN])?;
    ensure!(!guest.has(SHUTDOWN), "a record on a cold boot");
    guest.say("kernel number one says goodbye")?;
    let said = guest.inspect()?;
    ensure!(said["problems"] == serde_json::json!([]), "{said:#}");
    let pstore = &said["pstore"];
    ensure!(
        pstore["version"] == 1 && pstore["records"] == serde_json::json!([]),
        "{said:#}"
    );

    guest.jump(second)?;
    guest.load(&[WITH_SHUTDOWN])?;
    let text = guest.text(SHUTDOWN)?;
    ensure!(text.starts_with("Shutdown#1 Part1\n"), "{text}");
    ensure!(text.contains("number one says goodbye"), "{text}");
    ensure!(text.trim_end().ends_with(LAST_LINE), "{text}");
    let path = format!("{PSTORE}/{SHUTDOWN}");
    let removed = guest.client(&["remove", &path])?;
    ensure!(
        removed.stderr().contains("os error 1"),
        "{}",
        removed.output()
    );

    guest.unload()?;
    ensure!(!guest.has(SHUTDOWN), "records without a backend");
    guest.load(&[WITH_SHUTDOWN])?;
    ensure!(guest.text(SHUTDOWN)? == text, "another text after a reload");
    guest.say("kernel number two says goodbye")?;

    guest.jump(first)?;
    guest.load(&[])?;
    let text = guest.text(SHUTDOWN)?;
    ensure!(text.contains("number two says goodbye"), "{text}");
    ensure!(!text.contains("number one says goodbye"), "{text}");
    ensure!(text.trim_end().ends_with(LAST_LINE), "{text}");
    is_quiet(lab)?;
    Ok(guest.machine.poweroff()?)
}

/// A writer with much room and a reader with little: the kernel gives up, the text is whole all the same.
fn sizes(lab: &Lab) -> anyhow::Result<()> {
    let guest = Guest::boot(lab, Series::V7_2, "")?;
    guest.load(&[WITH_SHUTDOWN, "size=0x80000"])?;
    for number in 0..60 {
        guest.say(&format!(
            "line {number} of a long story {}",
            "x".repeat(500)
        ))?;
    }
    guest.jump(Series::V7_3)?;
    guest.load(&[WITH_SHUTDOWN, "size=0x2000"])?;
    wait_said(lab, 0, INFLATE_FAILED)?;
    let file = guest.record(COMPRESSED)?;
    let bytes = guest.blob()?;
    let blob = Blob::parse(&bytes)?;
    ensure!(blob.capacity() > 0x3f000, "{}", blob.capacity());
    let record = blob.record(Slot::Shutdown)?.context("no record")?;
    ensure!(record.text() == file, "the file is not what came in");
    let mut text = String::new();
    DeflateDecoder::new(&file[..]).read_to_string(&mut text)?;
    ensure!(text.contains("line 0 of a long story"), "{text}");
    ensure!(text.trim_end().ends_with(LAST_LINE), "{text}");

    // The small one works between two of a kind. What it leaves is the recorded blob of other tests
    // (core/handover/testdata/pstore-kho).
    guest.jump(Series::V7_2)?;
    guest.load(&["size=0x2000"])?;
    let text = guest.text(SHUTDOWN)?;
    fs::write(lab.folder().join("blob.bin"), guest.blob()?)?;
    ensure!(text.trim_end().ends_with(LAST_LINE), "{text}");
    Ok(guest.machine.poweroff()?)
}

/// Has the kernel meet a bug of its own, which ends the program that asked for it and nothing else.
fn provoke(guest: &Guest) -> anyhow::Result<()> {
    let path = "/proc/sys/kernel/panic_on_oops";
    guest.poke(path, 0, b"0\n")?.success()?;
    let path = "/sys/kernel/debug/provoke-crash/DIRECT";
    let provoked = guest.poke(path, 0, b"BUG")?;
    ensure!(provoked.code() != Some(0), "nothing was provoked");
    Ok(())
}

/// By default crashes are kept and ends are not; with a parameter both, beside each other.
fn crash(lab: &Lab) -> anyhow::Result<()> {
    let guest = Guest::boot(lab, Series::V7_3, "")?;
    guest.load(&[])?;
    guest.say("before the first crash")?;
    provoke(&guest)?;
    let said = guest.inspect()?;
    let record = &said["pstore"]["records"][0];
    ensure!(
        record["slot"] == "crash" && record["reason"] == "oops",
        "{said:#}"
    );
    guest.say("before the second crash")?;
    provoke(&guest)?;
    guest.jump(Series::V7_3)?;
    guest.load(&[WITH_SHUTDOWN])?;
    let text = guest.text(CRASH)?;
    ensure!(text.starts_with("Oops#1 Part1\n"), "{text}");
    ensure!(text.contains("kernel BUG at drivers/misc/lkdtm"), "{text}");
    ensure!(!text.contains("before the second crash"), "{text}");
    ensure!(
        !guest.has(SHUTDOWN),
        "an end was kept without being asked for"
    );
    wait_said(lab, 0, "backend (kho) writing error (-28)")?;

    provoke(&guest)?;
    guest.say("after the crash of the second kernel")?;
    guest.jump(Series::V7_2)?;
    guest.load(&[WITH_SHUTDOWN])?;
    let (crash, end) = (guest.text(CRASH)?, guest.text(SHUTDOWN)?);
    ensure!(crash.starts_with("Oops#1 Part1\n"), "{crash}");
    ensure!(end.starts_with("Shutdown#2 Part1\n"), "{end}");
    ensure!(
        end.contains("after the crash of the second kernel"),
        "{end}"
    );
    ensure!(
        !crash.contains("after the crash of the second kernel"),
        "{crash}"
    );
    let bytes = guest.blob()?;
    let blob = Blob::parse(&bytes)?;
    let reason =
        |slot| -> anyhow::Result<Reason> { Ok(blob.record(slot)?.context("no record")?.reason()) };
    ensure!(reason(Slot::Crash)? == Reason::OOPS);
    ensure!(reason(Slot::Shutdown)? == Reason::SHUTDOWN);
    Ok(guest.machine.poweroff()?)
}

/// A blob that cannot be made keeps nobody from reading the one that came in.
fn read_only(lab: &Lab) -> anyhow::Result<()> {
    let guest = Guest::boot(lab, Series::V7_3, "")?;
    // More than one block of memory can have (kho_alloc_preserve: E2BIG), and nothing came in.
    let refused = guest.try_load(&[WITH_SHUTDOWN, "size=0x800000"])?;
    ensure!(
        refused.stderr().contains("os error 7"),
        "{}",
        refused.output()
    );
    let refused = guest.try_load(&["size=96"])?;
    ensure!(
        refused.stderr().contains("os error 22"),
        "{}",
        refused.output()
    );
    let refused = guest.try_load(&["max_reason=5"])?;
    ensure!(
        refused.stderr().contains("os error 22"),
        "{}",
        refused.output()
    );
    guest.load(&[WITH_SHUTDOWN])?;
    guest.jump(Series::V7_3)?;
    guest.load(&[WITH_SHUTDOWN, "size=0x800000"])?;
    let text = guest.text(SHUTDOWN)?;
    ensure!(text.trim_end().ends_with(LAST_LINE), "{text}");
    wait_said(lab, 0, "nothing will be kept for the next kernel")?;
    let said = guest.inspect()?;
    ensure!(said["pstore"].is_null(), "{said:#}");
    guest.jump(Series::V7_3)?;
    wait_said(lab, 0, "backend (kho) writing error (-19)")?;
    guest.load(&[])?;
    ensure!(!guest.has(SHUTDOWN), "a record from nowhere");
    is_quiet(lab)?;
    Ok(guest.machine.poweroff()?)
}

/// KHO warns with a stack trace when it is used while it is off; the module looks first.
fn kho_off(lab: &Lab) -> anyhow::Result<()> {
    for series in Series::ALL {
        let guest = Guest::boot(lab, series, "kho=off")?;
        let refused = guest.try_load(&[WITH_SHUTDOWN])?;
        ensure!(
            refused.stderr().contains("os error 19"),
            "{}",
            refused.output()
        );
        wait_said(lab, 0, "kexec handover is off")?;
        is_quiet(lab)?;
        guest.machine.poweroff()?;
    }
    Ok(())
}

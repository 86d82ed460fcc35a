//! `luoctl inspect` on a recorded handover of Linux 7.3.4.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::printed;

const PACKED: &[u8] = include_bytes!("../../../../core/handover/testdata/linux-7.3.4/pages.zst");
const INDEX: &str = include_str!("../../../../core/handover/testdata/linux-7.3.4/index.txt");

fn pages() -> Vec<u8> {
    let mut pages = Vec::new();
    let mut unpacked = ruzstd::decoding::StreamingDecoder::new(PACKED).unwrap();
    unpacked.read_to_end(&mut pages).unwrap();
    pages
}

/// Where the page of an address is among the pages.
fn place(addr: u64) -> usize {
    let line = format!("{addr:#x} ");
    let line = INDEX
        .lines()
        .find(|known| known.starts_with(&line))
        .unwrap();
    line.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn addresses() -> impl Iterator<Item = u64> {
    let addr = |line: &str| {
        let addr = line.split(' ').next().unwrap().trim_start_matches("0x");
        u64::from_str_radix(addr, 16).unwrap()
    };
    INDEX.lines().map(addr)
}

/// A folder of pages.
fn folder(pages: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pages.bin"), pages).unwrap();
    fs::write(folder.path().join("index.txt"), INDEX).unwrap();
    folder
}

/// The same memory as a raw image.
fn raw(pages: &[u8]) -> tempfile::NamedTempFile {
    use std::os::unix::fs::FileExt as _;
    let image = tempfile::NamedTempFile::new().unwrap();
    // The largest preserved block ends there.
    image.as_file().set_len(0x1ee0_0000).unwrap();
    for addr in addresses() {
        let page = &pages[place(addr)..][..4096];
        image.as_file().write_all_at(page, addr).unwrap();
    }
    image
}

/// The same memory as an ELF dump with two segments.
fn elf(pages: &[u8]) -> tempfile::NamedTempFile {
    use std::os::unix::fs::FileExt as _;
    let dump = tempfile::NamedTempFile::new().unwrap();
    let mut header = vec![0_u8; 64 + 2 * 56];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &4_u16.to_le_bytes()); // ET_CORE
    put(18, &62_u16.to_le_bytes()); // x86-64
    put(20, &1_u32.to_le_bytes());
    put(32, &64_u64.to_le_bytes()); // program headers
    put(52, &64_u16.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &2_u16.to_le_bytes());
    let halves = [
        (0_u64, 0x100_0000_u64, 0x1000_u64),
        (0x100_0000, 0x1de0_0000, 0x200_0000),
    ];
    for (segment, (addr, bytes, offset)) in halves.into_iter().enumerate() {
        let at = 64 + segment * 56;
        put(at, &1_u32.to_le_bytes()); // PT_LOAD
        put(at + 8, &offset.to_le_bytes());
        put(at + 24, &addr.to_le_bytes());
        put(at + 32, &bytes.to_le_bytes());
        put(at + 40, &bytes.to_le_bytes());
    }
    for addr in addresses() {
        let (start, _, offset) = halves[usize::from(addr >= halves[1].0)];
        let page = &pages[place(addr)..][..4096];
        let at = addr - start + offset;
        dump.as_file().write_all_at(page, at).unwrap();
    }
    dump.as_file().write_all_at(&header, 0).unwrap();
    let end = 0x200_0000 + 0x1de0_0000;
    dump.as_file().set_len(end).unwrap();
    dump
}

fn luoctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_luoctl"))
        .arg("inspect")
        .args(args)
        .output()
        .unwrap()
}

fn json(source: &Path) -> Value {
    let output = luoctl(&[source.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{output:?}");
    printed("inspect --json", &output).remove(0)
}

#[test]
fn every_kind_of_source_gives_the_same_handover() {
    let pages = pages();
    let (folder, raw) = (folder(&pages), raw(&pages));
    let dump = elf(&pages);
    let mut views: Vec<Value> = [folder.path(), raw.path(), dump.path()]
        .into_iter()
        .map(json)
        .collect();
    for view in &mut views {
        view["source"] = Value::Null;
    }
    assert_eq!(views[0], views[1]);
    assert_eq!(views[0], views[2]);
    let view = &views[0];
    let names: Vec<_> = view["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "empty", "q", "unretrieved-session"]);
    let file = &view["sessions"][2]["files"][0];
    assert_eq!(file["token"], "0x64");
    assert_eq!(file["memfd"]["size_bytes"], 10);
    assert_eq!(
        file["memfd"]["seals"],
        serde_json::json!(["shrink", "grow"])
    );
    assert_eq!(view["metadata"]["release"], "7.3.4");
    assert_eq!(view["totals"]["unknown_bytes"], 0);
    assert_eq!(view["problems"], serde_json::json!([]));
}

#[test]
fn verify_answers_with_its_exit_code_and_a_line_for_each_problem() {
    let mut pages = pages();
    let good = folder(&pages);
    let output = luoctl(&[good.path().to_str().unwrap(), "--verify"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // The empty block of sessions that the next kernel dies of.
    let count = place(0x88_d000) + 8;
    pages[count..count + 8].fill(0);
    let bad = folder(&pages);
    let output = luoctl(&[bad.path().to_str().unwrap(), "--verify"]);
    assert_eq!(output.status.code(), Some(19), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("panic: the table of sessions: the block at 0x88d000 has 0 entries"),
        "{text}"
    );
    let output = luoctl(&[bad.path().to_str().unwrap(), "--verify", "--json"]);
    let lines = output.stdout.split(|&byte| byte == b'\n');
    printed("inspect --verify --json", &output);
    let first: Value = serde_json::from_slice(lines.into_iter().next().unwrap()).unwrap();
    assert_eq!(first["consequence"], "panic");
}

#[test]
fn content_comes_out_byte_for_byte() {
    let pages = pages();
    let folder = folder(&pages);
    let source = folder.path().to_str().unwrap();
    let output = luoctl(&[source, "--extract", "q", "100"]);
    assert_eq!(output.stdout, b"0123456789", "{output:?}");
    let file = folder.path().join("out");
    let output = luoctl(&[
        source,
        "--extract",
        "q",
        "0x64",
        "--output",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(file).unwrap(), b"0123456789");
    let output = luoctl(&[source, "--extract", "q", "101"]);
    assert_eq!(output.status.code(), Some(14), "{output:?}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let nothing = tempfile::NamedTempFile::new().unwrap();
    let zeros = tempfile::NamedTempFile::new().unwrap();
    zeros.as_file().set_len(1 << 20).unwrap();
    for (path, code, message) in [
        (nothing.path(), 17, "an empty file"),
        (Path::new("/bin/sh"), 17, "no dump of memory"),
        (Path::new("/nowhere"), 17, "No such file"),
        (zeros.path(), 20, "there is no handover in"),
    ] {
        let output = luoctl(&[path.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
}

#[test]
fn the_page_names_owners_and_escapes_names() {
    let mut pages = pages();
    let name = place(0x88_d000) + 16;
    pages[name..name + 9].copy_from_slice(b"<b>&\x1b[1m\0");
    let folder = folder(&pages);
    let page = folder.path().join("map.html");
    let output = luoctl(&[
        folder.path().to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("&lt;b&gt;&amp;\\u{1b}[1m"), "{html}");
    assert!(html.contains("\nreserve-mem: 128 KiB</title>"), "{html}");
    assert!(!html.contains("http"), "nothing is loaded from elsewhere");
}

/// A terminal: the end that a user looks at, and the end of the program.
fn terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let user = openpt(flags).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (user, program)
}

#[test]
fn progress_is_shown_on_a_terminal_only_and_taken_away_at_the_end() {
    let image = raw(&pages());
    for (words, what) in [
        (&[][..], "reading the handover: "),
        (&["--verify"], "verifying the handover: "),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_luoctl"));
        command.arg("inspect").args(words).arg(image.path());
        let piped = command.output().unwrap();
        assert!(piped.status.success());
        assert_eq!(piped.stderr, b"");

        let (user, program) = terminal();
        let shown = command.stderr(Stdio::from(program)).output().unwrap();
        // Its own copy of the terminal's end.
        drop(command);
        assert_eq!(shown.stdout, piped.stdout);
        let mut said = Vec::new();
        // A terminal whose other end is closed reads as an error.
        let _closed = fs::File::from(user).read_to_end(&mut said);
        let said = String::from_utf8(said).unwrap();
        for line in ["looking for handovers: ", what] {
            assert!(said.contains(line), "no {line:?}: {said:?}");
        }
        assert!(said.ends_with("\r\u{1b}[K"), "{said:?}");
    }
}

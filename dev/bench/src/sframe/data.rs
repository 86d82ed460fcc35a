//! What is measured: a large program, and many small functions.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _};
use sframe_unwind::write::{Draft, Format, Function, Starts};
use sframe_unwind::{
    Abi, Base, CfaRule, FdeKind, PauthKey, PcType, Placement, Recovery, Row, Rules, Section,
    Unwind, Version,
};

use super::LOOKUPS;

/// SFrame data of version 3 with the code it is for.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) section_addr: u64,
    /// Where the code is.
    pub(super) text: Range<u64>,
    /// The whole file, for unwinders by DWARF data.
    pub(super) program: Option<Vec<u8>>,
}

impl Data {
    /// Instructions all over the code, the same every time.
    pub(super) fn addresses(&self) -> Vec<u64> {
        let len = self.text.end - self.text.start;
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..LOOKUPS)
            .map(|_| self.text.start + next() % len)
            .collect()
    }
}

/// 100 000 functions of AArch64 with three rows each.
pub(super) fn synthetic() -> Result<Data> {
    let mut draft = Draft::new(Abi::Aarch64Little);
    let text = 0xffff_8000_8000_0000_u64;
    let mut start = text;
    for number in 0..100_000_u32 {
        let frame = 16 * (1 + number.cast_signed() % 20);
        let size = 64 + 4 * (number % 47);
        let row = |start, offset, is_saved: Option<i32>| Row {
            start,
            unwind: Unwind::Caller(Rules {
                cfa: CfaRule::Offset {
                    base: Base::Sp,
                    offset,
                },
                ra: is_saved.map_or(Recovery::Unchanged, |fp| Recovery::Saved(fp + 8)),
                fp: is_saved.map_or(Recovery::Unchanged, Recovery::Saved),
                is_ra_signed: false,
            }),
        };
        draft.functions_mut().push(Function {
            name: None,
            start,
            size,
            pc_type: PcType::Inc,
            rep_size: 0,
            key: PauthKey::A,
            is_signal_frame: false,
            kind: FdeKind::Default,
            rows: vec![
                row(0, 0, None),
                row(4, frame, Some(-frame)),
                row(size - 4, 0, None),
            ],
        });
        start += u64::from(size);
    }
    let section_addr = start.next_multiple_of(4096);
    Ok(Data {
        name: "synthetic, AArch64",
        bytes: draft.write(&Format {
            version: Version::V3,
            starts: Starts::Field,
            section_addr,
        })?,
        section_addr,
        text: text..start,
        program: None,
    })
}

/// A database, compiled here. Its source is in a crate.
pub(super) fn sqlite(folder: &Path) -> Result<Data> {
    let program = folder.join("sqlite3.so");
    if !program.exists() {
        build(&source(folder)?, folder, &program)?;
    }
    let bytes = std::fs::read(&program)?;
    let file = object::File::parse(&*bytes)?;
    let section = |name| {
        file.section_by_name(name)
            .with_context(|| format!("no {name}"))
    };
    let (sframe, text) = (section(".sframe")?, section(".text")?);
    let section_addr = sframe.address();
    let text = text.address()..text.address() + text.size();
    // Assemblers write the version they know; all are measured with the last.
    let read = Section::parse(sframe.data()?, Placement { section_addr })?;
    let mut draft = Draft::read(&read)?;
    draft.sort();
    let sframe = draft.write(&Format {
        version: Version::V3,
        starts: Starts::Field,
        section_addr,
    })?;
    Ok(Data {
        name: "SQLite, x86-64",
        bytes: sframe,
        section_addr,
        text,
        program: Some(bytes),
    })
}

fn source(folder: &Path) -> Result<PathBuf> {
    let project = folder.join("source");
    let source = project.join("vendor/libsqlite3-sys/sqlite3/sqlite3.c");
    if source.exists() {
        return Ok(source);
    }
    std::fs::create_dir_all(&project)?;
    let manifest = "[package]\nname = \"source\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
                    [dependencies]\nlibsqlite3-sys = \"0.35\"\n[workspace]\n";
    std::fs::write(project.join("Cargo.toml"), manifest)?;
    std::fs::write(project.join("lib.rs"), "")?;
    run(Command::new(env!("CARGO"))
        .current_dir(&project)
        .args(["vendor", "--quiet"]))?;
    Ok(source)
}

fn build(source: &Path, folder: &Path, program: &Path) -> Result<()> {
    let (assembly, object) = (folder.join("sqlite3.s"), folder.join("sqlite3.o"));
    let options = ["-O2", "-fPIC", "-fcf-protection=none", "-w", "-S"];
    run(Command::new("gcc")
        .args(options)
        .arg(source)
        .arg("-o")
        .arg(&assembly))?;
    run(Command::new("as")
        .arg("--gsframe")
        .arg(&assembly)
        .arg("-o")
        .arg(&object))?;
    let options = ["-shared", "--eh-frame-hdr"];
    run(Command::new("ld")
        .args(options)
        .arg(&object)
        .arg("-o")
        .arg(program))
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}", error.trim());
    }
    Ok(())
}

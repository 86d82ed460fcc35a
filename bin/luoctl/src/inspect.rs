//! `luoctl inspect`: reads a handover, wherever it is.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use handover::{Content, ContentError, Event, examine};
use handover_view::{View, collect};
use kho::{PhysAddr, PhysMem as _, RadixTree, ScratchAreas};
use memory_image::{Found, Image, ImageError, Kind};

use crate::cli::{Cli, InspectArgs};
use crate::failure::{Failure, chain};
use crate::output::{self, Layout};
use crate::progress::{Progress, Watched};

mod scratch;

/// Exit code of a handover with problems.
const PROBLEMS: u8 = 19;
/// Exit code when there is no handover.
const NO_HANDOVER: u8 = 20;
/// Exit code of a source that cannot be read.
pub(crate) const UNREADABLE: u8 = 17;
/// Exit code of a session or token that is not there.
const NOT_FOUND: u8 = 14;

pub(crate) fn inspect(cli: &Cli, args: &InspectArgs) -> Result<ExitCode, Failure> {
    let (image, name) = open(args)?;
    let found = choose(&image, &name, args.root)?;
    let scratch = match &found.scratch {
        Some(scratch) => Some(scratch.clone()),
        None => match (image.kind(), &args.source) {
            (Kind::Running, _) => scratch::running(),
            (Kind::Pages, Some(folder)) => scratch::saved(folder)?,
            _ => None,
        },
    };
    if let [session, token] = &args.extract[..] {
        return extract(&image, &found, args, session, token);
    }
    if args.verify && args.html.is_none() {
        return Ok(verify(cli, &image, &found, scratch.as_ref()));
    }
    let progress = Progress::new("reading the handover");
    let watched = Watched::new(&image, &progress);
    let mut view = collect(&watched, found.root, scratch.as_ref());
    progress.clear();
    view.source = name;
    let ranges = image.ranges().iter();
    view.memory = ranges
        .map(|range| (range.start, range.end - range.start))
        .collect();
    if let Some(path) = &args.html {
        let written = std::fs::write(path, view.to_html());
        written.map_err(|error| cannot_write(path, &error))?;
    }
    if cli.json {
        output::json(&view, Layout::Indented);
    } else if args.html.is_none() {
        output::text(&view.to_text());
    }
    Ok(exit_code(&view, args))
}

/// A listing succeeds whatever it lists; a verification does not.
fn exit_code(view: &View, args: &InspectArgs) -> ExitCode {
    if args.verify && view.totals.problems != 0 {
        ExitCode::from(PROBLEMS)
    } else {
        ExitCode::SUCCESS
    }
}

fn open(args: &InspectArgs) -> Result<(Image, String), Failure> {
    let unreadable = |error: &ImageError| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message: chain(error),
        hint: match args.source {
            Some(_) => "an ELF dump, a raw image, or a folder with pages.bin and index.txt".into(),
            None => "it takes root, and a kernel with CONFIG_PROC_KCORE, or CONFIG_DEVMEM without \
                     CONFIG_STRICT_DEVMEM; or name a dump"
                .into(),
        },
    };
    match &args.source {
        Some(path) => {
            let image = Image::open(path).map_err(|error| unreadable(&error))?;
            Ok((image, path.display().to_string()))
        }
        None => {
            let image = Image::running().map_err(|error| unreadable(&error))?;
            Ok((image, "the running kernel".to_owned()))
        }
    }
}

/// The handover that was asked for; the one written last when none was.
fn choose(image: &Image, name: &str, root: Option<u64>) -> Result<Found, Failure> {
    if let Some(root) = root {
        let none = || no_handover(&format!("no handover starts at {root:#x} in {name}"));
        return image.at(PhysAddr(root)).ok_or_else(none);
    }
    let progress = Progress::new("looking for handovers");
    let found = image.find_watched(&mut |done, all| progress.part(done, all));
    progress.clear();
    // An earlier one may still be in memory; each kernel counts one further.
    let latest = found
        .into_iter()
        .max_by_key(|found| (kexec_count(image, found.root), found.root.0));
    latest.ok_or_else(|| no_handover(&format!("there is no handover in {name}")))
}

fn no_handover(message: &str) -> Failure {
    Failure {
        exit_code: NO_HANDOVER,
        kind: "NoHandover",
        message: message.to_owned(),
        hint:
            "a kernel writes one when it is booted with kho=on; a compressed or filtered dump may \
               leave it out"
                .to_owned(),
    }
}

fn kexec_count(image: &Image, root: PhysAddr) -> u32 {
    let mut count = 0;
    examine(image, root, None, &mut |event| {
        if let Event::Metadata { kexec_count, .. } = event {
            count = kexec_count;
        }
    });
    count
}

/// One line for each problem, as it is found: nothing is collected.
fn verify(cli: &Cli, image: &Image, found: &Found, scratch: Option<&ScratchAreas>) -> ExitCode {
    let progress = Progress::new("verifying the handover");
    let watched = Watched::new(image, &progress);
    let totals = examine(&watched, found.root, scratch, &mut |event| {
        let Event::Problem(problem) = event else {
            return;
        };
        progress.clear();
        let consequence = problem.consequence().name();
        if cli.json {
            let line = serde_json::json!({
                "consequence": consequence, "message": problem.to_string(),
            });
            output::json(&line, Layout::Line);
        } else {
            let message = handover_view::printable(&problem.to_string());
            output::text(&format!("{consequence}: {message}"));
        }
    });
    progress.clear();
    let bytes = totals.preserved.bytes(image.page_size());
    if cli.json {
        let line = serde_json::json!({
            "root": format!("{:#x}", found.root.0),
            "preserved_bytes": bytes,
            "sessions": totals.sessions,
            "files": totals.files,
            "unknown_bytes": totals.unknown_bytes,
            "scratch_checked": scratch.is_some(),
            "problems": totals.problems,
        });
        output::json(&line, Layout::Line);
    } else {
        let scratch = if scratch.is_some() {
            ""
        } else {
            "; scratch is not known from this source and was not compared"
        };
        output::text(&format!(
            "{} problems in {} blocks, {} sessions, {} files{scratch}",
            totals.problems,
            totals.preserved.blocks(),
            totals.sessions,
            totals.files,
        ));
    }
    if totals.problems == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(PROBLEMS)
    }
}

fn extract(
    image: &Image,
    found: &Found,
    args: &InspectArgs,
    session: &str,
    token: &str,
) -> Result<ExitCode, Failure> {
    let not_found = |message: String| Failure {
        exit_code: NOT_FOUND,
        kind: "NotFound",
        message,
        hint: "`luoctl inspect` lists sessions and tokens".to_owned(),
    };
    let Some(wanted) = number(token) else {
        return Err(not_found(format!(
            "\"{token}\" is no token: a number, or 0x and hexadecimal"
        )));
    };
    let mut in_session = false;
    let mut header = None;
    let progress = Progress::new("looking for the file");
    let watched = Watched::new(image, &progress);
    examine(&watched, found.root, None, &mut |event| match event {
        Event::Session(seen) => in_session = seen.name == session,
        Event::File(file) if in_session && file.token == wanted && header.is_none() => {
            header = file.memfd.as_ref().map(|memfd| memfd.header);
        }
        _ => {}
    });
    progress.clear();
    let header = header.ok_or_else(|| {
        not_found(format!(
            "session \"{session}\" has no memfd with the token {token}"
        ))
    })?;
    let tree = RadixTree::at(found.fdt.memory_map);
    let damaged = |error: &ContentError| Failure {
        exit_code: PROBLEMS,
        kind: "Damaged",
        message: format!("the content cannot be read: {error}"),
        hint: "`luoctl inspect --verify` names what is wrong".to_owned(),
    };
    let content = Content::read(image, tree, header).map_err(|error| damaged(&error))?;
    match &args.output {
        Some(path) => {
            let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
            let written = write_file(image, &content, &file);
            written.map_err(|error| cannot_write(path, &error))?;
        }
        None => {
            let out = io::stdout();
            if out.is_terminal() {
                return Err(Failure {
                    exit_code: 2,
                    kind: "Usage",
                    message: "content is not written to a terminal".to_owned(),
                    hint: "name a file with --output".to_owned(),
                });
            }
            let written = write_stream(image, &content, out.lock());
            written.map_err(|error| cannot_write(Path::new("standard output"), &error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A file keeps its holes.
fn write_file(image: &Image, content: &Content, file: &File) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.set_len(content.size_bytes)?;
    let progress = Progress::new("writing the content");
    for piece in &content.pieces {
        copy(image, piece.addr, piece.bytes, |at, bytes| {
            let at = piece.offset + at;
            progress.part(at, content.size_bytes);
            file.write_all_at(bytes, at)
        })?;
    }
    Ok(())
}

fn write_stream(image: &Image, content: &Content, mut out: impl Write) -> io::Result<()> {
    let mut pieces = content.pieces.clone();
    pieces.sort_by_key(|piece| piece.offset);
    let mut at = 0;
    let progress = Progress::new("writing the content");
    for piece in pieces {
        at = zeros(&mut out, at, piece.offset)?;
        copy(image, piece.addr, piece.bytes, |done, bytes| {
            progress.part(piece.offset + done, content.size_bytes);
            out.write_all(bytes)
        })?;
        at = at.max(piece.offset + piece.bytes);
    }
    zeros(&mut out, at, content.size_bytes)?;
    out.flush()
}

fn zeros(out: &mut impl Write, from: u64, to: u64) -> io::Result<u64> {
    let zeros = [0; 4096];
    let mut left = to.saturating_sub(from);
    while left > 0 {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        out.write_all(zeros.get(..here).unwrap_or_default())?;
        left -= here as u64;
    }
    Ok(from.max(to))
}

/// Hands over memory in pieces; each with its offset from `addr`.
fn copy(
    image: &Image,
    addr: PhysAddr,
    bytes: u64,
    mut to: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < bytes {
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX);
        let here = left.min(buffer.len());
        let Some(part) = buffer.get_mut(..here) else {
            break;
        };
        let read = image.read(PhysAddr(addr.0.saturating_add(done)), part);
        read.map_err(io::Error::other)?;
        to(done, part)?;
        done += here as u64;
    }
    Ok(())
}

pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure {
        exit_code: 1,
        kind: "Internal",
        message: format!("cannot write {}: {error}", path.display()),
        hint: String::new(),
    }
}

/// A number in decimal, or in hexadecimal after `0x`.
pub(crate) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

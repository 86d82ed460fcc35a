//! `luoctl initrd`: initramfs images.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use initrd::{Contents, Kernel, Rules, Seen, Verdict, check};
use initrd_files::{Change, Listing, Manifest, line, rules};
use memmap_sys::FileBytes;
use preflight::KernelFacts;
use serde_json::json;

use crate::cli::{Cli, InitrdCommand};
use crate::failure::{Failure, chain};
use crate::inspect::UNREADABLE;
use crate::output::{self, Layout};

/// Exit code of an image that a kernel does not boot with.
const REFUSED: u8 = 22;
/// Exit code of images that differ.
const DIFFER: u8 = 23;
/// Width of the longest name of a topic.
const TOPIC_WIDTH: usize = 11;

pub(crate) fn initrd(cli: &Cli, command: &InitrdCommand) -> Result<ExitCode, Failure> {
    match command {
        InitrdCommand::List { image } => list(cli, image),
        InitrdCommand::Cat { image, file } => cat(image, file),
        InitrdCommand::Check {
            image,
            kernel,
            init,
        } => checked(cli, image, kernel.as_deref(), init),
        InitrdCommand::Build { manifest, to } => build(cli, manifest, &to.output),
        InitrdCommand::Append {
            image,
            manifest,
            to,
        } => append(cli, image, manifest, &to.output),
        InitrdCommand::Diff { before, after } => diff(cli, before, after),
    }
}

fn open(path: &Path) -> Result<FileBytes, Failure> {
    FileBytes::open(path).map_err(|error| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message: format!("cannot read {}: {error}", path.display()),
        hint: String::new(),
    })
}

fn failed(error: &initrd_files::Error) -> Failure {
    let hint = match error {
        initrd_files::Error::Refused { .. } => {
            "`luoctl initrd check` says more; what is added behind would not be seen"
        }
        initrd_files::Error::NotFound { .. } => "`luoctl initrd list` lists its entries",
        _ => "",
    };
    Failure {
        exit_code: UNREADABLE,
        kind: "Image",
        message: format!("failed to {}", chain(error)),
        hint: hint.to_owned(),
    }
}

/// Contents pass unseen.
fn names_only() -> Rules<'static> {
    Rules {
        contents: Contents::Passed,
        ..rules()
    }
}

/// The listing as it is read: nothing is collected for people.
fn list(cli: &Cli, path: &Path) -> Result<ExitCode, Failure> {
    let image = open(path)?;
    if cli.json {
        let listing = Listing::of(&image, &names_only());
        output::json(&listing, Layout::Indented);
        return Ok(match listing.stop {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::from(UNREADABLE),
        });
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let answer = initrd::read(&image, &names_only(), &mut |seen| {
        if let Seen::Entry(entry) = seen
            && written.is_ok()
        {
            written = writeln!(out, "{}", line(entry));
        }
    });
    // Who closes the pipe has read enough.
    let is_closed = written.and_then(|()| out.flush()).is_err();
    match answer {
        Err(refused) if !is_closed => Err(Failure {
            exit_code: UNREADABLE,
            kind: "Image",
            message: format!("Linux stops at byte {}: {}", refused.offset, refused.why),
            hint: "what is listed comes before".to_owned(),
        }),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn cat(path: &Path, file: &str) -> Result<ExitCode, Failure> {
    let image = open(path)?;
    let mut out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    let written = initrd_files::content(&image, &rules(), file, |content| {
        if is_terminal && content.contains(&0) {
            return Err(io::Error::other("it is no text, and this is a terminal"));
        }
        out.write_all(content).and_then(|()| out.flush())
    });
    let written = written.map_err(|error| failed(&error))?;
    written.map_err(|error| Failure {
        exit_code: 1,
        kind: "Internal",
        message: format!("failed to write {file}: {error}"),
        hint: String::new(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn checked(cli: &Cli, path: &Path, kernel: Option<&Path>, init: &str) -> Result<ExitCode, Failure> {
    let image = open(path)?;
    let config = match kernel {
        None => None,
        Some(path) => {
            let facts = KernelFacts::read(&open(path)?).map_err(|error| Failure {
                exit_code: UNREADABLE,
                kind: "Unreadable",
                message: format!("cannot look into {}: {}", path.display(), chain(&error)),
                hint: String::new(),
            })?;
            facts.config
        }
    };
    let option_fn = |name: &str| config.as_ref().map(|config| config.is_built_in(name));
    let kernel = Kernel {
        option_fn: &option_fn,
        init,
    };
    let findings = check(&image, &rules(), &kernel);
    let worst = findings.iter().map(|it| it.verdict).max();
    let lines = findings.iter().map(|it| {
        let verdict = name_of(it.verdict);
        (it.topic.name(), verdict, &it.message)
    });
    if cli.json {
        let lines = lines.map(|(topic, verdict, message)| {
            json!({ "check": topic, "verdict": verdict, "message": message })
        });
        let lines: Vec<_> = lines.collect();
        output::json(&json!({ "findings": lines }), Layout::Indented);
    } else {
        for (topic, verdict, message) in lines {
            output::text(&format!("{topic:TOPIC_WIDTH$}  {verdict:7}  {message}"));
        }
    }
    Ok(match worst {
        Some(Verdict::Refused) => ExitCode::from(REFUSED),
        _ => ExitCode::SUCCESS,
    })
}

const fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Unknown => "unknown",
        Verdict::Refused => "refused",
    }
}

fn manifest(path: &Path) -> Result<(Manifest, &Path), Failure> {
    let manifest = Manifest::read(path).map_err(|error| failed(&error))?;
    Ok((manifest, path.parent().unwrap_or(Path::new(""))))
}

fn build(cli: &Cli, path: &Path, output: &Path) -> Result<ExitCode, Failure> {
    let (manifest, base) = manifest(path)?;
    let built = initrd_files::build(&manifest, base, output).map_err(|error| failed(&error))?;
    if cli.json {
        output::json(&built, Layout::Line);
    } else {
        let (entries, bytes) = (built.entries, built.bytes);
        output::text(&format!(
            "{}: {entries} entries, {bytes} bytes",
            output.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn append(cli: &Cli, image: &Path, path: &Path, output: &Path) -> Result<ExitCode, Failure> {
    let (manifest, base) = manifest(path)?;
    let bytes = open(image)?;
    let appended = initrd_files::append(&bytes, &rules(), &manifest, base, output);
    let appended = appended.map_err(|error| failed(&error))?;
    if cli.json {
        output::json(&appended, Layout::Line);
        return Ok(ExitCode::SUCCESS);
    }
    let (bytes, offset) = (appended.bytes, appended.offset);
    output::text(&format!(
        "{}: {bytes} bytes, new ones from {offset}",
        output.display()
    ));
    for name in &appended.replaced {
        output::text(&format!("takes the place of {name}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn diff(cli: &Cli, before: &Path, after: &Path) -> Result<ExitCode, Failure> {
    let (before, after) = (open(before)?, open(after)?);
    let changes = initrd_files::compare(&before, &after, &rules());
    let changes = changes.map_err(|error| failed(&error))?;
    if cli.json {
        output::json(&json!({ "changes": changes }), Layout::Indented);
    } else {
        for change in &changes {
            output::text(&match change {
                Change::Added { name } => format!("+ {name}"),
                Change::Removed { name } => format!("- {name}"),
                Change::Changed { name, what } => format!("~ {name}: {}", what.join(", ")),
            });
        }
    }
    Ok(if changes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFER)
    })
}

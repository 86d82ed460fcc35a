//! `sframe convert` and `sframe sort`.

use std::path::Path;
use std::process::ExitCode;

use sframe_unwind::write::{Draft, Format, Starts, Unrepresentable};
use sframe_unwind::{Flags, Section, Version};

use crate::cli::{ConvertArgs, InputArgs, StartsArg, VersionArg};
use crate::failure::Failure;
use crate::input::{Input, Layout};
use crate::output;

pub(crate) fn convert(args: &ConvertArgs) -> Result<ExitCode, Failure> {
    let (mut draft, mut format) = read(&args.input)?;
    (format.version, format.starts) = match args.to {
        VersionArg::V1 => (Version::V1, Starts::Section),
        VersionArg::V2 => (Version::V2, Starts::Field),
        VersionArg::V3 => (Version::V3, Starts::Field),
    };
    match args.starts {
        Some(StartsArg::Section) => format.starts = Starts::Section,
        Some(StartsArg::Field) => format.starts = Starts::Field,
        None => {}
    }
    if args.leave_out {
        let abi = draft.abi();
        draft.functions_mut().retain(|function| {
            let mut alone = Draft::new(abi);
            alone.functions_mut().push(function.clone());
            match alone.write(&format) {
                // What concerns the whole section is said when it is written.
                Ok(_) | Err(Unrepresentable { function: None, .. }) => true,
                Err(error) => {
                    output::note(&format!("left out: {error}"));
                    false
                }
            }
        });
    }
    write(&draft, &format, &args.output)
}

pub(crate) fn sort(input: &InputArgs, path: &Path) -> Result<ExitCode, Failure> {
    let (mut draft, format) = read(input)?;
    draft.sort();
    write(&draft, &format, path)
}

/// The functions with their names, and the format they are in.
fn read(input: &InputArgs) -> Result<(Draft, Format), Failure> {
    let read = Input::read(input, Layout::OneBehindTheOther)?;
    let section = Section::parse(&read.bytes, read.placement)?;
    let mut draft = Draft::read(&section)?;
    draft.name(|start| read.name(start).map(|function| function.name.clone()));
    let header = section.header();
    let starts = if header.flags.contains(Flags::PCREL) {
        Starts::Field
    } else {
        Starts::Section
    };
    let format = Format {
        version: header.version,
        starts,
        section_addr: section.addr(),
    };
    Ok((draft, format))
}

fn write(draft: &Draft, format: &Format, path: &Path) -> Result<ExitCode, Failure> {
    let bytes = draft.write(format)?;
    std::fs::write(path, &bytes).map_err(|source| Failure::Write {
        path: path.to_owned(),
        source,
    })?;
    output::note(&format!(
        "{}: version {}, {} functions, {} bytes, for address {:#x}",
        path.display(),
        format.version.raw(),
        draft.functions().len(),
        bytes.len(),
        format.section_addr
    ));
    Ok(ExitCode::SUCCESS)
}

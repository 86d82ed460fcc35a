//! `luoctl boot`: starts a kernel with a handover that was composed.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;

use handoff::{Boot, Error, MemoryMap, Prepared};
use handover_compose::Saved;
use kexec_sys::{LoadSegmentsError, Machine, MachinePaths};
use kho::PhysAddr;
use kimage::BzImage;
use luod_api::Code;
use rustix::io::Errno;
use serde_json::json;

use crate::cli::{BootArgs, Cli};
use crate::failure::{Failure, chain};
use crate::inspect::{UNREADABLE, cannot_write};
use crate::output::{self, Layout};

/// Exit code of a handover for which the machine has no room, or other memory.
pub(crate) const DOES_NOT_FIT: u8 = 21;

pub(crate) fn boot(cli: &Cli, args: &BootArgs) -> Result<ExitCode, Failure> {
    let saved = Saved::open(&args.folder).map_err(|error| Failure {
        exit_code: UNREADABLE,
        kind: "Unreadable",
        message: chain(&error),
        hint: "a folder that `luoctl compose` has written".to_owned(),
    })?;
    let inputs = Inputs::read(args)?;
    match &args.elf {
        Some(path) => {
            // An ACPI root pointer is found by the kernel itself there.
            let prepared = inputs.prepare(args, &saved, saved.map(), None)?;
            write_elf(cli, &prepared, path)
        }
        None => {
            let machine = Machine::read(&MachinePaths::default());
            let machine = machine.map_err(|error| {
                Failure::new(Code::Kernel, chain(&error))
                    .with_hint("--elf FILE writes a file for a virtual machine instead")
            })?;
            let prepared = inputs.prepare(args, &saved, &machine.memory_map, machine.rsdp)?;
            load(&prepared)?;
            if args.load_only {
                print_loaded(cli);
                return Ok(ExitCode::SUCCESS);
            }
            match jump()? {}
        }
    }
}

/// What is started.
struct Inputs {
    kernel: Vec<u8>,
    initrd: Vec<u8>,
}

impl Inputs {
    fn read(args: &BootArgs) -> Result<Self, Failure> {
        let read = |path: &Path| {
            let refused = |error| {
                let message = format!("cannot read {}: {error}", path.display());
                Failure::new(Code::ImageRefused, message)
            };
            fs::read(path).map_err(refused)
        };
        Ok(Self {
            kernel: read(&args.kernel)?,
            initrd: args.initrd.as_deref().map_or(Ok(Vec::new()), read)?,
        })
    }

    fn prepare<'a>(
        &'a self,
        args: &'a BootArgs,
        saved: &'a Saved,
        map: &'a MemoryMap,
        rsdp: Option<PhysAddr>,
    ) -> Result<Prepared<'a>, Failure> {
        let kernel = BzImage::parse(&self.kernel).map_err(|error| {
            let message = format!("{}: {}", args.kernel.display(), chain(&error));
            Failure::new(Code::ImageRefused, message)
                .with_hint("a bzImage for 64-bit x86 is needed")
        })?;
        let boot = Boot {
            kernel,
            initrd: &self.initrd,
            command_line: &args.cmdline,
            memory_map: map,
            rsdp,
            handover: saved.handover(),
        };
        boot.prepare().map_err(|error| match error {
            Error::Kernel(error) => Failure::new(Code::ImageRefused, chain(&error)),
            other => does_not_fit(&other),
        })
    }
}

fn does_not_fit(error: &dyn std::error::Error) -> Failure {
    Failure {
        exit_code: DOES_NOT_FIT,
        kind: "DoesNotFit",
        message: chain(error),
        hint: "compose it for this machine: [machine] in the plan says what memory there is; \
               `this_machine = true` takes that of the machine that composes"
            .to_owned(),
    }
}

/// Holes stay holes.
fn write_elf(cli: &Cli, prepared: &Prepared<'_>, path: &Path) -> Result<ExitCode, Failure> {
    let elf = prepared.elf().map_err(|error| does_not_fit(&error))?;
    let write = || -> io::Result<()> {
        let file = File::create(path)?;
        for (offset, bytes) in elf.pieces() {
            file.write_all_at(&bytes, offset)?;
        }
        file.set_len(elf.len_bytes())
    };
    write().map_err(|error| cannot_write(path, &error))?;
    if cli.json {
        let value = json!({ "elf": path, "bytes": elf.len_bytes() });
        output::json(&value, Layout::Indented);
    } else {
        output::text(&format!("start it with `-kernel {}`", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn load(prepared: &Prepared<'_>) -> Result<(), Failure> {
    let segments = prepared.kexec_segments();
    let segments = segments.map_err(|error| does_not_fit(&error))?;
    kexec_sys::load_segments(prepared.entry(), &segments).map_err(|error| not_loaded(&error))
}

fn not_loaded(error: &LoadSegmentsError) -> Failure {
    let code = match error.errno() {
        Errno::PERM => Code::PermissionDenied,
        _ => Code::Kernel,
    };
    Failure::new(code, error).with_hint("--elf FILE writes a file for a virtual machine instead")
}

fn print_loaded(cli: &Cli) {
    if cli.json {
        output::json(&json!({ "loaded": true }), Layout::Indented);
    } else {
        output::text("loaded; `systemctl kexec` or `kexec -e` starts it");
    }
}

/// Ends everything that runs here.
fn jump() -> Result<Infallible, Failure> {
    rustix::fs::sync();
    kexec_sys::reboot::kexec().map_err(|error| Failure::new(Code::Kernel, chain(&error)))
}

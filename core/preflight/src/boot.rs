//! What the next kernel does when it boots.

use kimage::KernelConfig;

use crate::cmdline::CommandLine;
use crate::finding::{Check, Finding};
use crate::running::Running;
use crate::shutdown_log;
use crate::target::{InitrdFacts, SCRATCH_PARAMETERS, Target};

pub(crate) fn all(target: &Target, running: &Running) -> Vec<Finding> {
    let cmdline = effective(target);
    let mut findings = vec![live_update(&cmdline), kho(&cmdline, target.config())];
    findings.extend(page_size(target, running));
    findings.push(reserve_mem(&cmdline, running));
    findings.push(shutdown_log::of_next(&cmdline, target.config(), running));
    findings.extend(scratch_size(target, &cmdline, running));
    findings.push(command_line(target));
    findings.push(initrd(target));
    findings
}

/// With what is built in (`CONFIG_CMDLINE`, `arch/x86/Kconfig`, v7.3).
fn effective(target: &Target) -> CommandLine {
    let given = target.cmdline.as_str();
    let config = target.config();
    let built_in = config
        .filter(|config| config.is_built_in("CONFIG_CMDLINE_BOOL"))
        .and_then(|config| config.get("CONFIG_CMDLINE"))
        .map(|text| text.trim_matches('"'));
    let Some(built_in) = built_in.filter(|text| !text.is_empty()) else {
        return target.cmdline.clone();
    };
    if config.is_some_and(|config| config.is_built_in("CONFIG_CMDLINE_OVERRIDE")) {
        return CommandLine::new(built_in);
    }
    CommandLine::new(&format!("{built_in} {given}"))
}

fn live_update(cmdline: &CommandLine) -> Finding {
    let check = Check::LiveUpdate;
    if cmdline.switch("liveupdate") == Some(true) {
        return Finding::ok(check, "its command line has liveupdate=on");
    }
    let message =
        "its command line lacks liveupdate=on: it would keep everything preserved out of reach";
    Finding::refused(check, message).hint("add it with --append liveupdate=on")
}

fn kho(cmdline: &CommandLine, config: Option<&KernelConfig>) -> Finding {
    let check = Check::Kho;
    match cmdline.switch("kho") {
        Some(true) => return Finding::ok(check, "its command line has kho=on"),
        Some(false) => {
            let message = "its command line switches KHO off: everything preserved would be lost";
            return Finding::refused(check, message).hint("remove kho= from it");
        }
        None => {}
    }
    match config {
        Some(config) if config.is_built_in("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT") => Finding::ok(
            check,
            "it is built with CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT",
        ),
        Some(_) => {
            let message = "KHO is off: neither kho=on on its command line nor \
                           CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT; everything preserved would be lost";
            Finding::refused(check, message).hint("add it with --append kho=on")
        }
        None => {
            let message = "no kho= on its command line, and whether KHO is on by default in it cannot be told";
            Finding::unknown(check, message).hint("add it with --append kho=on")
        }
    }
}

fn page_size(target: &Target, running: &Running) -> Option<Finding> {
    let found = target.kernel.as_ref().ok()?.page_bytes?;
    let check = Check::PageSize;
    if found == running.page_bytes {
        return Some(Finding::ok(
            check,
            format!("pages of {found} bytes in both"),
        ));
    }
    let here = running.page_bytes;
    let message = format!(
        "it has pages of {found} bytes, this kernel of {here}: a handover is read by pages"
    );
    Some(Finding::refused(check, message).hint("take a kernel with pages of the same size"))
}

/// A region that is not asked for again, or by another size, is lost.
fn reserve_mem(cmdline: &CommandLine, running: &Running) -> Finding {
    let check = Check::ReserveMem;
    let Some(here) = &running.cmdline else {
        return Finding::unknown(check, "this kernel's command line cannot be read");
    };
    let next: Vec<_> = cmdline.values("reserve_mem").collect();
    let missing: Vec<_> = here
        .values("reserve_mem")
        .filter(|region| !next.contains(region))
        .collect();
    if missing.is_empty() {
        let message = match next.len() {
            0 => "no region of reserve_mem=".to_owned(),
            count => format!("{count} of reserve_mem=, none is lost"),
        };
        return Finding::ok(check, message);
    }
    let message = format!(
        "its command line lacks reserve_mem={}: what is in it would be lost",
        missing.join(" reserve_mem=")
    );
    Finding::refused(check, message).hint("name the same regions, or use --reuse-cmdline")
}

/// What is said of scratch counts at a cold boot only; then under the name the kernel knows.
fn scratch_size(target: &Target, cmdline: &CommandLine, running: &Running) -> Option<Finding> {
    let check = Check::ScratchSize;
    let kernel = target.kernel.as_ref().ok()?;
    let given: Vec<_> = SCRATCH_PARAMETERS
        .into_iter()
        .filter(|name| cmdline.last(name).is_some())
        .collect();
    let first = given.first()?;
    if kernel.scratch_parameters.is_empty() {
        return Some(Finding::unknown(
            check,
            format!("whether it knows {first}= cannot be told"),
        ));
    }
    let unknown: Vec<_> = given
        .iter()
        .filter(|name| !kernel.scratch_parameters.contains(name))
        .collect();
    if unknown.len() == given.len() {
        let known = kernel.scratch_parameters.join(", ");
        let message = format!(
            "it does not know {first}=, but {known}=: scratch keeps its size over this update, \
             and has another one after the next cold boot"
        );
        return Some(Finding::refused(check, message).hint(format!("write {known}= as well")));
    }
    let values = |line: &CommandLine| -> Vec<String> {
        let values = SCRATCH_PARAMETERS.iter().filter_map(|name| line.last(name));
        values.map(str::to_owned).collect()
    };
    let here = running.cmdline.as_ref().map(values).unwrap_or_default();
    let said = if values(cmdline) == here {
        "as on this kernel's"
    } else {
        "which counts from the next cold boot on: scratch keeps its size over an update"
    };
    Some(Finding::ok(
        check,
        format!("its command line has {first}=, {said}"),
    ))
}

fn command_line(target: &Target) -> Finding {
    let check = Check::CommandLine;
    let bytes = u64::try_from(target.cmdline.as_str().len()).unwrap_or(u64::MAX);
    let max = target
        .kernel
        .as_ref()
        .ok()
        .and_then(|it| it.cmdline_max_bytes);
    match max {
        Some(max) if bytes > max => {
            let message = format!("its command line has {bytes} bytes, it takes {max}");
            Finding::refused(check, message)
        }
        Some(max) => Finding::ok(check, format!("{bytes} of at most {max} bytes")),
        None => Finding::unknown(check, "how long a command line may be cannot be told"),
    }
}

fn initrd(target: &Target) -> Finding {
    let check = Check::Initrd;
    let Some(initrd) = &target.initrd else {
        return Finding::ok(check, "none");
    };
    let config = target.config();
    if config.is_some_and(|config| !config.is_built_in("CONFIG_BLK_DEV_INITRD")) {
        let message = "it is built without CONFIG_BLK_DEV_INITRD: the image would be ignored";
        return Finding::refused(check, message);
    }
    if let Some(block) = initrd.block {
        let option = config.map(|config| config.is_built_in("CONFIG_BLK_DEV_RAM"));
        return block_image(check, block, option);
    }
    if let Some(refused) = &initrd.refused {
        return refused_image(check, initrd, refused);
    }
    if !initrd.has_init {
        let message = format!(
            "there is no {} in it: the next kernel would look for a root device",
            initrd.init
        );
        return Finding::unknown(check, message);
    }
    let forms: Vec<_> = initrd.formats.iter().map(|format| format.name()).collect();
    let forms = if forms.is_empty() {
        "not compressed".to_owned()
    } else {
        forms.join(", ")
    };
    if config.is_none() && !initrd.formats.is_empty() {
        let message =
            format!("whether it unpacks {forms} cannot be told: it carries no configuration");
        return Finding::unknown(check, message);
    }
    let mib = initrd.bytes >> 20;
    Finding::ok(check, format!("{mib} MiB, {forms}, with {}", initrd.init))
}

/// Not ok even where it is supported: the agent is in no such image, and the support ends.
fn block_image(check: Check, block: initrd::BlockImage, support: Option<bool>) -> Finding {
    let hint = "build an initramfs: `luoctl initrd build`";
    match support {
        Some(true) => Finding::unknown(check, block.notice("which it has")),
        Some(false) => Finding::refused(check, block.notice("which it lacks")),
        None => Finding::unknown(
            check,
            block.notice("and whether it has that cannot be told"),
        ),
    }
    .hint(hint)
}

fn refused_image(check: Check, initrd: &InitrdFacts, refused: &initrd::Refused) -> Finding {
    let inside = refused
        .inside
        .map(|inside| format!(", byte {inside} of what it unpacks to"))
        .unwrap_or_default();
    let place = format!("at byte {}{inside}", refused.offset);
    if initrd.has_init {
        let message = format!(
            "the next kernel stops unpacking {place}: {}; {} comes before and is there",
            refused.why, initrd.init
        );
        return Finding::unknown(check, message);
    }
    let message = format!(
        "the next kernel does not unpack it: {}, {place}",
        refused.why
    );
    Finding::refused(check, message).hint("build the image again for this kernel")
}

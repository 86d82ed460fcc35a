//! Hosts that keep a log, in every way that goes wrong.

use kho::PhysAddr;

use super::*;
use crate::{Lockdown, TagsInUse};

const LINE: &str = "liveupdate=on reserve_mem=1344K:4096:oops ramoops.mem_name=oops ramoops.mem_type=2 \
                    ramoops.max_reason=4 ramoops.record_size=0x40000 ramoops.console_size=0x40000 \
                    ramoops.pmsg_size=0x10000 ramoops.ftrace_size=0";

fn region() -> Region {
    Region {
        label: "oops".into(),
        start: PhysAddr(0x3f00_0000),
        bytes: 1344 << 10,
    }
}

fn running() -> Running {
    let ramoops = RamoopsFacts {
        label: "oops".into(),
        address: 0x3f00_0000,
        parameters: Parameters {
            mem_bytes: 1344 << 10,
            record_bytes: 0x40000,
            console_bytes: 0x40000,
            ftrace_bytes: 0,
            pmsg_bytes: 0x10000,
            ecc: Ecc::default(),
        },
        mem_type: 2,
        max_reason: 4,
    };
    Running {
        machine: "x86_64".to_owned(),
        cmdline: Some(CommandLine::new(LINE)),
        page_bytes: 4096,
        tags: TagsInUse::default(),
        lockdown: Some(Lockdown::None),
        log: LogFacts {
            has_pstore: true,
            backend: Some("ramoops".into()),
            ramoops: Some(ramoops),
            always_kmsg_dump: Some(false),
            regions: Some(vec![region()]),
            is_cold_boot: Some(true),
            received: None,
            scratch: Some(vec![(0x100_0000, 80 << 20), (0, 0)]),
        },
        ..Running::default()
    }
}

fn with(change: impl FnOnce(&mut Running)) -> Running {
    let mut running = running();
    change(&mut running);
    running
}

fn of(findings: Vec<LogFinding>, topic: LogTopic) -> LogFinding {
    let mut found = findings.into_iter().filter(|found| found.check == topic);
    let first = found.next().unwrap_or_else(|| panic!("no {topic:?}"));
    assert!(found.next().is_none(), "{topic:?} twice");
    first
}

fn here(topic: LogTopic, change: impl FnOnce(&mut LogFacts)) -> (Verdict, String) {
    let found = of(check_log(&with(|running| change(&mut running.log))), topic);
    (found.verdict, found.message)
}

fn ramoops(topic: LogTopic, change: impl FnOnce(&mut RamoopsFacts)) -> (Verdict, String) {
    here(topic, |facts| change(facts.ramoops.as_mut().unwrap()))
}

#[test]
fn the_recipe_is_good_in_everything() {
    let running = running();
    let next = check_next_log(&running, &CommandLine::new(LINE), None);
    for found in check_log(&running).into_iter().chain(next) {
        assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
    }
}

#[test]
fn another_backend_takes_the_place() {
    let taken = here(LogTopic::Backend, |facts| {
        facts.backend = Some("efi_pstore".into());
    });
    assert_eq!(taken.0, Verdict::Refused);
    assert!(taken.1.contains("efi_pstore"), "{taken:?}");
    let none = here(LogTopic::Backend, |facts| facts.backend = None);
    assert_eq!(none.0, Verdict::Refused);
    let kho = here(LogTopic::Backend, |facts| {
        facts.backend = Some("kho".into());
    });
    assert_eq!(kho.0, Verdict::Ok);
}

#[test]
fn a_region_that_kho_does_not_carry_is_refused() {
    let fixed = ramoops(LogTopic::Region, |ramoops| ramoops.label.clear());
    assert_eq!(fixed.0, Verdict::Refused);
    assert!(fixed.1.contains("0x3f000000"), "{fixed:?}");
    let lost = here(LogTopic::Region, |facts| facts.regions = Some(Vec::new()));
    assert_eq!(lost.0, Verdict::Refused);
    let unknown = here(LogTopic::Region, |facts| facts.regions = None);
    assert_eq!(unknown.0, Verdict::Unknown);
}

#[test]
fn a_region_of_a_later_kernel_is_looked_at_closely() {
    let carried = here(LogTopic::ColdBoot, |facts| {
        facts.is_cold_boot = Some(false);
        facts.received = Some(vec![region()]);
    });
    assert_eq!(carried.0, Verdict::Ok);
    let made_here = |facts: &mut LogFacts| {
        facts.is_cold_boot = Some(false);
        facts.received = Some(Vec::new());
        facts.scratch = Some(vec![(0x3000_0000, 0x1000_0000)]);
    };
    assert_eq!(here(LogTopic::ColdBoot, made_here).0, Verdict::Unknown);
    let (verdict, message) = here(LogTopic::Scratch, made_here);
    assert_eq!(verdict, Verdict::Refused);
    assert!(message.contains("0x30000000"), "{message}");
    // The area ends where the region begins.
    let beside = here(LogTopic::Scratch, |facts| {
        facts.scratch = Some(vec![(0x3000_0000, 0xf00_0000)]);
    });
    assert_eq!(beside.0, Verdict::Ok);
}

#[test]
fn shutdowns_have_to_be_asked_for() {
    for (reason, always, verdict) in [
        (4, None, Verdict::Ok),
        (2, Some(true), Verdict::Refused),
        (-1, None, Verdict::Refused),
        (0, Some(true), Verdict::Ok),
        (0, Some(false), Verdict::Refused),
        (0, None, Verdict::Unknown),
    ] {
        let found = here(LogTopic::MaxReason, |facts| {
            facts.ramoops.as_mut().unwrap().max_reason = reason;
            facts.always_kmsg_dump = always;
        });
        assert_eq!(found.0, verdict, "{reason} {always:?}");
    }
    let mapped = ramoops(LogTopic::MemoryType, |ramoops| ramoops.mem_type = 0);
    assert_eq!(mapped.0, Verdict::Unknown);
}

#[test]
fn sizes_that_are_rounded_are_told() {
    let mut odd = running();
    let line = LINE.replace("record_size=0x40000", "record_size=300000");
    odd.cmdline = Some(CommandLine::new(&line));
    let found = of(check_log(&odd), LogTopic::Sizes);
    assert!(found.message.contains("300000 to 262144"), "{found:?}");
    let full = ramoops(LogTopic::Sizes, |ramoops| {
        ramoops.parameters.mem_bytes = 0x40000;
    });
    assert_eq!(full.0, Verdict::Refused);
}

#[test]
fn a_next_line_that_breaks_the_recipe_is_refused_with_the_word() {
    for (from, to, topic, words) in [
        (
            "reserve_mem=1344K:4096:oops ",
            "",
            LogTopic::NextRegion,
            "no reserve_mem= for \"oops\"",
        ),
        ("1344K", "2M", LogTopic::NextRegion, "it wants 2 MiB"),
        (
            "K:4096:",
            "K:8192:",
            LogTopic::NextRegion,
            "aligned to 8192",
        ),
        (":oops", ":logs", LogTopic::NextRegion, "no reserve_mem="),
        (
            "mem_name=oops",
            "mem_name=logs",
            LogTopic::NextSizes,
            "ramoops.mem_name=oops, but =logs",
        ),
        (
            "record_size=0x40000",
            "record_size=0x20000",
            LogTopic::NextSizes,
            "record_size is 131072",
        ),
        (
            "record_size=0x40000",
            "record_size=256K",
            LogTopic::NextSizes,
            "256K is no number",
        ),
        (
            " ramoops.console_size=0x40000",
            "",
            LogTopic::NextSizes,
            "console_size is 4096",
        ),
        (
            "liveupdate=on",
            "pstore.backend=erst",
            LogTopic::NextBackend,
            "pstore.backend=erst",
        ),
    ] {
        let line = CommandLine::new(&LINE.replace(from, to));
        let found = of(check_next_log(&running(), &line, None), topic);
        assert_eq!(found.verdict, Verdict::Refused, "{line:?}: {found:?}");
        assert!(found.message.contains(words), "{found:?}");
        let whole = of_next(&line, None, &running());
        assert_eq!(whole.verdict, Verdict::Refused);
        assert_eq!(whole.check, Check::ShutdownLog);
    }
    // The same, said in another way.
    let other = LINE.replace("1344K:4096", "0x150000:4K");
    let other = other.replace("record_size=0x40000", "record-size=300000");
    for found in check_next_log(&running(), &CommandLine::new(&other), None) {
        assert_eq!(found.verdict, Verdict::Ok, "{found:?}");
    }
}

#[test]
fn a_module_has_its_parameters_from_elsewhere() {
    let line = "reserve_mem=1344K:4096:oops";
    let module = with(|running| running.cmdline = Some(CommandLine::new(line)));
    let next = |line: &str| check_next_log(&module, &CommandLine::new(line), None);
    assert_eq!(of(next(line), LogTopic::NextSizes).verdict, Verdict::Ok);
    let against = format!("{line} ramoops.record_size=4096");
    assert_eq!(
        of(next(&against), LogTopic::NextSizes).verdict,
        Verdict::Refused
    );
}

#[test]
fn a_kernel_without_ramoops_does_not_show_the_log() {
    let config = KernelConfig::parse("CONFIG_PSTORE=y\n");
    let line = CommandLine::new(LINE);
    let found = check_next_log(&running(), &line, Some(&config));
    assert_eq!(of(found, LogTopic::NextBackend).verdict, Verdict::Refused);
    let config = KernelConfig::parse("CONFIG_PSTORE_RAM=m\n");
    let found = check_next_log(&running(), &line, Some(&config));
    assert_eq!(of(found, LogTopic::NextBackend).verdict, Verdict::Ok);
}

#[test]
fn where_no_log_is_kept_none_can_be_lost() {
    let none = with(|running| running.log = LogFacts::default());
    let found = of_next(&CommandLine::new(""), None, &none);
    assert_eq!(found.verdict, Verdict::Ok);
    assert!(found.hint.contains("luoctl pstore setup"));
}

//! Kernels that fit and kernels that do not, each built here.

use super::*;

/// A bzImage around an ELF file that is not compressed: its setup header says no more than must be.
fn bzimage(kernel: &[u8]) -> Vec<u8> {
    let code = (0x100 + kernel.len()).next_multiple_of(16);
    let mut file = vec![0; 1024 + code];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    put(0x1f1, &[1]);
    put(0x1f4, &word(code / 16));
    put(0x1fe, &[0x55, 0xaa, 0xeb, 106]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x230, &word(0x20_0000));
    put(0x238, &word(2047));
    put(0x248, &word(0x100));
    put(0x24c, &word(kernel.len()));
    put(0x260, &word(40 << 20));
    put(1024 + 0x100, kernel);
    file
}

fn config(text: &str) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let packed = child.wait_with_output().unwrap().stdout;
    [&b"IKCFG_ST"[..], &packed, b"IKCFG_ED"].concat()
}

const CONFIG: &str = "CONFIG_KEXEC_HANDOVER=y\nCONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\n\
    CONFIG_LIVEUPDATE=y\nCONFIG_LIVEUPDATE_MEMFD=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\n";
const TAGS: &str = "\0kho-v4\0luo-v5\0memfd-v2\0kho_scratch\0";

fn kernel(tags: &str, options: Option<&str>) -> Vec<u8> {
    let mut kernel = b"\x7fELF\0Linux version 7.3.4 (a@b)\0".to_vec();
    kernel.extend(tags.bytes());
    if let Some(options) = options {
        kernel.extend(config(options));
    }
    bzimage(&kernel)
}

fn running() -> Running {
    Running {
        machine: "x86_64".to_owned(),
        cmdline: Some(CommandLine::new("liveupdate=on reserve_mem=2M:4096:oops")),
        page_bytes: 4096,
        tags: TagsInUse {
            are_read: true,
            ..TagsInUse::default()
        },
        scratch_bytes: Some(vec![48 << 20, 0, 8 << 20]),
        is_loading_disabled: Some(false),
        loads_left: None,
        lockdown: Some(Lockdown::None),
        must_be_signed: Some(false),
        log: LogFacts::default(),
    }
}

const LINE: &str = "liveupdate=on kho=on reserve_mem=2M:4096:oops";

fn initrd() -> Vec<u8> {
    let mut archive = initrd::Archive::new();
    archive
        .file("init", initrd::Permissions::PROGRAM, b"\x7fELF")
        .unwrap();
    archive.finish()
}

fn found(target: &Target, running: &Running, wanted: Check) -> Finding {
    let findings = check(target, running);
    let mut of_it = findings.iter().filter(|finding| finding.check == wanted);
    let found = of_it.next().cloned();
    assert!(of_it.next().is_none(), "{wanted:?} twice");
    found.unwrap_or_else(|| panic!("no {wanted:?} in {findings:#?}"))
}

fn good() -> Target {
    Target::read(&kernel(TAGS, Some(CONFIG)), Some(&initrd()), LINE)
}

#[test]
fn a_kernel_that_fits_is_ok_in_everything() {
    for finding in check(&good(), &running()) {
        assert_eq!(finding.verdict, Verdict::Ok, "{finding:?}");
        assert!(!finding.stops());
    }
    let image = found(&good(), &running(), Check::Image);
    assert_eq!(image.message, "Linux 7.3.4, bzImage, not compressed");
}

#[test]
fn a_block_image_is_never_ok() {
    let mut image = vec![0; 4096];
    image[..4].copy_from_slice(b"hsqs");
    let with = format!("{CONFIG}CONFIG_BLK_DEV_RAM=y\n");
    for (config, verdict, words) in [
        (Some(CONFIG), Verdict::Refused, "which it lacks"),
        (Some(&*with), Verdict::Unknown, "which it has"),
        (None, Verdict::Unknown, "cannot be told"),
    ] {
        let target = Target::read(&kernel(TAGS, config), Some(&image), LINE);
        let finding = found(&target, &running(), Check::Initrd);
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        for words in [words, "squashfs", "January 2027"] {
            assert!(finding.message.contains(words), "{finding:?}");
        }
    }
}

#[test]
fn another_version_is_refused_with_what_would_come_of_it() {
    for (check, tag, other, words) in [
        (Check::KhoTag, "kho-v4", "kho-v5", "lost without a word"),
        (Check::LuoTag, "luo-v5", "luo-v6", "would panic"),
        (Check::MemfdTag, "memfd-v2", "memfd-v3", "EIO"),
    ] {
        let target = Target::read(&kernel(&TAGS.replace(tag, other), Some(CONFIG)), None, LINE);
        let finding = found(&target, &running(), check);
        assert_eq!(finding.verdict, Verdict::Refused, "{finding:?}");
        assert!(finding.message.contains(words), "{finding:?}");
        assert!(finding.message.contains(other), "{finding:?}");
        assert!(finding.message.contains(tag), "{finding:?}");
    }
}

#[test]
fn a_version_that_is_not_found_is_never_ok() {
    let tags = [Check::KhoTag, Check::LuoTag, Check::MemfdTag];
    let silent = Target::read(&kernel("", None), None, LINE);
    for check in tags {
        let finding = found(&silent, &running(), check);
        assert_eq!(finding.verdict, Verdict::Unknown, "{finding:?}");
        assert!(finding.stops());
    }
    let without = Target::read(&kernel("", Some("CONFIG_64BIT=y\n")), None, LINE);
    for check in tags {
        let finding = found(&without, &running(), check);
        assert_eq!(finding.verdict, Verdict::Refused);
        assert!(
            finding.message.contains("built without CONFIG_"),
            "{finding:?}"
        );
    }
    for (file, words) in [
        (&b"no kernel"[..], "no bzImage"),
        (b"", "an empty file"),
        (b"\x7fELF of a program", "an ELF file that is no kernel"),
    ] {
        let image = found(&Target::read(file, None, LINE), &running(), Check::Image);
        assert_eq!(image.verdict, Verdict::Refused);
        assert!(image.message.contains(words), "{image:?}");
    }
}

#[test]
fn a_command_line_that_hides_what_is_kept_is_refused() {
    let with = |line: &str, options: &str| Target::read(&kernel(TAGS, Some(options)), None, line);
    let verdict = |line: &str, check| found(&with(line, CONFIG), &running(), check).verdict;
    assert_eq!(verdict("kho=on", Check::LiveUpdate), Verdict::Refused);
    assert_eq!(
        verdict("liveupdate=on liveupdate=off", Check::LiveUpdate),
        Verdict::Refused
    );
    assert_eq!(verdict("liveupdate=1 kho=0", Check::Kho), Verdict::Refused);
    assert_eq!(verdict("liveupdate=1", Check::Kho), Verdict::Ok);
    let off = CONFIG.replace("CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y\n", "");
    let finding = found(&with("liveupdate=on", &off), &running(), Check::Kho);
    assert_eq!(finding.verdict, Verdict::Refused, "{finding:?}");
    let untold = Target::read(&kernel(TAGS, None), None, "liveupdate=on");
    assert_eq!(
        found(&untold, &running(), Check::Kho).verdict,
        Verdict::Unknown
    );
    // What is built in counts, and wins when it is to.
    let built_in = format!("{CONFIG}CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"liveupdate=on\"\n");
    let finding = found(&with("", &built_in), &running(), Check::LiveUpdate);
    assert_eq!(finding.verdict, Verdict::Ok);
    let overriding = built_in.replace("liveupdate=on", "quiet") + "CONFIG_CMDLINE_OVERRIDE=y\n";
    let finding = found(&with(LINE, &overriding), &running(), Check::LiveUpdate);
    assert_eq!(finding.verdict, Verdict::Refused);
}

#[test]
fn a_region_that_is_not_named_again_is_lost() {
    for line in ["liveupdate=on", "liveupdate=on reserve_mem=4M:4096:oops"] {
        let target = Target::read(&kernel(TAGS, Some(CONFIG)), None, line);
        let finding = found(&target, &running(), Check::ReserveMem);
        assert_eq!(finding.verdict, Verdict::Refused);
        assert!(
            finding.message.contains("reserve_mem=2M:4096:oops"),
            "{finding:?}"
        );
    }
}

#[test]
fn the_size_of_scratch_is_named_as_the_kernel_knows_it() {
    let line = format!("{LINE} kho_scratch=64M,0,64M");
    let renamed = TAGS.replace("kho_scratch", "kho_bootmem");
    let target = Target::read(&kernel(&renamed, Some(CONFIG)), None, &line);
    let finding = found(&target, &running(), Check::ScratchSize);
    assert_eq!(finding.verdict, Verdict::Refused);
    assert!(finding.hint.contains("kho_bootmem="), "{finding:?}");
    let both = format!("{line} kho_bootmem=64M,0,64M");
    for (tags, line) in [(TAGS, &line), (&*renamed, &both)] {
        let target = Target::read(&kernel(tags, Some(CONFIG)), None, line);
        assert_eq!(
            found(&target, &running(), Check::ScratchSize).verdict,
            Verdict::Ok
        );
    }
}

#[test]
fn what_has_no_room_in_scratch_is_refused() {
    let small = |areas: &[u64]| Running {
        scratch_bytes: Some(areas.to_vec()),
        ..running()
    };
    let mib = 1 << 20;
    // Enough in all, and not in one piece.
    let finding = found(&good(), &small(&[30 * mib, 30 * mib]), Check::Scratch);
    assert_eq!(finding.verdict, Verdict::Refused);
    assert!(finding.message.contains("30 MiB + 30 MiB"), "{finding:?}");
    assert_eq!(
        found(&good(), &small(&[41 * mib]), Check::Scratch).verdict,
        Verdict::Ok
    );
    // The image takes the area that fits best.
    assert_eq!(
        found(&good(), &small(&[mib, 40 * mib]), Check::Scratch).verdict,
        Verdict::Ok
    );
    let unknown = Running {
        scratch_bytes: None,
        ..running()
    };
    assert_eq!(
        found(&good(), &unknown, Check::Scratch).verdict,
        Verdict::Unknown
    );
}

#[test]
fn an_image_is_told_with_what_the_kernel_lacks_and_what_it_starts() {
    let found_in = |image: &[u8], options: Option<&str>, line: &str| {
        let target = Target::read(&kernel(TAGS, options), Some(image), line);
        found(&target, &running(), Check::Initrd)
    };
    // A member of zstd; whether the kernel has it decides before it is unpacked.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0];
    let finding = found_in(&zstd, Some(CONFIG), LINE);
    assert_eq!(finding.verdict, Verdict::Refused);
    assert!(finding.message.contains("CONFIG_RD_ZSTD"), "{finding:?}");
    let finding = found_in(b"070707", Some(CONFIG), LINE);
    assert_eq!(finding.verdict, Verdict::Refused);
    let off = CONFIG.replace("CONFIG_BLK_DEV_INITRD=y\n", "");
    assert_eq!(
        found_in(&initrd(), Some(&off), LINE).verdict,
        Verdict::Refused
    );
    let line = format!("{LINE} rdinit=/sbin/start");
    let finding = found_in(&initrd(), Some(CONFIG), &line);
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert!(finding.message.contains("/sbin/start"), "{finding:?}");
}

#[test]
fn limits_and_signatures_are_told_before_they_bite() {
    let limited = |loads_left, is_loading_disabled| {
        let running = Running {
            loads_left,
            is_loading_disabled,
            ..running()
        };
        found(&good(), &running, Check::LoadLimit).verdict
    };
    assert_eq!(limited(None, Some(false)), Verdict::Ok);
    assert_eq!(limited(Some(2), Some(false)), Verdict::Ok);
    assert_eq!(limited(Some(1), Some(false)), Verdict::Refused);
    assert_eq!(limited(None, Some(true)), Verdict::Refused);
    assert_eq!(limited(None, None), Verdict::Unknown);
    let signed = |lockdown, must_be_signed| {
        let running = Running {
            lockdown,
            must_be_signed,
            ..running()
        };
        found(&good(), &running, Check::Signature).verdict
    };
    assert_eq!(
        signed(Some(Lockdown::Integrity), Some(false)),
        Verdict::Refused
    );
    assert_eq!(signed(Some(Lockdown::None), Some(true)), Verdict::Refused);
    assert_eq!(signed(Some(Lockdown::None), None), Verdict::Unknown);
}

#[test]
fn a_kernel_for_another_machine_is_refused() {
    let running = Running {
        machine: "aarch64".to_owned(),
        ..running()
    };
    let finding = found(&good(), &running, Check::Image);
    assert_eq!(finding.verdict, Verdict::Refused);
    assert!(
        finding.message.contains("a kernel for x86_64"),
        "{finding:?}"
    );
}

#[test]
fn names_of_checks_are_unique_and_found_again() {
    for check in Check::ALL {
        assert_eq!(Check::named(check.name()), Some(check));
    }
}

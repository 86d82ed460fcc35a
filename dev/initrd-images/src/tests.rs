//! The crate `initrd` against the list.

use initrd::{BootConfig, Contents, Kernel, Rules, Seen, check, read};
use preflight::{Check, Running, Target, Verdict};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 << 20;
/// What ours says where Linux has the words of a decoder.
const DECODER: &str = "decompressor failed";

fn main_archive() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.folder("dev", Permissions::PROGRAM).unwrap();
    let program = [&b"\x7fELF"[..], &[0x90; 5001]].concat();
    archive
        .file("init", Permissions::PROGRAM, &program)
        .unwrap();
    archive.symlink("bin", "dev").unwrap();
    archive.finish()
}

/// Names of what is unpacked, and the complaint.
fn unpacked(image: &[u8]) -> (Vec<String>, Option<String>) {
    let mut names = Vec::new();
    let answer = read(image, &Rules::new(LIMIT), &mut |seen| {
        if let Seen::Entry(entry) = seen {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
        }
    });
    (names, answer.err().map(|refused| refused.why.to_string()))
}

#[test]
fn every_image_is_taken_or_refused_as_linux_does() {
    let cases = cases(&main_archive());
    assert!(cases.len() >= 28, "{}", cases.len());
    for case in cases {
        let (names, error) = unpacked(&case.image);
        let has_program = names.iter().any(|name| name == "init");
        let found = (has_program, error.as_deref());
        let fits = match case.expected {
            Boots => found == (true, None),
            BootsAnd(words) => has_program && error.as_deref().unwrap_or("").starts_with(words),
            Fails(words) => !has_program && error.as_deref().unwrap_or("").starts_with(words),
            FailsInDecoder(_) | StopsInDecoder(_) => {
                !has_program && error.as_deref().unwrap_or("").starts_with(DECODER)
            }
        };
        assert!(fits, "{}: {:?}, found {found:?}", case.name, case.expected);
        if case.expected == Boots {
            let rest = ["dev", "bin"];
            assert!(
                rest.iter()
                    .all(|wanted| names.iter().any(|name| name == wanted))
            );
        }
    }
}

/// With a kernel that has every form: the words of the kernel reach who asks before the jump.
#[test]
fn the_check_of_the_next_kernel_says_the_same() {
    let kernel = emulator::kernel_image("7.3.4");
    for case in cases(&main_archive()) {
        let target = Target::read(&kernel, Some(&case.image), "liveupdate=on");
        let findings = preflight::check(&target, &Running::default());
        let finding = findings
            .iter()
            .find(|it| it.check == Check::Initrd)
            .unwrap();
        let (verdict, words) = match case.expected {
            Boots => (Verdict::Ok, "with /init"),
            BootsAnd(words) => (Verdict::Unknown, words),
            Fails(words) => (Verdict::Refused, words),
            FailsInDecoder(_) | StopsInDecoder(_) => (Verdict::Refused, DECODER),
        };
        assert_eq!(finding.verdict, verdict, "{}: {finding:?}", case.name);
        assert!(
            finding.message.contains(words),
            "{}: {finding:?}",
            case.name
        );
    }
}

/// What `luoctl initrd check` says of each, of a kernel that has everything.
#[test]
fn the_findings_are_as_linux_takes_them() {
    let kernel = Kernel {
        option_fn: &|_| Some(true),
        init: "/init",
    };
    for case in cases(&main_archive()) {
        let findings = check(&case.image, &Rules::new(LIMIT), &kernel);
        let worst = findings.iter().map(|finding| finding.verdict).max();
        let expected = match case.expected {
            Boots => initrd::Verdict::Ok,
            BootsAnd(_) => initrd::Verdict::Warning,
            Fails(_) | FailsInDecoder(_) | StopsInDecoder(_) => initrd::Verdict::Refused,
        };
        assert_eq!(worst, Some(expected), "{}: {findings:#?}", case.name);
    }
}

#[test]
fn a_form_the_kernel_lacks_is_named_with_its_option() {
    let image = pack::zstd(&main_archive());
    let rules = Rules {
        is_configured: &|_| false,
        ..Rules::new(LIMIT)
    };
    let answer = read(&image, &rules, &mut |_| {});
    let error = answer.unwrap_err().why.to_string();
    assert!(error.contains("CONFIG_RD_ZSTD"), "{error}");
}

#[test]
fn boot_configuration_is_found_with_its_sum() {
    let image = [&main_archive()[..], &rewrite::boot_config(b"a = 1\n")].concat();
    let found = BootConfig::find(&image).unwrap();
    assert!(found.is_intact);
    assert_eq!(found.offset, main_archive().len());
    let mut damaged = image;
    let at = found.offset;
    damaged[at] ^= 1;
    assert!(!BootConfig::find(&damaged).unwrap().is_intact);
}

/// Whoever goes on behind a member must have come further.
#[test]
fn the_start_of_a_member_at_the_end_is_refused() {
    let main = main_archive();
    for case in cases(&main) {
        let starts = (2..20).filter_map(|length| case.image.get(..length));
        for start in starts.filter(|start| start[0] != b'0') {
            let (names, error) = unpacked(&[&main[..], start].concat());
            assert!(names.iter().any(|name| name == "init"));
            // For the kernel a frame of lz4 may end behind its magic number.
            let is_whole = start == [0x02, 0x21, 0x4c, 0x18];
            assert_eq!(error.is_none(), is_whole, "{}: {start:02x?}", case.name);
        }
    }
}

#[test]
fn what_linux_cuts_without_a_word_is_told() {
    let main = main_archive();
    for length in [50, 300, 3000] {
        let (_, error) = unpacked(&main[..length]);
        assert!(
            error.unwrap().contains("ends inside of an entry"),
            "{length}"
        );
    }
    let packed = pack::gzip(&main[..3000]);
    let (_, error) = unpacked(&packed);
    assert!(
        error
            .unwrap()
            .starts_with("junk at the end of compressed archive")
    );
}

/// What is seen but for contents, and whether all of it was.
fn read_by(image: &[u8], rules: &Rules<'_>) -> (Vec<String>, bool) {
    let mut seen = Vec::new();
    let answer = read(image, rules, &mut |found| match found {
        Seen::Entry(entry) => {
            let mut entry = entry.clone();
            entry.content = &[];
            seen.push(format!("{entry:?}"));
        }
        other => seen.push(format!("{other:?}")),
    });
    (seen, answer.is_ok())
}

#[test]
fn both_decoders_of_zstd_take_the_same_images_also_in_pieces() {
    let mut archive = Archive::new();
    let content = b"content ".repeat(40_000);
    archive
        .file("init", Permissions::PROGRAM, &content)
        .unwrap();
    let main = archive.finish();
    for case in cases(&main) {
        let slow = read_by(&case.image, &Rules::new(LIMIT));
        let fast = Rules {
            limit_bytes: LIMIT,
            ..initrd_files::rules()
        };
        assert_eq!(read_by(&case.image, &fast), slow, "{}", case.name);
        let passed = Rules {
            contents: Contents::Passed,
            ..fast
        };
        assert_eq!(read_by(&case.image, &passed), slow, "{}", case.name);
    }
}

proptest! {
    #[test]
    fn damage_is_no_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let cases = cases(&main_archive());
        let mut image = cases[which.index(cases.len())].image.clone();
        for (at, byte) in changes {
            let at = at.index(image.len());
            image[at] = byte;
        }
        image.truncate(cut.index(image.len()) + 1);
        unpacked(&image);
    }
}

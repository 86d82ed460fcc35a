//! What verification says of sections of assemblers, and of damaged ones.

use std::collections::BTreeSet;

use sframe_unwind::verify::{Code, Finding, Place, Severity};
use sframe_unwind::{
    Abi, Compiled, Flags, MalformedKind, ParseError, Placement, Policy, Section, verify,
    verify_in_place,
};

use crate::fixtures;

fn findings(section: &Section<'_>, policy: Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    verify(section, policy, &mut |finding| findings.push(finding));
    findings
}

fn errors(section: &Section<'_>, policy: Policy) -> BTreeSet<Code> {
    let errors = findings(section, policy).into_iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.code).collect()
}

#[test]
fn what_assemblers_make_is_good_by_the_specification() {
    for fixture in fixtures::all() {
        let found = errors(&fixture.section(), Policy::Spec);
        let corrupt = BTreeSet::from([Code::Register]);
        match fixture.name.as_str() {
            "v3-aarch64-corrupt" => assert_eq!(found, corrupt),
            name => assert!(found.is_empty(), "{name}: {found:?}"),
        }
    }
}

/// The compiler's code is as a kernel wants it, but for the rows it has no use for.
#[test]
fn a_kernel_accepts_compiled_code() {
    let fixture = fixtures::named("v3-aarch64-sample");
    let section = fixture.section();
    // The linker's PLT, which a kernel has not.
    let found = errors(&section, Policy::KernelArm64);
    assert!(
        found.is_subset(&BTreeSet::from([Code::RepeatedCode])),
        "{found:?}"
    );
}

#[test]
fn a_kernel_refuses_what_it_must_never_meet() {
    let refused = |name: &str| errors(&fixtures::named(name).section(), Policy::KernelArm64);
    let all = refused("v3-aarch64");
    for code in [Code::Outermost, Code::SignalFrame, Code::FpAboveRa] {
        assert!(all.contains(&code), "{code:?}");
    }
    let corrupt = refused("v3-aarch64-corrupt");
    assert!(corrupt.contains(&Code::Flexible) && corrupt.contains(&Code::Register));
    assert!(refused("v2-aarch64").contains(&Code::OldVersion));
    assert!(refused("v2-aarch64").contains(&Code::NotPcrel));
    assert!(refused("v3-x86-64").contains(&Code::WrongAbi));

    let mut aux = fixtures::named("v3-aarch64-sample").bytes;
    aux[7] = 4;
    aux.splice(28..28, [0; 4]);
    let section = Section::parse(&aux, Placement::default()).unwrap();
    assert!(errors(&section, Policy::KernelArm64).contains(&Code::AuxHeader));

    let mut unsorted = fixtures::named("v3-aarch64-sample").bytes;
    unsorted[3] &= !1;
    let section = Section::parse(&unsorted, Placement::default()).unwrap();
    assert!(errors(&section, Policy::KernelArm64).contains(&Code::Unsorted));
    assert!(!errors(&section, Policy::KernelArm64Module).contains(&Code::Unsorted));
}

/// What single bytes do: each damage has its name.
#[test]
fn damage_is_named() {
    let good = fixtures::named("v3-aarch64-sample");
    let header_len = 28;
    let fres = header_len + usize::try_from(good.section().header().freoff).unwrap();
    let damaged = |at: usize, value: u8| {
        let mut bytes = good.bytes.clone();
        bytes[at] = value;
        match Section::parse(&bytes, good.placement) {
            Ok(section) => errors(&section, Policy::Spec),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(damaged(0xc, 1).contains(&Code::RowCount));
    assert!(damaged(6, 0xf8).contains(&Code::FixedOffset));
    assert!(damaged(fres + 2, 0x40).contains(&Code::ReservedBits));
    assert!(damaged(fres + 2, 0x03).contains(&Code::Malformed));
    assert!(damaged(fres + 3, 0x02).contains(&Code::Malformed));
    // The first function begins behind the second.
    assert!(damaged(header_len + 1, 0x7f).contains(&Code::SortedLie));
    // Repeated code of no bytes: a remainder by zero in other readers.
    assert!(damaged(fres + 2, 0x10).contains(&Code::Malformed));
}

#[test]
fn findings_say_where() {
    let fixture = fixtures::named("v3-aarch64-corrupt");
    let found = findings(&fixture.section(), Policy::Spec);
    let text = found.last().unwrap().to_string();
    assert_eq!(
        text,
        "error[register] function 0 at 0x194 row at 0x1f: A register that the processor does not have. (536870911)"
    );
}

/// libsframe 2.47 reads outside of its buffer in a third of sections with a damaged byte or two: it checks none of these.
#[test]
fn counts_and_offsets_beyond_the_section_are_refused() {
    let good = fixtures::named("v3-aarch64-sample");
    let parse = |at: usize, word: u32| {
        let mut bytes = good.bytes.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        Section::parse(&bytes, good.placement).map(|section| errors(&section, Policy::Spec))
    };
    for word in [0x1000, u32::MAX, u32::MAX / 16 + 1] {
        // num_fdes, fre_len, fdeoff, freoff.
        assert!(
            matches!(parse(0x8, word), Err(ParseError::FdesOutside { .. })),
            "{word:#x}"
        );
        assert!(
            matches!(parse(0x10, word), Err(ParseError::FresOutside { .. })),
            "{word:#x}"
        );
        assert!(
            matches!(parse(0x14, word), Err(ParseError::FdesOutside { .. })),
            "{word:#x}"
        );
        assert!(
            matches!(parse(0x18, word), Err(ParseError::FresOutside { .. })),
            "{word:#x}"
        );
        // The offset of a function's rows, in its descriptor.
        let found = parse(28 + 12, word).unwrap();
        assert!(found.contains(&Code::Malformed), "{word:#x}: {found:?}");
    }
    for len in 0..good.bytes.len() {
        assert!(
            Section::parse(&good.bytes[..len], good.placement).is_err(),
            "{len}"
        );
    }
}

/// Functions that share rows make a small section take long: readers of all rows stop.
#[test]
fn rows_that_functions_share_are_read_once() {
    let fixture = fixtures::named("v2-aarch64");
    let header = *fixture.section().header();
    let mut bytes = fixture.bytes.clone();
    let fde = |at: u32| 28 + 20 * usize::try_from(at).unwrap();
    let longest = fixture.section().fdes().map(Result::unwrap);
    let longest = longest.max_by_key(|fde| fde.num_fres).unwrap();
    let rows: [u8; 8] = bytes[fde(longest.index) + 8..][..8].try_into().unwrap();
    for at in 0..header.num_fdes {
        bytes[fde(at) + 8..][..8].copy_from_slice(&rows);
    }
    // As if it had few rows.
    bytes[0x10..0x14].copy_from_slice(&40_u32.to_le_bytes());
    let section = Section::parse(&bytes, fixture.placement).unwrap();
    let shared = Compiled::build(&[section]).unwrap_err();
    assert!(matches!(
        shared.kind,
        MalformedKind::SharedRows | MalformedKind::RowOutside
    ));
    assert!(errors(&section, Policy::Spec).contains(&Code::Malformed));
}

/// A module's data is good for that module's code, and is loaded with it.
#[test]
fn a_kernel_refuses_functions_outside_of_the_code_and_data_that_is_not_loaded() {
    let fixture = fixtures::named("v3-aarch64-sample");
    let section = fixture.section();
    let first = section
        .fdes()
        .map(Result::unwrap)
        .map(|fde| fde.start)
        .min()
        .unwrap();
    let end = section
        .fdes()
        .map(Result::unwrap)
        .map(|fde| fde.end())
        .max()
        .unwrap();
    let found = |text: &[std::ops::Range<u64>], is_loaded| {
        let mut codes = BTreeSet::new();
        let place = Place { text, is_loaded };
        verify_in_place(&section, Policy::KernelArm64, &place, &mut |finding| {
            codes.insert(finding.code);
        });
        codes.remove(&Code::RepeatedCode);
        codes
    };
    assert_eq!(found(&[0..1, first..end], true), BTreeSet::new());
    assert_eq!(
        found(&[0..1, first..end], false),
        BTreeSet::from([Code::NotLoaded])
    );
    let outside = BTreeSet::from([Code::OutsideText]);
    assert_eq!(found(&[0..1, first..end - 1], true), outside);
    assert_eq!(found(&[0..1, first + 4..end], true), outside);
    assert_eq!(found(&[], true), outside);
}

/// An unwinder of programs takes what linkers make for its processor.
#[test]
fn an_unwinder_of_programs_needs_sorted_data_of_its_processor() {
    let found = |name: &str, abi| errors(&fixtures::named(name).section(), Policy::User(abi));
    assert_eq!(found("v3-x86-64", Abi::X86_64), BTreeSet::new());
    assert_eq!(found("v2-pcrel-s390x", Abi::S390x), BTreeSet::new());
    let wrong = BTreeSet::from([Code::WrongAbi]);
    assert_eq!(found("v3-x86-64", Abi::Aarch64Little), wrong);
    assert_eq!(found("v3-aarch64-be", Abi::Aarch64Little), wrong);
    let corrupt = found("v3-aarch64-corrupt", Abi::Aarch64Little);
    assert_eq!(corrupt, BTreeSet::from([Code::Flexible, Code::Register]));
    let unsorted = fixtures::named("v3-x86-64").with_flags_without(Flags::SORTED);
    let section = Section::parse(&unsorted, Placement::default()).unwrap();
    assert!(errors(&section, Policy::User(Abi::X86_64)).contains(&Code::Unsorted));
}

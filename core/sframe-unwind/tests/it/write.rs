//! What is written is read as it was, and what cannot be said is said to be so.
#![expect(
    clippy::unwrap_used,
    reason = "what is not as it should be fails the test"
)]

use proptest::prelude::*;
use sframe_unwind::write::{Draft, Format, Function, Starts, Unrepresentable, Why};
use sframe_unwind::{
    Abi, Base, CfaRule, FdeKind, Flags, PauthKey, PcType, Placement, Policy, Recovery, Row, Rules,
    Section, Unwind, Version, verify,
};

use crate::fixtures::{self, Fixture};

fn format_of(fixture: &Fixture) -> Format {
    let header = *fixture.section().header();
    Format {
        version: header.version,
        starts: if header.flags.contains(Flags::PCREL) {
            Starts::Field
        } else {
            Starts::Section
        },
        section_addr: fixture.placement.section_addr,
    }
}

fn read(bytes: &[u8], section_addr: u64) -> Draft {
    Draft::read(&Section::parse(bytes, Placement { section_addr }).unwrap()).unwrap()
}

/// Byte for byte, for what assemblers and linkers made. Of the others the sizes of words differ: an assembler's
/// corrupt row, and a linker that keeps rows in the order of its inputs.
#[test]
fn what_is_read_is_written_byte_for_byte() {
    let mut same = 0;
    for fixture in fixtures::all() {
        let draft = Draft::read(&fixture.section()).unwrap();
        let format = format_of(&fixture);
        let written = draft.write(&format).expect(&fixture.name);
        assert_eq!(
            read(&written, format.section_addr),
            draft,
            "{}",
            fixture.name
        );
        if written == fixture.bytes {
            same += 1;
        } else {
            println!("{}: other bytes", fixture.name);
        }
    }
    assert!(same >= 10, "{same}");
}

#[test]
fn version_3_and_back() {
    for name in ["v3-aarch64-sample", "v3-x86-64-sample", "v3-s390x-sample"] {
        let fixture = fixtures::named(name);
        let draft = Draft::read(&fixture.section()).unwrap();
        let v3 = format_of(&fixture);
        let v2 = Format {
            version: Version::V2,
            ..v3
        };
        let written = draft.write(&v2).unwrap();
        let section = Section::parse(&written, fixture.placement).unwrap();
        assert_eq!(section.header().version, Version::V2);
        let report = verify(&section, Policy::Spec, &mut |finding| {
            panic!("{name}: {finding}")
        });
        assert_eq!(report.errors, 0);
        let back = read(&written, v2.section_addr);
        assert_eq!(
            back.write(&v3).unwrap(),
            draft.write(&v3).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn what_version_2_cannot_say_names_the_function() {
    let fixture = fixtures::named("v3-x86-64");
    let mut draft = Draft::read(&fixture.section()).unwrap();
    draft.name(|start| (start == 0x11d0).then(|| "realigned".to_owned()));
    let v2 = Format {
        version: Version::V2,
        ..format_of(&fixture)
    };
    let error = draft.write(&v2).unwrap_err();
    assert_eq!(error.why, Why::Flexible(5));
    assert_eq!(
        error.to_string(),
        "function realigned: the row at 0x5 needs a flexible descriptor, which only version 3 has"
    );
    // The signal frame next.
    draft
        .functions_mut()
        .retain(|function| function.kind == FdeKind::Default);
    assert_eq!(draft.write(&v2).unwrap_err().why, Why::SignalFrame);
    draft
        .functions_mut()
        .retain(|function| !function.is_signal_frame);
    draft.write(&v2).unwrap();
    let v1 = Format {
        version: Version::V1,
        starts: Starts::Section,
        ..v2
    };
    assert_eq!(draft.write(&v1).unwrap_err().why, Why::Outermost);
    draft.functions_mut().retain(|function| {
        let outermost = |row: &Row| row.unwind == Unwind::Outermost;
        !function.rows.iter().any(outermost)
    });
    let written = draft.write(&v1).unwrap();
    assert_eq!(
        read(&written, v1.section_addr).functions().len(),
        draft.functions().len()
    );
}

/// Modules are linked with `ld -r`: entries in the order of inputs. Moving one changes what it counts from.
#[test]
fn sorting_keeps_addresses() {
    let fixture = fixtures::named("v3-aarch64-sample");
    let format = format_of(&fixture);
    let mut draft = Draft::read(&fixture.section()).unwrap();
    let sorted = draft.clone();
    draft.functions_mut().reverse();
    let unsorted = draft.write(&format).unwrap();
    let section = Section::parse(&unsorted, fixture.placement).unwrap();
    assert!(!section.is_sorted());
    assert_eq!(
        section
            .find(sorted.functions()[1].start)
            .unwrap()
            .unwrap()
            .fde
            .start,
        sorted.functions()[1].start
    );
    draft = Draft::read(&section).unwrap();
    draft.sort();
    assert_eq!(draft, sorted);
    assert_eq!(
        draft.write(&format).unwrap(),
        sorted.write(&format).unwrap()
    );
}

#[test]
fn merging_keeps_one_of_equals() {
    let fixture = fixtures::named("v3-aarch64-sample");
    let draft = Draft::read(&fixture.section()).unwrap();
    let mut elsewhere = draft.clone();
    for function in elsewhere.functions_mut() {
        function.start += 0x10_0000;
    }
    let count = draft.functions().len();
    let mut merged = elsewhere.clone();
    merged.merge(draft.clone()).unwrap();
    merged.merge(elsewhere).unwrap();
    assert_eq!(merged.functions().len(), 2 * count);
    assert!(merged.is_sorted());
    let other = Draft::new(Abi::X86_64);
    let error = merged.merge(other).unwrap_err();
    assert_eq!(error.why, Why::TwoAbis(Abi::Aarch64Little, Abi::X86_64));
}

/// A frame pointer without a return address: no default descriptor has it, a flexible one does.
#[test]
fn rules_without_default_words_become_flexible() {
    let mut draft = Draft::new(Abi::Aarch64Little);
    draft.functions_mut().push(function(vec![row(
        0,
        CfaRule::Offset {
            base: Base::Sp,
            offset: 16,
        },
        Recovery::Unchanged,
        Recovery::Saved(-16),
    )]));
    let format = Format {
        version: Version::V3,
        starts: Starts::Field,
        section_addr: 0x9000,
    };
    let back = read(&draft.write(&format).unwrap(), 0x9000);
    assert_eq!(back.functions()[0].kind, FdeKind::Flexible);
    assert_eq!(back.functions()[0].rows, draft.functions()[0].rows);
    let far = Format {
        version: Version::V2,
        section_addr: 1 << 40,
        ..format
    };
    draft.functions_mut()[0].rows.clear();
    let far = draft.write(&far).unwrap_err();
    assert!(
        matches!(
            far,
            Unrepresentable {
                why: Why::TooFar(_),
                ..
            }
        ),
        "{far}"
    );
}

fn function(rows: Vec<Row>) -> Function {
    Function {
        name: None,
        start: 0x1000,
        size: 0x100,
        pc_type: PcType::Inc,
        rep_size: 0,
        key: PauthKey::A,
        is_signal_frame: false,
        kind: FdeKind::Default,
        rows,
    }
}

fn row(start: u32, cfa: CfaRule, ra: Recovery, fp: Recovery) -> Row {
    let rules = Rules {
        cfa,
        ra,
        fp,
        is_ra_signed: false,
    };
    Row {
        start,
        unwind: Unwind::Caller(rules),
    }
}

fn abi() -> impl Strategy<Value = Abi> {
    prop_oneof![
        Just(Abi::Aarch64Big),
        Just(Abi::Aarch64Little),
        Just(Abi::X86_64),
        Just(Abi::S390x)
    ]
}

/// Registers that are not the stack and frame pointer of any processor.
fn base() -> impl Strategy<Value = Base> {
    prop_oneof![
        Just(Base::Sp),
        Just(Base::Fp),
        (16..28_u32).prop_map(Base::Register)
    ]
}

fn cfa() -> impl Strategy<Value = CfaRule> {
    let offset = (-70_000..70_000_i32).prop_map(|words| words * 8);
    (base(), offset, any::<bool>()).prop_map(|(base, offset, load)| match load {
        false => CfaRule::Offset { base, offset },
        true => CfaRule::Load { base, offset },
    })
}

fn recovery() -> impl Strategy<Value = Recovery> {
    let offset = prop_oneof![-128..128_i32, any::<i32>()];
    prop_oneof![
        Just(Recovery::Unchanged),
        offset.clone().prop_map(Recovery::Saved),
        (base(), offset.clone()).prop_map(|(base, offset)| Recovery::Register { base, offset }),
        (base(), offset).prop_map(|(base, offset)| Recovery::RegisterLoad { base, offset }),
    ]
}

proptest! {
    /// Any rules, in any version: written and read back they are the same, or they are refused.
    #[test]
    fn rules_survive_or_are_refused(
        abi in abi(),
        version in prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::V3)],
        rules in prop::collection::vec((cfa(), recovery(), recovery()), 1..6),
    ) {
        let starts = if version == Version::V1 { Starts::Section } else { Starts::Field };
        let format = Format { version, starts, section_addr: 0x4000 };
        let rows = (0..).zip(rules).map(|(at, (cfa, ra, fp))| row(at * 4, cfa, ra, fp));
        let mut draft = Draft::new(abi);
        draft.functions_mut().push(function(rows.collect()));
        match draft.write(&format) {
            Ok(bytes) => {
                let back = read(&bytes, 0x4000);
                prop_assert_eq!(&back.functions()[0].rows, &draft.functions()[0].rows);
            }
            Err(error) => {
                let is_simple = draft.functions()[0].rows.iter().all(|row| matches!(
                    row.unwind,
                    Unwind::Caller(Rules {
                        cfa: CfaRule::Offset { base: Base::Sp | Base::Fp, .. },
                        ra: Recovery::Saved(-8),
                        fp: Recovery::Unchanged,
                        ..
                    })
                ));
                let has_abi = version != Version::V1 || abi != Abi::S390x;
                prop_assert!(!(is_simple && has_abi), "{}", error);
            }
        }
    }
}

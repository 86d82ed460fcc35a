//! Lookup in place and in a table is what reading everything says, at every byte of code.

#![expect(
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

use sframe_unwind::{
    Base, CfaRule, Compiled, Cover, Flags, PcType, Placement, Recovery, Section, Tables as _,
    Unwind,
};

use crate::fixtures;

/// The slow way: every function, every row.
fn read_through(section: &Section<'_>, pc: u64) -> Option<Cover> {
    let functions = section.fdes().map(|fde| fde.expect("well-formed"));
    // The one that begins last; of equals the last one.
    let fde = functions
        .filter(|fde| fde.start <= pc)
        .max_by_key(|fde| fde.start)?;
    if pc - fde.start >= u64::from(fde.size) {
        return None;
    }
    let cover = |unwind| Cover {
        unwind,
        is_signal_frame: fde.is_signal_frame,
    };
    if fde.is_outermost() {
        return Some(cover(Unwind::Outermost));
    }
    let mut offset = pc - fde.start;
    if fde.pc_type == PcType::Mask {
        offset %= u64::from(fde.rep_size);
    }
    let rows = section.rows(&fde).map(|row| row.expect("well-formed"));
    let row = rows.filter(|row| u64::from(row.start) <= offset).last()?;
    Some(cover(row.unwind))
}

/// Around every function and, in long ones, around every row.
fn addresses(section: &Section<'_>) -> Vec<u64> {
    let mut addresses = Vec::new();
    for fde in section.fdes().map(|fde| fde.expect("well-formed")) {
        let end = fde.end() + 20;
        addresses.extend((fde.start.saturating_sub(20)..end).take(4096));
        for row in section.rows(&fde) {
            let start = fde.start + u64::from(row.expect("well-formed").start);
            addresses.extend(start.saturating_sub(2)..start + 3);
        }
        addresses.extend(end - 22..end);
    }
    addresses.extend([0, 1, u64::MAX, 1 << 32, section.addr()]);
    addresses
}

#[test]
fn every_way_to_look_up_gives_the_same() {
    for fixture in fixtures::all() {
        let section = fixture.section();
        let compiled = Compiled::build(&[section]).unwrap();
        let unsorted = fixture.with_flags_without(Flags::SORTED);
        let unsorted = Section::parse(&unsorted, fixture.placement).unwrap();
        for pc in addresses(&section) {
            let wanted = read_through(&section, pc);
            let name = &fixture.name;
            assert_eq!(section.cover(pc), Ok(wanted), "{name} in place at {pc:#x}");
            assert_eq!(unsorted.cover(pc), Ok(wanted), "{name} unsorted at {pc:#x}");
            assert_eq!(
                compiled.find(pc).copied(),
                wanted,
                "{name} compiled at {pc:#x}"
            );
        }
    }
}

/// Kernel and modules: sections gigabytes apart, and one at the end of the address space.
#[test]
fn one_table_of_sections_far_apart() {
    let fixture = fixtures::named("v3-x86-64");
    let addrs = [0x131a0, 0x7_0000_0000, 0xffff_ffff_8100_0000];
    let sections = addrs
        .map(|section_addr| Section::parse(&fixture.bytes, Placement { section_addr }).unwrap());
    let compiled = Compiled::build(&sections).unwrap();
    for section in &sections {
        for fde in section.fdes().map(Result::unwrap) {
            for pc in [fde.start, fde.end() - 1, fde.end()] {
                assert_eq!(compiled.cover(pc), section.cover(pc), "{pc:#x}");
            }
        }
    }
    assert_eq!(compiled.find(0x1_0000_0000), None);
}

/// simple-frame-rs 0.3.0 gives the first row of a PLT entry whatever the address, and takes the address itself
/// modulo the size of an entry: the rows of an entry count from the start of the function.
#[test]
fn rows_of_repeated_code_count_from_the_function() {
    let fixture = fixtures::named("v3-x86-64");
    let section = fixture.section();
    let plt = section.fde(1).unwrap().unwrap();
    assert_eq!((plt.pc_type, plt.rep_size), (PcType::Mask, 16));
    let offset_at = |pc| match section.find(pc).unwrap().unwrap().row.unwind {
        Unwind::Caller(rules) => rules.cfa,
        Unwind::Outermost => panic!("a PLT entry has a caller"),
    };
    let sp = |offset| CfaRule::Offset {
        base: Base::Sp,
        offset,
    };
    for entry in 0..4 {
        assert_eq!(offset_at(plt.start + 16 * entry + 0xa), sp(8));
        assert_eq!(offset_at(plt.start + 16 * entry + 0xb), sp(16));
    }
}

/// libsframe 2.47 returns the control word of the frame pointer as the offset of the return address.
#[test]
fn a_skipped_return_address_is_at_the_fixed_offset() {
    let fixture = fixtures::named("v3-x86-64");
    let section = fixture.section();
    let flexible = section.fdes().map(Result::unwrap);
    let flexible = flexible.filter(|fde| fde.kind == sframe_unwind::FdeKind::Flexible);
    let mut rows = flexible.flat_map(|fde| section.rows(&fde));
    let realigned = rows.find_map(|row| match row.unwrap().unwind {
        Unwind::Caller(rules) if matches!(rules.cfa, CfaRule::Load { .. }) => Some(rules),
        _ => None,
    });
    let realigned = realigned.expect("a frame whose CFA is loaded");
    assert_eq!(realigned.ra, Recovery::Saved(-8));
    let fp = Recovery::RegisterLoad {
        base: Base::Fp,
        offset: 0,
    };
    assert_eq!(realigned.fp, fp);
}

/// simple-frame-rs 0.3.0 reads register 16 as -16 and a flexible CFA of s390x without bias and scale.
#[test]
fn registers_are_unsigned_and_a_flexible_cfa_of_s390x_is_scaled() {
    let fixture = fixtures::named("v3-s390x");
    let section = fixture.section();
    let rows = section.fdes().map(Result::unwrap);
    let rows = rows.flat_map(|fde| section.rows(&fde));
    let in_f0 = rows.filter_map(|row| match row.unwrap().unwind {
        Unwind::Caller(rules) => Some(rules),
        Unwind::Outermost => None,
    });
    let fp = Recovery::Register {
        base: Base::Register(16),
        offset: 0,
    };
    let found: Vec<_> = in_f0.filter(|rules| rules.fp == fp).collect();
    assert_eq!(found.len(), 3);
    for rules in found {
        let sp = CfaRule::Offset {
            base: Base::Sp,
            offset: 160,
        };
        assert_eq!(rules.cfa, sp);
    }
}

/// libsframe 2.47 takes start addresses as relative to their field whatever the flag says, and finds the rows of
/// another function in what binutils 2.44 made.
#[test]
fn start_addresses_without_the_flag_count_from_the_section() {
    let fixture = fixtures::named("v2-x86-64");
    let section = fixture.section();
    assert!(!section.header().flags.contains(Flags::PCREL));
    let fde = section.fde(3).unwrap().unwrap();
    assert_eq!(fde.start, 0x1055);
    let found = section.find(0x1056).unwrap().unwrap();
    assert_eq!(found.fde.index, 3);
    assert_eq!(found.row.start, 1);
}

/// A signal frame whose rules could not be expressed has no rows, and is not a last frame.
#[test]
fn a_signal_frame_without_rows_is_not_outermost() {
    let fixture = fixtures::named("v3-x86-64-signal");
    let section = fixture.section();
    let fde = section.fde(0).unwrap().unwrap();
    assert_eq!((fde.num_fres, fde.is_signal_frame), (0, true));
    assert_eq!(section.find(fde.start), Ok(None));
    assert_eq!(Compiled::build(&[section]).unwrap().find(fde.start), None);
}

/// simple-frame-rs 0.3.0 ignores the length of the auxiliary header: offsets count from its end.
#[test]
fn offsets_count_from_the_end_of_the_auxiliary_header() {
    let fixture = fixtures::named("v2-aarch64");
    let mut bytes = fixture.bytes.clone();
    bytes[7] = 6;
    bytes.splice(28..28, [0xff; 6]);
    let with_aux = Section::parse(&bytes, fixture.placement).unwrap();
    let without = fixture.section();
    for fde in without.fdes().map(Result::unwrap) {
        assert_eq!(with_aux.find(fde.start), without.find(fde.start));
    }
}

//! A step from a frame to its caller, beside framehop, which does it by DWARF data.

use std::hint::black_box;
use std::ops::Range;

use anyhow::{Context as _, Result};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _};
use object::{Object as _, ObjectSection as _};
use sframe_unwind::unwind::{CodeAddr, Process, State, Step, X86_64, step};
use sframe_unwind::{Compiled, Section, Tables};

use super::data::Data;
use super::{HOT, each, least};

/// A stack of return addresses, all the same: what is found there does not matter.
struct Stack {
    words: Vec<u64>,
    text: Range<u64>,
}

/// Address of its first byte.
const BASE: u64 = 0x7f00_0000_0000;
/// Words of it: as large as the largest frame.
const WORDS: usize = 64 << 10;

impl Stack {
    fn word(&self, addr: u64) -> Option<u64> {
        let at = usize::try_from(addr.wrapping_sub(BASE) / 8).ok()?;
        self.words.get(at).copied()
    }
}

impl Process for Stack {
    fn read_u64(&self, addr: u64) -> Option<u64> {
        self.word(addr)
    }

    fn is_text(&self, pc: u64) -> bool {
        self.text.contains(&pc)
    }

    fn stack_end(&self, _addr: u64) -> Option<u64> {
        Some(BASE + 8 * (WORDS as u64))
    }
}

pub(super) fn measure(
    data: &Data,
    program: &[u8],
    section: &Section<'_>,
    compiled: &Compiled,
    runs: usize,
    line_fn: &mut dyn FnMut(&str),
) -> Result<()> {
    let stack = Stack {
        words: vec![data.text.start + 0x100; WORDS],
        text: data.text.clone(),
    };
    let unwinder = unwinder(data, program)?;
    let random = data.addresses();
    let hot: Vec<u64> = random.iter().cycle().take(HOT).copied().collect();
    let hot: Vec<u64> = hot.iter().cycle().take(random.len()).copied().collect();
    for (name, pcs, target) in [("random", &random, 8.0), ("hot", &hot, 3.0)] {
        let in_place = ours(section, &stack, pcs, runs);
        let table = ours(compiled, &stack, pcs, runs);
        let peer = theirs(&unwinder, &stack, pcs, runs);
        for (who, (ns, count)) in [
            ("sframe-unwind, in place", in_place),
            ("sframe-unwind, compiled", table),
            ("framehop 0.16", peer),
        ] {
            line_fn(&format!(
                "  step  {who:<28} {ns:>7.1} ns, {name}, {count} of {}",
                pcs.len()
            ));
        }
        line_fn(&format!(
            "  ratio {:<28} {:>6.1}x in place, {:.1}x compiled, {name} (target {target})",
            "framehop 0.16",
            peer.0 / in_place.0,
            peer.0 / table.0
        ));
    }
    Ok(())
}

/// Nanoseconds for each, and how many had a caller.
fn ours(tables: &impl Tables, stack: &Stack, pcs: &[u64], runs: usize) -> (f64, usize) {
    let mut count = 0;
    let ns = least(runs, || {
        count = 0;
        for pc in pcs {
            let state = State {
                pc: CodeAddr::Instruction(black_box(*pc)),
                sp: BASE,
                fp: BASE + 0x100,
            };
            let none = |_number| None;
            let stepped = step::<X86_64>(&state, Some(&none), tables, stack);
            count += usize::from(matches!(black_box(stepped), Ok(Step::Caller { .. })));
        }
    });
    (each(ns, pcs.len()), count)
}

fn theirs(
    unwinder: &UnwinderX86_64<Vec<u8>>,
    stack: &Stack,
    pcs: &[u64],
    runs: usize,
) -> (f64, usize) {
    let mut cache = CacheX86_64::<_>::new();
    let mut count = 0;
    let ns = least(runs, || {
        count = 0;
        for pc in pcs {
            let mut registers = UnwindRegsX86_64::new(black_box(*pc), BASE, BASE + 0x100);
            let stepped = unwinder.unwind_frame(
                FrameAddress::from_instruction_pointer(*pc),
                &mut registers,
                &mut cache,
                &mut |addr| stack.word(addr).ok_or(()),
            );
            count += usize::from(matches!(black_box(stepped), Ok(Some(_))));
        }
    });
    (each(ns, pcs.len()), count)
}

fn unwinder(data: &Data, program: &[u8]) -> Result<UnwinderX86_64<Vec<u8>>> {
    let file = object::File::parse(program)?;
    let section = |name: &str| {
        let section = file
            .section_by_name(name)
            .with_context(|| format!("no {name}"))?;
        let range = section.address()..section.address() + section.size();
        anyhow::Ok((range, section.data()?.to_vec()))
    };
    let (text_svma, text) = section(".text")?;
    let (eh_frame_svma, eh_frame) = section(".eh_frame")?;
    let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr")?;
    let mut unwinder = UnwinderX86_64::new();
    unwinder.add_module(Module::new(
        data.name.to_owned(),
        0..data.text.end + 0x100_0000,
        0,
        ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: Some(text_svma),
            text: Some(text),
            eh_frame_svma: Some(eh_frame_svma),
            eh_frame: Some(eh_frame),
            eh_frame_hdr_svma: Some(eh_frame_hdr_svma),
            eh_frame_hdr: Some(eh_frame_hdr),
            ..Default::default()
        },
    ));
    Ok(unwinder)
}

//! [`compare`]: what changed, what is new, and what of it a livepatch cannot do.

use alloc::vec::Vec;

use elf_index::{Object, SectionId, Symbol, SymbolId, SymbolKind};

use crate::correlate::Correlation;
use crate::side::{Item, Side};

/// A change that a livepatch cannot make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An object has other contents: it is in use, and a livepatch replaces functions only.
    DataChanged {
        /// The object before.
        before: SymbolId,
        /// The object after.
        after: SymbolId,
    },
    /// An object has another size.
    DataResized {
        /// The object before.
        before: SymbolId,
        /// The object after.
        after: SymbolId,
        /// Bytes before.
        from: u64,
        /// Bytes after.
        to: u64,
    },
    /// Code or data that is gone once the kernel or module has started.
    Init {
        /// The symbol after.
        after: SymbolId,
    },
    /// A changed function without a place for the tracer: nothing can be put in front of it.
    NotTraceable {
        /// The function after.
        after: SymbolId,
    },
    /// A function that is one of several of its name before, none of which is its twin: who calls the old one would go on
    /// calling that.
    FunctionNotTold {
        /// The function after.
        after: SymbolId,
    },
    /// A static variable that cannot be told from others of its name: the new function would start with a fresh one.
    StateLost {
        /// The variable after.
        after: SymbolId,
        /// The changed function that uses it.
        user: SymbolId,
    },
}

/// How two builds differ.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Functions that mean something else: before and after.
    pub changed: Vec<(SymbolId, SymbolId)>,
    /// Functions and objects without a counterpart before.
    pub added: Vec<SymbolId>,
    /// Functions and objects without a counterpart after.
    pub removed: Vec<SymbolId>,
    /// Every change that cannot be made.
    pub refusals: Vec<Refusal>,
}

/// Compares two builds by their twins.
#[must_use]
pub fn compare(before: &Side<'_, '_>, after: &Side<'_, '_>, twins: &Correlation) -> Difference {
    let mut found = Difference::default();
    let mut traced = None;
    for item in after.items() {
        if item.is_part {
            continue;
        }
        match twins.before(item.symbol) {
            None => {
                found.added.push(item.symbol);
                lost_state(item, before, after, twins, &mut found);
                not_told(item, before, after, twins, &mut found);
            }
            Some(_) if twins.is_known_same(item.symbol) => {}
            Some(old) => twin(item, old, (before, after), &mut traced, &mut found),
        }
    }
    let gone = before
        .items()
        .iter()
        .filter(|item| !item.is_part && twins.after(item.symbol).is_none());
    found.removed = gone.map(|item| item.symbol).collect();
    let refused: Vec<Refusal> = found
        .added
        .iter()
        .filter(|id| is_init(after.object(), **id))
        .map(|id| Refusal::Init { after: *id })
        .collect();
    found.refusals.extend(refused);
    found
}

fn twin(
    item: &Item<'_>,
    old: SymbolId,
    (before, after): (&Side<'_, '_>, &Side<'_, '_>),
    traced: &mut Option<Traced>,
    found: &mut Difference,
) {
    let Some(symbol) = after.object().symbol(item.symbol) else {
        return;
    };
    let was = before.checksum(old);
    if was.is_none() || was == after.checksum(item.symbol) {
        return;
    }
    if is_init(after.object(), item.symbol) {
        found.refusals.push(Refusal::Init { after: item.symbol });
        return;
    }
    if symbol.is_func() {
        found.changed.push((old, item.symbol));
        let object = after.object();
        let traced = traced.get_or_insert_with(|| Traced::new(object));
        if !traced.has(object, symbol) {
            found
                .refusals
                .push(Refusal::NotTraceable { after: item.symbol });
        }
        return;
    }
    let from = before.object().symbol(old).map_or(0, |old| old.size);
    found.refusals.push(if from == item.size {
        Refusal::DataChanged {
            before: old,
            after: item.symbol,
        }
    } else {
        Refusal::DataResized {
            before: old,
            after: item.symbol,
            from,
            to: item.size,
        }
    });
}

/// A new static variable whose user had one of that name before, which found no twin: the same one, as far as anybody
/// can tell.
fn lost_state(
    item: &Item<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &Correlation,
    found: &mut Difference,
) {
    let section = |side: &Side<'_, '_>, id| {
        let symbol = side.object().symbol(id)?;
        Some(side.object().section_of(symbol)?.is_writable())
    };
    if !item.is_numbered || section(after, item.symbol) != Some(true) {
        return;
    }
    for user in after.users_of(item.symbol) {
        let Some(old_user) = twins.before(*user) else {
            continue;
        };
        let had_one = before.items().iter().any(|old| {
            old.is_numbered
                && old.stem == item.stem
                && twins.after(old.symbol).is_none()
                && before.users_of(old.symbol).contains(&old_user)
        });
        if had_one {
            found.refusals.push(Refusal::StateLost {
                after: item.symbol,
                user: *user,
            });
            return;
        }
    }
}

/// A new function that a compiler numbered, where one of its name before has no twin, either.
fn not_told(
    item: &Item<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &Correlation,
    found: &mut Difference,
) {
    let symbol = after.object().symbol(item.symbol);
    let has_number = symbol.is_some_and(|symbol| symbol.name.len() != item.stem.len());
    let is_there_one = || {
        before.items().iter().any(|old| {
            (old.stem, old.kind, old.scope) == (item.stem, item.kind, item.scope)
                && twins.after(old.symbol).is_none()
        })
    };
    if item.kind == SymbolKind::FUNC && has_number && is_there_one() {
        found
            .refusals
            .push(Refusal::FunctionNotTold { after: item.symbol });
    }
}

fn is_init(object: &Object<'_>, id: SymbolId) -> bool {
    let symbol = object.symbol(id);
    let section = symbol.and_then(|symbol| object.section_of(symbol));
    section.is_some_and(|section| {
        let name = section.name;
        [
            ".init.",
            ".exit.",
            ".meminit.",
            ".initcall",
            ".con_initcall",
        ]
        .iter()
        .any(|start| name.starts_with(start))
    })
}

/// Places that the tracer knows: the addresses in `__mcount_loc`, else calls of `__fentry__`.
#[derive(Debug)]
struct Traced {
    places: Vec<(SectionId, u64)>,
}

impl Traced {
    /// Most bytes between the start of a function and its tracer's place: `ENDBR64` and padding.
    const REACH: u64 = 16;

    fn new(object: &Object<'_>) -> Self {
        let mut places = Vec::new();
        for (id, section) in object.sections_with_ids() {
            if section.name == "__mcount_loc" {
                places.extend(object.relocs(id).iter().filter_map(|reloc| {
                    let symbol = object.symbol(reloc.symbol)?;
                    let place = symbol.value.wrapping_add_signed(reloc.addend);
                    Some((symbol.place.section()?, place))
                }));
            }
        }
        places.sort_unstable();
        Self { places }
    }

    fn has(&self, object: &Object<'_>, symbol: &Symbol<'_>) -> bool {
        let Some(section) = symbol.place.section() else {
            return false;
        };
        let first = (section, symbol.value);
        let at = self.places.partition_point(|place| *place < first);
        let end = symbol.value.saturating_add(Self::REACH).min(symbol.end());
        let listed = self.places.get(at);
        let is_listed = listed.is_some_and(|(found, offset)| *found == section && *offset < end);
        let mut start = object.relocs(section).within(symbol.value..end).iter();
        is_listed
            || start.any(|reloc| {
                let called = object.symbol(reloc.symbol);
                called.is_some_and(|called| called.name == "__fentry__")
            })
    }
}

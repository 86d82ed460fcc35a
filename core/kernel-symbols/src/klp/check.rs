//! Checks a livepatch module against the objects that it patches.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use klp_abi::records::TOMBSTONE_PREFIX;

use super::finding::Finding;
use super::functions;
use super::names::{KlpSymbol, parse_sym_name};
use super::relocations::{RelaSection, ordinary, parse_rela_sections};
use crate::elf::RawSymbol;
use crate::module::{Module, Phase};
use crate::name::Name;
use crate::object::VMLINUX;
use crate::table::Table;
use crate::traced::Traced;

/// An object that a livepatch module may name symbols of, or several.
///
/// Tables that have their names indexed ([`Table::index_names`]) are checked faster.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// Its symbols as they are when it was there before the patch.
    pub live: &'t Table<'t>,
    /// For a module of which the file is at hand: its symbols while it is loaded ([`Phase::Loading`]).
    pub loading: Option<&'t Table<'t>>,
    /// Where the tracer can be called from, at the addresses of `live`; `None` when that is not known.
    pub traced: Option<&'t Traced>,
}

/// Start of the names of sections that relocate records of relocations.
const RECORDS: &str = ".rela__klp_relocs.";

/// Checks everything that the kernel checks when it applies livepatch relocations, and what it does not.
///
/// A symbol table that was sorted, stripped or written anew after the positions were computed cannot be seen here: give
/// the objects that run.
#[must_use]
pub fn check(patch: &Module<'_>, targets: &[Target<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !patch.is_livepatch() {
        findings.push(Finding::NotMarked);
    }
    let sections = parse_rela_sections(patch);
    let symbols: Vec<RawSymbol> = patch.elf.raw_symbols().collect();
    let names = Names { patch, symbols };
    let mut used = BTreeSet::new();
    for section in &sections {
        check_section(section, &mut findings);
        names.check_relocations(section, &mut used, &mut findings);
    }
    names.check_ordinary(&mut findings);
    names.check_symbols(&used, targets, &mut findings);
    functions::check(patch, targets, &mut findings);
    findings
}

fn check_section(section: &RelaSection<'_>, findings: &mut Vec<Finding>) {
    let name = section.name.to_string();
    if !section.is_marked {
        findings.push(Finding::SectionNotMarked { name: name.clone() });
    }
    let said = match section.names {
        Ok((_, said)) => Some(said),
        Err(source) => {
            let name = name.clone();
            findings.push(Finding::SectionName { name, source });
            None
        }
    };
    let Some(target) = section.target_name else {
        let target = section.target;
        return findings.push(Finding::Target { name, target });
    };
    // `.klp.rela.vmlinux.text.f` and `.klp.rela.vmlinux..text.f` both name `.text.f`.
    let bare = target.as_bytes().strip_prefix(b".");
    if said.is_some_and(|said| said != target && bare != Some(said.as_bytes())) {
        let target = target.to_string();
        findings.push(Finding::TargetName { name, target });
    }
}

/// The symbols of the patch.
struct Names<'m, 'd> {
    patch: &'m Module<'d>,
    symbols: Vec<RawSymbol>,
}

impl<'d> Names<'_, 'd> {
    fn get(&self, number: u32) -> Option<(Name<'d>, RawSymbol)> {
        let symbol = *self.symbols.get(usize::try_from(number).ok()?)?;
        Some((Name::new(self.patch.elf.string(symbol.name)), symbol))
    }

    fn check_relocations(
        &self,
        section: &RelaSection<'d>,
        used: &mut BTreeSet<u32>,
        findings: &mut Vec<Finding>,
    ) {
        let of_vmlinux = section.names.is_ok_and(|(object, _)| object == VMLINUX);
        let mut told = BTreeSet::new();
        for (entry, relocation) in section.relocations.iter().enumerate() {
            let found = self.get(relocation.symbol);
            let Some((name, _)) = found.filter(|(_, symbol)| Module::is_klp(*symbol)) else {
                findings.push(Finding::NotLivepatchSymbol {
                    section: section.name.to_string(),
                    entry,
                    symbol: relocation.symbol,
                    name: found.map_or_else(String::new, |(name, _)| name.to_string()),
                });
                continue;
            };
            used.insert(relocation.symbol);
            let in_vmlinux = parse_sym_name(name.as_bytes()).is_ok_and(|it| it.object == VMLINUX);
            if in_vmlinux && !of_vmlinux && told.insert(relocation.symbol) {
                findings.push(Finding::VmlinuxSymbol {
                    section: section.name.to_string(),
                    name: name.to_string(),
                });
            }
        }
    }

    fn check_ordinary(&self, findings: &mut Vec<Finding>) {
        for (section, relocation) in ordinary(self.patch) {
            // `R_*_NONE` of every machine: nothing is relocated. And nobody reads records once they are made relocations.
            let is_record = section.as_bytes().starts_with(RECORDS.as_bytes());
            if relocation.kind == 0 || is_record {
                continue;
            }
            let found = self.get(relocation.symbol);
            if let Some((name, _)) = found.filter(|(_, symbol)| Module::is_klp(*symbol)) {
                findings.push(Finding::OrdinaryRelocation {
                    section: section.to_string(),
                    offset: relocation.offset,
                    name: name.to_string(),
                });
            }
        }
    }

    fn check_symbols(
        &self,
        used: &BTreeSet<u32>,
        targets: &[Target<'_>],
        findings: &mut Vec<Finding>,
    ) {
        let mut not_given: BTreeMap<Name<'_>, usize> = BTreeMap::new();
        for number in (0_u32..).take(self.symbols.len()) {
            let Some((name, symbol)) = self.get(number) else {
                continue;
            };
            // What kept the place of a relocation until the module was linked is left over, and nothing names it.
            let is_left_over = name.as_bytes().starts_with(TOMBSTONE_PREFIX.as_bytes());
            if !Module::is_klp(symbol) || is_left_over {
                continue;
            }
            if !used.contains(&number) {
                let name = name.to_string();
                findings.push(Finding::Unused { name });
            }
            match parse_sym_name(name.as_bytes()) {
                Err(source) => findings.push(Finding::SymbolName {
                    index: number,
                    name: name.to_string(),
                    source,
                }),
                Ok(symbol) if !resolve(symbol, targets, findings) => {
                    let count = not_given.entry(symbol.object).or_default();
                    *count = count.saturating_add(1);
                }
                Ok(_) => {}
            }
        }
        findings.extend(not_given.into_iter().map(|(object, symbols)| {
            let object = object.to_string();
            Finding::NotGiven { object, symbols }
        }));
    }
}

/// Looks up a symbol as the kernel will, in both phases. Whether its object was given.
fn resolve(symbol: KlpSymbol<'_>, targets: &[Target<'_>], findings: &mut Vec<Finding>) -> bool {
    let (Some(object), Some(name)) = (symbol.object.as_str(), symbol.name.as_str()) else {
        return false;
    };
    let Some(target) = target_of(object, targets) else {
        return false;
    };
    let mut find = |table: &Table<'_>, phase| {
        let found = table.sympos(name, object, symbol.position);
        let found = found.map(|found| found.index());
        found
            .map_err(|source| {
                let name = format!("{symbol}");
                findings.push(Finding::Sympos {
                    name,
                    phase,
                    source,
                });
            })
            .ok()
    };
    let live = find(target.live, Phase::Live);
    let loading = target.loading.and_then(|table| find(table, Phase::Loading));
    if let (Some(live), Some(loading)) = (live, loading)
        && live != loading
    {
        findings.push(Finding::DependsOnOrder {
            name: format!("{symbol}"),
            object: object.to_string(),
            live,
            loading,
        });
    }
    true
}

/// What is known of an object.
pub(super) fn target_of<'t>(object: &str, targets: &'t [Target<'t>]) -> Option<&'t Target<'t>> {
    targets.iter().find(|target| target.live.has_object(object))
}

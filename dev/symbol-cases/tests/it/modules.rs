//! The modules of a Debian kernel, all of them.
#![expect(
    clippy::print_stdout,
    reason = "figures of a real kernel are part of the result"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kernel_symbols::linear::{LinearScan, Nearest};
use kernel_symbols::module::Phase;
use kernel_symbols::{Module, Table};
use symbol_cases::Corpus;

const COMMITTED: &str = "committed_one";
const BASE: u64 = 0xffff_ffff_c000_0000;
const PHASES: [Phase; 2] = [Phase::Live, Phase::Loading];

static CORPUS: LazyLock<Option<Corpus>> = LazyLock::new(|| match Corpus::load() {
    Ok(corpus) => Some(corpus),
    Err(error) => {
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "CI=true: {error:#}");
        println!("skipped: {error:#}");
        None
    }
});

/// Every module with its tables: the committed one, and those of Debian when they are on this machine.
fn each(check: impl Fn(&str, &Module<'_>)) {
    let committed = Corpus::committed();
    let mut modules: Vec<_> = committed.modules.iter().collect();
    if let Some(corpus) = &*CORPUS {
        let (package, count) = (&corpus.package, corpus.modules.len());
        assert!(count >= 900, "{package} has {count} modules");
        modules.extend(&corpus.modules);
    }
    for module in modules {
        let parsed = Module::parse(&module.bytes).unwrap();
        assert_eq!(parsed.name().unwrap(), module.name.as_str());
        check(&module.name, &parsed);
    }
}

/// By hand, from the symbol table that `readelf -s` shows: 7 and 13, in sections whose order in memory is the other
/// one.
#[test]
fn positions_in_the_committed_module_are_those_of_its_symbol_table() {
    let corpus = Corpus::committed();
    let module = Module::parse(&corpus.modules[0].bytes).unwrap();
    let table = module.table(BASE, Phase::Live).unwrap();
    let at = |position| table.sympos("helper", COMMITTED, position).unwrap();
    assert_eq!((at(1).index(), at(2).index()), (7, 13));
    assert!(at(1).address() > at(2).address());
    assert!(table.sympos("helper", COMMITTED, 0).is_err());
    let groups = table.duplicates();
    let changed = groups.iter().filter(|group| group.order_changes());
    let mut names: Vec<_> = changed.map(|group| group.name().to_string()).collect();
    names.sort();
    assert_eq!(names, ["helper", "table"]);
    // One address, two names: the first of the symbol table.
    let entry = table.lookup(at(2).address() - 0x20).unwrap();
    assert_eq!(entry.symbol().name().to_string(), "entry");
}

#[test]
fn every_function_is_found_where_the_kernel_finds_it() {
    let functions = std::cell::Cell::new(0_usize);
    each(|name, module| {
        let (table, scan) = (
            module.table(BASE, Phase::Live).unwrap(),
            LinearScan::new(module, BASE, Phase::Live),
        );
        let is_kept = |it: &kernel_symbols::Symbol<'_>| {
            it.kind().is_counted() && module.is_function(it.index())
        };
        for symbol in table.symbols().filter(is_kept) {
            let addr = symbol.address();
            assert_eq!(indexed(&table, addr), scan.find(addr), "{name} {addr:#x}");
            functions.set(functions.get() + 1);
        }
    });
    println!("{} functions", functions.get());
}

#[test]
fn addresses_between_symbols_and_behind_regions_are_answered_like_the_kernel_does() {
    each(|name, module| {
        for phase in PHASES {
            let (table, scan) = (
                module.table(BASE, phase).unwrap(),
                LinearScan::new(module, BASE, phase),
            );
            let end = module
                .regions_from(BASE, Phase::Loading)
                .last()
                .map_or(BASE, |it| it.end);
            // Some forty a module, at places that have nothing to do with symbols.
            let step = (end - BASE) / 40 + 1;
            let inside =
                (BASE.saturating_sub(8)..end + 8192).step_by(usize::try_from(step).unwrap());
            let edges = module.regions_from(BASE, Phase::Loading);
            let edges = edges
                .iter()
                .flat_map(|it| [it.start - 1, it.start, it.end - 1, it.end]);
            let addrs: Vec<u64> = inside.chain(edges).collect();
            let single: Vec<_> = addrs.iter().map(|&addr| indexed(&table, addr)).collect();
            let expected: Vec<_> = addrs.iter().map(|&addr| scan.find(addr)).collect();
            assert_eq!(single, expected, "{name} {phase:?}");
            let mut batch = Vec::new();
            table.lookup_many(&addrs, |found| batch.push(nearest(found)));
            assert_eq!(batch, expected, "{name} {phase:?}");
        }
    });
}

#[test]
fn every_name_of_several_symbols_has_the_positions_of_the_kernel() {
    for phase in PHASES {
        let totals = std::cell::RefCell::new(BTreeMap::<&str, usize>::new());
        each(|name, module| {
            let mut table = module.table(BASE, phase).unwrap();
            table.index_names();
            let scan = LinearScan::new(module, BASE, phase);
            let groups = table.duplicates();
            for group in &groups {
                let text = group.name();
                let text = text.as_str().unwrap();
                let count = u64::try_from(group.symbols().len()).unwrap();
                for position in 0..=count + 1 {
                    let found = table.sympos(text, name, position).ok().map(|it| it.index());
                    let (expected, _) = scan.sympos(text.as_bytes(), position);
                    assert_eq!(found, expected, "{name} {text} {position} {phase:?}");
                }
            }
            if name == COMMITTED {
                // The totals are those of the package.
                return;
            }
            let mut totals = totals.borrow_mut();
            let changes = groups.iter().filter(|group| group.order_changes()).count();
            *totals.entry("groups").or_default() += groups.len();
            *totals.entry("changes").or_default() += changes;
            *totals.entry("modules with changes").or_default() += usize::from(changes > 0);
        });
        let totals = totals.into_inner();
        let package = CORPUS.as_ref().map_or("", |corpus| &corpus.package);
        println!("{package} {phase:?}: {totals:?}");
        if package == "linux-modules-7.2.13+deb14-cloud-amd64_7.2.13-1" && phase == Phase::Loading {
            assert_eq!(
                (totals["changes"], totals["modules with changes"]),
                (149, 62)
            );
        }
    }
}

fn indexed(table: &Table<'_>, addr: u64) -> Option<Nearest> {
    nearest(table.lookup(addr))
}

fn nearest(found: Option<kernel_symbols::Found<'_>>) -> Option<Nearest> {
    found.map(|found| Nearest {
        index: found.symbol().index(),
        start: found.start(),
        end: found.end(),
    })
}

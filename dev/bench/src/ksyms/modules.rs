//! Modules: every function of all, beside the kernel's own way.

use std::hint::black_box;

use anyhow::ensure;
use kernel_symbols::Module;
use kernel_symbols::linear::LinearScan;
use kernel_symbols::module::Phase;
use symbol_cases::Corpus;

use super::Row;
use super::clock::Least;

const BASE: u64 = 0xffff_ffff_c000_0000;

pub(super) fn measure(corpus: &Corpus, runs: usize) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let mut modules = Vec::new();
    for module in &corpus.modules {
        let module = Module::parse(&module.bytes)?;
        let table = module.table(BASE, Phase::Live)?;
        let functions = table.symbols();
        let functions =
            functions.filter(|it| it.kind().is_counted() && module.is_function(it.index()));
        let addrs: Vec<u64> = functions.map(|it| it.address()).collect();
        let scan = LinearScan::new(&module, BASE, Phase::Live);
        modules.push((module, scan, addrs));
    }
    let (mut parse, mut indexed, mut lookups, mut linear) =
        (Least::NONE, Least::NONE, Least::NONE, Least::NONE);
    for _ in 0..runs {
        parse.time(|| {
            corpus
                .modules
                .iter()
                .filter(|it| black_box(Module::parse(&it.bytes)).is_ok())
                .count()
        });
        let ours = indexed.time(|| {
            let starts = modules.iter().map(|(module, _, addrs)| {
                let table = module.table(BASE, Phase::Live)?;
                anyhow::Ok(sum(addrs, |addr| Some(table.lookup(addr)?.start())))
            });
            starts.collect::<anyhow::Result<Vec<u64>>>()
        })?;
        let tables: Vec<_> = modules
            .iter()
            .map(|(module, _, _)| module.table(BASE, Phase::Live))
            .collect::<Result<_, _>>()?;
        lookups.time(|| {
            for (table, (_, _, addrs)) in tables.iter().zip(&modules) {
                for &addr in addrs {
                    black_box(table.lookup(addr));
                }
            }
        });
        let kernel = linear.time(|| {
            let starts = modules
                .iter()
                .map(|(_, scan, addrs)| sum(addrs, |addr| Some(scan.find(addr)?.start)));
            starts.collect::<Vec<u64>>()
        });
        ensure!(
            ours == kernel,
            "the index finds something else than the kernel's own way"
        );
    }
    let functions: usize = modules.iter().map(|(_, _, addrs)| addrs.len()).sum();
    let facts = vec![format!(
        "{functions} functions in {} modules; files parsed in {:.1} ms; {:.1} ns a look-up without the index",
        modules.len(),
        parse.ns() / 1e6,
        lookups.ns_each(functions)
    )];
    let row = Row {
        what: "look up every function, indexes included".to_owned(),
        ours_ns: indexed.ns(),
        peer: "kernel's linear scan",
        peer_ns: linear.ns(),
        target: Some(60.0),
    };
    Ok((vec![row], facts))
}

/// Something that is only right when every answer is.
fn sum(addrs: &[u64], find: impl Fn(u64) -> Option<u64>) -> u64 {
    addrs
        .iter()
        .filter_map(|&addr| find(addr))
        .fold(0, u64::wrapping_add)
}

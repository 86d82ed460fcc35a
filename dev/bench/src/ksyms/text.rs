//! Text of `/proc/kallsyms`.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context as _, ensure};
use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use kernel_symbols::{Found, Table, kallsyms};

use super::Row;
use super::c_loader;
use super::clock::Least;

const ADDRESSES: usize = 100_000;
/// blazesym is slow at these.
const SINGLE: usize = 10_000;

pub(super) fn measure(
    path: &Path,
    folder: &Path,
    runs: usize,
) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let source = Source::Kernel(Kernel {
        kallsyms: path.to_owned().into(),
        vmlinux: blazesym::MaybeDefault::None,
        kaslr_offset: Some(0),
        debug_syms: false,
        ..Kernel::default()
    });
    let table = load(path)?;
    let addrs = addresses(&table);
    let sorted = {
        let mut sorted = addrs.clone();
        sorted.sort_unstable();
        sorted
    };
    let peer = symbolizer(&source, addrs.first().copied().unwrap_or(0))?;
    let same = agree(&table, &peer, &source, &addrs)?;
    let mut ours = [Least::NONE; 5];
    let mut theirs = [Least::NONE; 4];
    for _ in 0..runs {
        let [load_time, many, in_order, single, names] = &mut ours;
        let [peer_load, peer_many, peer_in_order, peer_single] = &mut theirs;
        let mut table = load_time.time(|| load(path))?;
        peer_load.time(|| symbolizer(&source, 0).map(drop))?;
        many.time(|| {
            let mut sum = 0;
            table.lookup_many(&addrs, |found| sum += letters(found));
            black_box(sum)
        });
        peer_many.time(|| letters_of(&peer, &source, &addrs))?;
        in_order.time(|| black_box(table.lookup_sorted(&sorted).map(letters).sum::<usize>()));
        peer_in_order.time(|| letters_of(&peer, &source, &sorted))?;
        let some = addrs.get(..SINGLE).unwrap_or_default();
        single.time(|| {
            let one_by_one = some.iter().map(|&addr| letters(table.lookup(addr)));
            black_box(one_by_one.sum::<usize>())
        });
        peer_single.time(|| {
            some.iter().try_fold(0, |sum, addr| {
                let found = peer.symbolize_single(&source, Input::AbsAddr(*addr))?;
                anyhow::Ok(sum + name_length(&found))
            })
        })?;
        names.once(|| table.index_names());
    }
    let c = c_loader::measure(path, folder, &addrs, runs)?;
    let [load_time, many, in_order, single, names] = ours;
    let [peer_load, peer_many, peer_in_order, peer_single] = theirs;
    let row = |what: &str, ours_ns, peer, peer_ns, target| Row {
        what: what.to_owned(),
        ours_ns,
        peer,
        peer_ns,
        target,
    };
    let blazesym = "blazesym";
    let in_c = "fgets, sscanf, qsort";
    let each = |least: Least| least.ns_each(ADDRESSES);
    let rows = vec![
        row(
            "load /proc/kallsyms",
            load_time.ns(),
            blazesym,
            peer_load.ns(),
            Some(3.0),
        ),
        row("load /proc/kallsyms", load_time.ns(), in_c, c.load_ns, None),
        row(
            "look up, batch in any order",
            each(many),
            blazesym,
            each(peer_many),
            Some(8.0),
        ),
        row(
            "look up, batch in any order",
            each(many),
            in_c,
            c.lookup_ns,
            None,
        ),
        row(
            "look up, batch in order",
            each(in_order),
            blazesym,
            each(peer_in_order),
            Some(12.0),
        ),
        row(
            "look up, one by one",
            single.ns_each(SINGLE),
            blazesym,
            peer_single.ns_each(SINGLE),
            Some(25.0),
        ),
    ];
    Ok((rows, vec![facts(table, names), same]))
}

fn facts(mut table: Table<'_>, names: Least) -> String {
    table.index_names();
    let used = table.memory_use();
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a figure for people"
    )]
    let each = |bytes: usize| bytes as f64 / used.symbols as f64;
    format!(
        "{} symbols, {} bytes of text; {:.2} bytes of memory a symbol (target 18); index of names {:.2} bytes a symbol, made in {:.1} ms",
        used.symbols,
        used.text_bytes,
        each(used.table_bytes),
        each(used.name_index_bytes),
        names.ns() / 1e6
    )
}

fn load(path: &Path) -> anyhow::Result<Table<'static>> {
    Ok(kallsyms::parse(symbol_files::read(path)?, &[])?)
}

/// Of text only; a peer that also looked for line numbers would be slower.
fn symbolizer(source: &Source<'_>, addr: u64) -> anyhow::Result<Symbolizer> {
    let symbolizer = Symbolizer::builder()
        .enable_auto_reload(false)
        .enable_code_info(false)
        .enable_inlined_fns(false)
        .enable_demangling(false)
        .build();
    let _found = symbolizer.symbolize_single(source, Input::AbsAddr(addr))?;
    Ok(symbolizer)
}

/// Addresses in functions and data of everything, the same every time.
fn addresses(table: &Table<'_>) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let count = u64::try_from(table.len()).unwrap_or(1);
    let addrs = std::iter::from_fn(|| {
        let index = u32::try_from(next() % count).unwrap_or(0);
        Some(table.symbol(index)?.address().wrapping_add(next() % 32))
    });
    addrs
        .filter(|&addr| table.lookup(addr).is_some())
        .take(ADDRESSES)
        .collect()
}

/// For how many addresses the peer has the same start. It takes labels in modules for symbols, and knows no ends.
fn agree(
    table: &Table<'_>,
    peer: &Symbolizer,
    source: &Source<'_>,
    addrs: &[u64],
) -> anyhow::Result<String> {
    let found = peer.symbolize(source, Input::AbsAddr(addrs))?;
    let (mut same, mut theirs) = (0, found.iter());
    table.lookup_many(addrs, |ours| {
        let start = theirs
            .next()
            .and_then(Symbolized::as_sym)
            .map(|symbol| symbol.addr);
        same += usize::from(ours.as_ref().map(Found::start) == start);
    });
    let all = addrs.len();
    ensure!(
        same * 100 >= all * 95,
        "blazesym has the same answer for {same} of {all} addresses only"
    );
    Ok(format!(
        "blazesym finds the same for {same} of {all} addresses"
    ))
}

fn letters(found: Option<Found<'_>>) -> usize {
    found.map_or(0, |found| found.symbol().name().as_bytes().len())
}

fn letters_of(peer: &Symbolizer, source: &Source<'_>, addrs: &[u64]) -> anyhow::Result<usize> {
    let found = peer
        .symbolize(source, Input::AbsAddr(addrs))
        .context("symbolize")?;
    Ok(black_box(found.iter().map(name_length).sum()))
}

fn name_length(found: &Symbolized<'_>) -> usize {
    found.as_sym().map_or(0, |symbol| symbol.name.len())
}

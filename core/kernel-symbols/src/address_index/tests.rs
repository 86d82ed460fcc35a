//! The index beside a search of all entries, one after the other.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
struct Entry {
    addr: u64,
    /// What a symbol before it ends at: [`End::Symbol`] when it is one.
    end: End,
}

/// Gaps between entries: none, small ones, and such as no offset holds.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0),
        8 => 1..40_u64,
        2 => 1..100_000_u64,
        1 => (1_u64 << 32) - 3..(1_u64 << 32) + 3,
        1 => 1_u64 << 33..1 << 50,
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let end = prop_oneof![
        6 => Just(End::Symbol),
        1 => Just(End::Region),
        1 => Just(End::Page),
    ];
    prop::collection::vec((gap(), end), 0..120).prop_map(|gaps| {
        let mut addr = 0xffff_0000_0000_0000_u64;
        let mut entries = Vec::new();
        for (gap, end) in gaps {
            addr = addr.saturating_add(gap);
            // Marks come before the symbols of their address.
            let is_behind = entries.last().is_some_and(|it: &Entry| it.addr == addr);
            let end = if is_behind { End::Symbol } else { end };
            entries.push(Entry { addr, end });
        }
        entries
    })
}

fn index(entries: &[Entry]) -> AddressIndex {
    let mut index = Maker::with_capacity(entries.len());
    for (entry, number) in entries.iter().zip(0_u32..) {
        let name = NamePlace {
            at: number * 3,
            length: u8::try_from(number % 7).unwrap_or(0),
        };
        match entry.end {
            End::Symbol => index.symbol(entry.addr, number, name),
            end => index.mark(entry.addr, end),
        }
    }
    index.finish()
}

proptest! {
    #[test]
    fn an_address_is_where_a_search_of_all_entries_finds_it(
        entries in entries(),
        asked: Vec<u64>,
        hint in 0..12_usize,
    ) {
        let index = index(&entries);
        let around = entries.iter().flat_map(|it| [it.addr.wrapping_sub(1), it.addr, it.addr.saturating_add(1)]);
        for addr in around.chain(asked).chain([0, u64::MAX]) {
            let expected = entries.iter().rposition(|it| it.addr <= addr);
            let symbol = expected.filter(|&at| entries[at].end == End::Symbol);
            for leaf in [index.leaf(addr), index.leaf_after(hint, addr)] {
                let place = leaf.and_then(|leaf| index.place_in(leaf, addr));
                prop_assert_eq!(place.is_some(), symbol.is_some(), "{:x}", addr);
                let Some((place, at)) = place.zip(symbol) else { continue };
                let next = entries.get(at + 1);
                prop_assert_eq!(index.number(place.position), u32::try_from(at).unwrap());
                prop_assert_eq!(usize::try_from(place.name.at).unwrap(), at * 3);
                prop_assert_eq!(usize::from(place.name.length), at % 7);
                prop_assert_eq!(place.start, entries[at].addr);
                prop_assert_eq!(place.end, next.map_or(u64::MAX, |it| it.addr));
                prop_assert_eq!(place.ends_at, next.map_or(End::Region, |it| it.end));
                // The others of its address are before it, up to a mark.
                let others = entries[..at].iter().rev();
                let others = others.take_while(|it| it.addr == place.start && it.end == End::Symbol).count();
                let mut position = place.position;
                for before in 1..=others {
                    let (found, name) = index.before(position).expect("another symbol of the address");
                    prop_assert_eq!(usize::try_from(name.at).unwrap(), (at - before) * 3);
                    position = found;
                }
                prop_assert!(index.before(position).is_none());
            }
        }
    }
}

#[test]
fn an_index_of_nothing_finds_nothing() {
    let index = index(&[]);
    assert!(index.leaf(7).is_none());
    assert!(index.leaf_after(0, 7).is_none());
    assert_eq!(index.bytes(), 0);
}

#[test]
fn it_takes_thirteen_bytes_for_an_entry_and_one_for_the_way_to_it() {
    let entries: Vec<Entry> = (0..16_000)
        .map(|at| Entry {
            addr: at * 40,
            end: End::Symbol,
        })
        .collect();
    assert!(index(&entries).bytes() <= 14 * entries.len());
}

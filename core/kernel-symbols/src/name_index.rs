//! Which symbols have a name.

use alloc::vec::Vec;

use core::hash::BuildHasher as _;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::name::Name;

/// No further symbol of a name.
const NONE: u32 = u32::MAX;

/// For each name the first symbol that has it, and for each symbol the next of the same name.
#[derive(Clone, Debug)]
pub(crate) struct NameIndex {
    hasher: DefaultHashBuilder,
    first: HashTable<u32>,
    next: Vec<u32>,
}

impl NameIndex {
    /// Indexes `count` symbols by the names that `name_fn` has for them.
    pub(crate) fn build<'t>(count: u32, name_fn: impl Fn(u32) -> Name<'t>) -> Self {
        let capacity = usize::try_from(count).unwrap_or(0);
        let hasher = DefaultHashBuilder::default();
        let hash = |index: u32| hasher.hash_one(name_fn(index).as_bytes());
        let mut first: HashTable<u32> = HashTable::with_capacity(capacity);
        let mut next = Vec::new();
        next.resize(capacity, NONE);
        // From the last to the first: each becomes the head of its list.
        for (index, next) in (0..count).zip(&mut next).rev() {
            let name = name_fn(index);
            let is_same = |other: &u32| name_fn(*other) == name;
            let entry = first.entry(hasher.hash_one(name.as_bytes()), is_same, |other| {
                hash(*other)
            });
            match entry {
                hashbrown::hash_table::Entry::Occupied(mut head) => {
                    *next = *head.get();
                    *head.get_mut() = index;
                }
                hashbrown::hash_table::Entry::Vacant(place) => {
                    place.insert(index);
                }
            }
        }
        Self {
            hasher,
            first,
            next,
        }
    }

    /// The first symbol of a name.
    pub(crate) fn first<'t>(
        &self,
        name: Name<'_>,
        name_fn: impl Fn(u32) -> Name<'t>,
    ) -> Option<u32> {
        let hash = self.hasher.hash_one(name.as_bytes());
        self.first
            .find(hash, |&index| name_fn(index) == name)
            .copied()
    }

    /// The next symbol with the name of `index`.
    pub(crate) fn next(&self, index: u32) -> Option<u32> {
        let next = self.next.get(usize::try_from(index).ok()?).copied();
        next.filter(|&next| next != NONE)
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.first
            .allocation_size()
            .saturating_add(size_of_val(self.next.as_slice()))
    }
}

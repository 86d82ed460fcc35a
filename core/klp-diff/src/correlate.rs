//! [`correlate()`]: which symbol of the one build is which of the other.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use elf_index::{SymbolId, SymbolKind};

use crate::lto::{LtoModules, lto_module};
use crate::side::{Item, Scope, Side};

/// The builds are not made of the same source files in the same order, so local names cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "source files differ: {before} before and {after} after, number {number} was `{old}` and is `{new}`"
)]
pub struct FilesDiffer {
    /// Files before.
    pub before: usize,
    /// Files after.
    pub after: usize,
    /// Number of the first difference, from 0.
    pub number: usize,
    /// Its name before.
    pub old: String,
    /// Its name after.
    pub new: String,
}

/// Twins of two builds.
#[derive(Clone, Debug)]
pub struct Correlation {
    after_of: Vec<Option<SymbolId>>,
    before_of: Vec<Option<SymbolId>>,
    /// Whether a symbol after is known to mean what its twin means, by the number of the symbol.
    is_same: Vec<bool>,
}

impl Correlation {
    /// Tells whether a symbol after is known to mean what its twin before means, without checksums.
    #[must_use]
    pub fn is_known_same(&self, after: SymbolId) -> bool {
        let at = usize::try_from(after.0).ok();
        at.and_then(|at| self.is_same.get(at)).copied() == Some(true)
    }

    /// The twin after, of a symbol before.
    #[must_use]
    pub fn after(&self, before: SymbolId) -> Option<SymbolId> {
        let at = usize::try_from(before.0).ok()?;
        self.after_of.get(at).copied().flatten()
    }

    /// The twin before, of a symbol after.
    #[must_use]
    pub fn before(&self, after: SymbolId) -> Option<SymbolId> {
        let at = usize::try_from(after.0).ok()?;
        self.before_of.get(at).copied().flatten()
    }

    fn join(&mut self, before: SymbolId, after: SymbolId) {
        let slot = |ids: &mut Vec<Option<SymbolId>>, at: SymbolId, twin| {
            let at = usize::try_from(at.0).unwrap_or(usize::MAX);
            if let Some(slot) = ids.get_mut(at) {
                *slot = Some(twin);
            }
        };
        slot(&mut self.after_of, before, after);
        slot(&mut self.before_of, after, before);
    }
}

/// Equally named things of both builds for which a name does not tell which is which.
#[derive(Debug)]
struct Group<'d> {
    before: Vec<Item<'d>>,
    after: Vec<Item<'d>>,
}

/// Finds the twins of two builds, both with all their checksums.
///
/// # Errors
///
/// [`FilesDiffer`].
pub fn correlate(before: &Side<'_, '_>, after: &Side<'_, '_>) -> Result<Correlation, FilesDiffer> {
    Ok(ByName::new(before, after)?.finish(before, after))
}

/// Twins of two builds as far as names tell them. Of these most are byte for byte what they were, so the checksums of few
/// are needed for the rest: [`ByName::twins`] that are not [known to be the same](ByName::know_same), and whatever is
/// [open](ByName::open).
#[derive(Debug)]
pub struct ByName<'d> {
    twins: Correlation,
    groups: Vec<Group<'d>>,
}

impl<'d> ByName<'d> {
    /// Finds what names tell.
    ///
    /// # Errors
    ///
    /// [`FilesDiffer`].
    pub fn new(before: &Side<'_, 'd>, after: &Side<'_, 'd>) -> Result<Self, FilesDiffer> {
        same_files(before, after)?;
        let after_symbols = after.object().symbols().len();
        let mut found = Self {
            twins: Correlation {
                after_of: vec![None; before.object().symbols().len()],
                before_of: vec![None; after_symbols],
                is_same: vec![false; after_symbols],
            },
            groups: Vec::new(),
        };
        let (old, new) = (by_name(before.items()), by_name(after.items()));
        let mut others = new.chunk_by(is_same_name).peekable();
        for own in old.chunk_by(is_same_name) {
            let Some(first) = own.first() else {
                continue;
            };
            let order = |items: &[Item<'d>]| items.first().map(|item| by_hash(item, first));
            while others
                .next_if(|it| order(it) == Some(Ordering::Less))
                .is_some()
            {}
            if let Some(other) = others.next_if(|it| order(it) == Some(Ordering::Equal)) {
                unique(own, other, &mut found.twins, &mut found.groups);
            }
        }
        // As names sort, so that hashes decide nothing.
        let name = |group: &Group<'d>| group.before.first().map(|item| (item.stem, item.kind));
        found.groups.sort_by_key(name);
        Ok(found)
    }

    /// Twins, before and after.
    pub fn twins(&self) -> impl Iterator<Item = (SymbolId, SymbolId)> {
        let pairs = (0_u32..).zip(&self.twins.after_of);
        pairs.filter_map(|(before, after)| Some((SymbolId(before), (*after)?)))
    }

    /// What has a name that others have, too: before, and after.
    #[must_use]
    pub fn open(&self) -> (Vec<SymbolId>, Vec<SymbolId>) {
        let before = self.groups.iter().flat_map(|group| &group.before);
        let after = self.groups.iter().flat_map(|group| &group.after);
        (
            before.map(|item| item.symbol).collect(),
            after.map(|item| item.symbol).collect(),
        )
    }

    /// Says that twins mean the same: their checksums are not needed. These are symbols after.
    pub fn know_same(&mut self, after: impl IntoIterator<Item = SymbolId>) {
        for id in after {
            let at = usize::try_from(id.0).unwrap_or(usize::MAX);
            if let Some(slot) = self.twins.is_same.get_mut(at) {
                *slot = true;
            }
        }
    }

    /// Finds the other twins by what they mean and by who uses them.
    #[must_use]
    pub fn finish(self, before: &Side<'_, '_>, after: &Side<'_, '_>) -> Correlation {
        let Self {
            mut twins,
            mut groups,
        } = self;
        // Each twin may tell more: a static variable is known by its users, and those may be statics.
        loop {
            let left: usize = groups.iter().map(|group| group.before.len()).sum();
            for group in &mut groups {
                same_contents(group, before, after, &mut twins);
                same_users(group, before, after, &mut twins);
            }
            let modules = LtoModules::new(before, after, &twins);
            for group in &mut groups {
                same_module(group, before, after, &modules, &mut twins);
                last_one(group, &mut twins);
            }
            groups.retain(|group| !group.before.is_empty() && !group.after.is_empty());
            if groups.iter().map(|group| group.before.len()).sum::<usize>() == left {
                break;
            }
        }
        for group in &mut groups {
            in_order(group, before, after, &mut twins);
        }
        twins
    }
}

fn same_files(before: &Side<'_, '_>, after: &Side<'_, '_>) -> Result<(), FilesDiffer> {
    let (old, new) = (before.files(), after.files());
    if old == new {
        return Ok(());
    }
    let number = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let name = |names: &[&str]| names.get(number).copied().unwrap_or_default().to_string();
    Err(FilesDiffer {
        before: old.len(),
        after: new.len(),
        number,
        old: name(old),
        new: name(new),
    })
}

/// Items with equal names side by side, in the order of symbols.
fn by_name<'d>(items: &[Item<'d>]) -> Vec<Item<'d>> {
    let mut items = items.to_vec();
    items.sort_unstable_by(|one, two| by_hash(one, two).then(one.symbol.cmp(&two.symbol)));
    items
}

fn by_hash(one: &Item<'_>, two: &Item<'_>) -> Ordering {
    let key = |item: &Item<'_>| (item.hash, item.kind);
    // Names of one hash are equal, unless somebody made them so.
    key(one).cmp(&key(two)).then_with(|| one.stem.cmp(two.stem))
}

fn is_same_name(one: &Item<'_>, two: &Item<'_>) -> bool {
    by_hash(one, two) == Ordering::Equal
}

/// Joins what a name tells apart: the only one of its name, or of its name in its file. Static variables of functions
/// are left to [`same_users`]: another function's may have the same name.
fn unique<'d>(
    before: &[Item<'d>],
    after: &[Item<'d>],
    twins: &mut Correlation,
    left: &mut Vec<Group<'d>>,
) {
    if let ([before], [after]) = (before, after) {
        if !before.is_numbered && !after.is_numbered {
            twins.join(before.symbol, after.symbol);
            return;
        }
    }
    let mut scopes: Vec<Scope> = before.iter().map(|item| item.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    for scope in scopes {
        let within = |items: &[Item<'d>]| -> Vec<Item<'d>> {
            let own = items.iter().filter(|item| item.scope == scope);
            own.copied().collect()
        };
        let (before, after) = (within(before), within(after));
        match (before.as_slice(), after.as_slice()) {
            ([one], [two]) if !one.is_numbered && !two.is_numbered => {
                twins.join(one.symbol, two.symbol);
            }
            (_, []) => {}
            _ => left.push(Group { before, after }),
        }
    }
}

/// Joins functions, and data that no function owns, of one size and checksum, where there is one such on each side.
fn same_contents(
    group: &mut Group<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &mut Correlation,
) {
    let contents = |side: &Side<'_, '_>, item: &Item<'_>| {
        let sum = side.checksum(item.symbol).filter(|_| !item.is_numbered);
        sum.map(|sum| (item.size, sum))
    };
    let pairs = alike(
        group,
        |one| contents(before, one),
        |two| contents(after, two),
    );
    join(group, pairs, twins);
}

/// Joins what link-time optimisation made global of one module. A module that changed has another number.
fn same_module(
    group: &mut Group<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    modules: &LtoModules<'_>,
    twins: &mut Correlation,
) {
    let number = |side: &Side<'_, '_>, item: &Item<'_>| {
        let symbol = side.object().symbol(item.symbol);
        symbol.and_then(|symbol| lto_module(symbol.name).map(String::from))
    };
    let pairs = alike(
        group,
        |one| modules.after(&number(before, one)?).map(String::from),
        |two| number(after, two),
    );
    join(group, pairs, twins);
}

/// Joins the only one that is left of several functions of a name, where there is one on each side: it changed.
fn last_one(group: &mut Group<'_>, twins: &mut Correlation) {
    if let ([one], [two]) = (group.before.as_slice(), group.after.as_slice()) {
        let is_function = one.kind == SymbolKind::FUNC;
        if is_function && one.scope == two.scope {
            let pair = (one.symbol, two.symbol);
            join(group, Vec::from([pair]), twins);
        }
    }
}

/// Joins static variables that are used by the same function. Of several in one function those that nobody writes are told
/// apart by their contents; for others that would be a guess, which may cross their states.
fn same_users(
    group: &mut Group<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &mut Correlation,
) {
    let edges = used_alike(group, before, after, twins);
    join(group, without_rivals(&edges), twins);
    let is_same = |(one, two): &(Item<'_>, Item<'_>)| {
        let sum = before.checksum(one.symbol);
        let is_constant = is_constant(before, one) && is_constant(after, two);
        is_constant && sum.is_some() && sum == after.checksum(two.symbol)
    };
    let edges = used_alike(group, before, after, twins);
    let edges: Vec<(Item<'_>, Item<'_>)> = edges.into_iter().filter(is_same).collect();
    join(group, without_rivals(&edges), twins);
}

/// Static variables of one size with a user in common, before and after.
fn used_alike<'d>(
    group: &Group<'d>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &Correlation,
) -> Vec<(Item<'d>, Item<'d>)> {
    let mut by_user: Vec<(SymbolId, Item<'d>)> = Vec::new();
    for one in &group.before {
        let users = before.users_of(one.symbol).iter();
        by_user.extend(users.map(|user| (*user, *one)));
    }
    by_user.sort_by_key(|(user, one)| (*user, one.symbol));
    let mut edges = Vec::new();
    for two in &group.after {
        let users = after.users_of(two.symbol).iter();
        for user in users.filter_map(|user| twins.before(*user)) {
            let first = by_user.partition_point(|(other, _)| *other < user);
            let own = by_user.iter().skip(first);
            let own = own.take_while(|(other, _)| *other == user);
            let fitting = own
                .map(|(_, one)| *one)
                .filter(|one| (one.is_numbered || two.is_numbered) && one.size == two.size);
            edges.extend(fitting.map(|one| (one, *two)));
        }
    }
    let key = |(one, two): &(Item<'d>, Item<'d>)| (one.symbol, two.symbol);
    edges.sort_by_key(key);
    edges.dedup_by_key(|edge| key(edge));
    edges
}

/// Tells whether nobody writes a variable: the pointers that `tracepoint_string()` makes are in a writable section, and
/// stay as they are (`include/linux/tracepoint.h`, v7.3).
fn is_constant(side: &Side<'_, '_>, item: &Item<'_>) -> bool {
    let symbol = side.object().symbol(item.symbol);
    let section = symbol.and_then(|symbol| side.object().section_of(symbol));
    section.is_some_and(|it| !it.is_writable() || it.name == "__tracepoint_str")
}

/// Each pair of which neither has another partner; the edges are all different.
fn without_rivals(edges: &[(Item<'_>, Item<'_>)]) -> Vec<(SymbolId, SymbolId)> {
    let mut before = BTreeMap::<SymbolId, u32>::new();
    let mut after = BTreeMap::<SymbolId, u32>::new();
    for (one, two) in edges {
        for (counts, id) in [(&mut before, one.symbol), (&mut after, two.symbol)] {
            let count = counts.entry(id).or_default();
            *count = count.saturating_add(1);
        }
    }
    edges
        .iter()
        .map(|(one, two)| (one.symbol, two.symbol))
        .filter(|(one, two)| before.get(one) == Some(&1) && after.get(two) == Some(&1))
        .collect()
}

/// Each pair with a key that nothing else has on either side.
fn alike<K: Ord>(
    group: &Group<'_>,
    key_before_fn: impl Fn(&Item<'_>) -> Option<K>,
    key_after_fn: impl Fn(&Item<'_>) -> Option<K>,
) -> Vec<(SymbolId, SymbolId)> {
    /// What has a key before and after, and whether that is all.
    type Found = (Option<SymbolId>, Option<SymbolId>, bool);
    let mut found: BTreeMap<K, Found> = BTreeMap::new();
    for one in &group.before {
        if let Some(key) = key_before_fn(one) {
            let (before, _, is_all) = found.entry(key).or_insert((None, None, true));
            *is_all &= before.replace(one.symbol).is_none();
        }
    }
    for two in &group.after {
        if let Some(entry) = key_after_fn(two).and_then(|key| found.get_mut(&key)) {
            let (_, after, is_all) = entry;
            *is_all &= after.replace(two.symbol).is_none();
        }
    }
    let found = found.into_values();
    found
        .filter_map(|(before, after, is_all)| before.zip(after).filter(|_| is_all))
        .collect()
}

fn join(group: &mut Group<'_>, pairs: Vec<(SymbolId, SymbolId)>, twins: &mut Correlation) {
    if pairs.is_empty() {
        return;
    }
    let (old, new): (BTreeSet<SymbolId>, BTreeSet<SymbolId>) = pairs.iter().copied().unzip();
    for (one, two) in pairs {
        twins.join(one, two);
    }
    group.before.retain(|item| !old.contains(&item.symbol));
    group.after.retain(|item| !new.contains(&item.symbol));
}

/// The last resort: as many on each side, all of one size and content, and nothing that uses them changed. Then nothing
/// new can have come between them.
fn in_order(
    group: &mut Group<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &mut Correlation,
) {
    if group.before.len() != group.after.len() {
        return;
    }
    // Nothing has no checksum: a lock's key in a kernel without lock debugging.
    let is_empty = |side: &Side<'_, '_>, id| {
        let symbol = side.object().symbol(id);
        symbol.is_some_and(|symbol| symbol.size == 0)
    };
    let is_unchanged = |old: SymbolId, new: SymbolId| {
        let sum = before.checksum(old);
        (sum.is_some() || is_empty(before, old)) && sum == after.checksum(new)
    };
    let pairs: Vec<(Item<'_>, Item<'_>)> = group
        .before
        .iter()
        .copied()
        .zip(group.after.iter().copied())
        .collect();
    let is_safe = pairs.iter().all(|(one, two)| {
        let users = before.users_of(one.symbol);
        let others = after.users_of(two.symbol);
        let is_same_use = !one.is_numbered
            || (users.len() == others.len()
                && users.iter().all(|user| {
                    let twin = twins.after(*user);
                    twin.is_some_and(|twin| {
                        let is_same = twins.is_known_same(twin) || is_unchanged(*user, twin);
                        others.contains(&twin) && is_same
                    })
                }));
        is_same_use && one.size == two.size && is_unchanged(one.symbol, two.symbol)
    });
    if is_safe {
        for (one, two) in pairs {
            twins.join(one.symbol, two.symbol);
        }
    }
}

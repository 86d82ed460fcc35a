//! [`correlate()`]: which symbol of the one build is which of the other.

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use elf_index::SymbolId;

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
}

impl Correlation {
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

/// Finds the twins of two builds.
///
/// # Errors
///
/// [`FilesDiffer`].
pub fn correlate(before: &Side<'_, '_>, after: &Side<'_, '_>) -> Result<Correlation, FilesDiffer> {
    same_files(before, after)?;
    let mut twins = Correlation {
        after_of: vec![None; before.object().symbols().len()],
        before_of: vec![None; after.object().symbols().len()],
    };
    let mut groups = Vec::new();
    for group in by_name(before.items(), after.items()) {
        unique(&group, &mut twins, &mut groups);
    }
    // Each twin may tell more: a static variable is known by its users, and those may be statics.
    loop {
        let left: usize = groups.iter().map(|group| group.before.len()).sum();
        for group in &mut groups {
            same_contents(group, &mut twins);
            same_users(group, before, after, &mut twins);
        }
        groups.retain(|group| !group.before.is_empty() && !group.after.is_empty());
        if groups.iter().map(|group| group.before.len()).sum::<usize>() == left {
            break;
        }
    }
    for group in &mut groups {
        in_order(group, before, after, &mut twins);
    }
    Ok(twins)
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

/// Groups of one stem and kind.
fn by_name<'d>(before: &[Item<'d>], after: &[Item<'d>]) -> Vec<Group<'d>> {
    let key = |item: &Item<'d>| (item.stem, item.kind);
    let sorted = |items: &[Item<'d>]| {
        let mut items = items.to_vec();
        items.sort_by_key(|item| (item.stem, item.kind, item.symbol));
        items
    };
    let (before, after) = (sorted(before), sorted(after));
    let mut others = after.chunk_by(|one, two| key(one) == key(two)).peekable();
    let mut groups = Vec::new();
    for own in before.chunk_by(|one, two| key(one) == key(two)) {
        let wanted = own.first().map(key);
        let first_of = |items: &[Item<'d>]| items.first().map(key);
        while others.next_if(|other| first_of(other) < wanted).is_some() {}
        if let Some(other) = others.next_if(|other| first_of(other) == wanted) {
            groups.push(Group {
                before: own.to_vec(),
                after: other.to_vec(),
            });
        }
    }
    groups
}

/// Joins what a name tells apart: the only one of its name, or of its name in its file. Static variables of functions
/// are left to [`same_users`]: another function's may have the same name.
fn unique<'d>(group: &Group<'d>, twins: &mut Correlation, left: &mut Vec<Group<'d>>) {
    if let ([before], [after]) = (group.before.as_slice(), group.after.as_slice()) {
        if !before.is_numbered && !after.is_numbered {
            twins.join(before.symbol, after.symbol);
            return;
        }
    }
    let mut scopes: Vec<Scope> = group.before.iter().map(|item| item.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    for scope in scopes {
        let within = |items: &[Item<'d>]| -> Vec<Item<'d>> {
            let own = items.iter().filter(|item| item.scope == scope);
            own.copied().collect()
        };
        let (before, after) = (within(&group.before), within(&group.after));
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
fn same_contents(group: &mut Group<'_>, twins: &mut Correlation) {
    let contents = |item: &Item<'_>| (item.size, item.checksum);
    let pairs = pairs_where(group, |one, two| {
        !one.is_numbered
            && !two.is_numbered
            && one.checksum.is_some()
            && contents(one) == contents(two)
    });
    join(group, pairs, twins);
}

/// Joins static variables that are used by the same function.
fn same_users(
    group: &mut Group<'_>,
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    twins: &mut Correlation,
) {
    let pairs = pairs_where(group, |one, two| {
        if !(one.is_numbered || two.is_numbered) || one.size != two.size {
            return false;
        }
        let users = before.users_of(one.symbol);
        let others = after.users_of(two.symbol);
        others
            .iter()
            .filter_map(|user| twins.before(*user))
            .any(|user| users.contains(&user))
    });
    join(group, pairs, twins);
}

/// Each pair of which neither has another partner.
fn pairs_where(
    group: &Group<'_>,
    is_pair_fn: impl Fn(&Item<'_>, &Item<'_>) -> bool,
) -> Vec<(SymbolId, SymbolId)> {
    let mut pairs = Vec::new();
    for one in &group.before {
        let mut partners = group.after.iter().filter(|two| is_pair_fn(one, two));
        let (Some(two), None) = (partners.next(), partners.next()) else {
            continue;
        };
        let rivals = group.before.iter().filter(|other| is_pair_fn(other, two));
        if rivals.count() == 1 {
            pairs.push((one.symbol, two.symbol));
        }
    }
    pairs
}

fn join(group: &mut Group<'_>, pairs: Vec<(SymbolId, SymbolId)>, twins: &mut Correlation) {
    for (one, two) in pairs {
        twins.join(one, two);
        group.before.retain(|item| item.symbol != one);
        group.after.retain(|item| item.symbol != two);
    }
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
                    twin.is_some_and(|twin| others.contains(&twin) && is_unchanged(*user, twin))
                }));
        is_same_use && one.size == two.size && is_unchanged(one.symbol, two.symbol)
    });
    if is_safe {
        for (one, two) in pairs {
            twins.join(one.symbol, two.symbol);
        }
    }
}

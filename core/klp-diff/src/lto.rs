//! Modules of link-time optimisation: what it makes global gets `.llvm.NUMBER` behind its name, one number for each source
//! file, which is another one when the file changes (`getGlobalNameForLocal` of LLVM).

use alloc::collections::BTreeMap;

use crate::correlate::Correlation;
use crate::side::Side;

/// What stands before the number.
const MARK: &str = ".llvm.";

/// The number behind a name.
pub(crate) fn lto_module(name: &str) -> Option<&str> {
    let at = name.find(MARK)?;
    name.get(at.checked_add(MARK.len())?..)
}

/// Which number of the one build is which of the other, as far as twins tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct LtoModules<'d> {
    /// `None` where twins contradict each other.
    after_of: BTreeMap<&'d str, Option<&'d str>>,
    before_of: BTreeMap<&'d str, Option<&'d str>>,
}

impl<'d> LtoModules<'d> {
    pub(crate) fn new(before: &Side<'_, 'd>, after: &Side<'_, 'd>, twins: &Correlation) -> Self {
        let mut modules = Self::default();
        for (id, symbol) in after.object().symbols_with_ids() {
            let Some(new) = lto_module(symbol.name) else {
                continue;
            };
            let twin = twins.before(id).and_then(|id| before.object().symbol(id));
            if let Some(old) = twin.and_then(|twin| lto_module(twin.name)) {
                told(&mut modules.after_of, old, new);
                told(&mut modules.before_of, new, old);
            }
        }
        modules
    }

    /// The number after of a number before, when each is the other's and nobody else's.
    pub(crate) fn after(&self, before: &str) -> Option<&'d str> {
        let after = self.after_of.get(before).copied().flatten()?;
        let back = self.before_of.get(after).copied().flatten()?;
        (back == before).then_some(after)
    }
}

fn told<'d>(of: &mut BTreeMap<&'d str, Option<&'d str>>, from: &'d str, to: &'d str) {
    let known = of.entry(from).or_insert(Some(to));
    if *known != Some(to) {
        *known = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_tells_nothing() {
        assert_eq!(lto_module("f.llvm.12"), Some("12"));
        assert_eq!(lto_module("f.isra.0"), None);
        let mut modules = LtoModules::default();
        for (old, new) in [("1", "1"), ("2", "9"), ("2", "9"), ("3", "4"), ("3", "5")] {
            told(&mut modules.after_of, old, new);
            told(&mut modules.before_of, new, old);
        }
        assert_eq!(
            (modules.after("1"), modules.after("2")),
            (Some("1"), Some("9"))
        );
        assert_eq!(modules.after("3"), None);
    }
}

//! [`Exports`]: who exports what, from `Module.symvers`.

use alloc::collections::BTreeMap;

use crate::plan::Reach;

/// Start of a namespace that some modules only have.
const FOR_SOME: &str = "module:";

/// What the kernel and its modules export.
#[derive(Clone, Debug, Default)]
pub struct Exports<'t> {
    /// By symbol: the exporter, and the namespace.
    by_name: BTreeMap<&'t str, (&'t str, &'t str)>,
    /// The module that is patched.
    patched: &'t str,
}

/// A line of `Module.symvers` that does not name a symbol and its exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of Module.symvers has {fields} fields: expected checksum, symbol, exporter and type"
)]
pub struct WrongLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// Fields found.
    pub fields: usize,
}

impl<'t> Exports<'t> {
    /// Reads `Module.symvers` (`scripts/mod/modpost.c`, v7.3): checksum, symbol, exporter, type, namespace. `patched` is
    /// the module that is patched, or `vmlinux`.
    ///
    /// # Errors
    ///
    /// [`WrongLine`].
    pub fn parse(text: &'t str, patched: &'t str) -> Result<Self, WrongLine> {
        let mut by_name = BTreeMap::new();
        for (line, number) in text.lines().zip(1_usize..) {
            let mut fields = line.split('\t');
            let (_checksum, symbol, exporter) = (fields.next(), fields.next(), fields.next());
            let (Some(symbol), Some(exporter)) = (symbol, exporter) else {
                return Err(WrongLine {
                    line: number,
                    fields: line.split('\t').count(),
                });
            };
            by_name.insert(symbol, (exporter, fields.nth(1).unwrap_or_default()));
        }
        Ok(Self { by_name, patched })
    }

    /// The namespace that a module must import for an export; `None` when there is none.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&str> {
        let (_, namespace) = self.by_name.get(name)?;
        let is_for_some = namespace.starts_with(FOR_SOME);
        (!namespace.is_empty() && !is_for_some).then_some(namespace)
    }

    /// The module that is patched, or `vmlinux`.
    pub(crate) const fn patched(&self) -> &'t str {
        self.patched
    }

    /// How an exported symbol is reached; `None` when nobody exports it, or the patched module does itself.
    pub(crate) fn reach(&self, name: &str) -> Option<Reach<'t>> {
        let (exporter, namespace) = self.by_name.get(name)?;
        // Exported to some modules only: a livepatch is none of them.
        let is_for_some = namespace.starts_with(FOR_SOME);
        if *exporter == "vmlinux" {
            return (!is_for_some).then_some(Reach::Exported);
        }
        let module = exporter.rsplit('/').next().unwrap_or(exporter);
        (module != self.patched).then_some(Reach::InModule { module })
    }
}

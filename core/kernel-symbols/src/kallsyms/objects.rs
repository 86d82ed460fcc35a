//! Which object a line belongs to.

use alloc::collections::BTreeMap;

use crate::builder::Builder;
use crate::object::{ObjectKind, VMLINUX, is_pseudo};

/// Objects by name, as they come.
///
/// The lines of a module are together. A second group of lines under its name is not from its symbol
/// table: the tracer remembers functions of its init memory, which is gone (`ftrace_mod_get_kallsym`,
/// `kernel/trace/ftrace.c`, v7.3).
#[derive(Debug)]
pub(super) struct Objects<'t> {
    modules: BTreeMap<&'t [u8], u32>,
    leftovers: BTreeMap<&'t [u8], u32>,
    last: &'t [u8],
    last_object: u32,
}

impl<'t> Objects<'t> {
    pub(super) const VMLINUX: u32 = 0;

    pub(super) fn new(builder: &mut Builder<'_>) -> Self {
        let vmlinux = builder.object(VMLINUX.as_bytes(), ObjectKind::Vmlinux);
        builder.begin(vmlinux);
        Self {
            modules: BTreeMap::new(),
            leftovers: BTreeMap::new(),
            last: &[],
            last_object: vmlinux,
        }
    }

    /// What was in brackets in the line before.
    pub(super) const fn last(&self) -> &'t [u8] {
        self.last
    }

    /// The object of a line with this name in brackets.
    #[inline]
    pub(super) fn of(&mut self, builder: &mut Builder<'_>, module: &'t [u8]) -> u32 {
        // Most often it is the same bytes.
        if !core::ptr::eq(module, self.last) && module != self.last {
            self.last_object = self.change(builder, module);
            self.last = module;
            builder.begin(self.last_object);
        }
        self.last_object
    }

    #[cold]
    fn change(&mut self, builder: &mut Builder<'_>, module: &'t [u8]) -> u32 {
        if module.is_empty() {
            return Self::VMLINUX;
        }
        if !self.modules.contains_key(module) {
            let kind = if is_pseudo(module) {
                ObjectKind::Pseudo
            } else {
                ObjectKind::Module
            };
            let object = builder.object(module, kind);
            self.modules.insert(module, object);
            return object;
        }
        let leftovers = self.leftovers.entry(module);
        *leftovers.or_insert_with(|| builder.object(module, ObjectKind::Pseudo))
    }

    /// The number of a module.
    pub(super) fn module(&self, name: &str) -> Option<u32> {
        self.modules.get(name.as_bytes()).copied()
    }
}

//! Objects that symbols belong to.

use crate::name::Name;

/// The name of the object that is the kernel itself.
pub const VMLINUX: &str = "vmlinux";

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// The kernel.
    Vmlinux,
    /// A module; its symbols are in the order of its symbol table.
    Module,
    /// Something that `/proc/kallsyms` shows like a module and that has no symbol table: programs and
    /// trampolines (`[bpf]`, `[__builtin__ftrace]`, `[__builtin__kprobes]`), and what the tracer keeps of
    /// the init functions of modules. Livepatch does not see it.
    Pseudo,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'t> {
    /// Its name, without brackets.
    pub name: Name<'t>,
    /// What it is.
    pub kind: ObjectKind,
}

/// Whether a name in brackets is not that of a module (`kernel/bpf/core.c`, `kernel/trace/ftrace.c`,
/// `kernel/kprobes.c`, v7.3).
pub(crate) fn is_pseudo(name: &[u8]) -> bool {
    name == b"bpf" || name.starts_with(b"__builtin__")
}

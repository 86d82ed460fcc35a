//! [`verify`].

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use kernel_symbols::klp::{Target, check};
use kernel_symbols::{Module, VMLINUX};

use crate::facts::Facts;
use crate::problem::Problem;

/// What runs, as far as it says.
#[derive(Clone, Copy, Debug)]
pub struct Running<'r> {
    /// `vmlinux`, or a module.
    pub object: &'r str,
    /// Its build identity; `None` when it has none, or is not there.
    pub build_id: Option<&'r [u8]>,
}

/// A livepatch module with what it is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a, 'd> {
    /// The livepatch module, for its symbols.
    pub patch: &'a Module<'d>,
    /// What it says of itself.
    pub facts: &'a Facts<'d>,
    /// The kernel.
    pub kernel: &'a Facts<'a>,
    /// Modules that it patches or depends on.
    pub modules: &'a [Facts<'a>],
    /// Symbols of the kernel and of these modules.
    pub targets: &'a [Target<'a>],
    /// What runs, when that is asked for.
    pub running: &'a [Running<'a>],
}

/// Licences that may use what is exported to compatible ones only (`include/linux/license.h`, v7.3).
const COMPATIBLE: [&str; 6] = [
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

/// Start of a namespace that is a list of modules.
const FOR_MODULES: &str = "module:";

/// Checks a livepatch module; what is worst does not come first.
#[must_use]
pub fn verify(given: Given<'_, '_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    versions(given, &mut problems);
    imports(given, &mut problems);
    let license = given.facts.license.unwrap_or_default();
    if !COMPATIBLE.contains(&license) {
        problems.push(Problem::License {
            found: license.to_string(),
        });
    }
    for running in given.running {
        identity(given, *running, &mut problems);
    }
    let findings = check(given.patch, given.targets);
    problems.extend(findings.into_iter().map(Problem::Livepatch));
    problems
}

fn versions(given: Given<'_, '_>, problems: &mut Vec<Problem>) {
    let Some(kernel) = given.kernel.vermagic else {
        problems.push(Problem::KernelVermagicUnknown);
        return;
    };
    match given.facts.vermagic {
        None => problems.push(Problem::NoVermagic),
        Some(found) if found != kernel => problems.push(Problem::Vermagic {
            found: found.into(),
            kernel: kernel.into(),
        }),
        Some(_) => {}
    }
    for module in given.modules {
        if let Some(found) = module.vermagic.filter(|found| *found != kernel) {
            problems.push(Problem::ModuleOfAnotherKernel {
                module: module.name.into(),
                found: found.into(),
                kernel: kernel.into(),
            });
        }
    }
}

fn imports(given: Given<'_, '_>, problems: &mut Vec<Problem>) {
    for name in &given.facts.imports {
        let by_kernel = given.kernel.export(name).map(|namespace| ("", namespace));
        let by_module = || {
            let mut modules = given.modules.iter();
            modules.find_map(|it| Some((it.name, it.export(name)?)))
        };
        let Some((module, namespace)) = by_kernel.or_else(by_module) else {
            problems.push(Problem::NotExported {
                name: (*name).into(),
            });
            continue;
        };
        if let Some(modules) = namespace.strip_prefix(FOR_MODULES) {
            if !is_one_of(given.facts.name, modules) {
                problems.push(Problem::ForOthers {
                    name: (*name).into(),
                    namespace: namespace.into(),
                });
            }
        } else if !namespace.is_empty() && !given.facts.namespaces.contains(&namespace) {
            problems.push(Problem::Namespace {
                name: (*name).into(),
                namespace: namespace.into(),
            });
        }
        if !module.is_empty() && !given.facts.depends.contains(&module) {
            problems.push(Problem::Depends {
                name: (*name).into(),
                module: module.into(),
            });
        }
    }
    for module in &given.facts.depends {
        if given.modules.iter().all(|it| it.name != *module) {
            problems.push(Problem::DependencyNotGiven {
                module: (*module).into(),
            });
        }
    }
}

/// Whether a module is in a list of names, of which one may end in `*` (`verify_module_namespace`, `kernel/module/main.c`,
/// v7.3).
fn is_one_of(name: &str, modules: &str) -> bool {
    modules
        .split(',')
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
}

fn identity(given: Given<'_, '_>, running: Running<'_>, problems: &mut Vec<Problem>) {
    let object = running.object;
    let file = if object == VMLINUX {
        Some(given.kernel)
    } else {
        given.modules.iter().find(|it| it.name == object)
    };
    let Some(file) = file else {
        return;
    };
    let why = match (running.build_id, file.build_id) {
        (Some(running), Some(found)) if running == found => return,
        (Some(running), Some(found)) => {
            problems.push(Problem::BuildId {
                object: object.into(),
                running: hexadecimal(running),
                found: hexadecimal(found),
            });
            return;
        }
        (None, _) => "what runs does not say its build id, or is not loaded",
        (_, None) => "the file has no build id",
    };
    problems.push(Problem::BuildIdUnknown {
        object: object.into(),
        why,
    });
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_modules_may_end_in_a_star() {
        assert!(is_one_of("kvm-amd", "kvm,kvm-*"));
        assert!(is_one_of("kvm", "kvm"));
        assert!(!is_one_of("kvm-amd", "kvm"));
        assert!(!is_one_of("livepatch_x", "kvm,kvm-*"));
    }
}

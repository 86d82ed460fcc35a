//! Checks the functions that a livepatch module replaces.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use klp_abi::records::RELOCS_PREFIX;

use super::check::{Target, target_of};
use super::finding::Finding;
use super::patched::{PatchedFunction, parse_patched};
use super::relocations::parse_rela_sections;
use crate::module::{Module, Phase};

pub(super) fn check(patch: &Module<'_>, targets: &[Target<'_>], findings: &mut Vec<Finding>) {
    let has_records = patch
        .elf
        .sections
        .iter()
        .any(|section| section.name.starts_with(RELOCS_PREFIX.as_bytes()));
    if has_records && parse_rela_sections(patch).is_empty() {
        findings.push(Finding::NotLinked);
    }
    let objects = match parse_patched(patch) {
        Ok(objects) => objects,
        Err(error) => return findings.push(Finding::Record(error)),
    };
    if objects.is_empty() {
        findings.push(Finding::FunctionsNotRecorded);
    }
    for object in &objects {
        let name = object.name.to_string();
        match target_of(&name, targets) {
            Some(target) => {
                for function in &object.functions {
                    check_function(*function, &name, target, findings);
                }
            }
            None => findings.push(Finding::FunctionsNotGiven {
                object: name,
                functions: object.functions.len(),
            }),
        }
    }
}

fn check_function(
    function: PatchedFunction<'_>,
    object: &str,
    target: &Target<'_>,
    findings: &mut Vec<Finding>,
) {
    let name = function.name.to_string();
    let loading = target.loading.map(|table| (table, Phase::Loading));
    for (table, phase) in [(target.live, Phase::Live)].into_iter().chain(loading) {
        let found = match table.sympos(&name, object, function.position) {
            Ok(found) => found,
            Err(source) => {
                findings.push(Finding::Function {
                    name: name.clone(),
                    object: object.into(),
                    phase,
                    source,
                });
                continue;
            }
        };
        if phase == Phase::Loading {
            continue;
        }
        if !(found.kind().is_text() || found.kind().is_weak()) {
            findings.push(Finding::NoCode {
                name: name.clone(),
                object: object.into(),
                letter: found.kind().letter(),
            });
        } else if target
            .traced
            .is_some_and(|traced| !traced.has(table, found))
        {
            findings.push(Finding::NotTraceable {
                name: name.clone(),
                object: object.into(),
            });
        }
    }
}

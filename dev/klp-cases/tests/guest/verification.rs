//! A finished module that is spoilt afterwards, and the kernel's own checks of what is left of it.

use std::fs;

use kernel_symbols::klp::{Finding, Severity};
use kernel_symbols::{Traced, vmlinux};
use klp_cases::Guest;
use klp_verify::Problem;
use livepatch::{Replace, Verification};

use crate::Lab;
use crate::cases::CASES;

/// Replaces the first of some bytes by as many others.
fn spoilt(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut module = module.to_vec();
    let at = module
        .windows(from.len())
        .position(|window| window == from.as_bytes());
    assert!(at.is_some(), "no {from}");
    let at = at.unwrap();
    module[at..at + to.len()].copy_from_slice(to.as_bytes());
    module
}

/// A function that the tracer does not reach, with a name of so many letters.
fn untraced(lab: &Lab, letters: usize) -> String {
    let file = fs::read(&lab.files.vmlinux).unwrap();
    let mut table = vmlinux::parse(&file).unwrap();
    table.index_names();
    let traced = Traced::of_vmlinux(&file).unwrap().unwrap();
    assert!(traced.len() > 10_000, "{}", traced.len());
    let found = table.symbols().find(|symbol| {
        let name = symbol.name().to_string();
        let is_known = table.sympos(&name, "vmlinux", 0).is_ok();
        name.len() == letters && symbol.kind().is_text() && is_known && !traced.has(&table, *symbol)
    });
    found.unwrap().name().to_string()
}

#[test]
fn what_the_kernel_refuses_is_found_before() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let (_, module) = lab.build("verified", CASES[0].edits, Replace::All);
    let good = fs::read(&module).unwrap();
    let untraced = untraced(&lab, "cmdline_proc_show".len());
    let cases: [(&str, Vec<u8>, fn(&Problem) -> bool); 5] = [
        (
            "version",
            spoilt(&good, "vermagic=7.3.4 ", "vermagic=7.3.5 "),
            |it| matches!(it, Problem::Vermagic { .. }),
        ),
        (
            "symbol",
            spoilt(
                &good,
                ".klp.sym.vmlinux.saved_command_line,0",
                ".klp.sym.vmlinux.saved_command_lime,0",
            ),
            |it| matches!(it, Problem::Livepatch(Finding::Sympos { .. })),
        ),
        (
            "untraced",
            spoilt(&good, "cmdline_proc_show\0", &format!("{untraced}\0")),
            |it| matches!(it, Problem::Livepatch(Finding::NotTraceable { .. })),
        ),
        (
            "export",
            spoilt(&good, "seq_printf\0", "seq_prindf\0"),
            |it| matches!(it, Problem::NotExported { .. }),
        ),
        (
            "license",
            spoilt(&good, "license=GPL\0", "license=BSD\0"),
            |it| matches!(it, Problem::License { .. }),
        ),
    ];
    let mut guest = Guest::default();
    for (name, bytes, is_it) in &cases {
        let path = lab.folder.path().join(format!("{name}.ko"));
        fs::write(&path, bytes).unwrap();
        let verification = Verification {
            patch: path.clone(),
            vmlinux: lab.files.vmlinux.clone(),
            modules: Vec::new(),
            running: None,
        };
        let problems = verification.run().unwrap();
        let errors: Vec<&Problem> = problems
            .iter()
            .filter(|problem| problem.severity() == Severity::Error)
            .collect();
        assert_eq!(errors.len(), 1, "{name}: {problems:#?}");
        assert!(is_it(errors[0]), "{name}: {errors:#?}");
        let path = guest.module(&path);
        guest.step(format!("load {path}"));
    }
    let path = guest.module(&module);
    guest.step(format!("load {path}"));
    let answers = lab.boot(guest);
    let (good, spoilt) = answers.steps.split_last().unwrap();
    assert_eq!(good.1[0], "ok", "{}", answers.console);
    for (step, lines) in spoilt {
        assert!(
            lines[0].starts_with("error: "),
            "{step}: {lines:?}\n{}",
            answers.console
        );
    }
}

//! Prints what was measured.
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use crate::guest::Case;
use crate::sample::{Sample, Samples};

/// What the project aims at: blackout over that of the bare kexec.
const TARGET: f64 = 1.10;

/// A column: its title and its number.
type Column = (&'static str, fn(&Sample) -> Option<f64>);

const COLUMNS: [Column; 6] = [
    ("PREPARE", |sample| sample.prepare),
    ("FREEZE", |sample| sample.freeze),
    ("jump to init", |sample| Some(sample.to_userspace)),
    ("init to luod has all", |sample| sample.retrieve),
    ("init to answer", |sample| Some(sample.to_answer)),
    ("BLACKOUT", |sample| Some(sample.blackout)),
];

/// One line a run, so that nobody waits before a silent screen.
pub(crate) fn progress(run: usize, case: Case, sample: &Sample) {
    println!(
        "run {run} {:<12} blackout {:8.0} ms",
        case.name(),
        sample.blackout
    );
}

/// The table: medians with their ranges in milliseconds, and the ratios.
pub(crate) fn print(samples: &Samples) {
    println!("\nmedian (least..most) in ms; the counter runs through the jump");
    print!("{:<12}", "case");
    for (title, _) in COLUMNS {
        print!(" {title:>22}");
    }
    println!(" {:>8}", "ratio");
    let blackout = |case| {
        samples
            .spread(case, |sample| Some(sample.blackout))
            .map(|spread| spread.median)
    };
    let bare = blackout(Case::Bare);
    for case in Case::ALL {
        print!("{:<12}", case.name());
        for (_, number_fn) in COLUMNS {
            let text = samples.spread(case, number_fn).map_or_else(
                || "-".to_owned(),
                |spread| {
                    format!(
                        "{:.0} ({:.0}..{:.0})",
                        spread.median, spread.least, spread.most
                    )
                },
            );
            print!(" {text:>22}");
        }
        match (blackout(case), bare) {
            (Some(ours), Some(bare)) => println!(" {:>8.3}", ours / bare),
            _ => println!(" {:>8}", "-"),
        }
    }
    println!(
        "\nratio: blackout over that of the bare kexec of the kernel's selftest; target {TARGET:.2}"
    );
}

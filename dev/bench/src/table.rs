//! Prints what was measured.
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use crate::guest::Case;
use crate::sample::{Sample, Samples};

/// What the project aims at: blackout over that of the bare kexec.
const TARGET: f64 = 1.10;
/// What it aims at for each of many clients, over the bare kexec.
const CLIENT_TARGET_MS: f64 = 50.0;

/// A column: its title and its number.
type Column = (&'static str, fn(&Sample) -> Option<f64>);

const COLUMNS: [Column; 10] = [
    ("PREPARE", |sample| sample.prepare),
    ("FREEZE", |sample| sample.freeze),
    ("jump to init", |sample| Some(sample.to_userspace)),
    ("init to luod", |sample| sample.agent),
    ("luod: sessions", |sample| sample.retrieve),
    ("services", |sample| sample.services),
    ("init to answer", |sample| Some(sample.to_answer)),
    ("client, median", |sample| sample.client),
    ("client, longest", |sample| sample.last_client),
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
pub(crate) fn print(samples: &Samples, cases: &[Case]) {
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
    for &case in cases {
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
    print_clients(samples);
}

/// What each of many clients waits for beyond a bare kexec, and luod's own part of it.
fn print_clients(samples: &Samples) {
    let median = |case, number_fn: fn(&Sample) -> Option<f64>| {
        let spread = samples.spread(case, number_fn);
        spread.map(|spread| spread.median)
    };
    let many = |number_fn| median(Case::Many, number_fn);
    let (Some(bare), Some(client), Some(last)) = (
        median(Case::Bare, |sample| Some(sample.blackout)),
        many(|sample| sample.client),
        many(|sample| sample.last_client),
    ) else {
        return;
    };
    println!(
        "\n{}: a client is down {:+.0} ms beside the bare kexec in the median, {:+.0} ms at most; target {CLIENT_TARGET_MS:+.0} ms",
        Case::Many.name(),
        client - bare,
        last - bare
    );
    let parts = [
        many(|sample| sample.freeze),
        many(|sample| sample.retrieve),
        many(|sample| sample.services),
    ];
    if let [Some(freeze), Some(retrieve), Some(services)] = parts {
        println!(
            "luod's own: FREEZE {freeze:.0} + sessions {retrieve:.0} ms for all clients together; with the services' start {services:.0} ms"
        );
    }
}

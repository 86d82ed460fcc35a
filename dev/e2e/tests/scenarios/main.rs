//! Scenarios on real kernels in the guest machine, and the same ones on the emulated machine: those are
//! called `emulated::…`, and need neither kernels nor QEMU.
//!
//! `cargo xtask test` builds what they need and runs them, `cargo xtask test --only FILTER` some of
//! them. A scenario whose kernels or programs are not built is skipped with the reason; with
//! `E2E_REQUIRE` set, as there, it fails. Logs of the last run: `e2e-logs/` in the target folder.

mod agent;
mod blocks;
mod boot;
mod c_client;
mod cancel;
mod cases;
mod check;
mod composed;
mod crashes;
mod deaths;
mod direct;
mod early;
mod events;
mod failures;
mod fd_store;
mod handover;
mod harness;
mod host;
mod initramfs;
mod kvcache;
mod luo_agent;
mod malformed;
mod many;
mod misbehaviour;
mod mounts;
mod participants;
mod planned;
mod platform;
mod pstore;
mod pstore_kho;
mod refusals;
mod running;
mod selftests;
mod soak;
mod symbols;
mod systemd;
mod tuning;
mod unfinished;
mod unmodified;
mod update;

use std::process::ExitCode;

use harness::{Place, Scenario};

/// What has to do with one machine only, and why.
const ON_KERNELS: [(fn() -> Vec<Scenario>, &str); 15] = [
    (
        early::scenarios,
        "an initramfs, and the root that comes after it",
    ),
    (
        composed::scenarios,
        "whether Linux takes a handover that Linux did not write",
    ),
    (
        failures::scenarios,
        "how a guest's kernel and QEMU fail, and what is said of it",
    ),
    (
        handover::scenarios,
        "the memory of a stopped guest, as Linux lays it out",
    ),
    (initramfs::scenarios, "how Linux unpacks an image"),
    (
        malformed::scenarios,
        "what Linux does with a handover that is damaged",
    ),
    (mounts::scenarios, "the mounts of a Linux of its own"),
    (
        planned::scenarios,
        "whether Linux takes a handover that luoctl composed",
    ),
    (
        pstore::scenarios,
        "memory of ramoops, which Linux writes to",
    ),
    (
        pstore_kho::scenarios,
        "a module of Linux, and what kernels say while they end",
    ),
    (
        running::scenarios,
        "the memory of a running kernel, as it shows it",
    ),
    (
        selftests::scenarios,
        "dev/luo-cases runs the kernel's own tests on the emulated machine",
    ),
    (tuning::scenarios, "an ext4 file system of Linux"),
    (symbols::scenarios, "the symbols of a running Linux"),
    (
        systemd::scenarios,
        "what systemd does with sessions while it ends everything and starts the next kernel",
    ),
];

/// What says itself where it runs: on both machines unless there is a reason.
const ON_BOTH: [fn() -> Vec<Scenario>; 22] = [
    agent::scenarios,
    blocks::scenarios,
    boot::scenarios,
    c_client::scenarios,
    cancel::scenarios,
    cases::scenarios,
    check::scenarios,
    crashes::scenarios,
    deaths::scenarios,
    direct::scenarios,
    events::scenarios,
    fd_store::scenarios,
    kvcache::scenarios,
    luo_agent::scenarios,
    many::scenarios,
    misbehaviour::scenarios,
    participants::scenarios,
    refusals::scenarios,
    soak::scenarios,
    unfinished::scenarios,
    unmodified::scenarios,
    update::scenarios,
];

fn main() -> ExitCode {
    let on_both = ON_BOTH.into_iter().flat_map(|family| family());
    let on_kernels = ON_KERNELS.into_iter().flat_map(|(family, why)| {
        let all = family().into_iter();
        all.map(move |scenario| scenario.on(Place::Kernels(why)))
    });
    harness::run(on_both.chain(on_kernels).collect())
}

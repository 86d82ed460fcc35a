//! First process of the guest machine, virtual or emulated ([`platform`]), or a service of a guest that has a
//! first process of its own.
//!
//! The same program has two lives. As process 1 ([`init`]) it mounts the kernel's file systems,
//! then only reaps orphans and keeps the worker alive. As the worker ([`worker`]) it starts the
//! services of the boot, talks with the test on the host and owns every program it runs. Two
//! processes, because a process 1 that reaps everything would steal the exit status of programs
//! it also waits for.

mod bootinfo;
mod calls;
mod emulated;
mod files;
mod init;
mod kmsg;
mod log;
mod loopback;
mod mounts;
mod platform;
mod ports;
mod run;
mod service;
mod unpack;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let start = bootinfo::Start::read();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = if arguments == [bootinfo::SERVICE_MARK] {
        bootinfo::BootInfo::of_service(start).and_then(|boot| worker::run(&boot))
    } else {
        match bootinfo::BootInfo::from_arguments(&arguments) {
            Some(boot) => worker::run(&boot),
            None => init::run(start, platform::emulated_root(&arguments).as_ref()),
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            kmsg::write(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

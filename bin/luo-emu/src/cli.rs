//! The command line.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::ValueEnum;
use emulator::{
    Dialect, Identity, Injection, KernelConfig, KhoDefects, LuoDefects, MemorySize, Options,
};

const LONG: &str = "\
Runs a program on an emulated machine that can do live updates.

The program and everything it starts see /dev/liveupdate, can load a kernel with kexec_file_load()
(any file will do) and jump to it with reboot(LINUX_REBOOT_CMD_KEXEC). The jump ends every process of
the machine, keeps what was preserved, and starts the program again: the next generation. The
program is not changed, may be linked in any way, and needs no privileges; the user who runs luo-emu
is root on the machine. LUO_EMU_GENERATION tells it which generation it runs in, from 1.";

const AFTER: &str = "\
Examples:
  luo-emu run -- ./client --test
  luo-emu run --generations 3 -- sh -c './client && kexec -s -l bzImage && kexec -e'
  luo-emu run --next ./verify -- ./prepare
  luo-emu run --inject preserve_fd:2=ENOMEM -- ./client
  luo-emu run --inject reboot=corrupt:sessions -- ./client

What --inject can do, to the Nth call of the run or to every one:
  CALL[:N]=ERRNO          it fails, and nothing is done: EIO, or a number
  CALL[:N]=stall:MS       it begins this many milliseconds later
  reboot[:N]=corrupt:PART the handover is damaged: content (of a memfd), sessions, luo, fdt
  CALL is one of open, create_session, retrieve_session, preserve_fd, retrieve_fd, finish, get_name,
  kexec_file_load, reboot

Exit codes: that of the program of the last generation, 128 and the signal if it was killed; 0 after
a power off, and when the last generation of --generations jumps; 125 kernel panic or failure of
luo-emu; 126 and 127 the program cannot be started or is not there.

Limits: this is emulation, not a security boundary. A preserved file can still grow by write() (the
jump tells). Descriptors of the device are pipes: read() is EBADF, poll() works, mmap() is refused
with another error. Not seen: opens by io_uring and by 32-bit programs, the device in a listing of
/dev. The program cannot use a seccomp listener of its own. Needs Linux 5.19.";

/// A live update machine for unmodified programs
#[derive(Debug, clap::Parser)]
#[command(name = "luo-emu", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Runs a program on an emulated machine that can do live updates
    #[command(long_about = LONG, after_help = AFTER)]
    Run(Run),
    /// Writes a kernel to load on the machine, for programs that look into it as luod does
    ///
    /// The machine itself takes any file. This one has no code, but a release, the versions the machine takes over
    /// under, and a configuration.
    Kernel(KernelFile),
}

#[derive(Debug, clap::Args)]
pub(crate) struct KernelFile {
    /// Where to write it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// What `uname -r` says once it runs
    #[arg(long, default_value = "7.3.4")]
    pub(crate) release: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Memory of the machine, with K, M, G or T; costs nothing until it is used
    #[arg(long, value_name = "SIZE", default_value = "4G")]
    memory: MemorySize,

    /// Which live update interface it has
    #[arg(long, value_enum, default_value_t = DialectName::Mainline)]
    dialect: DialectName,

    /// Reproduce the known defects of this kernel; without it there are none
    #[arg(long, value_enum, value_name = "KERNEL")]
    like: Option<KernelName>,

    /// End after this many generations [default: when there is no jump]
    #[arg(long, value_name = "N")]
    generations: Option<NonZeroU32>,

    /// Program of every generation but the first, with the same arguments
    #[arg(long, value_name = "PROGRAM")]
    next: Option<OsString>,

    /// What `uname -r` says: of each generation, the last one stays; a loaded bzImage knows better
    /// [default: as this host]
    #[arg(long, value_name = "RELEASE", value_delimiter = ',')]
    release: Vec<String>,

    /// Let programs be root, in a user namespace: for those that look, such as luoctl
    #[arg(long)]
    root: bool,

    /// Make a call fail or wait, or damage the handover; see below
    #[arg(long, value_name = "CALL[:N]=EFFECT")]
    inject: Vec<Injection>,

    /// Save the memory of the machine at each jump, as DIR/generation-N.mem: for luoctl inspect
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    /// Do not tell what happens on the machine
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectName {
    /// Linux 7.2 and 7.3
    Mainline,
    /// The v4 patch series of September 2025
    V4,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KernelName {
    #[value(name = "7.3.4")]
    Linux7_3_4,
}

impl Run {
    pub(crate) fn options(&self) -> Options {
        let dialect = match self.dialect {
            DialectName::Mainline => Dialect::Mainline,
            DialectName::V4 => Dialect::V4,
        };
        let (luo_defects, kho_defects) = match self.like {
            None => Default::default(),
            Some(KernelName::Linux7_3_4) => (LuoDefects::like_7_3_4(), KhoDefects::LINUX_7_3_4),
        };
        let identity = if self.root {
            Identity::Root
        } else {
            Identity::Own
        };
        Options {
            kernel: KernelConfig {
                memory: self.memory,
                dialect,
                luo_defects,
                kho_defects,
            },
            generations: self.generations,
            releases: self.release.clone(),
            program: self.program.clone(),
            next: self.next.clone(),
            injections: self.inject.clone(),
            identity,
            save: self.save.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    fn options(args: &[&str]) -> Options {
        let words = ["luo-emu", "run"].iter().chain(args);
        let Command::Run(run) = Cli::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        run.options()
    }

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_is_its_own() {
        let options = options(&["--generations", "2", "sh", "-c", "--quiet"]);
        assert_eq!(options.program, ["sh", "-c", "--quiet"]);
        assert_eq!(options.generations, NonZeroU32::new(2));
    }

    #[test]
    fn releases_are_a_list_and_defects_come_with_a_kernel() {
        let options = options(&["--release", "7.2.13,7.3.4", "--like", "7.3.4", "true"]);
        assert_eq!(options.releases, ["7.2.13", "7.3.4"]);
        assert_eq!(options.kernel.luo_defects, LuoDefects::like_7_3_4());
    }

    #[test]
    fn every_call_that_can_be_injected_is_in_the_help() {
        let error = "x=EIO".parse::<Injection>().unwrap_err().to_string();
        let names = error.split("there are ").nth(1).unwrap();
        for name in names.split(", ") {
            assert!(AFTER.contains(name), "{name}");
        }
    }
}

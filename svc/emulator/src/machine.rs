//! From generation to generation.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use notify_sys::{Identity, Setup, spawn};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getpid, getrlimit, set_child_subreaper, setrlimit};

use crate::call;
use crate::generation::{End, Generation, Start};
use crate::inject::{Injection, Injector};
use crate::kernel::{Kernel, KernelConfig, Panic, Remains, Started};
use crate::processes;
use crate::ram;
use crate::report::{Event, Observer};

/// Tells a program which generation it runs in, from 1.
const GENERATION: &str = "LUO_EMU_GENERATION";
/// Words of the command line that make a kernel do live updates.
const WORDS: &str = "liveupdate=on kho=on";

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kernel.
    pub kernel: KernelConfig,
    /// Generations at most; as many as there are jumps when not given.
    pub generations: Option<NonZeroU32>,
    /// Release of the kernel of each generation; the last one stays. The host's when empty. After a
    /// jump to a bzImage it is that image's.
    pub releases: Vec<String>,
    /// The program and its arguments.
    pub program: Vec<OsString>,
    /// The program of every generation but the first, without arguments of its own: it gets those of
    /// the first.
    pub next: Option<OsString>,
    /// Failures on purpose.
    pub injections: Vec<Injection>,
    /// Who its programs are.
    pub identity: Identity,
    /// Folder for the memory of the machine at each jump.
    pub save: Option<PathBuf>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Exit {
    /// With the program of the last generation.
    Program(ExitStatus),
    /// A program switched the machine off.
    PowerOff,
    /// There was a jump in the last generation that was asked for.
    LastGeneration,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No program was given.
    #[error("no program to run")]
    NoProgram,
    /// The program cannot be started, or not be supervised.
    #[error("starting {}{}", program.display(), hint(source))]
    Start {
        /// Which one.
        program: OsString,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel of a generation panicked.
    #[error("kernel panic in generation {generation}")]
    Panic {
        /// Which one.
        generation: u32,
        /// Why.
        #[source]
        source: Box<Panic>,
    },
    /// As above, after it had come up.
    #[error("kernel panic in generation {generation}: {why}")]
    LatePanic {
        /// Which one.
        generation: u32,
        /// Why.
        why: String,
    },
    /// The memory cannot be saved.
    #[error("saving memory to {}", path.display())]
    Save {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A system call of the supervisor failed.
    #[error("supervising: {0}")]
    Host(#[from] io::Error),
}

/// What the errors of the filter mean; `execve()` has others.
fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => {
            ": something else answers system calls here already; luo-emu does not run in luo-emu"
        }
        Some(Errno::INVAL | Errno::NOSYS) => {
            ": this kernel cannot send system calls to a program as needed; Linux 5.19 can"
        }
        Some(Errno::NOSPC | Errno::USERS) => ": this host allows no user namespaces",
        _ => "",
    }
}

/// Runs a machine to its end, and ends every process that was started on it.
///
/// Only one machine runs in a process: it becomes the parent of orphans, and takes a new limit on
/// open files.
///
/// # Errors
/// [`Error`].
pub fn run(options: &Options, observer: &dyn Observer) -> Result<Exit, Error> {
    set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
    let mut machine = Machine {
        options,
        observer,
        injector: Injector::new(options.injections.clone()),
        descriptors: raise_descriptor_limit(),
        others: processes::children(),
    };
    let exit = machine.generations();
    processes::end_all(&machine.others);
    exit
}

struct Machine<'a> {
    options: &'a Options,
    observer: &'a dyn Observer,
    injector: Injector,
    /// Limit of the programs.
    descriptors: Rlimit,
    /// Children from before.
    others: HashSet<Pid>,
}

/// What a generation starts from.
enum From {
    Cold,
    Remains(Remains),
}

impl Machine<'_> {
    fn generations(&mut self) -> Result<Exit, Error> {
        let mut from = From::Cold;
        for number in 1.. {
            from = match self.generation(number, from)? {
                End::Program(status) => return Ok(Exit::Program(status)),
                End::PowerOff => return Ok(Exit::PowerOff),
                End::Panic(why) => {
                    return Err(Error::LatePanic {
                        generation: number,
                        why,
                    });
                }
                End::Restart => From::Cold,
                End::Jump(remains) => {
                    self.save(number, &remains)?;
                    From::Remains(remains)
                }
            };
            let is_last = |last: NonZeroU32| last.get() <= number;
            if self.options.generations.is_some_and(is_last) {
                break;
            }
        }
        Ok(Exit::LastGeneration)
    }

    fn generation(&mut self, number: u32, from: From) -> Result<End, Error> {
        let started = self.boot(number, from)?;
        let Started { kernel, refused } = started;
        let event = Event::Started {
            release: &kernel.release,
            kexec_count: kernel.kexec_count,
        };
        self.observer.event(number, &event);
        if let Some(why) = &refused {
            self.observer.event(number, &Event::Refused(why));
        }
        let mut words = self.options.program.iter();
        let first = words.next().ok_or(Error::NoProgram)?;
        let program = match &self.options.next {
            Some(next) if number > 1 => next,
            _ => first,
        };
        let mut command = Command::new(program);
        command.args(words).env(GENERATION, number.to_string());
        let setup = Setup {
            descriptors: self.descriptors,
            identity: self.options.identity,
        };
        let spawned = spawn(&mut command, &call::filter(), setup);
        let (child, listener) = spawned.map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
        let generation = Generation::new(Start {
            number,
            kernel,
            program: child,
            listener,
            boot_id: boot_id()?,
            others: self.others.clone(),
            injector: &mut self.injector,
            observer: self.observer,
        });
        Ok(generation.map_err(io::Error::from)?.run()?)
    }

    fn boot(&self, number: u32, from: From) -> Result<Started, Error> {
        let config = &self.options.kernel;
        let release = self.release(number);
        let started = match from {
            From::Cold => Kernel::cold(config, host_cmdline(), release),
            From::Remains(remains) => Kernel::warm(config, remains, release),
        };
        started.map_err(|source| Error::Panic {
            generation: number,
            source: Box::new(source),
        })
    }

    fn save(&self, number: u32, remains: &Remains) -> Result<(), Error> {
        let Some(folder) = &self.options.save else {
            return Ok(());
        };
        let path = folder.join(format!("generation-{number}.mem"));
        match ram::save(&remains.memory, &path) {
            Ok(()) => {
                let fdt = remains.handoff.as_ref().map(|it| it.fdt);
                let event = Event::Saved { path: &path, fdt };
                self.observer.event(number, &event);
                Ok(())
            }
            Err(source) => Err(Error::Save { path, source }),
        }
    }

    fn release(&self, number: u32) -> String {
        let index = usize::try_from(number)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let releases = &self.options.releases;
        let release = releases.get(index).or_else(|| releases.last());
        release.cloned().unwrap_or_else(|| {
            let name = rustix::system::uname();
            name.release().to_string_lossy().into_owned()
        })
    }
}

/// The host's, with what a kernel needs for live updates: before `--`, behind which words are for the
/// first program.
fn host_cmdline() -> Vec<u8> {
    let host = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let (kernel, program) = match host.trim().split_once(" --") {
        Some((kernel, program)) => (kernel, format!(" --{program}")),
        None => (host.trim(), String::new()),
    };
    format!("{kernel} {WORDS}{program}").trim().into()
}

fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().to_owned())
}

/// Every session and every preserved file is a descriptor of ours. Returns the old limit, which is
/// the programs'.
fn raise_descriptor_limit() -> Rlimit {
    let old = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: old.maximum,
        maximum: old.maximum,
    };
    // Then there are fewer sessions.
    let _lower = setrlimit(Resource::Nofile, raised);
    old
}

//! One generation: from the start of its program to its end.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

use luo::Errno;
use notify_sys::{Listener, Notification, Reply};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::answer::Outcome;
use crate::inject::{CallName, Effect, Injector};
use crate::kernel::{Kernel, Remains};
use crate::objects::{Held, Objects, Ready};
use crate::processes;
use crate::report::{Event, Observer};

/// How long to wait, at most, before orphans are looked for.
const ROUND: Duration = Duration::from_secs(1);

/// How a generation ends.
#[derive(Debug)]
pub(crate) enum End {
    /// Its program ended.
    Program(ExitStatus),
    /// It jumped to the image it had loaded.
    Jump(Remains),
    /// It restarted.
    Restart,
    /// It switched the machine off.
    PowerOff,
    /// Its kernel panicked.
    Panic(String),
}

/// What ends a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The jump: everything is frozen, an image is there.
    Jump,
    Restart,
    PowerOff,
    /// The program ended by itself.
    Program(ExitStatus),
    /// The kernel panicked.
    Panic,
}

/// A call that waits for its time.
struct Stalled {
    until: Instant,
    call: Notification,
    effect: Effect,
}

/// A generation.
pub(crate) struct Generation<'a> {
    pub(crate) number: u32,
    pub(crate) kernel: Kernel,
    pub(crate) objects: Objects,
    pub(crate) listener: Listener,
    pub(crate) boot_id: String,
    pub(crate) booted: SystemTime,
    /// Whether the host's user is root: then others than root are refused what Linux refuses them.
    pub(crate) is_host_root: bool,
    program: Child,
    /// Kept open: its end is waited for.
    _pidfd: OwnedFd,
    /// Children of ours from before.
    others: HashSet<Pid>,
    stalled: Vec<Stalled>,
    injector: &'a mut Injector,
    observer: &'a dyn Observer,
    panic: Option<String>,
}

/// What a generation starts with.
pub(crate) struct Start<'a> {
    pub(crate) number: u32,
    pub(crate) kernel: Kernel,
    pub(crate) program: Child,
    pub(crate) listener: Listener,
    pub(crate) boot_id: String,
    /// Children of ours from before.
    pub(crate) others: HashSet<Pid>,
    pub(crate) injector: &'a mut Injector,
    pub(crate) observer: &'a dyn Observer,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(start: Start<'a>) -> rustix::io::Result<Self> {
        let pid = Pid::from_child(&start.program);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let objects = Objects::new(start.listener.as_fd(), pidfd.as_fd())?;
        Ok(Self {
            number: start.number,
            kernel: start.kernel,
            objects,
            listener: start.listener,
            boot_id: start.boot_id,
            booted: SystemTime::now(),
            is_host_root: rustix::process::geteuid().is_root(),
            program: start.program,
            _pidfd: pidfd,
            others: start.others,
            stalled: Vec::new(),
            injector: start.injector,
            observer: start.observer,
            panic: None,
        })
    }

    /// Answers calls until the generation ends, and ends its processes.
    pub(crate) fn run(mut self) -> std::io::Result<End> {
        let turn = self.wait_for_end();
        // As long as there is a listener, whoever waits for an answer waits.
        processes::end_all(&self.others);
        Ok(match turn? {
            Turn::Jump => self.kernel.jump().map_or(End::Restart, End::Jump),
            Turn::Restart => End::Restart,
            Turn::PowerOff => End::PowerOff,
            Turn::Program(status) => End::Program(status),
            Turn::Panic => End::Panic(self.panic.unwrap_or_default()),
        })
    }

    fn wait_for_end(&mut self) -> std::io::Result<Turn> {
        let mut last_round = Instant::now();
        loop {
            let ready = self.objects.wait(Some(self.patience()))?;
            let call = if ready.contains(&Ready::Call) {
                self.receive()?
            } else {
                None
            };
            // Whatever was closed before this call was made.
            self.settle()?;
            if ready.contains(&Ready::NoCaller) {
                self.objects.forget_calls(self.listener.as_fd())?;
            }
            if let Some(call) = call
                && let Some(turn) = self.answer(&call, None)?
            {
                return Ok(turn);
            }
            if let Some(turn) = self.stalled()? {
                return Ok(turn);
            }
            if self.panic.is_some() {
                return Ok(Turn::Panic);
            }
            if ready.contains(&Ready::Program) {
                return Ok(Turn::Program(self.program.wait()?));
            }
            if last_round.elapsed() > ROUND {
                processes::reap_orphans(&self.others, Pid::from_child(&self.program));
                last_round = Instant::now();
            }
        }
    }

    fn patience(&self) -> Duration {
        let times = self.stalled.iter().map(|it| it.until);
        let next = times
            .min()
            .map(|it| it.saturating_duration_since(Instant::now()));
        next.map_or(ROUND, |next| next.min(ROUND))
    }

    fn receive(&self) -> std::io::Result<Option<Notification>> {
        match self.listener.receive() {
            Err(rustix::io::Errno::INTR) => Ok(None),
            answer => Ok(answer?),
        }
    }

    /// Calls whose time has come.
    fn stalled(&mut self) -> std::io::Result<Option<Turn>> {
        let now = Instant::now();
        while let Some(index) = self.stalled.iter().position(|it| it.until <= now) {
            let stalled = self.stalled.swap_remove(index);
            if !self.listener.is_waiting(stalled.call.id) {
                continue;
            }
            let turn = self.answer(&stalled.call, Some(stalled.effect))?;
            if turn.is_some() {
                return Ok(turn);
            }
        }
        Ok(None)
    }

    /// Answers a call; `stalled` when it was made to wait already.
    fn answer(
        &mut self,
        call: &Notification,
        stalled: Option<Effect>,
    ) -> std::io::Result<Option<Turn>> {
        let reply = match self.outcome(call, stalled)? {
            Outcome::Continue => Reply::Continue,
            Outcome::Value(value) => Reply::Value(value),
            Outcome::Fail(errno) => Reply::Error(host(errno)),
            Outcome::Answered | Outcome::Never => return Ok(None),
            Outcome::Turn(turn) => return Ok(Some(turn)),
            Outcome::Stall(effect, time) => {
                self.stalled.push(Stalled {
                    until: Instant::now() + time,
                    call: *call,
                    effect,
                });
                return Ok(None);
            }
        };
        match self.listener.answer(call.id, reply) {
            // The caller was killed meanwhile.
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Releases what programs have closed.
    fn settle(&mut self) -> std::io::Result<()> {
        for held in self.objects.drain()? {
            match held {
                Held::Device => self.kernel.luo.release_device(),
                Held::DevicePath => {}
                Held::Session(id) => match self.kernel.luo.release_session(id) {
                    Ok(()) | Err(Errno::ERESTARTSYS) => {}
                    Err(errno) => self.report(&Event::NotFinished(errno)),
                },
            }
            self.check_panic();
        }
        Ok(())
    }

    /// Looks whether the kernel has panicked.
    pub(crate) fn check_panic(&mut self) {
        if let Some(why) = self.kernel.luo.panic() {
            self.panic = Some(why.to_string());
        }
    }

    /// What is to be done to a call on purpose.
    pub(crate) fn injected(&mut self, call: CallName) -> Option<Effect> {
        let effect = self.injector.next(call)?;
        let event = Event::Injected {
            call,
            effect: &effect,
        };
        self.report(&event);
        Some(effect)
    }

    pub(crate) fn report(&self, event: &Event<'_>) {
        self.observer.event(self.number, event);
    }
}

/// An errno of the engine as the host has it.
pub(crate) fn host(errno: Errno) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(errno.0)
}

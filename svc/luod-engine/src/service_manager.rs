//! systemd around luod: it does the jump, keeps others from shutting down at the wrong time, and tells of shutdowns.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use luod_api::{Code, Refusal};
use systemd_host::{Error, LOCK_OWNER, Login, Mode, Shutdown};

use crate::Engine;
use crate::guard::Guard;
use crate::host::LoadRequest;
use crate::next_kernel::NextKernel;
use crate::shutdown::Ending;

/// Time between two tries to reach logind.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between two tries while logind still has a lock that was let go.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a lock to be let go.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// Of the time that a shutdown waits, what is not given to services.
const MARGIN: Duration = Duration::from_millis(500);

/// systemd, for a luod that is a service of it.
#[derive(Debug)]
pub struct ServiceManager {
    next_kernel: NextKernel,
    wish: Arc<Wish>,
}

/// What lock is wanted, and which is there.
#[derive(Debug, Default)]
struct Wish {
    locks: Mutex<Locks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Locks {
    wanted: Guard,
    /// None while one is being taken or let go.
    present: Option<Guard>,
}

impl Wish {
    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, guard: Guard) {
        self.locks().wanted = guard;
        self.changed.notify_all();
    }

    /// Waits until another lock is wanted than is there; from then on none is known to be there.
    fn next(&self) -> Guard {
        let mut locks = self.locks();
        while locks.present.as_ref() == Some(&locks.wanted) {
            let waited = self.changed.wait(locks);
            locks = waited.unwrap_or_else(PoisonError::into_inner);
        }
        locks.present = None;
        locks.wanted.clone()
    }

    fn taken(&self, guard: Guard) {
        self.locks().present = Some(guard);
        self.changed.notify_all();
    }

    /// Lets the lock go.
    fn release(&self) {
        self.want(Guard::Nothing);
        let end = Instant::now() + RELEASE_PATIENCE;
        let mut locks = self.locks();
        while locks.present != Some(Guard::Nothing) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("logind still has a lock of luod");
                return;
            }
            locks = match self.changed.wait_timeout(locks, left) {
                Ok((locks, _)) => locks,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl ServiceManager {
    /// Starts the thread that takes and lets go locks; logind need not run yet.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(runtime_dir: &Path) -> io::Result<Self> {
        let wish = Arc::new(Wish::default());
        let wanted = Arc::clone(&wish);
        thread::Builder::new()
            .name("inhibitor".to_owned())
            .spawn(move || keep_lock(&wanted))?;
        Ok(Self {
            next_kernel: NextKernel::in_runtime_dir(runtime_dir),
            wish,
        })
    }

    /// Tells `engine` of every shutdown; never returns.
    pub fn watch(&self, engine: &Engine) {
        loop {
            if let Err(error) = self.watch_once(engine) {
                tracing::debug!(%error, "no word of shutdowns");
            }
            thread::sleep(PAUSE);
        }
    }

    fn watch_once(&self, engine: &Engine) -> Result<(), Error> {
        let login = Login::connect()?;
        let shutdowns = login.shutdowns()?;
        let deadline = login.longest_delay()?.saturating_sub(MARGIN);
        for shutdown in shutdowns {
            match shutdown {
                Shutdown::Begins(kind) => {
                    tracing::info!(kind, "a shutdown begins");
                    let ending = match kind.as_str() {
                        "kexec" => Ending::NextKernel,
                        _ => Ending::Halt,
                    };
                    engine.shutdown_begins(ending, deadline);
                    self.wish.release();
                }
                Shutdown::Abandoned => engine.shutdown_abandoned(),
            }
        }
        Ok(())
    }

    pub(crate) fn want(&self, guard: Guard) {
        self.wish.want(guard);
    }

    /// Writes the next kernel down for the hook.
    pub(crate) fn image_loaded(&self, request: &LoadRequest) -> Result<(), Refusal> {
        self.next_kernel.write(request).map_err(|error| {
            let text = format!("the next kernel cannot be written down for the shutdown: {error}");
            Refusal::new(Code::ImageRefused, text)
        })
    }

    pub(crate) fn image_unloaded(&self) {
        if let Err(error) = self.next_kernel.remove() {
            tracing::warn!(%error, "the copy of the next kernel was not removed");
        }
    }

    /// Has systemd end everything and jump.
    pub(crate) fn start_next_kernel(&self) -> Result<(), Refusal> {
        self.wish.release();
        let end = Instant::now() + RELEASE_PATIENCE;
        let answer = loop {
            match systemd_host::start_next_kernel() {
                // logind learns that a lock was let go in its own time.
                Err(Error::Blocked { who, .. }) if who == LOCK_OWNER && Instant::now() < end => {
                    thread::sleep(LOCK_PAUSE);
                }
                answer => break answer,
            }
        };
        answer.map_err(|error| match &error {
            Error::Blocked { who, why } => {
                let text = format!("a shutdown is not permitted now: {who} blocks it ({why})");
                let hint = "`systemd-inhibit --list` shows all locks; try again when it is gone";
                Refusal::new(Code::Cancelled, text).with_hint(hint)
            }
            Error::UnderWay => {
                Refusal::new(Code::Cancelled, error).with_hint("services go on until it ends them")
            }
            _ => crate::engine::internal(&error),
        })
    }
}

/// Has the lock that is wanted.
fn keep_lock(wish: &Wish) {
    let mut lock = None;
    loop {
        let wanted = wish.next();
        match take_lock(&wanted) {
            Ok(taken) => {
                // The other one goes when the new one is there.
                drop(std::mem::replace(&mut lock, taken));
                wish.taken(wanted);
            }
            Err(error) => {
                tracing::warn!(error = %crate::engine::internal(&error).message, "logind gives no lock");
                thread::sleep(PAUSE);
            }
        }
    }
}

fn take_lock(wanted: &Guard) -> Result<Option<OwnedFd>, Error> {
    let (mode, why) = match wanted {
        Guard::Nothing => return Ok(None),
        Guard::Wait(why) => (Mode::Delay, *why),
        Guard::Refuse(why) => (Mode::Block, why.as_str()),
    };
    Login::connect()?.inhibit(mode, why).map(Some)
}

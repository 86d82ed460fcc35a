//! systemd around luod: it does the jump, keeps others from shutting down at the wrong time, and tells of shutdowns.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use luod_api::{Code, Refusal};
use systemd_host::{Error, FIRST_WITH_STORES, Login, Mode, Shutdown};

use crate::Engine;
use crate::guard::Guard;
use crate::host::LoadRequest;
use crate::next_kernel::NextKernel;
use crate::shutdown::Ending;

/// Time between two tries to reach logind.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between two tries while logind still has a lock that was let go.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a lock to be taken or let go.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
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
    /// logind did not do what it was asked last: nobody need wait.
    is_failing: bool,
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
        let mut locks = self.locks();
        locks.present = Some(guard);
        locks.is_failing = false;
        self.changed.notify_all();
    }

    fn failed(&self) {
        self.locks().is_failing = true;
        self.changed.notify_all();
    }

    /// Lets the lock go.
    fn release(&self) {
        self.want(Guard::Nothing);
        self.settle();
    }

    /// Waits until the lock that is wanted is there, and no other.
    fn settle(&self) {
        let end = Instant::now() + LOCK_PATIENCE;
        let mut locks = self.locks();
        while locks.present.as_ref() != Some(&locks.wanted) && !locks.is_failing {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("logind has not done with the locks of luod");
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

    pub(crate) fn settle(&self) {
        self.wish.settle();
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
        systemd_host::start_next_kernel().map_err(|error| match &error {
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

/// Refuses with a systemd that closes all descriptors in a jump, or may: every session would be lost in silence.
///
/// Who counts kexecs carries stores over them; systemd 261 does the second only.
pub(crate) fn check_jump(
    counts_kexecs: bool,
    version_fn: impl FnOnce() -> Result<u32, Error>,
) -> Result<(), Refusal> {
    if counts_kexecs {
        return Ok(());
    }
    let text = match version_fn() {
        Ok(version) if version >= FIRST_WITH_STORES => return Ok(()),
        Ok(version) => format!(
            "systemd {version} loses what luod holds in a jump: it takes systemd {FIRST_WITH_STORES} or newer"
        ),
        Err(error) => {
            let error = crate::engine::internal(&error).message;
            format!("whether systemd carries over what luod holds is not known: {error}")
        }
    };
    Err(Refusal::new(Code::NoLiveUpdate, text)
        .with_hint("restarts of luod and of services keep everything all the same"))
}

/// A lock that is there.
type Lock = (Mode, OwnedFd);

/// Has the lock that is wanted.
fn keep_lock(wish: &Wish) {
    let mut lock: Option<Lock> = None;
    loop {
        let wanted = wish.next();
        match change_lock(&mut lock, &wanted) {
            Ok(()) => wish.taken(wanted),
            Err(error) => {
                let error = crate::engine::internal(&error).message;
                tracing::warn!(error, "logind gives no lock");
                wish.failed();
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Takes the lock that is wanted, then lets the other one go.
fn change_lock(lock: &mut Option<Lock>, wanted: &Guard) -> Result<(), Error> {
    let login = match (&lock, wanted) {
        (None, Guard::Nothing) => return Ok(()),
        _ => Login::connect()?,
    };
    let taken = match wanted {
        Guard::Nothing => None,
        Guard::Wait(why) => Some((Mode::Delay, login.inhibit(Mode::Delay, why)?)),
        Guard::Refuse(why) => Some((Mode::Block, login.inhibit(Mode::Block, why)?)),
    };
    let mode = taken.as_ref().map(|(mode, _)| *mode);
    let Some((old, fd)) = std::mem::replace(lock, taken) else {
        return Ok(());
    };
    drop(fd);
    // logind learns that it was let go in its own time.
    let end = Instant::now() + LOCK_PATIENCE;
    while mode != Some(old) && login.has_lock(old)? && Instant::now() < end {
        thread::sleep(LOCK_PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_logind_that_does_not_answer() {
        let wish = Arc::new(Wish::default());
        wish.want(Guard::Wait("for a test"));
        let worker = Arc::clone(&wish);
        let thread = thread::spawn(move || {
            assert_eq!(worker.next(), Guard::Wait("for a test"));
            worker.failed();
        });
        wish.settle();
        thread.join().unwrap();
        // It is tried again, and told when it works.
        assert_eq!(wish.next(), Guard::Wait("for a test"));
        wish.taken(Guard::Wait("for a test"));
        wish.settle();
        assert!(!wish.locks().is_failing);
    }

    #[test]
    fn a_systemd_that_loses_stores_in_a_jump_is_refused() {
        let unknown = || {
            Err(Error::Missing {
                method: "Version",
                field: "number",
            })
        };
        check_jump(true, unknown).unwrap();
        check_jump(false, || Ok(262)).unwrap();
        check_jump(false, || Ok(261)).unwrap();
        let old = check_jump(false, || Ok(257)).unwrap_err();
        assert_eq!(old.code, Code::NoLiveUpdate);
        assert!(old.message.contains("systemd 257 loses"), "{old}");
        let unknown = check_jump(false, unknown).unwrap_err();
        assert!(unknown.message.contains("is not known"), "{unknown}");
    }

    #[test]
    fn a_lock_under_way_is_waited_for() {
        let wish = Arc::new(Wish::default());
        wish.want(Guard::Refuse("busy".to_owned()));
        let busy = wish.next();
        // Meanwhile it is to be let go.
        let other = Arc::clone(&wish);
        let thread = thread::spawn(move || {
            other.release();
            assert_eq!(other.locks().present, Some(Guard::Nothing));
        });
        wish.taken(busy);
        let nothing = wish.next();
        assert_eq!(nothing, Guard::Nothing);
        wish.taken(nothing);
        thread.join().unwrap();
    }
}

//! The real kernel.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clock_sys::{TscRate, TscStamp};
use kexec_sys::SealedImage;
use kexec_sys::status::KexecPaths;
use luo_sys::{Call, Device, Error, Incoming, Outgoing, Session, SessionName, Token, absence};
use luod_api::manager::DeviceStatus;
use luod_api::{Code, Refusal};
use preflight::{Finding, Target};
use running_kernel::Sources;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use update::Moment;

use crate::facts::KernelFacts;
use crate::guard::Guard;
use crate::host::{Host, LoadRequest};
use crate::last_words::LastWords;
use crate::refusals;
use crate::service_manager::ServiceManager;

/// How long another program may keep `/dev/liveupdate` open before we give up: PID 1 of systemd
/// holds it for up to 23 ms after a kexec.
const DEVICE_PATIENCE: Duration = Duration::from_secs(2);

/// The kernel this program runs on.
#[derive(Debug)]
pub struct LinuxHost {
    /// Taken at the start, for the counter's rate.
    start: Option<TscStamp>,
    /// Who does the jump; none: luod itself.
    service_manager: Option<Arc<ServiceManager>>,
}

impl LinuxHost {
    /// The kernel, from now on.
    pub fn new() -> Self {
        Self {
            start: TscStamp::now(),
            service_manager: None,
        }
    }

    /// The same, where systemd does the jump.
    pub fn under(service_manager: Arc<ServiceManager>) -> Self {
        Self {
            service_manager: Some(service_manager),
            ..Self::new()
        }
    }

    fn rate(&self) -> Option<TscRate> {
        TscRate::since(self.start?)
    }
}

/// The device, open for one call.
fn device() -> Result<Device, Refusal> {
    Device::open_within(DEVICE_PATIENCE).map_err(refusals::luo)
}

/// Whether the device can be opened.
///
/// # Errors
/// Who keeps it open, or the kernel's refusal.
pub fn check_device() -> Result<(), Refusal> {
    device().map(drop)
}

fn session_name(name: &str) -> Result<SessionName, Refusal> {
    SessionName::new(name).map_err(|error| Refusal::new(Code::InvalidParameter, error))
}

fn duplicate<D: luo_sys::Direction>(session: BorrowedFd<'_>) -> Result<Session<D>, Refusal> {
    session
        .try_clone_to_owned()
        .map(Session::from_fd)
        .map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::MFILE);
            refusals::luo(Error::new(Call::Duplicate, errno))
        })
}

impl Host for LinuxHost {
    fn device_status(&self) -> DeviceStatus {
        if Path::new(luo_sys::DEVICE_PATH).exists() {
            return DeviceStatus {
                is_usable: true,
                reason: String::new(),
            };
        }
        DeviceStatus {
            is_usable: false,
            reason: absence::diagnose().to_string(),
        }
    }

    fn check_service_manager(&self) -> Result<(), Refusal> {
        match &self.service_manager {
            None => Ok(()),
            Some(_) => crate::service_manager::check_jump(
                systemd_host::kexec_count().is_ok(),
                systemd_host::version,
            ),
        }
    }

    fn create_session(&self, name: &str) -> Result<OwnedFd, Refusal> {
        let name = session_name(name)?;
        device()?
            .create_session(&name)
            .map(Into::into)
            .map_err(refusals::luo)
    }

    fn retrieve_session(&self, name: &str) -> Result<Option<OwnedFd>, Refusal> {
        let name = session_name(name)?;
        match device()?.retrieve_session(&name) {
            Ok(session) => Ok(Some(session.into())),
            Err(error) if error.errno() == Errno::NOENT => Ok(None),
            Err(error) => Err(refusals::luo(error)),
        }
    }

    fn preserve(
        &self,
        session: BorrowedFd<'_>,
        file: BorrowedFd<'_>,
        token: u64,
    ) -> Result<(), Refusal> {
        let session = duplicate::<Outgoing>(session)?;
        session.preserve(file, Token(token)).map_err(refusals::luo)
    }

    fn retrieve(&self, session: BorrowedFd<'_>, token: u64) -> Result<OwnedFd, Refusal> {
        let session = duplicate::<Incoming>(session)?;
        session.retrieve(Token(token)).map_err(refusals::luo)
    }

    fn finish(&self, session: BorrowedFd<'_>) -> Result<(), Refusal> {
        let session = duplicate::<Incoming>(session)?;
        session.finish().map_err(refusals::luo)
    }

    fn check(&self, request: &LoadRequest) -> Result<Vec<Finding>, Refusal> {
        let content = |image: &SealedImage| {
            let refuse = |error| Refusal::new(Code::ImageRefused, error);
            image.content().map_err(refuse)
        };
        let kernel = content(&request.kernel)?;
        let initrd = request.initrd.as_ref().map(content).transpose()?;
        let cmdline = request.cmdline.to_string_lossy();
        let target = Target::read(&kernel, initrd.as_deref(), &cmdline);
        Ok(preflight::check(&target, &Sources::default().read()))
    }

    fn load(&self, request: &LoadRequest) -> Result<(), Refusal> {
        let initrd = request.initrd.as_ref().map(|initrd| initrd.as_fd());
        kexec_sys::load(&request.kernel, initrd, &request.cmdline)
            .map_err(|error| refusals::load(error, request))?;
        let Some(manager) = &self.service_manager else {
            return Ok(());
        };
        manager.image_loaded(request).inspect_err(|_refusal| {
            if let Err(refusal) = self.unload() {
                tracing::warn!(%refusal, "the next kernel stays loaded");
            }
        })
    }

    fn unload(&self) -> Result<(), Refusal> {
        if let Some(manager) = &self.service_manager {
            manager.image_unloaded();
        }
        kexec_sys::unload().map_err(|error| refusals::kexec(&error.into()))
    }

    fn is_image_loaded(&self) -> Option<bool> {
        KexecPaths::default().is_loaded().ok()
    }

    fn say(&self, words: &LastWords) {
        words.say();
    }

    fn reboot(&self) -> Result<(), Refusal> {
        let Some(manager) = &self.service_manager else {
            return match kexec_sys::reboot::kexec() {
                Err(error) => Err(refusals::kexec(&error)),
            };
        };
        // systemd opens it at the very end, and goes on without every store if it cannot.
        check_device()?;
        manager.start_next_kernel()
    }

    fn guard(&self, guard: Guard) {
        if let Some(manager) = &self.service_manager {
            manager.want(guard);
        }
    }

    fn settle_guard(&self) {
        if let Some(manager) = &self.service_manager {
            manager.settle();
        }
    }

    fn facts(&self) -> KernelFacts {
        let mut facts = KernelFacts::read();
        if self.service_manager.is_some() {
            match systemd_host::kexec_count() {
                Ok(count) => facts.systemd_kexec_count = Some(count),
                Err(error) => tracing::debug!(%error, "systemd tells no count of kexecs"),
            }
        }
        facts
    }

    fn now(&self) -> Moment {
        let time = clock_gettime(ClockId::Realtime);
        let realtime = Duration::try_from(time).unwrap_or_default();
        let realtime_ns = u64::try_from(realtime.as_nanos()).unwrap_or(u64::MAX);
        Moment {
            ticks: clock_sys::tsc(),
            realtime_ns,
        }
    }

    fn ticks_hz(&self) -> Option<u64> {
        self.rate().map(TscRate::hz)
    }

    fn kernel_start(&self) -> Option<Moment> {
        let ticks = self.rate().and_then(TscRate::kernel_start);
        let now = self.now();
        let uptime = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
        let uptime_ns = u64::try_from(uptime.as_nanos()).ok()?;
        Some(Moment {
            ticks,
            realtime_ns: now.realtime_ns.saturating_sub(uptime_ns),
        })
    }
}

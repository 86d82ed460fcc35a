//! A kernel for tests: sessions are memfds known by their inode, a jump is a snapshot.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use luod_api::manager::DeviceStatus;
use luod_api::{Code, Refusal};
use preflight::{Check, Finding, Running, Target};
use rustix::fs::{MemfdFlags, fstat, memfd_create};
use update::Moment;

use crate::facts::KernelFacts;
use crate::guard::Guard;
use crate::host::{Host, LoadRequest};
use crate::last_words::LastWords;

/// Files of a session by token.
type Files = BTreeMap<u64, OwnedFd>;

/// The kernel's side of everything.
#[derive(Default)]
pub(crate) struct Kernel {
    /// Sessions by inode: name and files.
    sessions: BTreeMap<u64, (String, Files)>,
    /// What came over: taken by the first retrieve.
    incoming: BTreeMap<String, Files>,
    /// What a jump would hand over, as of the last reboot.
    pub(crate) handed_over: BTreeMap<String, Files>,
    pub(crate) finished: Vec<String>,
    pub(crate) is_loaded: bool,
    clock: u64,
    /// So many tries to retrieve find the device open elsewhere.
    pub(crate) busy: u32,
    /// A service manager does the jump.
    pub(crate) has_service_manager: bool,
    /// And it closes everything on the way.
    pub(crate) loses_stores: bool,
    pub(crate) systemd_kexec_count: Option<u64>,
    /// The last wish about shutdowns.
    pub(crate) guard: Guard,
    /// What was said before the jump.
    pub(crate) last_words: Option<LastWords>,
    /// How many jumps there were before this boot.
    pub(crate) jumps: u32,
    /// Preserving this token fails.
    pub(crate) unpreservable: Option<u64>,
}

/// A handle on one boot of it.
#[derive(Clone, Default)]
pub(crate) struct FakeHost(Arc<Mutex<Kernel>>);

impl FakeHost {
    pub(crate) fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap()
    }

    /// The next kernel, with what the last reboot handed over.
    pub(crate) fn next_boot(&self) -> Self {
        let incoming = std::mem::take(&mut self.kernel().handed_over);
        let next = Self::default();
        next.kernel().incoming = incoming;
        next.kernel().jumps = self.kernel().jumps + 1;
        next.kernel().systemd_kexec_count = self.kernel().systemd_kexec_count;
        next
    }

    /// Loses a session on the way, as a kernel with a defect would.
    pub(crate) fn lose(&self, session: &str) {
        self.kernel().handed_over.remove(session).unwrap();
    }

    /// Changes what is preserved under a token.
    pub(crate) fn replace(&self, session: &str, token: u64, file: OwnedFd) {
        self.kernel()
            .handed_over
            .get_mut(session)
            .unwrap()
            .insert(token, file)
            .unwrap();
    }
}

fn inode(fd: BorrowedFd<'_>) -> u64 {
    fstat(fd).unwrap().st_ino
}

fn new_session(kernel: &mut Kernel, name: &str, files: Files) -> OwnedFd {
    let fd = memfd_create(name, MemfdFlags::CLOEXEC).unwrap();
    // The fake does not see descriptors closed: an earlier session of the name has been.
    kernel.sessions.retain(|_, (other, _)| other != name);
    kernel
        .sessions
        .insert(inode(fd.as_fd()), (name.to_owned(), files));
    fd
}

impl Host for FakeHost {
    fn device_status(&self) -> DeviceStatus {
        DeviceStatus {
            is_usable: true,
            reason: String::new(),
        }
    }

    fn check_service_manager(&self) -> Result<(), Refusal> {
        match self.kernel().loses_stores {
            false => Ok(()),
            true => Err(Refusal::new(Code::NoLiveUpdate, "it loses them")),
        }
    }

    fn create_session(&self, name: &str) -> Result<OwnedFd, Refusal> {
        Ok(new_session(&mut self.kernel(), name, Files::new()))
    }

    fn retrieve_session(&self, name: &str) -> Result<Option<OwnedFd>, Refusal> {
        let mut kernel = self.kernel();
        if let Some(left) = kernel.busy.checked_sub(1) {
            kernel.busy = left;
            return Err(Refusal::new(Code::DeviceBusy, "kept open by a stranger"));
        }
        let files = kernel.incoming.remove(name);
        Ok(files.map(|files| new_session(&mut kernel, name, files)))
    }

    fn preserve(
        &self,
        session: BorrowedFd<'_>,
        file: BorrowedFd<'_>,
        token: u64,
    ) -> Result<(), Refusal> {
        let mut kernel = self.kernel();
        if kernel.unpreservable == Some(token) {
            return Err(Refusal::new(Code::NotPreservable, "no handler"));
        }
        let file = file.try_clone_to_owned().unwrap();
        kernel
            .sessions
            .get_mut(&inode(session))
            .unwrap()
            .1
            .insert(token, file);
        Ok(())
    }

    fn retrieve(&self, session: BorrowedFd<'_>, token: u64) -> Result<OwnedFd, Refusal> {
        let kernel = self.kernel();
        let file = kernel.sessions[&inode(session)].1.get(&token);
        let file = file.ok_or_else(|| Refusal::new(Code::Kernel, "no such token"))?;
        Ok(file.try_clone().unwrap())
    }

    fn finish(&self, session: BorrowedFd<'_>) -> Result<(), Refusal> {
        let mut kernel = self.kernel();
        let name = kernel.sessions[&inode(session)].0.clone();
        kernel.finished.push(name);
        Ok(())
    }

    /// Of the command line only: there is no kernel in a test's file.
    fn check(&self, request: &LoadRequest) -> Result<Vec<Finding>, Refusal> {
        let target = Target::read(b"", None, &request.cmdline.to_string_lossy());
        let mut findings = preflight::check(&target, &Running::default());
        findings.retain(|finding| matches!(finding.check, Check::LiveUpdate | Check::Kho));
        Ok(findings)
    }

    fn load(&self, _request: &LoadRequest) -> Result<(), Refusal> {
        self.kernel().is_loaded = true;
        Ok(())
    }

    fn unload(&self) -> Result<(), Refusal> {
        self.kernel().is_loaded = false;
        Ok(())
    }

    fn is_image_loaded(&self) -> Option<bool> {
        Some(self.kernel().is_loaded)
    }

    /// Takes the snapshot, then says no, unless it is to play a service manager.
    fn reboot(&self) -> Result<(), Refusal> {
        let mut kernel = self.kernel();
        let sessions: Vec<_> = kernel.sessions.values().map(copy).collect();
        kernel.handed_over.extend(sessions);
        if kernel.has_service_manager {
            return Ok(());
        }
        Err(Refusal::new(Code::Kernel, "the test's kernel never jumps"))
    }

    fn say(&self, words: &LastWords) {
        self.kernel().last_words = Some(words.clone());
    }

    fn guard(&self, guard: Guard) {
        self.kernel().guard = guard;
    }

    fn settle_guard(&self) {}

    fn facts(&self) -> KernelFacts {
        let release = "7.3.4-fake".to_owned();
        let kernel = self.kernel();
        KernelFacts {
            release,
            boot_id: format!("boot-{}", kernel.jumps),
            liveupdate_number: Some(1),
            kexec_count: Some(kernel.jumps),
            previous_release: None,
            systemd_kexec_count: kernel.systemd_kexec_count,
        }
    }

    fn now(&self) -> Moment {
        let mut kernel = self.kernel();
        kernel.clock += 1;
        Moment {
            ticks: Some(kernel.clock),
            realtime_ns: kernel.clock,
        }
    }

    fn ticks_hz(&self) -> Option<u64> {
        Some(1000)
    }

    fn kernel_start(&self) -> Option<Moment> {
        Some(self.now())
    }
}

fn copy((name, files): &(String, Files)) -> (String, Files) {
    let files = files
        .iter()
        .map(|(token, file)| (*token, file.try_clone().unwrap()));
    (name.clone(), files.collect())
}

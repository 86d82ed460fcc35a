//! Life as the worker: services first, then the conversation with the host.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use e2e_protocol::line::{LineReader, Received, encode};
use e2e_protocol::{AUTOSTART_PATH, Autostart, BootedBy, ToGuest, ToHost};

use crate::bootinfo::BootInfo;
use crate::calls;
use crate::log::Log;
use crate::platform::Platform;
use crate::ports;
use crate::service::Services;

/// Time between two hellos that nobody answers.
const HELLO_PAUSE: Duration = Duration::from_millis(100);
/// Time between two looks at a port that no host is connected to.
const DISCONNECTED_PAUSE: Duration = Duration::from_millis(10);

/// The writing half of the conversation, shared by every call that is being answered.
#[derive(Debug)]
pub(crate) struct Host {
    port: Mutex<File>,
}

impl Host {
    /// Sends one message as a whole.
    pub(crate) fn send(&self, message: &ToHost) -> anyhow::Result<()> {
        let line = encode(message).context("encode a message")?;
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.write_all(&line).context("write to the host")
    }
}

/// Runs until the port breaks.
///
/// # Errors
/// The control port is not there, or its connection is broken.
pub(crate) fn run(boot: &BootInfo) -> anyhow::Result<()> {
    env::set_current_dir("/").context("go to the root")?;
    let log = Arc::new(Log::new());
    let services = Arc::new(Services::new(Arc::clone(&log)));
    // A second worker of the same boot finds the services running.
    if boot.worker == 1 {
        if let Err(error) = start_services(&services, boot.booted_by) {
            log.line("agent", format!("{error:#}").as_bytes());
        }
    }
    log.open(ports::log(boot.platform));
    let hello = boot.hello()?;
    log.line("agent", format!("{hello:?}").as_bytes());
    let port = ports::control(boot.platform)?;
    let host = Arc::new(Host {
        port: Mutex::new(port.try_clone().context("duplicate the port")?),
    });
    let is_welcome = Arc::new(AtomicBool::new(false));
    let (greeter, heard) = (Arc::clone(&host), Arc::clone(&is_welcome));
    thread::Builder::new()
        .name("hello".into())
        .spawn(move || {
            while !heard.load(Ordering::Acquire) {
                let _repeated = greeter.send(&ToHost::Hello(hello.clone()));
                thread::sleep(HELLO_PAUSE);
            }
        })
        .context("start the hello thread")?;
    let mut lines = LineReader::new(port);
    loop {
        match lines.read::<ToGuest>() {
            Ok(Some(Received::Message(ToGuest::Welcome { boot_id }))) => {
                if boot_id == boot.boot_id {
                    is_welcome.store(true, Ordering::Release);
                }
            }
            Ok(Some(Received::Message(ToGuest::Call { id, request }))) => {
                calls::answer(id, request, &host, &services, &log)?;
            }
            Ok(Some(Received::Garbage(start))) => {
                let start = String::from_utf8_lossy(&start).into_owned();
                log.line("agent", format!("not a message: {start:?}").as_bytes());
            }
            Ok(None) if boot.platform == Platform::Emulated => bail!("the host is gone"),
            // The port reads as ended while no host is connected.
            Ok(None) => thread::sleep(DISCONNECTED_PAUSE),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(DISCONNECTED_PAUSE);
            }
            Err(error) => return Err(error).context("read from the host"),
        }
    }
}

/// Starts what the image wants started at this boot; one that cannot be started does not keep the
/// others from it.
fn start_services(services: &Arc<Services>, booted_by: BootedBy) -> anyhow::Result<()> {
    let text = match fs::read(AUTOSTART_PATH) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("read {AUTOSTART_PATH}"))?,
    };
    let list: Vec<Autostart> =
        serde_json::from_slice(&text).with_context(|| format!("parse {AUTOSTART_PATH}"))?;
    for service in list.iter().filter(|one| one.when.includes(booted_by)) {
        if let Err(error) = services.spawn(
            &service.name,
            &service.argv,
            &service.env,
            service.uid,
            service.gid,
        ) {
            services
                .log()
                .line("agent", format!("{error:#}").as_bytes());
        }
    }
    Ok(())
}

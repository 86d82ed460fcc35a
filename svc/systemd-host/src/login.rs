//! logind on the bus: inhibitor locks, and word of a shutdown.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use zbus::blocking::proxy::SignalIterator;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{OwnedFd as BusFd, OwnedValue};

use crate::error::Error;

const DESTINATION: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const INTERFACE: &str = "org.freedesktop.login1.Manager";

/// Who has our locks, as logind tells others.
const LOCK_OWNER: &str = "luod";

/// What a lock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Shutdowns are refused.
    Block,
    /// Shutdowns wait until the lock is closed, at most [`Login::longest_delay`].
    Delay,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Delay => "delay",
        }
    }
}

/// Word of a shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It begins; the kind is `reboot`, `kexec`, `power-off` and so on.
    Begins(String),
    /// It came to nothing.
    Abandoned,
}

/// logind.
#[derive(Clone, Debug)]
pub struct Login {
    proxy: Proxy<'static>,
}

impl Login {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn connect() -> Result<Self, Error> {
        let proxy = Connection::system()
            .and_then(|bus| Proxy::new_owned(bus, DESTINATION, PATH, INTERFACE));
        let proxy = proxy.map_err(bus("the connection"))?;
        Ok(Self { proxy })
    }

    /// Takes a lock against shutdowns, which is let go by closing it.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn inhibit(&self, mode: Mode, why: &str) -> Result<OwnedFd, Error> {
        let lock: BusFd = self
            .proxy
            .call("Inhibit", &("shutdown", LOCK_OWNER, why, mode.name()))
            .map_err(bus("Inhibit"))?;
        Ok(lock.into())
    }

    /// Whether logind has a lock of ours: some time after it was let go it still has.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn has_lock(&self, mode: Mode) -> Result<bool, Error> {
        // What, who, why, mode, user, process.
        type Lock = (String, String, String, String, u32, u32);
        let locks: Vec<Lock> = self
            .proxy
            .call("ListInhibitors", &())
            .map_err(bus("ListInhibitors"))?;
        let own = std::process::id();
        Ok(locks.iter().any(|(_, who, _, name, _, pid)| {
            who == LOCK_OWNER && name == mode.name() && *pid == own
        }))
    }

    /// How long a shutdown waits for locks at most.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn longest_delay(&self) -> Result<Duration, Error> {
        let delay = self.proxy.get_property::<u64>("InhibitDelayMaxUSec");
        delay
            .map(Duration::from_micros)
            .map_err(bus("InhibitDelayMaxUSec"))
    }

    /// Word of every shutdown from now on.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn shutdowns(&self) -> Result<Shutdowns, Error> {
        let signals = self.proxy.receive_signal("PrepareForShutdownWithMetadata");
        signals.map(Shutdowns).map_err(bus("its signals"))
    }
}

/// Waits for the next word of a shutdown; ends with the bus.
#[derive(Debug)]
pub struct Shutdowns(SignalIterator<'static>);

impl Iterator for Shutdowns {
    type Item = Shutdown;

    fn next(&mut self) -> Option<Shutdown> {
        loop {
            let message = self.0.next()?;
            let body = message.body();
            // A signal of another shape is none of ours.
            let Ok((begins, metadata)) = body.deserialize::<(bool, HashMap<String, OwnedValue>)>()
            else {
                continue;
            };
            if !begins {
                return Some(Shutdown::Abandoned);
            }
            let kind = metadata
                .get("type")
                .and_then(|kind| kind.downcast_ref::<&str>().ok());
            return Some(Shutdown::Begins(kind.unwrap_or_default().to_owned()));
        }
    }
}

fn bus(what: &'static str) -> impl FnOnce(zbus::Error) -> Error {
    move |source| Error::Bus {
        what,
        source: Box::new(source),
    }
}

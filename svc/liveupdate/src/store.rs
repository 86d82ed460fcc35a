//! The store: the one thing a service needs.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use luo_sys::{Outgoing, Session};

use crate::direct::Direct;
use crate::error::Error;
use crate::events::Events;
use crate::item::Item;
use crate::luod::Luod;
use crate::spec::MemfdSpec;

/// After a boot a service and luod start side by side: this long the service waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory kept under a service's name.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Luod(Luod),
    Direct(Direct),
}

/// Everything of a direct store, preserved for the next kernel. Dropping it undoes that.
#[derive(Debug)]
pub struct Preserved {
    session: Session<Outgoing>,
}

impl Preserved {
    /// The session; a duplicate of its descriptor keeps it alive as well.
    pub const fn session(&self) -> &Session<Outgoing> {
        &self.session
    }
}

impl Store {
    /// The store of `service`, kept by luod at its usual socket (`$LIVEUPDATE_SOCKET` or
    /// `/run/luod/liveupdate.sock`). Waits ten seconds for luod to start.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Refused`] for a name that is bad or taken.
    pub fn connect(service: &str) -> Result<Self, Error> {
        Self::connect_to(&luod_api::socket_path(), service, PATIENCE)
    }

    /// The same at another socket, waiting for it this long.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub fn connect_to(socket: &Path, service: &str, patience: Duration) -> Result<Self, Error> {
        let backend = Backend::Luod(Luod::attach(socket, service, patience)?);
        Ok(Self { backend })
    }

    /// A store without luod: `session` is the name of a kernel session, 1 to 63 bytes. Needs root
    /// and a `/dev/liveupdate` nobody else keeps open. What came over in it is there; what is to
    /// go over must be [preserved](Store::preserve) by this program, which must live until the
    /// jump.
    ///
    /// # Errors
    /// [`Error::Kernel`] with what the kernel's errno means; [`Error::Name`].
    pub fn direct(session: &str) -> Result<Self, Error> {
        Ok(Self {
            backend: Backend::Direct(Direct::open(session)?),
        })
    }

    /// The memfd kept under `name`, or a new one as `spec` says, which is kept from now on.
    ///
    /// # Errors
    /// [`Error::Schema`] and [`Error::Size`] when what is kept is not what the program
    /// understands, [`Error::Lost`] when it did not come over: nothing is ever replaced by a new
    /// one in silence. [`Error::Changed`] and [`Error::Resealed`] when it is not what was kept.
    pub fn memfd(&mut self, name: &str, spec: &MemfdSpec) -> Result<Item, Error> {
        match &mut self.backend {
            Backend::Luod(luod) => luod.memfd(name, spec),
            Backend::Direct(direct) => direct.memfd(name, spec),
        }
    }

    /// The names of everything kept, whatever became of it.
    pub fn names(&self) -> Vec<String> {
        match &self.backend {
            Backend::Luod(luod) => luod.names(),
            Backend::Direct(direct) => direct.names(),
        }
    }

    /// What is kept under `name`; `None` when nothing is. Of `spec` the schema and the size count.
    ///
    /// # Errors
    /// As [`Store::memfd`].
    pub fn kept(&mut self, name: &str, spec: &MemfdSpec) -> Result<Option<Item>, Error> {
        let known = self.names().iter().any(|known| known == name);
        match known {
            true => self.memfd(name, spec).map(Some),
            false => Ok(None),
        }
    }

    /// Gives a file of the program's own making into keeping: a memfd, or an unlinked file on
    /// tmpfs. What was kept under `name` is replaced. Of `spec` the schema and requirement count.
    ///
    /// # Errors
    /// [`Error::Refused`] names what the kernel cannot preserve; [`Error::NeedsLuod`] for a direct
    /// store.
    pub fn keep(&mut self, name: &str, file: impl AsFd, spec: &MemfdSpec) -> Result<(), Error> {
        match &mut self.backend {
            Backend::Luod(luod) => luod.keep(name, file.as_fd(), spec.newest_schema(), spec),
            Backend::Direct(_) => Err(Error::NeedsLuod {
                what: "keeping a file of one's own",
            }),
        }
    }

    /// No longer keeps what is kept under `name`; the memory lives on as long as a descriptor or
    /// a mapping of it does.
    ///
    /// # Errors
    /// [`Error::Refused`] when it came over and was not retrieved: discard it by name instead.
    pub fn forget(&mut self, name: &str) -> Result<(), Error> {
        match &mut self.backend {
            Backend::Luod(luod) => luod.forget(name),
            Backend::Direct(direct) => {
                direct.forget(name);
                Ok(())
            }
        }
    }

    /// The service works again: the end of its blackout, for the report.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub fn running(&mut self) -> Result<(), Error> {
        match &mut self.backend {
            Backend::Luod(luod) => luod.running(),
            Backend::Direct(_) => Ok(()),
        }
    }

    /// Everything wanted is retrieved and the service runs: lets go of the previous kernel's
    /// session. Until then the next update is refused. Without a session it does nothing.
    ///
    /// # Errors
    /// [`Error::NotRetrieved`], or [`Error::Refused`] with that code, names what would be lost.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.finish_discarding(&[])
    }

    /// The same, giving up these items.
    ///
    /// # Errors
    /// As [`Store::finish`].
    pub fn finish_discarding(&mut self, items: &[&str]) -> Result<(), Error> {
        match &mut self.backend {
            Backend::Luod(luod) => luod.finish(items),
            Backend::Direct(direct) => direct.finish(items),
        }
    }

    /// Takes part in updates from now on.
    ///
    /// # Errors
    /// [`Error::NeedsLuod`] for a direct store; [`Error::Connection`].
    pub fn events(&self) -> Result<Events, Error> {
        match &self.backend {
            Backend::Luod(luod) => Events::subscribe(luod.socket(), luod.service()),
            Backend::Direct(_) => Err(Error::NeedsLuod {
                what: "hearing of updates",
            }),
        }
    }

    /// Preserves every item of a direct store for the next kernel.
    ///
    /// # Errors
    /// [`Error::Kernel`]; [`Error::LuodDoesIt`] with luod.
    pub fn preserve(&self) -> Result<Preserved, Error> {
        match &self.backend {
            Backend::Luod(_) => Err(Error::LuodDoesIt),
            Backend::Direct(direct) => direct.preserve().map(|session| Preserved { session }),
        }
    }
}

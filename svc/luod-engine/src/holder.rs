//! The holder: a process that does nothing but keep descriptors.
//!
//! Closing the last descriptor of a session discards everything in it. So every session, every
//! kept memfd and the journal have a duplicate here, in a process small enough never to crash and
//! never to need an upgrade; `luod` itself may die at any moment.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use live_varlink::{Handler, Interface, Peer, Replies, Request, Server, ServerInfo, WireError};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) const PUT: &str = "io.liveupdate.Holder.Put";
pub(crate) const GET: &str = "io.liveupdate.Holder.Get";
pub(crate) const REMOVE: &str = "io.liveupdate.Holder.Remove";
pub(crate) const LIST: &str = "io.liveupdate.Holder.List";

/// Names one descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

/// Everything held, and by whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) pid: u32,
    pub(crate) names: Vec<String>,
}

const INFO: ServerInfo = ServerInfo {
    vendor: "liveupdate",
    product: "luod holder",
    version: env!("CARGO_PKG_VERSION"),
    url: "",
    interfaces: &[Interface {
        name: "io.liveupdate.Holder",
        description: include_str!("io.liveupdate.Holder.varlink"),
    }],
};

/// Listens on `socket` and keeps descriptors until the process ends.
///
/// # Errors
/// The socket cannot be made, or another holder listens there already.
pub fn run(socket: &Path) -> io::Result<()> {
    serve(&bind(socket)?)
}

/// Listens on `socket`, for this user only.
///
/// # Errors
/// The socket cannot be made, or there is one already.
pub fn bind(socket: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on `listener`.
///
/// # Errors
/// The listener failed.
pub fn serve(listener: &UnixListener) -> io::Result<()> {
    Server::new(Arc::new(Holder::default()), INFO).run_with_threads(listener)
}

#[derive(Default)]
struct Holder {
    held: Mutex<BTreeMap<String, OwnedFd>>,
}

impl Handler for Holder {
    fn call(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Result<(), WireError> {
        if peer.uid != rustix::process::geteuid().as_raw() {
            return replies.error("io.liveupdate.Holder.PermissionDenied", &json!({}));
        }
        let name = || serde_json::from_value::<Name>(request.parameters.clone()).map(|n| n.name);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method.as_str() {
            PUT => {
                let Some(fd) = fds.into_iter().next() else {
                    return replies.error("io.liveupdate.Holder.NoDescriptor", &json!({}));
                };
                // Replaced in one step: there is no moment without either.
                held.insert(name()?, fd);
                replies.done(&json!({}), &[])
            }
            GET => match held.get(&name()?) {
                Some(fd) => replies.done(&json!({}), &[fd.as_fd()]),
                None => replies.error("io.liveupdate.Holder.NotFound", &json!({})),
            },
            REMOVE => {
                held.remove(&name()?);
                replies.done(&json!({}), &[])
            }
            LIST => {
                let names = held.keys().cloned().collect();
                replies.done(
                    &Listing {
                        pid: std::process::id(),
                        names,
                    },
                    &[],
                )
            }
            method => {
                let name = "org.varlink.service.MethodNotFound";
                replies.error(name, &json!({ "method": method }))
            }
        }
    }

    fn disconnected(&self, _peer: &Peer) {}
}

//! The device without luod: held open by a stranger, and mistakes with names and tokens.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use liveupdate::{Device, Error, MemfdSpec, SessionName, Store, Token};

use crate::say;

/// Time between two looks for a file.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps the device open until a signal ends it; waits for a file first.
pub(crate) fn hold(after: Option<&Path>) -> anyhow::Result<()> {
    while after.is_some_and(|path| !path.exists()) {
        thread::sleep(PAUSE);
    }
    let device = Device::open()?;
    say!("holding {device:?}");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Which session.
#[derive(Debug, clap::Args)]
pub(crate) struct DuplicateArguments {
    /// Its name.
    session: String,
}

/// Tries to make a session whose name is taken, and makes none.
pub(crate) fn duplicate(arguments: &DuplicateArguments) -> anyhow::Result<()> {
    let name = SessionName::new(&arguments.session)?;
    match Device::open_within(Duration::from_secs(1))?.create_session(&name) {
        Ok(_) => anyhow::bail!("{name} was free"),
        Err(error) => say!("{error}"),
    }
    Ok(())
}

/// Makes every mistake a direct store can make, and prints what the client library says.
///
/// On 7.3.4 a create of a name that is taken leaves an empty block behind if the number of
/// outgoing sessions is a multiple of 51, and the next kernel panics on it. Here it is 1: the
/// session of this program. luod must not be in the middle of an update.
pub(crate) fn mistakes() -> anyhow::Result<()> {
    tell("empty name", Store::direct(""));
    tell("64 bytes", Store::direct(&"x".repeat(64)));
    let mut store = Store::direct("e2e-direct")?;
    let item = store.memfd("one", &MemfdSpec::new(4096))?;
    let preserved = store.preserve().context("the first session")?;
    tell("name taken", store.preserve());
    let other = rustix::fs::memfd_create("other", rustix::fs::MemfdFlags::CLOEXEC)?;
    let session = preserved.session();
    let answer = session.preserve(&other, Token(1));
    tell("token taken", answer.map_err(Error::from));
    let answer = session.preserve(item.fd(), Token(2));
    tell("file preserved twice", answer.map_err(Error::from));
    // The session is as good as before.
    session
        .preserve(&other, Token(3))
        .context("after the mistakes")?;
    say!("afterwards: works");
    Ok(())
}

fn tell<T>(what: &str, answer: Result<T, Error>) {
    match answer {
        Ok(_) => say!("{what}: no error"),
        Err(error) => say!("{what}: {error}"),
    }
}

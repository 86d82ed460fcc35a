//! The arena kept by luod: over our own restart, luod's, and a live update of the kernel.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use liveupdate::{Error, Event, EventKind, Events, MemfdSpec, Origin, Store};

use crate::server::Control;

/// Name of the one item.
const ARENA: &str = "arena";
/// Version of the arena's layout as luod keeps it; the arena's own header is checked as well.
const SCHEMA: u32 = 1;
/// Time between two tries to find a luod that is being restarted.
const RETRY: Duration = Duration::from_millis(100);

/// A connection to luod, and what it kept.
#[derive(Debug)]
pub struct Kept {
    service: String,
    store: Store,
    origin: Origin,
}

impl Kept {
    /// The arena kept for `service`, or a new one of `len` bytes.
    ///
    /// # Errors
    ///
    /// What luod or the kernel refuses; an arena that was lost is an error, not a new arena.
    pub fn open(service: &str, len: u64) -> Result<(Self, OwnedFd), Error> {
        let mut store = Store::connect(service)?;
        // An arena keeps the size it was made with.
        let spec = MemfdSpec::new(len).any_size().schema(SCHEMA);
        let item = store.memfd(ARENA, &spec)?;
        let (service, origin) = (service.to_owned(), item.origin());
        let kept = Self {
            service,
            store,
            origin,
        };
        Ok((kept, item.into_fd()))
    }

    /// Where the arena came from, for people.
    #[must_use]
    pub const fn origin(&self) -> &'static str {
        match self.origin {
            Origin::New => "new",
            Origin::Kept => "kept over a restart",
            Origin::Updated => "kept over a live update",
        }
    }

    /// Says that the cache answers again, and takes part in updates from now on, in a thread of
    /// its own: at FREEZE the server pauses between two commands, after a cancelled update it goes
    /// on. What luod refuses is told to `refused_fn`; the cache answers all the same.
    pub fn serve(self, control: Control, refused_fn: impl Fn(&Error) + Send + 'static) {
        let Self { service, store, .. } = self;
        thread::spawn(move || {
            let mut store = store;
            loop {
                match take_part(&mut store, &control) {
                    // luod has ended. The holder still has the arena, so there is nothing to
                    // save; whatever luod was doing, it has cancelled.
                    Ok(()) | Err(Error::Connection(_)) => control.resume(),
                    Err(error) => refused_fn(&error),
                }
                thread::sleep(RETRY);
                store = reconnect(&service);
            }
        });
    }
}

/// Everything is back: says so, then follows updates until luod ends.
fn take_part(store: &mut Store, control: &Control) -> Result<(), Error> {
    store.running()?;
    store.finish()?;
    follow(&mut store.events()?, control);
    Ok(())
}

/// Follows updates until luod ends.
fn follow(events: &mut Events, control: &Control) {
    while let Ok(Some(event)) = events.next() {
        // What fails here fails because luod went on without us: the update is cancelled.
        let _answered = match event.kind() {
            EventKind::Prepare => events.ready(&event),
            EventKind::Freeze => freeze(events, &event, control),
            EventKind::Cancel => {
                control.resume();
                Ok(())
            }
        };
    }
}

fn freeze(events: &mut Events, event: &Event, control: &Control) -> Result<(), Error> {
    match control.pause(event.deadline()) {
        Ok(()) => events.ready(event),
        Err(error) => events.veto(event, &error.to_string()),
    }
}

fn reconnect(service: &str) -> Store {
    loop {
        if let Ok(store) = Store::connect(service) {
            return store;
        }
        thread::sleep(RETRY);
    }
}

//! Every function of `liveupdate.h`; what each does is said there.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use c_abi_sys::{CDescriptor, CText};
use liveupdate::{EventKind, Item, Store};
use rustix::io::Errno;

use crate::failure::{self, Failure, answer};
use crate::layout::{CEvent, CEvents, CItem, CPreserved, CSpec, CStore, NAME_SIZE, Place, text};

c_abi_sys::export! {
    fn liveupdate_connect(service: CText<'_>, store: Place<'_, Box<CStore>>) -> c_int {
        answer(open(store, || Ok(Store::connect(required(service, "service")?)?)))
    }

    fn liveupdate_connect_to(
        socket: CText<'_>,
        service: CText<'_>,
        patience_ms: u32,
        store: Place<'_, Box<CStore>>,
    ) -> c_int {
        answer(open(store, || {
            let socket = Path::new(required(socket, "socket")?);
            let patience = Duration::from_millis(patience_ms.into());
            Ok(Store::connect_to(socket, required(service, "service")?, patience)?)
        }))
    }

    fn liveupdate_direct(session: CText<'_>, store: Place<'_, Box<CStore>>) -> c_int {
        answer(open(store, || Ok(Store::direct(required(session, "session")?)?)))
    }

    fn liveupdate_close(store: Option<Box<CStore>>) {
        drop(store);
    }

    fn liveupdate_memfd(
        store: Option<&CStore>,
        name: CText<'_>,
        spec: Option<&CSpec>,
        item: Place<'_, CItem>,
    ) -> c_int {
        answer(take(item, || {
            let spec = given(spec, "spec")?.to_spec()?;
            let mut held = given(store, "store")?.lock();
            Ok(held.store.memfd(required(name, "name")?, &spec)?)
        }))
    }

    fn liveupdate_kept(
        store: Option<&CStore>,
        name: CText<'_>,
        spec: Option<&CSpec>,
        item: Place<'_, CItem>,
    ) -> c_int {
        answer(take(item, || {
            let spec = given(spec, "spec")?.to_spec()?;
            let name = required(name, "name")?;
            let mut held = given(store, "store")?.lock();
            let nothing = || Failure::new(Errno::NOENT, format!("nothing is kept as {name:?}"));
            held.store.kept(name, &spec)?.ok_or_else(nothing)
        }))
    }

    fn liveupdate_keep(
        store: Option<&CStore>,
        name: CText<'_>,
        fd: CDescriptor<'_>,
        spec: Option<&CSpec>,
    ) -> c_int {
        answer(done(|| {
            let spec = given(spec, "spec")?.to_spec()?;
            let file = fd.get().map_err(|errno| Failure::new(errno, "fd is not open"))?;
            let mut held = given(store, "store")?.lock();
            Ok(held.store.keep(required(name, "name")?, file, &spec)?)
        }))
    }

    fn liveupdate_forget(store: Option<&CStore>, name: CText<'_>) -> c_int {
        answer(done(|| {
            let mut held = given(store, "store")?.lock();
            Ok(held.store.forget(required(name, "name")?)?)
        }))
    }

    fn liveupdate_name_count(store: Option<&CStore>) -> c_int {
        answer(given(store, "store").map(|store| {
            let names = store.lock().store.names();
            c_int::try_from(names.len()).unwrap_or(c_int::MAX)
        }))
    }

    fn liveupdate_name(
        store: Option<&CStore>,
        number: usize,
        name: Place<'_, [c_char; NAME_SIZE]>,
    ) -> c_int {
        answer(done(|| {
            let place = given(name, "name")?;
            let names = given(store, "store")?.lock().store.names();
            let beyond = || Failure::new(Errno::NOENT, format!("there are {} names", names.len()));
            let name = names.get(number).ok_or_else(beyond)?;
            let long = || Failure::new(Errno::NAMETOOLONG, format!("{name:?} does not fit"));
            place.write(text(name).ok_or_else(long)?);
            Ok(())
        }))
    }

    fn liveupdate_running(store: Option<&CStore>) -> c_int {
        answer(done(|| Ok(given(store, "store")?.lock().store.running()?)))
    }

    fn liveupdate_discard(store: Option<&CStore>, name: CText<'_>) -> c_int {
        answer(done(|| {
            let name = required(name, "name")?.to_owned();
            given(store, "store")?.lock().discard.push(name);
            Ok(())
        }))
    }

    fn liveupdate_finish(store: Option<&CStore>) -> c_int {
        answer(done(|| {
            let held = &mut *given(store, "store")?.lock();
            let discard: Vec<_> = held.discard.iter().map(String::as_str).collect();
            held.store.finish_discarding(&discard)?;
            held.discard.clear();
            Ok(())
        }))
    }

    fn liveupdate_events_open(
        store: Option<&CStore>,
        events: Place<'_, Box<CEvents>>,
    ) -> c_int {
        answer(done(|| {
            let place = given(events, "events")?;
            let events = given(store, "store")?.lock().store.events()?;
            let number = events.as_fd().as_raw_fd();
            place.write(Box::new(CEvents::new(number, events)));
            Ok(())
        }))
    }

    fn liveupdate_events_fd(events: Option<&CEvents>) -> c_int {
        answer(given(events, "events").map(|events| events.number))
    }

    fn liveupdate_events_next(events: Option<&CEvents>, event: Place<'_, CEvent>) -> c_int {
        answer(next(events, event))
    }

    fn liveupdate_events_ready(events: Option<&CEvents>) -> c_int {
        answer(done(|| {
            let stream = &mut *given(events, "events")?.lock();
            let event = stream.last.take().ok_or_else(nothing_waits)?;
            Ok(stream.events.ready(&event)?)
        }))
    }

    fn liveupdate_events_veto(events: Option<&CEvents>, reason: CText<'_>) -> c_int {
        answer(done(|| {
            let reason = required(reason, "reason")?;
            let stream = &mut *given(events, "events")?.lock();
            let event = stream.last.take().ok_or_else(nothing_waits)?;
            Ok(stream.events.veto(&event, reason)?)
        }))
    }

    fn liveupdate_events_close(events: Option<Box<CEvents>>) {
        drop(events);
    }

    fn liveupdate_preserve(
        store: Option<&CStore>,
        preserved: Place<'_, Box<CPreserved>>,
    ) -> c_int {
        answer(done(|| {
            let place = given(preserved, "preserved")?;
            let preserved = given(store, "store")?.lock().store.preserve()?;
            place.write(Box::new(CPreserved { _preserved: preserved }));
            Ok(())
        }))
    }

    fn liveupdate_unpreserve(preserved: Option<Box<CPreserved>>) {
        drop(preserved);
    }

    fn liveupdate_error_message() -> *const c_char {
        failure::message()
    }

    fn liveupdate_error_refusal() -> c_int {
        failure::refusal()
    }

    fn liveupdate_strerror(error: c_int) -> *const c_char {
        failure::meaning(error).as_ptr()
    }
}

/// Makes a store in the caller's place.
fn open(
    place: Place<'_, Box<CStore>>,
    open_fn: impl FnOnce() -> Result<Store, Failure>,
) -> Result<c_int, Failure> {
    let place = given(place, "store")?;
    place.write(Box::new(CStore::new(open_fn()?)));
    Ok(0)
}

/// Puts an item into the caller's place.
fn take(
    place: Place<'_, CItem>,
    take_fn: impl FnOnce() -> Result<Item, Failure>,
) -> Result<c_int, Failure> {
    let place = given(place, "item")?;
    place.write(take_fn()?.into());
    Ok(0)
}

fn done(do_fn: impl FnOnce() -> Result<(), Failure>) -> Result<c_int, Failure> {
    do_fn().map(|()| 0)
}

/// Waits for a step; one that wants an answer is remembered until it has it.
fn next(events: Option<&CEvents>, place: Place<'_, CEvent>) -> Result<c_int, Failure> {
    let place: &mut MaybeUninit<CEvent> = given(place, "event")?;
    let mut stream = given(events, "events")?.lock();
    let Some(event) = stream.events.next()? else {
        return Ok(0);
    };
    place.write(CEvent::of(&event));
    stream.last = (event.kind() != EventKind::Cancel).then_some(event);
    Ok(1)
}

fn nothing_waits() -> Failure {
    Failure::new(Errno::INVAL, "no step waits for an answer")
}

/// Refuses null.
fn given<T>(pointer: Option<T>, what: &str) -> Result<T, Failure> {
    pointer.ok_or_else(|| Failure::new(Errno::INVAL, format!("{what} is null")))
}

/// A text that must be there.
fn required<'a>(text: CText<'a>, what: &str) -> Result<&'a str, Failure> {
    let text = text.get();
    let text = text.map_err(|error| Failure::new(Errno::INVAL, format!("{what}: {error}")))?;
    given(text, what)
}

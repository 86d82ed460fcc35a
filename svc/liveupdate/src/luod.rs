//! A store kept by `luod`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use live_varlink::Client;
use luo_sys::{Incoming, Session, Token};
use luod_api::ApiError;
use luod_api::service::{self, Attached, Done, Finish, Keep, Named, Nothing, method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use update::ItemState;

use crate::error::Error;
use crate::item::{Item, Origin, check_unchanged};
use crate::spec::{MemfdSpec, Seals};

/// Time between two tries to find luod.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// A connection that speaks for a service.
#[derive(Debug)]
pub(crate) struct Luod {
    socket: PathBuf,
    service: String,
    client: Client,
    items: BTreeMap<String, service::Item>,
    session: Option<Session<Incoming>>,
}

impl Luod {
    /// Attaches; waits for a socket that is not there yet until `patience` is over.
    pub(crate) fn attach(socket: &Path, service: &str, patience: Duration) -> Result<Self, Error> {
        let parameters = service::Attach {
            service: service.to_owned(),
        };
        let begin = Instant::now();
        let (client, attached, fds) = loop {
            let mut client = connect(socket, patience.saturating_sub(begin.elapsed()))?;
            match call::<Attached>(&mut client, method::ATTACH, &parameters, &[]) {
                Ok((attached, fds)) => break (client, attached, fds),
                // Of a luod that was just ending: its listener goes last.
                Err(Error::Connection(_)) if begin.elapsed() < patience => {
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        };
        let mut store = Self {
            socket: socket.to_owned(),
            service: service.to_owned(),
            client,
            items: attached
                .items
                .into_iter()
                .map(|item| (item.name.clone(), item))
                .collect(),
            session: None,
        };
        if attached.is_incoming {
            // An older luod does not send it along.
            let fd = match fds.into_iter().next() {
                Some(fd) => fd,
                None => store.call_for_fd(method::GET_SESSION, &store.nothing())?,
            };
            store.session = Some(Session::from_fd(fd));
        }
        Ok(store)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let kept = self.items.values();
        let kept = kept.filter(|item| item.state != ItemState::Discarded);
        kept.map(|item| item.name.clone()).collect()
    }

    pub(crate) fn memfd(&mut self, name: &str, spec: &MemfdSpec) -> Result<Item, Error> {
        let known = self.items.get(name).cloned();
        match known.as_ref().map(|item| (item, &item.state)) {
            None | Some((_, ItemState::Discarded)) => self.create(name, spec),
            Some((_, ItemState::Lost { reason })) => Err(Error::Lost {
                item: name.to_owned(),
                reason: reason.clone(),
            }),
            Some((item, ItemState::Held)) => {
                let named = self.named(name);
                let fd = self.call_for_fd(method::GET, &named)?;
                let seals = Seals::from_bits(item.seals);
                // Nothing held the size of a file without these seals while its owner worked.
                let expected_bytes = match seals.contains(Seals::FIXED_SIZE) {
                    true => item.size_bytes,
                    false => crate::spec::size_of(&fd)?,
                };
                spec.check(name, item.schema, expected_bytes)?;
                check_unchanged(name, &fd, expected_bytes, seals)?;
                Ok(Item {
                    size_bytes: expected_bytes,
                    ..taken(fd, Origin::Kept, item)
                })
            }
            Some((item, ItemState::Incoming)) => self.retrieve(name, item, spec),
        }
    }

    fn create(&mut self, name: &str, spec: &MemfdSpec) -> Result<Item, Error> {
        let fd = spec.create(name)?;
        self.keep(name, fd.as_fd(), spec.newest_schema(), spec)?;
        let size_bytes = crate::spec::size_of(&fd)?;
        Ok(Item {
            fd,
            origin: Origin::New,
            schema: spec.newest_schema(),
            size_bytes,
        })
    }

    /// Retrieves an item in this process: its memory is charged to whoever retrieves.
    fn retrieve(
        &mut self,
        name: &str,
        item: &service::Item,
        spec: &MemfdSpec,
    ) -> Result<Item, Error> {
        spec.check(name, item.schema, item.size_bytes)?;
        let Some(session) = &self.session else {
            return Err(Error::NoDescriptor {
                method: method::GET_SESSION,
            });
        };
        let fd = session.retrieve(Token(item.token))?;
        check_unchanged(name, &fd, item.size_bytes, Seals::from_bits(item.seals))?;
        self.keep(name, fd.as_fd(), item.schema, spec)?;
        Ok(taken(fd, Origin::Updated, item))
    }

    /// Gives a file into keeping.
    pub(crate) fn keep(
        &mut self,
        name: &str,
        fd: BorrowedFd<'_>,
        schema: u32,
        spec: &MemfdSpec,
    ) -> Result<(), Error> {
        let required = spec.is_required();
        let (service, item) = (self.service.clone(), name.to_owned());
        let parameters = Keep {
            service,
            item,
            schema,
            required,
        };
        call::<Done>(&mut self.client, method::KEEP, &parameters, &[fd])?;
        // Known from now on: asked for again, it is this file and no new one.
        let item = service::Item {
            name: name.to_owned(),
            token: 0,
            schema,
            size_bytes: crate::spec::size_of(fd)?,
            seals: Seals::of(fd).map_or(0, Seals::bits),
            state: ItemState::Held,
        };
        self.items.insert(name.to_owned(), item);
        Ok(())
    }

    pub(crate) fn forget(&mut self, name: &str) -> Result<(), Error> {
        let named = self.named(name);
        call::<Done>(&mut self.client, method::FORGET, &named, &[])?;
        self.items.remove(name);
        Ok(())
    }

    pub(crate) fn running(&mut self) -> Result<(), Error> {
        let nothing = self.nothing();
        call::<Done>(&mut self.client, method::RUNNING, &nothing, &[]).map(drop)
    }

    pub(crate) fn finish(&mut self, discard: &[&str]) -> Result<(), Error> {
        let discard = discard.iter().map(|&name| name.to_owned()).collect();
        let parameters = Finish {
            service: self.service.clone(),
            discard,
        };
        call::<Done>(&mut self.client, method::FINISH, &parameters, &[])?;
        self.session = None;
        Ok(())
    }

    fn nothing(&self) -> Nothing {
        Nothing {
            service: self.service.clone(),
        }
    }

    fn named(&self, item: &str) -> Named {
        Named {
            service: self.service.clone(),
            item: item.to_owned(),
        }
    }

    fn call_for_fd(
        &mut self,
        method: &'static str,
        parameters: &impl Serialize,
    ) -> Result<OwnedFd, Error> {
        let (_, fds) = call::<Done>(&mut self.client, method, parameters, &[])?;
        fds.into_iter().next().ok_or(Error::NoDescriptor { method })
    }
}

fn taken(fd: OwnedFd, origin: Origin, item: &service::Item) -> Item {
    Item {
        fd,
        origin,
        schema: item.schema,
        size_bytes: item.size_bytes,
    }
}

/// Calls luod; a refusal is an error of its own.
pub(crate) fn call<R: DeserializeOwned>(
    client: &mut Client,
    method: &str,
    parameters: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> Result<(R, Vec<OwnedFd>), Error> {
    client
        .call(method, parameters, fds)
        .map_err(|error| ApiError::from(error).into())
}

/// Connects, and attaches nothing yet.
pub(crate) fn connect(socket: &Path, patience: Duration) -> Result<Client, Error> {
    let begin = Instant::now();
    loop {
        match Client::connect(socket) {
            Ok(client) => return Ok(client),
            Err(_error) if begin.elapsed() < patience => thread::sleep(RETRY_PAUSE),
            Err(source) => {
                return Err(Error::Unreachable {
                    socket: socket.to_owned(),
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Its listener is the last thing of a luod that ends: it may still take a connection that nobody answers.
    #[test]
    fn a_luod_that_ends_just_then_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = thread::spawn(move || {
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [1];
            while byte != [0] {
                stream.read_exact(&mut byte).unwrap();
            }
            let answer =
                "{\"parameters\":{\"phase\":\"normal\",\"is_incoming\":false,\"items\":[]}}\0";
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let store = Luod::attach(&socket, "s", Duration::from_secs(20)).unwrap();
        assert!(store.names().is_empty());
        served.join().unwrap();
    }
}

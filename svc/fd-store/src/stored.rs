//! What is kept of what a service stored.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use liveupdate::{Code, Error, MemfdSpec, Seals, Store};
use rustix::fs::fstat;

use crate::message::Action;

/// Start of the names of these items.
pub const PREFIX: &str = "fd:";
/// Most descriptors of one service: as many as go through a socket at once (`SCM_MAX_FD`, `include/net/scm.h`, v7.3).
pub const MOST: usize = 253;
/// Most messages that wait for luod: a service may send without end.
const MOST_WAITING: usize = 4 * MOST;
/// Version of what is kept: the content is the service's own affair.
const SCHEMA: u32 = 1;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is worked off.
    Done,
    /// It waits until luod takes changes again: between PREPARE and FREEZE it does not, nor while it is restarted.
    Later,
    /// It was refused; a service cannot be told, so the log has to.
    Refused(String),
}

/// The store of one service.
#[derive(Debug)]
pub struct Stored {
    limit: usize,
    /// In the order in which they were stored.
    entries: Vec<Entry>,
    /// Number of the next.
    next: u64,
    /// What luod did not take yet.
    waiting: VecDeque<(Action, Vec<OwnedFd>)>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    name: String,
    fd: OwnedFd,
}

impl Entry {
    fn item(&self) -> String {
        item_name(self.number, &self.name)
    }
}

impl Stored {
    /// What is kept in `store`: retrieved if it came over. At most `limit` descriptors are taken from now on.
    ///
    /// # Errors
    /// What the store says: something is lost, or luod does not answer.
    pub fn load(store: &mut Store, limit: usize) -> Result<Self, Error> {
        let mut entries = Vec::new();
        for item in store.names() {
            let Some((number, name)) = parse_item(&item) else {
                continue;
            };
            if let Some(kept) = store.kept(&item, &spec())? {
                let fd = kept.into_fd();
                entries.push(Entry { number, name, fd });
            }
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(Self {
            limit: limit.min(MOST),
            next: entries
                .last()
                .map_or(1, |entry| entry.number.saturating_add(1)),
            entries,
            waiting: VecDeque::new(),
        })
    }

    /// Names and duplicates of everything stored, in order, for the service's next start.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn passed(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let entries = self.entries.iter();
        entries
            .map(|entry| Ok((entry.name.clone(), entry.fd.try_clone()?)))
            .collect()
    }

    /// Does what a message wants; behind others that wait, it waits as well. Descriptors that are not kept are closed.
    pub fn work(&mut self, action: Action, fds: Vec<OwnedFd>, store: &mut Store) -> Answer {
        if action == Action::Barrier {
            // What waits is held by this process: nothing that came before can get lost any more.
            return Answer::Done;
        }
        if !self.waiting.is_empty() {
            return self.queue(action, fds);
        }
        match action {
            Action::Store(name) => self.keep(&name, fds, store),
            Action::Remove(name) => self.remove(name, store),
            Action::Barrier => Answer::Done,
        }
    }

    /// Has a message wait behind others.
    fn queue(&mut self, action: Action, fds: Vec<OwnedFd>) -> Answer {
        if self.waiting.len() >= MOST_WAITING {
            let text =
                format!("{MOST_WAITING} messages wait for luod already, {action:?} is not kept");
            return Answer::Refused(text);
        }
        self.waiting.push_back((action, fds));
        Answer::Later
    }

    /// Does what waited, as far as luod takes it now; what was refused.
    pub fn catch_up(&mut self, store: &mut Store) -> Vec<String> {
        let mut refused = Vec::new();
        for (action, fds) in std::mem::take(&mut self.waiting) {
            if let Answer::Refused(why) = self.work(action, fds, store) {
                refused.push(why);
            }
        }
        refused
    }

    /// How many messages wait until luod takes changes again.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn keep(&mut self, name: &str, fds: Vec<OwnedFd>, store: &mut Store) -> Answer {
        let mut refused = Vec::new();
        let mut fds = fds.into_iter();
        while let Some(fd) = fds.next() {
            if self.has(&fd) {
                // systemd ignores it as well, whatever the name.
                continue;
            }
            if self.entries.len() >= self.limit {
                let limit = self.limit;
                refused.push(format!(
                    "{name:?}: {limit} descriptors are stored, no more fit"
                ));
                continue;
            }
            let (number, name) = (self.next, name.to_owned());
            let entry = Entry { number, name, fd };
            match store.keep(&entry.item(), &entry.fd, &spec()) {
                Ok(()) => {
                    self.next = self.next.saturating_add(1);
                    self.entries.push(entry);
                }
                Err(error) if is_passing(&error) => {
                    let left = [entry.fd].into_iter().chain(fds).collect();
                    self.waiting.push_back((Action::Store(entry.name), left));
                    return Answer::Later;
                }
                Err(error) => refused.push(format!("{:?}: {error}", entry.name)),
            }
        }
        match refused.is_empty() {
            true => Answer::Done,
            false => Answer::Refused(refused.join("; ")),
        }
    }

    fn remove(&mut self, name: String, store: &mut Store) -> Answer {
        while let Some(at) = self.entries.iter().position(|entry| entry.name == name) {
            match store.forget(&self.entries[at].item()) {
                Ok(()) => drop(self.entries.remove(at)),
                Err(error) if is_passing(&error) => {
                    self.waiting.push_back((Action::Remove(name), Vec::new()));
                    return Answer::Later;
                }
                Err(error) => return Answer::Refused(format!("{name:?}: {error}")),
            }
        }
        Answer::Done
    }

    /// Whether this very file is stored: no session takes it twice.
    fn has(&self, fd: &OwnedFd) -> bool {
        let identity = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        let new = identity(fd);
        let mut entries = self.entries.iter();
        new.is_some() && entries.any(|entry| identity(&entry.fd) == new)
    }
}

/// Whether it is only now that luod does not take it: there is an update under way, or no luod.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => refusal.code == Code::WrongPhase,
        Error::Connection(_) | Error::Unreachable { .. } => true,
        _ => false,
    }
}

/// Of any size, which may change while nothing is preserved.
const fn spec() -> MemfdSpec {
    MemfdSpec::new(0)
        .seals(Seals::NONE)
        .any_size()
        .schema(SCHEMA)
}

/// The number is in front, so that equal names are several items; what an item's name cannot have is escaped.
fn item_name(number: u64, name: &str) -> String {
    let escaped = name.replace('%', "%25").replace('/', "%2F");
    format!("{PREFIX}{number}:{escaped}")
}

fn parse_item(item: &str) -> Option<(u64, String)> {
    let (number, escaped) = item.strip_prefix(PREFIX)?.split_once(':')?;
    let name = escaped.replace("%2F", "/").replace("%25", "%");
    Some((number.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_in_order_and_not_without_end() {
        let remove = |number: usize| Action::Remove(number.to_string());
        let mut stored = Stored {
            limit: MOST,
            entries: Vec::new(),
            next: 1,
            waiting: VecDeque::from([(remove(0), Vec::new())]),
        };
        for number in 1..MOST_WAITING {
            assert_eq!(stored.queue(remove(number), Vec::new()), Answer::Later);
        }
        let refused = stored.queue(remove(MOST_WAITING), Vec::new());
        assert!(matches!(refused, Answer::Refused(why) if why.contains("wait for luod already")));
        assert_eq!(stored.waiting(), MOST_WAITING);
    }

    #[test]
    fn the_name_of_an_item_leads_back_to_that_of_the_descriptor() {
        for name in ["", "file", "a/b", "100%", "%2F", "%252F", "a b"] {
            let item = item_name(7, name);
            assert!(!item.contains('/'));
            assert_eq!(parse_item(&item), Some((7, name.to_owned())), "{item}");
        }
        assert_eq!(parse_item("tree-1"), None);
        assert_eq!(parse_item("fd:x:y"), None);
    }
}

//! What luod says at the very end, where the next kernel can find it.
//!
//! The kernel's log is kept by pstore, if something is set up for it; `/dev/pmsg0` (`CONFIG_PSTORE_PMSG`) is a place of its
//! own that the kernel's lines do not crowd.

use std::fs::File;
use std::io::Write as _;

use update::{ItemState, Journal};

/// The kernel's log.
const KMSG: &str = "/dev/kmsg";
/// What is kept for programs.
const PMSG: &str = "/dev/pmsg0";
/// Services named one by one: the place is small.
const MOST_SERVICES: usize = 64;

/// How grave a line is, as the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Something went wrong.
    Error,
    /// All is well.
    Info,
}

/// What is said before the jump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// One line, for the kernel's log.
    pub summary: String,
    /// A line for each service.
    pub details: Vec<String>,
}

impl LastWords {
    /// Of what is handed over.
    pub(crate) fn new(journal: &Journal) -> Self {
        let id = journal.update.as_ref().map_or("", |update| &*update.id);
        let services = || journal.services.iter();
        let held = |service: &update::ServiceRecord| {
            let items = service.items.iter();
            let held = items.filter(|item| item.state == ItemState::Held);
            held.fold((0_u64, 0_u64), |(count, bytes), item| {
                (count + 1, bytes.saturating_add(item.size_bytes))
            })
        };
        let (count, bytes) = services()
            .map(|service| held(service))
            .fold((0, 0_u64), |(count, bytes), (more, larger)| {
                (count + more, bytes.saturating_add(larger))
            });
        let details = services().take(MOST_SERVICES).map(|service| {
            let (count, bytes) = held(service);
            format!("{}: {count} items, {bytes} bytes", service.name)
        });
        Self {
            summary: format!(
                "update {id}: everything is frozen, {} services hand over {count} items, {bytes} bytes",
                services().count()
            ),
            details: details.collect(),
        }
    }

    /// Says it.
    pub(crate) fn say(&self) {
        tell(Gravity::Info, &self.summary);
        for line in &self.details {
            write(PMSG, &format!("luod: {line}\n"));
        }
    }
}

/// Says one line in both places.
pub fn tell(gravity: Gravity, line: &str) {
    let level = match gravity {
        Gravity::Error => 3,
        Gravity::Info => 6,
    };
    write(KMSG, &format!("<{level}>luod: {line}"));
    write(PMSG, &format!("luod: {line}\n"));
}

/// At the end there is nobody to tell that it failed.
fn write(path: &str, text: &str) {
    if let Ok(mut file) = File::options().write(true).open(path) {
        let _lost = file.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use update::{ItemRecord, ServiceRecord, UpdateRecord};

    use super::*;

    #[test]
    fn what_is_lost_already_is_not_handed_over() {
        let item = |size_bytes, state| ItemRecord {
            name: "arena".into(),
            token: 1,
            schema: 0,
            required: true,
            size_bytes,
            seals: 0,
            state,
        };
        let mut service = ServiceRecord::new("cache".into(), 0);
        service.items = vec![item(7, ItemState::Held), item(90, ItemState::Discarded)];
        let journal = Journal {
            services: vec![Arc::new(service)],
            update: Some(UpdateRecord {
                id: "4f2a".into(),
                ..UpdateRecord::default()
            }),
            ..Journal::default()
        };
        let words = LastWords::new(&journal);
        assert_eq!(
            words.summary,
            "update 4f2a: everything is frozen, 1 services hand over 1 items, 7 bytes"
        );
        assert_eq!(words.details, ["cache: 1 items, 7 bytes"]);
    }
}

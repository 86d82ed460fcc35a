//! How much of luod's care a user may take.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use luod_api::{Code, Refusal};
use serde::Deserialize;
use update::{Journal, ServiceRecord};

/// Services of all users together.
const MAX_SERVICES: usize = 16_384;
/// Items of one service.
const MAX_ITEMS: usize = 4096;

/// What one user may have kept. Root has no limits but those of luod itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserLimits {
    /// Services.
    pub services: usize,
    /// Items of each service.
    pub items: usize,
    /// Memory of all items together, in MiB.
    pub memory_mib: u64,
}

impl Default for UserLimits {
    fn default() -> Self {
        Self {
            services: MAX_SERVICES,
            items: MAX_ITEMS,
            memory_mib: u64::MAX,
        }
    }
}

/// The limits of every user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Of users that are not named.
    pub default: UserLimits,
    /// By user id; what is not set there is as if it were not limited.
    pub user: BTreeMap<String, UserLimits>,
}

/// A file of limits that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// It cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not as it should be; the message has the place.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line and column.
        message: String,
    },
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    limits: Limits,
}

impl Limits {
    /// Reads a configuration file; without one there are no limits but luod's own.
    ///
    /// # Errors
    /// [`LimitsError`] says where in the file.
    pub fn read(path: &Path) -> Result<Self, LimitsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                let path = path.to_owned();
                return Err(LimitsError::Read { path, source });
            }
        };
        Self::parse(&text).map_err(|message| LimitsError::Parse {
            path: path.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let users = file.limits.user.keys();
        if let Some(user) = users.into_iter().find(|user| user.parse::<u32>().is_err()) {
            return Err(format!(
                "limits.user.{user:?}: users are named by their numbers, as `id -u` prints them"
            ));
        }
        Ok(file.limits)
    }

    fn of(&self, uid: u32) -> UserLimits {
        match self.user.get(&uid.to_string()) {
            Some(limits) => *limits,
            None if uid == 0 => UserLimits::default(),
            None => self.default,
        }
    }

    /// Whether a user may register one more service.
    pub(crate) fn check_service(&self, journal: &Journal, uid: u32) -> Result<(), Refusal> {
        if journal.services.len() >= MAX_SERVICES {
            return Err(refuse(format!(
                "{MAX_SERVICES} services are registered, no more are possible"
            )));
        }
        let limit = self.of(uid).services;
        if of_user(journal, uid).count() >= limit {
            return Err(refuse(format!(
                "user {uid} has {limit} services, and may have no more"
            )));
        }
        Ok(())
    }

    /// Whether a service may keep one more item.
    pub(crate) fn check_item(&self, service: &ServiceRecord) -> Result<(), Refusal> {
        let limit = self.of(service.uid).items.min(MAX_ITEMS);
        if service.items.len() >= limit {
            return Err(refuse(format!(
                "{limit} items are kept for this service, no more are possible"
            )));
        }
        Ok(())
    }

    /// Whether a user may have this much kept, instead of `replaced`, which is kept now.
    pub(crate) fn check_memory(
        &self,
        journal: &Journal,
        uid: u32,
        added: u64,
        replaced: u64,
    ) -> Result<(), Refusal> {
        let limit = self.of(uid).memory_mib;
        if limit == u64::MAX {
            return Ok(());
        }
        let items = of_user(journal, uid).flat_map(|service| &service.items);
        let sizes = items.map(|item| item.size_bytes);
        let kept = sizes.fold(0, u64::saturating_add).saturating_sub(replaced);
        let bytes = kept.saturating_add(added);
        if bytes > limit.saturating_mul(1 << 20) {
            return Err(refuse(format!(
                "user {uid} has {} MiB kept, and with {} MiB more would pass the limit of {limit} MiB",
                kept >> 20,
                added.div_ceil(1 << 20)
            )));
        }
        Ok(())
    }
}

fn of_user(journal: &Journal, uid: u32) -> impl Iterator<Item = &ServiceRecord> {
    let services = journal.services.iter().map(|service| &**service);
    services.filter(move |service| service.uid == uid)
}

fn refuse(text: String) -> Refusal {
    Refusal::new(Code::LimitReached, text)
        .with_hint("forget something, or have the limit in luod's configuration raised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_who_may_have_how_much() {
        let text = "[limits.default]\nservices = 4\n\n[limits.user.1000]\nmemory_mib = 64\n";
        let limits = Limits::parse(text).unwrap();
        assert_eq!(limits.of(7).services, 4);
        assert_eq!(limits.of(7).items, MAX_ITEMS);
        assert_eq!(limits.of(1000).memory_mib, 64);
        assert_eq!(limits.of(1000).services, MAX_SERVICES);
        assert_eq!(limits.of(0), UserLimits::default());
        assert_eq!(Limits::parse("").unwrap(), Limits::default());
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_place() {
        for (text, parts) in [
            (
                "[limits.default]\nservises = 4\n",
                ["line 2, column 1", "services"],
            ),
            (
                "[limits.default]\nservices = -4\n",
                ["line 2, column 12", "-4"],
            ),
            ("[limit]\n", ["line 1", "limits"]),
            ("[limits.user.alice]\nitems = 1\n", ["alice", "id -u"]),
        ] {
            let message = Limits::parse(text).unwrap_err();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_limits_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits::read(&folder.path().join("luod.toml")).unwrap();
        assert_eq!(limits, Limits::default());
        assert!(Limits::read(folder.path()).is_err());
    }
}

//! Reads, checks and sets.

use std::os::fd::AsFd;

use ext4_sys::{Fields, TuneParams, get, set};
use mounts::{Create, FsContext, Param};
use serde::Serialize;

use crate::error::Error;
use crate::setting::{KEYS, Setting};

/// `EXT4_FEATURE_COMPAT_HAS_JOURNAL` (`fs/ext4/ext4.h`, v7.3).
const HAS_JOURNAL: u32 = 0x4;
/// Mount options that need a journal (`MOPT_…`, `ext4_check_opt_consistency()`, `fs/ext4/super.c`, v7.3).
const JOURNAL_OPTIONS: [&str; 5] = [
    "commit",
    "data",
    "journal_async_commit",
    "journal_checksum",
    "data_err",
];

/// Parameters with their values as text, in the order of the table.
pub type Parameters = Vec<(&'static str, String)>;

/// A parameter before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: &'static str,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// Reads all parameters of the file system that a file is on; takes no privileges.
///
/// # Errors
/// [`Error::Get`].
pub fn read(file: impl AsFd) -> Result<Parameters, Error> {
    let params = get(file).map_err(|errno| Error::Get { errno })?;
    Ok(shown(&params))
}

fn shown(params: &TuneParams) -> Parameters {
    let values = KEYS.iter().map(|key| (key.name, (key.show_fn)(params)));
    values.collect()
}

/// Sets parameters, all or none, and reads them again; gives those that changed.
///
/// # Errors
/// [`Error`]; nothing was changed.
pub fn tune(file: impl AsFd, settings: &[Setting]) -> Result<Vec<Difference>, Error> {
    let before = get(&file).map_err(|errno| Error::Get { errno })?;
    let mut wanted = before;
    let mut fields = Fields::default();
    for setting in settings {
        let Some(key) = setting.apply(&mut wanted) else {
            continue;
        };
        if fields.has(key.field) {
            return Err(Error::Twice { key: key.name });
        }
        fields = fields.and(key.field);
    }
    check(&before, &wanted, fields)?;
    // Always named, with what is stored unless that is to change: a kernel up to 7.2 stores it anyway.
    wanted.set_flags = fields.and(Fields::MOUNT_OPTIONS).0;
    if fields != Fields::default() {
        set(&file, &wanted).map_err(|errno| Error::Set { errno })?;
    }
    let after = read(file)?;
    let changed = shown(&before).into_iter().zip(after);
    let changed = changed.filter(|(before, after)| before != after);
    let differences = changed.map(|((name, before), (_, after))| Difference {
        name,
        before,
        after,
    });
    Ok(differences.collect())
}

fn check(before: &TuneParams, wanted: &TuneParams, fields: Fields) -> Result<(), Error> {
    if fields.has(Fields::RESERVED_BLOCKS) && wanted.reserved_blocks > before.blocks / 2 {
        return Err(Error::Reserved {
            blocks: wanted.reserved_blocks,
            all: before.blocks,
        });
    }
    if fields.has(Fields::MOUNT_OPTIONS) {
        let has_journal = before.features_compat & HAS_JOURNAL != 0;
        check_mount_options(&wanted.stored_mount_options(), has_journal)?;
    }
    Ok(())
}

/// Tries each option on a context that never becomes a file system.
fn check_mount_options(options: &str, has_journal: bool) -> Result<(), Error> {
    let options = options.split(',').filter(|option| !option.is_empty());
    let mut context = None;
    for option in options {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Param::String(value)),
            None => (option, Param::Flag),
        };
        if !has_journal && JOURNAL_OPTIONS.contains(&name) {
            let option = option.to_owned();
            return Err(Error::NeedsJournal { option });
        }
        let refused = |source| Error::MountOption {
            option: option.to_owned(),
            source,
        };
        let context = match &context {
            Some(context) => context,
            None => context.insert(FsContext::<Create>::open("ext4").map_err(refused)?),
        };
        context.set(name, value).map_err(refused)?;
    }
    Ok(())
}

//! What is kept for whom: the part of the journal that names every descriptor.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A service and everything kept for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Its name.
    pub name: String,
    /// User id of its owner: only this user and root may have its items.
    pub uid: u32,
    /// Its session. Default when absent: none.
    #[serde(default)]
    pub session: Option<SessionRecord>,
    /// Its items. Default when absent: none.
    #[serde(default)]
    pub items: Vec<ItemRecord>,
}

/// A kernel session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its name in the kernel.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Made in this kernel for the next.
    Outgoing,
    /// Came over, waits for its owner.
    Incoming,
    /// Did not come over.
    Missing {
        /// What the kernel answered.
        reason: String,
    },
}

/// One descriptor in keeping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its name, unique within the service.
    pub name: String,
    /// Its token in the service's session.
    pub token: u64,
    /// Version of what the owner stores in it. Default when absent: 0.
    #[serde(default)]
    pub schema: u32,
    /// Its loss over a jump is an error in the report. Default when absent: true.
    #[serde(default = "required_by_default")]
    pub required: bool,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Seals of the file, `F_SEAL_*` of `include/uapi/linux/fcntl.h`. Default when absent: none.
    #[serde(default)]
    pub seals: u32,
    /// Where it stands. Default when absent: held.
    #[serde(default)]
    pub state: ItemState,
}

const fn required_by_default() -> bool {
    true
}

/// Where an item stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// A duplicate of the descriptor is held outside the service.
    #[default]
    Held,
    /// In the incoming session; the owner retrieves it.
    Incoming,
    /// Discarded on the owner's or the operator's word.
    Discarded,
    /// Gone.
    Lost {
        /// Why.
        reason: String,
    },
}

impl ServiceRecord {
    /// A service without anything.
    pub const fn new(name: String, uid: u32) -> Self {
        Self {
            name,
            uid,
            session: None,
            items: Vec::new(),
        }
    }

    /// The item of this name.
    pub fn item(&self, name: &str) -> Option<&ItemRecord> {
        self.items.iter().find(|item| item.name == name)
    }

    /// Whether its session came over and is not finished.
    pub fn is_incoming(&self) -> bool {
        matches!(&self.session, Some(session) if session.state == SessionState::Incoming)
    }

    /// The smallest token from 1 that no item has.
    pub fn free_token(&self) -> u64 {
        // Of one more token than there are items one is free.
        let mut is_used = alloc::vec![false; self.items.len()];
        for item in &self.items {
            let place = usize::try_from(item.token.wrapping_sub(1));
            if let Some(used) = place.ok().and_then(|place| is_used.get_mut(place)) {
                *used = true;
            }
        }
        let free = is_used.iter().position(|used| !used);
        let below = free.unwrap_or(is_used.len());
        u64::try_from(below).map_or(u64::MAX, |below| below.saturating_add(1))
    }

    /// Items that came over and were neither retrieved nor discarded.
    pub fn unretrieved(&self) -> impl Iterator<Item = &ItemRecord> {
        self.items
            .iter()
            .filter(|item| item.state == ItemState::Incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_have_their_documented_defaults() {
        let text = r#"{"name":"a","token":3,"size_bytes":0}"#;
        let item: ItemRecord = serde_json::from_str(text).unwrap();
        assert!(item.required);
        assert_eq!(
            (item.schema, item.seals, item.state),
            (0, 0, ItemState::Held)
        );
    }

    #[test]
    fn a_free_token_is_never_one_in_use() {
        let mut service = ServiceRecord::new("s".into(), 0);
        for expected in 1..5 {
            let token = service.free_token();
            assert_eq!(token, expected);
            let text = std::format!(r#"{{"name":"a","token":{token},"size_bytes":0}}"#);
            service.items.push(serde_json::from_str(&text).unwrap());
        }
        service.items.remove(1);
        assert_eq!(service.free_token(), 2);
    }
}

//! `io.liveupdate.Service`: for programs that keep memory over an update.

use serde::{Deserialize, Serialize};
use update::{Event, ItemState, Phase};

/// Name of the interface.
pub const NAME: &str = "io.liveupdate.Service";

/// Names of the methods.
pub mod method {
    /// [`super::Attach`] → [`super::Attached`].
    pub const ATTACH: &str = "io.liveupdate.Service.Attach";
    /// [`super::Named`] → no results, one descriptor: an item held for a restarted service.
    pub const GET: &str = "io.liveupdate.Service.Get";
    /// [`super::Nothing`] → no results, one descriptor: the service's incoming session.
    pub const GET_SESSION: &str = "io.liveupdate.Service.GetSession";
    /// [`super::Keep`] and one descriptor → no results.
    pub const KEEP: &str = "io.liveupdate.Service.Keep";
    /// [`super::Named`] → no results: the item is no longer kept.
    pub const FORGET: &str = "io.liveupdate.Service.Forget";
    /// [`super::Nothing`] → a stream of [`super::Notice`].
    pub const SUBSCRIBE: &str = "io.liveupdate.Service.Subscribe";
    /// [`super::Answer`] → no results.
    pub const READY: &str = "io.liveupdate.Service.Ready";
    /// [`super::Veto`] → no results.
    pub const VETO: &str = "io.liveupdate.Service.Veto";
    /// [`super::Nothing`] → no results: the service works again, its blackout is over.
    pub const RUNNING: &str = "io.liveupdate.Service.Running";
    /// [`super::Finish`] → no results: the session of the previous kernel is finished.
    pub const FINISH: &str = "io.liveupdate.Service.Finish";
}

/// No parameters but the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nothing {
    /// The service.
    pub service: String,
}

/// A service and one of its items.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Named {
    /// The service.
    pub service: String,
    /// The item.
    pub item: String,
}

/// Makes this connection speak for a service; it is registered if it is new.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// The service.
    pub service: String,
}

/// What is kept for the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attached {
    /// Phase of the host.
    pub phase: Phase,
    /// Whether a session came over from the previous kernel and is not finished.
    pub is_incoming: bool,
    /// Its items.
    pub items: Vec<Item>,
}

/// One item as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Its token in the session.
    pub token: u64,
    /// Version of what is stored in it.
    pub schema: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// `F_SEAL_*`.
    pub seals: u32,
    /// Where it stands.
    pub state: ItemState,
}

/// Keeps the descriptor sent along: over the service's restart, luod's and the kernel's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keep {
    /// The service.
    pub service: String,
    /// The item's name; a held item of this name is replaced.
    pub item: String,
    /// Version of what is stored in it.
    pub schema: u32,
    /// Whether its loss over a jump is an error in the report.
    pub required: bool,
}

/// A step of an update, told to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The step: `prepare` and `freeze` want an answer, `cancel` and `finish` do not.
    pub event: Event,
    /// Identity of the update.
    pub update_id: String,
    /// Time to answer, in milliseconds; 0 where no answer is wanted.
    pub deadline_ms: u64,
}

/// The service is ready for what follows `event`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The service.
    pub service: String,
    /// What it answers.
    pub event: Event,
    /// The update it answers for.
    pub update_id: String,
}

/// The service refuses; the update is cancelled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Veto {
    /// The service.
    pub service: String,
    /// The update it refuses.
    pub update_id: String,
    /// Why, for the operator.
    pub reason: String,
}

/// The service has everything it wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finish {
    /// The service.
    pub service: String,
    /// Items it gives up: without this, what it has not retrieved and kept again refuses.
    #[serde(default)]
    pub discard: Vec<String>,
}

/// No results.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {}

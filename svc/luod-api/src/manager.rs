//! `io.liveupdate.Manager`: for operators.

use serde::{Deserialize, Serialize};
use update::{Boot, MarkKind, Phase, Report, ServiceRecord};

/// Name of the interface.
pub const NAME: &str = "io.liveupdate.Manager";

/// Names of the methods.
pub mod method {
    /// → [`super::Status`].
    pub const STATUS: &str = "io.liveupdate.Manager.Status";
    /// → [`super::Sessions`].
    pub const SESSIONS: &str = "io.liveupdate.Manager.Sessions";
    /// [`super::Prepare`], the kernel's and perhaps the initrd's descriptor → a stream of
    /// [`super::Progress`]; root only.
    pub const PREPARE: &str = "io.liveupdate.Manager.Prepare";
    /// [`super::Execute`] → a stream of [`super::Progress`] that the jump cuts off; root only.
    pub const EXECUTE: &str = "io.liveupdate.Manager.Execute";
    /// [`super::Cancel`] → no results; root only.
    pub const CANCEL: &str = "io.liveupdate.Manager.Cancel";
    /// [`super::Finish`] → no results; root only.
    pub const FINISH: &str = "io.liveupdate.Manager.Finish";
    /// → [`super::ReportAnswer`].
    pub const REPORT: &str = "io.liveupdate.Manager.Report";
    /// [`super::History`] → [`super::HistoryAnswer`].
    pub const HISTORY: &str = "io.liveupdate.Manager.History";
    /// [`super::Events`] → [`super::EventBatch`], or a stream of them.
    pub const EVENTS: &str = "io.liveupdate.Manager.Events";
}

/// No parameters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Nothing {}

/// How the host stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of `luod`.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Release of the running kernel.
    pub release: String,
    /// Phase of the host.
    pub phase: Phase,
    /// Identity of the update under way or the last one.
    pub update_id: Option<String>,
    /// Whether this kernel can hand over.
    pub device: DeviceStatus,
    /// The holder's process id; none where systemd has the duplicates.
    pub holder_pid: Option<u32>,
    /// Whether a next kernel is loaded; none where the kernel does not tell.
    pub is_image_loaded: Option<bool>,
    /// Services registered.
    pub services: usize,
    /// Services whose programs are connected now.
    pub connected: usize,
    /// Items kept.
    pub items: usize,
    /// Bytes kept.
    pub bytes: u64,
    /// Services that have not finished the last update.
    pub unfinished: Vec<String>,
    /// The kernel's count of live updates since the cold boot.
    pub liveupdate_number: Option<u64>,
    /// The kernel's count of kexecs with a handover since the cold boot.
    pub kexec_count: Option<u32>,
}

/// Whether this kernel can hand over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Whether `/dev/liveupdate` can be used.
    pub is_usable: bool,
    /// Why not; empty when it can.
    pub reason: String,
}

/// Everything kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sessions {
    /// The services and their sessions and items.
    pub services: Vec<ServiceEntry>,
}

/// A service as an operator sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// What is kept for it.
    #[serde(flatten)]
    pub record: ServiceRecord,
    /// Process id of its connected program.
    pub pid: Option<u32>,
}

/// Loads the next kernel and preserves everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prepare {
    /// Command line of the next kernel.
    pub cmdline: String,
    /// Whether a second descriptor, the initrd, was sent along.
    pub has_initrd: bool,
    /// Time each service has to be ready, in milliseconds.
    pub deadline_ms: u64,
    /// Names of checks whose findings do not stop the update.
    #[serde(default)]
    pub force: Vec<String>,
    /// What the caller calls the update: 1 to 64 of `A-Z a-z 0-9 . _ : @ -`. Default when absent: a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_id: Option<String>,
}

/// Freezes and jumps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Execute {
    /// Time each service has to be ready, in milliseconds.
    pub deadline_ms: u64,
}

/// A step done, for whoever watches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// What happened.
    pub message: String,
    /// Phase of the host.
    pub phase: Phase,
}

/// Undoes PREPARE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// Why, for the report.
    pub reason: String,
}

/// Finishes the session of a service that does not do it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finish {
    /// The service; none for all.
    #[serde(default)]
    pub service: Option<String>,
    /// What was not retrieved is given up; without this it refuses.
    #[serde(default)]
    pub discard: bool,
}

/// The report of the update under way or the last one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// None before the first update.
    pub report: Option<Report>,
}

/// Asks for updates that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// How many, the last ones.
    pub limit: u32,
}

/// Updates that ended, and boots, the oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryAnswer {
    /// The updates.
    pub updates: Vec<PastUpdate>,
    /// The boots that luod ran in.
    #[serde(default)]
    pub boots: Vec<Boot>,
}

/// An update that ended: finished, or cancelled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PastUpdate {
    /// When, in nanoseconds since 1970.
    pub ended_ns: u64,
    /// Its report, without the timeline.
    pub report: Report,
}

/// Asks for what happened, and perhaps for what will.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Events {
    /// Whether the answers go on until one side hangs up.
    #[serde(default)]
    pub follow: bool,
}

/// What happened, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventBatch {
    /// How many events there were before these that this reader is not given: `luod` keeps the last ones, and a reader
    /// that is slower than they come loses the oldest.
    pub missed: u64,
    /// The events.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number; each has one more than that before, from 1 at the start of `luod`.
    pub number: u64,
    /// `CLOCK_REALTIME` in nanoseconds since 1970.
    pub realtime_ns: u64,
    /// Identity of the update, the same on both sides of its jump.
    pub update_id: Option<String>,
    /// Phase of the host afterwards.
    pub phase: Phase,
    /// What happened.
    pub kind: EventKind,
    /// To which service.
    pub service: Option<String>,
    /// To which of its items.
    pub item: Option<String>,
    /// The step that is answered, or why.
    pub detail: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// An update was refused before anything was touched.
    Refused,
    /// A service was asked to get ready for a step.
    Asked,
    /// A service is ready for what follows a step.
    Ready,
    /// A service refuses the update.
    Vetoed,
    /// The program of a service came.
    Attached,
    /// The program of a service ended.
    Ended,
    /// Something that was kept is gone.
    Lost,
    /// A mark of the timeline.
    #[serde(untagged)]
    Mark(MarkKind),
}

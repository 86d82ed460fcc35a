//! `io.liveupdate.Manager`: for operators.

use serde::{Deserialize, Serialize};
use update::{Boot, Phase, Report, ServiceRecord};

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

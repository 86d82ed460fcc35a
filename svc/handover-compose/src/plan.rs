//! The plan of a handover.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use kho_abi::luo::FLB_COMPATIBLE_LENGTH;
use kho_abi::memblock::{LABEL_LENGTH, MAX_REGIONS};
use liveupdate_uapi::SessionName;
use serde::Deserialize;
use toml::Spanned;

use crate::machine::MachinePlan;
use crate::plan_error::{MAX_BYTES, PlanError, PlanProblem, place};
use crate::value::{Number, Release, Seal, Session};

/// A plan.
///
/// ```
/// let plan = handover_compose::Plan::parse(r#"
///     [handover]
///     release = "7.3.4"
///     kexec_count = 3
///
///     [machine]
///     memory = "1G"
///
///     [[session]]
///     name = "db"
///
///     [[session.file]]
///     token = 1
///     size = "4M"
///     seals = ["grow", "shrink"]
///
///     [[session.file]]
///     token = "0xffffffffffffffff"
///     content = "counter.bin"
///     position = 512
/// "#)?;
/// assert_eq!(plan.sessions[0].files.len(), 2);
/// # Ok::<(), handover_compose::PlanError>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the handover says about the kernel before. Default: see there.
    #[serde(default, rename = "handover")]
    pub claims: Claims,
    /// The machine that is to receive it. Default: 1 GiB.
    #[serde(default)]
    pub machine: MachinePlan,
    /// The sessions, in the order they are created. Default: none.
    #[serde(default, rename = "session")]
    pub sessions: Vec<SessionPlan>,
    /// Objects that the files share. Default: none.
    #[serde(default, rename = "flb")]
    pub flbs: Vec<Spanned<FlbPlan>>,
    /// Regions of `reserve_mem=`. Default: none.
    #[serde(default, rename = "region")]
    pub regions: Vec<Spanned<RegionPlan>>,
}

/// What a handover says about the kernel before.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    /// Its release. Default: `composed`.
    pub release: Release,
    /// Kexec boots since the cold boot, the coming one included. Default: 1.
    pub kexec_count: u32,
    /// Live updates since the cold boot, the coming one included. Default: 1.
    pub liveupdate_number: Number,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            release: Release::default(),
            kexec_count: 1,
            liveupdate_number: Number(1),
        }
    }
}

/// A session.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPlan {
    /// Its name.
    pub name: Spanned<Session>,
    /// Its files, in the order they are preserved. Default: none.
    #[serde(default, rename = "file")]
    pub files: Vec<Spanned<FilePlan>>,
}

/// A memfd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePlan {
    /// Its token, unique in the session.
    pub token: Number,
    /// A file with its content, relative to the plan; holes stay holes. Default: no content.
    #[serde(default)]
    pub content: Option<PathBuf>,
    /// Its size in bytes. Default: that of the content.
    #[serde(default)]
    pub size: Option<Number>,
    /// Its position in bytes. Default: 0.
    #[serde(default)]
    pub position: Number,
    /// Its seals. Default: none.
    #[serde(default)]
    pub seals: Vec<Seal>,
}

/// An object shared by all files (a "file-lifecycle-bound" object).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlbPlan {
    /// Name and version, up to 47 bytes.
    pub compatible: String,
    /// Its owner's word.
    pub data: Number,
}

/// A region that `reserve_mem=SIZE:ALIGN:LABEL` finds again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionPlan {
    /// Its label, up to 15 bytes.
    pub label: String,
    /// Its size in bytes: whole pages, the same as on the command line.
    pub size: Number,
    /// A file with its content, relative to the plan. Default: zeros.
    #[serde(default)]
    pub content: Option<PathBuf>,
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let wrap = |source| PlanError::Read {
            path: path.to_owned(),
            source,
        };
        let found_bytes = fs::metadata(path).map_err(wrap)?.len();
        if found_bytes > MAX_BYTES {
            return Err(PlanError::TooLarge {
                path: path.to_owned(),
                found_bytes,
            });
        }
        Self::parse(&fs::read_to_string(path).map_err(wrap)?)
    }

    /// Checks the text of a plan.
    ///
    /// # Errors
    /// [`PlanError::At`].
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            place(text, at, PlanProblem::Toml(error.message().to_owned()))
        })?;
        plan.check()
            .map_err(|(at, problem)| place(text, at, problem))?;
        Ok(plan)
    }

    /// What TOML does not know; with the offset.
    fn check(&self) -> Result<(), (usize, PlanProblem)> {
        let mut names = HashSet::new();
        for session in &self.sessions {
            let name = session.name.get_ref().0;
            if !names.insert(name) {
                let problem = PlanProblem::SessionTwice { name };
                return Err((session.name.span().start, problem));
            }
            let mut tokens = HashSet::new();
            for file in &session.files {
                let checked = check_file(name, file.get_ref(), &mut tokens);
                checked.map_err(|problem| (file.span().start, problem))?;
            }
        }
        let mut names = HashSet::new();
        for flb in &self.flbs {
            let name = &flb.get_ref().compatible;
            if !fits(name, FLB_COMPATIBLE_LENGTH) || !names.insert(name) {
                return Err((flb.span().start, PlanProblem::FlbName));
            }
        }
        self.check_regions()
    }

    fn check_regions(&self) -> Result<(), (usize, PlanProblem)> {
        let mut labels = HashSet::new();
        for (index, region) in self.regions.iter().enumerate() {
            let RegionPlan { label, size, .. } = region.get_ref();
            let is_word = !label.contains(|c: char| c == '/' || c.is_whitespace());
            let problem = if index >= MAX_REGIONS {
                PlanProblem::TooManyRegions
            } else if !is_word || !fits(label, LABEL_LENGTH) || !labels.insert(label) {
                PlanProblem::RegionLabel
            } else if size.0 == 0 || !size.0.is_multiple_of(4096) {
                PlanProblem::RegionSize { size: size.0 }
            } else {
                continue;
            };
            return Err((region.span().start, problem));
        }
        Ok(())
    }
}

fn check_file(
    session: SessionName,
    file: &FilePlan,
    tokens: &mut HashSet<u64>,
) -> Result<(), PlanProblem> {
    let token = file.token.0;
    let position = file.position.0;
    if !tokens.insert(token) {
        Err(PlanProblem::TokenTwice { session, token })
    } else if file.content.is_none() && file.size.is_none() {
        Err(PlanProblem::NoContent)
    } else if i64::try_from(position).is_err() {
        Err(PlanProblem::Position { position })
    } else {
        Ok(())
    }
}

/// Whether text is there and fits into a field with its NUL.
fn fits(text: &str, field_bytes: usize) -> bool {
    !text.is_empty() && text.len() < field_bytes && !text.contains('\0')
}

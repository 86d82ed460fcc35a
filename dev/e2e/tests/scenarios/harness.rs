//! Runs scenarios under libtest-mimic, each on both machines if it can: skips with a reason, and
//! attaches every log to a failure.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::artifacts::{self, Kernel, Missing};
use e2e::{Builder, Initramfs, Machine, Series, logs};
use initrd::Permissions;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::platform::Platform;

/// Machines at once: each has two processors, and emulation keeps them busy.
const MACHINES: usize = 2;
/// Lines of each log in the report of a failure.
const REPORT_LINES: usize = 40;
/// When set, what is missing fails a scenario instead of skipping it: for continuous integration.
const REQUIRE: &str = "E2E_REQUIRE";
/// Name of the image in the log folder; kept only when the scenario failed.
const IMAGE: &str = "initramfs.cpio";

/// In front of the name of a scenario on the emulated machine.
const EMULATED: &str = "emulated::";

type RunFn = Arc<dyn Fn(&Lab) -> anyhow::Result<()> + Send + Sync>;

/// A named scenario.
pub(crate) struct Scenario {
    name: String,
    run_fn: RunFn,
    place: Place,
}

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On real kernels and on the emulated machine.
    Both,
    /// The same, but the emulated machine has to be root's: others may be root there, and nobody
    /// else.
    BothWithUsers,
    /// On real kernels only, because of this.
    Kernels(&'static str),
}

impl Place {
    /// Why not on the emulated machine.
    fn hindrance(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::BothWithUsers if rustix::process::geteuid().is_root() => None,
            Self::BothWithUsers => Some("only root can have other users on the emulated machine"),
            Self::Kernels(why) => Some(why),
        }
    }
}

impl Scenario {
    /// Names a scenario, which runs on both machines.
    pub(crate) fn new(
        name: impl Into<String>,
        run_fn: impl Fn(&Lab) -> anyhow::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run_fn: Arc::new(run_fn),
            place: Place::Both,
        }
    }

    /// Restricts where it runs.
    pub(crate) fn on(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// Where a scenario works: its machine, its log folder and its image.
pub(crate) struct Lab {
    folder: PathBuf,
    platform: Platform,
}

impl Lab {
    /// What the scenario runs on.
    pub(crate) const fn platform(&self) -> Platform {
        self.platform
    }

    /// The kernel of a series on this platform.
    pub(crate) fn kernel(&self, series: Series) -> anyhow::Result<Kernel> {
        self.platform.kernel(series, &self.folder)
    }

    /// Starts an image with the agent and every kernel that is there, as `/boot/SERIES/bzImage`.
    pub(crate) fn image(&self) -> anyhow::Result<Initramfs> {
        let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
        for series in Series::ALL {
            if let Ok(kernel) = self.kernel(series) {
                let path = guest_kernel(series);
                image.file(&kernel.image, &path, Permissions::DATA)?;
            }
        }
        Ok(image)
    }

    /// The image with the scenarios' helper, `/bin/e2e-client`.
    pub(crate) fn image_with_client(&self) -> anyhow::Result<Initramfs> {
        let mut image = self.image()?;
        image.program(&artifacts::guest_program("e2e-client")?)?;
        Ok(image)
    }

    /// The folder that keeps the scenario's logs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes an image where it is kept when the scenario fails, and only then.
    pub(crate) fn write_image(&self, image: Initramfs) -> anyhow::Result<PathBuf> {
        Ok(image.write_to(&self.folder.join(IMAGE))?)
    }

    /// Describes a machine that boots `kernel` with `image`.
    pub(crate) fn machine(&self, kernel: &Kernel, image: Initramfs) -> anyhow::Result<Builder> {
        let image = self.write_image(image)?;
        let builder = Machine::builder(&kernel.image, &image, &self.folder);
        Ok(match self.platform {
            Platform::Kernel => builder,
            Platform::Emulated => builder.emulated(artifacts::emulation(&kernel.release)?),
        })
    }
}

/// Where [`Lab::image`] puts a kernel.
pub(crate) fn guest_kernel(series: Series) -> String {
    format!("/boot/{}/bzImage", series.name())
}

/// What is told of each scenario once all are done.
type Endings = Arc<Mutex<Vec<Ending>>>;

/// How a scenario ended.
struct Ending {
    name: String,
    took: Duration,
    /// Why it failed, if it did.
    failure: Option<String>,
}

/// Runs the scenarios that the command line selects.
pub(crate) fn run(scenarios: Vec<Scenario>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(MACHINES);
    let endings = Endings::default();
    let mut trials = Vec::new();
    let mut left_out: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for scenario in scenarios {
        let (name, run_fn) = (scenario.name, scenario.run_fn);
        match scenario.place.hindrance() {
            None => {
                let name = format!("{EMULATED}{name}");
                let (run_fn, endings) = (Arc::clone(&run_fn), Arc::clone(&endings));
                trials.push(trial(name, Platform::Emulated, run_fn, endings));
            }
            Some(why) => {
                let (family, _) = name.split_once("::").unwrap_or((&name, ""));
                *left_out.entry((family.to_owned(), why)).or_default() += 1;
            }
        }
        trials.push(trial(name, Platform::Kernel, run_fn, Arc::clone(&endings)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && arguments.filter.is_none() {
        let lines = left_out.iter();
        let lines = lines.map(|((family, why), count)| format!("\n  {count} of {family}: {why}"));
        let text: String = lines.collect();
        print(&format!("not on the emulated machine:{text}"));
    }
    print_endings(&endings);
    conclusion.exit_code()
}

#[expect(
    clippy::print_stdout,
    reason = "part of the test report; libtest-mimic prints no times and no reasons"
)]
fn print(text: &str) {
    println!("{text}");
}

/// Prints the times, then the failures: what stands last is what a log that is cut short keeps.
fn print_endings(endings: &Endings) {
    let endings = endings.lock().unwrap_or_else(PoisonError::into_inner);
    let times = endings
        .iter()
        .map(|ending| format!("\n{:7.2} s  {}", ending.took.as_secs_f64(), ending.name));
    let failures = endings.iter().filter_map(|ending| {
        let why = ending.failure.as_ref()?;
        Some(format!("\nfailed: {}\n  {why}", ending.name))
    });
    if !endings.is_empty() {
        print(&format!("times:{}", times.collect::<String>()));
        print(&failures.collect::<String>());
    }
}

fn trial(name: String, platform: Platform, run_fn: RunFn, endings: Endings) -> Trial {
    Trial::ignorable_test(name.clone(), move || {
        let lab = Lab {
            folder: log_folder(&name)?,
            platform,
        };
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| run_fn(&lab)));
        if let Ok(Err(error)) = &ended
            && let Some(missing) = error.downcast_ref::<Missing>()
            && std::env::var_os(REQUIRE).is_none()
        {
            return Ok(Completion::ignored_with(missing));
        }
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
                Some(causes.join("\n  because: "))
            }
            Err(panic) => Some(format!("assertion: {}", panic_text(panic.as_ref()))),
        };
        let ending = Ending {
            name,
            took: start.elapsed(),
            failure: failure.clone(),
        };
        endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ending);
        let Some(failure) = failure else {
            // The image is large and made of known parts; a failed scenario keeps it.
            let _absent = fs::remove_file(lab.folder.join(IMAGE));
            return Ok(Completion::Completed);
        };
        let report = logs::report(&lab.folder, REPORT_LINES);
        Err(Failed::from(format!("{failure}\n\n{report}")))
    })
}

/// Makes an empty log folder for a scenario.
fn log_folder(name: &str) -> Result<PathBuf, Failed> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let folder = target.join("e2e-logs").join(name.replace("::", "/"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder
        .canonicalize()
        .context("find the log folder")
        .map_err(|error| error.to_string())?)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}

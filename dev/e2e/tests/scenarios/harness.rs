//! Runs scenarios under libtest-mimic: skips with a reason, and attaches every log to a failure.

use std::any::Any;
use std::fmt::Write as _;
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

/// Machines at once: each has two processors, and emulation keeps them busy.
const MACHINES: usize = 2;
/// Lines of each log in the report of a failure.
const REPORT_LINES: usize = 40;
/// When set, what is missing fails a scenario instead of skipping it: for continuous integration.
const REQUIRE: &str = "E2E_REQUIRE";
/// Name of the image in the log folder; kept only when the scenario failed.
const IMAGE: &str = "initramfs.cpio";

/// A named scenario.
pub(crate) struct Scenario {
    name: String,
    run_fn: Box<dyn FnOnce(&Lab) -> anyhow::Result<()> + Send>,
}

impl Scenario {
    /// Names a scenario.
    pub(crate) fn new(
        name: impl Into<String>,
        run_fn: impl FnOnce(&Lab) -> anyhow::Result<()> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run_fn: Box::new(run_fn),
        }
    }
}

/// Where a scenario works: its log folder and its image.
pub(crate) struct Lab {
    folder: PathBuf,
}

impl Lab {
    /// Starts an image with the agent and every kernel that is built, as
    /// `/boot/SERIES/bzImage`.
    pub(crate) fn image(&self) -> anyhow::Result<Initramfs> {
        let mut image = Initramfs::with_agent(&artifacts::guest_program("e2e-agent")?)?;
        for series in Series::ALL {
            if let Ok(kernel) = artifacts::kernel(series) {
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
        Ok(Machine::builder(&kernel.image, &image, &self.folder))
    }
}

/// Where [`Lab::image`] puts a kernel.
pub(crate) fn guest_kernel(series: Series) -> String {
    format!("/boot/{}/bzImage", series.name())
}

/// How long each scenario took, in the order of their ends.
type Times = Arc<Mutex<Vec<(String, Duration)>>>;

/// Runs the scenarios that the command line selects.
pub(crate) fn run(scenarios: Vec<Scenario>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(MACHINES);
    let times = Times::default();
    let trials = scenarios
        .into_iter()
        .map(|scenario| trial(scenario, Arc::clone(&times)));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    print_times(&times);
    conclusion.exit_code()
}

#[expect(
    clippy::print_stdout,
    reason = "part of the test report; libtest-mimic prints no times"
)]
fn print_times(times: &Times) {
    let mut text = String::new();
    for (name, took) in times.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{:7.2} s  {name}", took.as_secs_f64());
    }
    if !text.is_empty() {
        println!("times:\n{text}");
    }
}

fn trial(scenario: Scenario, times: Times) -> Trial {
    let name = scenario.name;
    let run_fn = scenario.run_fn;
    Trial::ignorable_test(name.clone(), move || {
        let lab = Lab {
            folder: log_folder(&name)?,
        };
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| run_fn(&lab)));
        if let Ok(Err(error)) = &ended
            && let Some(missing) = error.downcast_ref::<Missing>()
            && std::env::var_os(REQUIRE).is_none()
        {
            return Ok(Completion::ignored_with(missing));
        }
        let took = (name, start.elapsed());
        times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(took);
        let error = match ended {
            Ok(Ok(())) => {
                // The image is large and made of known parts; a failed scenario keeps it.
                let _absent = fs::remove_file(lab.folder.join(IMAGE));
                return Ok(Completion::Completed);
            }
            Ok(Err(error)) => error,
            Err(panic) => anyhow::anyhow!("assertion: {}", panic_text(panic.as_ref())),
        };
        let report = logs::report(&lab.folder, REPORT_LINES);
        let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
        let causes = causes.join("\n  because: ");
        Err(Failed::from(format!("{causes}\n\n{report}")))
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

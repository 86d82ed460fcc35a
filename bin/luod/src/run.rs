//! `luod run`: a program that knows nothing of live updates, and the folder kept for it.

mod descriptors;
mod program;
mod updates;

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kept_folder::{Keeping, KeptFolder, Opened};
use liveupdate::{EventKind, Store};
use rustix::process::Signal;

use self::descriptors::{Descriptors, Told};
use self::program::Program;
use self::updates::{Answer, Step, Updates};
use crate::cli::RunArguments;

/// Longest wait for a luod that is being started, each time.
const LUOD_PATIENCE: Duration = Duration::from_secs(10);
/// Part of a step's time that is left for taking the folder and answering.
const RESERVE: Duration = Duration::from_secs(1);

/// What the supervisor waits for.
enum Happening {
    /// The program has ended.
    Ended(ExitStatus),
    /// A step of an update.
    Step(Step),
    /// luod has ended.
    LuodEnded,
    /// The program wants something of its store of descriptors.
    Told(Told),
    /// Everything that the program said before was told.
    AllHeard,
    /// Somebody wants this process to end.
    Signal(Signal),
}

/// Where the program is.
enum State {
    Runs(Program),
    /// It was told to stop for an update that was given up since: it is started again.
    Stops(Program),
    /// It was stopped for an update, and everything is taken.
    Taken,
}

/// Runs the program until it ends by itself; its exit code.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let socket = arguments.socket.clone();
    let socket = socket.unwrap_or_else(luod_api::socket_path);
    let dir = arguments.dir.clone();
    let dir = dir.unwrap_or_else(|| Path::new("/dev/shm").join(&arguments.name));
    let mut store = Store::connect_to(&socket, &arguments.name, LUOD_PATIENCE)?;
    let (folder, opened) = KeptFolder::open(&dir, &mut FolderItems(&mut store))?;
    let (sender, happenings) = mpsc::channel();
    let limit = arguments.fd_store_max;
    let descriptors = Descriptors::open(limit, &mut store, sender.clone())?;
    watch_signals(sender.clone())?;
    let mut supervisor = Supervisor {
        arguments,
        socket,
        dir,
        updates: Updates::start(store.events()?, sender.clone()),
        store,
        folder,
        descriptors,
        sender,
        happenings,
        later: VecDeque::new(),
        state: State::Taken,
    };
    if let Opened::Kept(files) = opened {
        tracing::info!(files, folder = %supervisor.dir.display(), "files are kept");
        supervisor.place()?;
    }
    supervisor.start()?;
    supervisor.store.running()?;
    supervisor.store.finish()?;
    supervisor.supervise()
}

/// The items of the folder: the descriptors that the program stored are none of them.
struct FolderItems<'a>(&'a mut Store);

impl Keeping for FolderItems<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.0.names().into_iter();
        names
            .filter(|name| !name.starts_with(fd_store::PREFIX))
            .collect()
    }

    fn get(&mut self, name: &str) -> Result<Option<OwnedFd>, kept_folder::Error> {
        Keeping::get(self.0, name)
    }

    fn keep(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), kept_folder::Error> {
        Keeping::keep(self.0, name, file)
    }

    fn forget(&mut self, name: &str) -> Result<(), kept_folder::Error> {
        Keeping::forget(self.0, name)
    }
}

struct Supervisor<'a> {
    arguments: &'a RunArguments,
    socket: PathBuf,
    dir: PathBuf,
    store: Store,
    updates: Updates,
    folder: KeptFolder,
    descriptors: Option<Descriptors>,
    sender: Sender<Happening>,
    happenings: Receiver<Happening>,
    /// What came while something else was waited for.
    later: VecDeque<Happening>,
    state: State,
}

impl Supervisor<'_> {
    fn supervise(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            let next = match self.later.pop_front() {
                Some(next) => next,
                None => self.happenings.recv().context("nothing left to wait for")?,
            };
            match next {
                Happening::Step(step) => self.step(&step)?,
                Happening::LuodEnded => self.connect_again()?,
                Happening::Told(told) => self.told(told),
                Happening::AllHeard => {}
                Happening::Ended(status) => match &self.state {
                    State::Stops(_) => self.start()?,
                    State::Runs(_) | State::Taken => return Ok(program::exit_code(status)),
                },
                Happening::Signal(signal) => match &self.state {
                    State::Runs(program) | State::Stops(program) => program.signal(signal)?,
                    State::Taken => bail!("ended by a signal while an update was under way"),
                },
            }
        }
    }

    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step.kind {
            EventKind::Prepare => {
                let (problems, bytes) = self.folder.look()?;
                tracing::info!(bytes, problems = problems.len(), "an update is prepared");
                let answer = problems.first().map_or(Answer::Ready, |problem| {
                    let more = problems.len() - 1;
                    Answer::Veto(format!("{problem} (and {more} more that cannot be kept)"))
                });
                self.updates.answer(answer);
            }
            EventKind::Freeze => {
                let answer = self.freeze(step.deadline)?;
                self.updates.answer(answer);
            }
            EventKind::Cancel => {
                self.catch_up();
                if matches!(self.state, State::Taken) {
                    tracing::info!("the update was cancelled");
                    self.put_back()?;
                }
            }
        }
        Ok(())
    }

    /// Stops the program and takes its folder.
    fn freeze(&mut self, deadline: Duration) -> anyhow::Result<Answer> {
        // From here on luod takes what came since PREPARE.
        self.catch_up();
        let Self {
            state: State::Runs(program),
            arguments,
            ..
        } = &*self
        else {
            return Ok(Answer::Veto("the program is still stopping".to_owned()));
        };
        let stop = arguments.stop_signal;
        program.signal(stop)?;
        let patience = self.arguments.stop_timeout;
        let patience = patience.min(deadline.saturating_sub(RESERVE));
        if !self.wait_for_end(patience)? {
            let text = format!(
                "the program did not end within {:.1} s of {stop:?}",
                patience.as_secs_f64()
            );
            if let State::Runs(program) = std::mem::replace(&mut self.state, State::Taken) {
                self.state = State::Stops(program);
            }
            return Ok(Answer::Veto(text));
        }
        self.state = State::Taken;
        self.hear_all()?;
        match self.folder.take(&mut FolderItems(&mut self.store)) {
            Ok(files) => {
                tracing::info!(files, "everything is taken for the update");
                Ok(Answer::Ready)
            }
            Err(error) => {
                let text = format!("the folder cannot be taken: {error}");
                self.put_back()?;
                Ok(Answer::Veto(text))
            }
        }
    }

    /// Whether the program ended in time. Whatever else happens meanwhile is looked at later.
    fn wait_for_end(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.happenings.recv_timeout(left) {
                Ok(Happening::Ended(_)) => return Ok(true),
                Ok(Happening::Told(told)) => self.told(told),
                Ok(other) => self.later.push_back(other),
                Err(mpsc::RecvTimeoutError::Timeout) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What the program said before it ended may come after its end.
    fn hear_all(&mut self) -> anyhow::Result<()> {
        let Some(descriptors) = &self.descriptors else {
            return Ok(());
        };
        descriptors.mark()?;
        loop {
            match self.happenings.recv()? {
                Happening::AllHeard => break,
                Happening::Told(told) => self.told(told),
                other => self.later.push_back(other),
            }
        }
        self.descriptors.iter().for_each(Descriptors::settle);
        Ok(())
    }

    fn told(&mut self, told: Told) {
        if let Some(descriptors) = &mut self.descriptors {
            descriptors.told(told, &mut self.store);
        }
    }

    fn catch_up(&mut self) {
        if let Some(descriptors) = &mut self.descriptors {
            descriptors.catch_up(&mut self.store);
        }
    }

    fn place(&mut self) -> anyhow::Result<()> {
        Ok(self.folder.place(&mut FolderItems(&mut self.store))?)
    }

    fn put_back(&mut self) -> anyhow::Result<()> {
        self.place()?;
        self.start()
    }

    fn start(&mut self) -> anyhow::Result<()> {
        if let Some(taken) = self.folder.taken_at() {
            let passed = taken.elapsed().unwrap_or_default();
            thread::sleep(self.arguments.restart_after.saturating_sub(passed));
        }
        let words = &self.arguments.program;
        let descriptors = self.descriptors.as_ref();
        let program = Program::start(words, &self.dir, descriptors, self.sender.clone())?;
        tracing::info!(pid = program.pid(), "started");
        self.state = State::Runs(program);
        Ok(())
    }

    /// luod ended: everything is still kept, and the next one is told who is here.
    fn connect_again(&mut self) -> anyhow::Result<()> {
        self.store = loop {
            match Store::connect_to(&self.socket, &self.arguments.name, LUOD_PATIENCE) {
                Ok(store) => break store,
                Err(error @ liveupdate::Error::Unreachable { .. }) => {
                    tracing::warn!(%error, "waiting for luod");
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.updates = Updates::start(self.store.events()?, self.sender.clone());
        self.catch_up();
        // The update it was taken for ended with that luod, unless it says otherwise.
        if matches!(self.state, State::Taken) {
            self.put_back()?;
        }
        Ok(())
    }
}

fn watch_signals(sender: Sender<Happening>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let watch = move || {
        for number in &mut signals {
            let signal = match number {
                SIGHUP => Signal::HUP,
                SIGINT => Signal::INT,
                _ => Signal::TERM,
            };
            if sender.send(Happening::Signal(signal)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)?;
    Ok(())
}

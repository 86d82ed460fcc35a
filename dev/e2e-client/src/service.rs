//! Test services: they keep files of every kind and misbehave on demand.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use liveupdate::{Event, EventKind, Events, Item, MemfdSpec, Origin, Seals, Store};

use crate::content::{Kind, seed};
use crate::say;

/// What the service keeps and how it behaves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the service; with --count, NAME-0 and so on.
    #[arg(long)]
    name: String,
    /// Services in this process.
    #[arg(long)]
    count: Option<usize>,
    /// A file to keep: empty, one-byte, sparse, position, sealed, full:MIB, marked:MIB; may be repeated.
    #[arg(long = "item")]
    items: Vec<Kind>,
    /// Says nothing of single services and files, only how many of each there were.
    #[arg(long)]
    quiet: bool,
    /// All services start side by side, say that they run as soon as they have their files, and look at
    /// what is in the files when all of them run.
    #[arg(long)]
    at_once: bool,
    /// Keeps this many files more, each of one byte.
    #[arg(long, default_value_t = 0)]
    numbered: usize,
    /// Fills every file anew at each start, with content that tells how many starts there were.
    #[arg(long)]
    turns: bool,
    /// Keeps a counter that grows until FREEZE, and says its last value.
    #[arg(long)]
    counter: bool,
    /// Tries to change the size of a kept file all the time, and says when that begins to work
    /// or to fail.
    #[arg(long)]
    probe_resize: bool,
    /// Takes no part in updates.
    #[arg(long)]
    passive: bool,
    /// Does not finish what came over.
    #[arg(long)]
    never_finish: bool,
    /// What to do at a step: `prepare:veto`, `freeze:silent`, `freeze:die` and so on.
    #[arg(long)]
    at: Option<At>,
}

/// Misbehaviour at a step.
#[derive(Clone, Copy, Debug)]
struct At {
    step: EventKind,
    conduct: Conduct,
}

#[derive(Clone, Copy, Debug)]
enum Conduct {
    Veto,
    Silent,
    Die,
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (step, conduct) = text.split_once(':').ok_or("STEP:CONDUCT")?;
        let step = match step {
            "prepare" => EventKind::Prepare,
            "freeze" => EventKind::Freeze,
            _ => return Err(format!("no step is called {step:?}")),
        };
        let conduct = match conduct {
            "veto" => Conduct::Veto,
            "silent" => Conduct::Silent,
            "die" => Conduct::Die,
            _ => return Err(format!("no conduct is called {conduct:?}")),
        };
        Ok(Self { step, conduct })
    }
}

/// Runs until a signal ends it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let names = match arguments.count {
        None => vec![arguments.name.clone()],
        Some(count) => (0..count)
            .map(|index| format!("{}-{index}", arguments.name))
            .collect(),
    };
    let mut threads = Vec::new();
    let (mut filled, mut updated) = (0, 0);
    let mut go_on = |service: Service| {
        filled += service.filled;
        updated += service.updated;
        threads.push(thread::spawn(move || service.live()));
    };
    if arguments.at_once {
        at_once(names, arguments)?.into_iter().for_each(go_on);
    } else {
        for name in names {
            go_on(Service::start(&name, arguments)?);
        }
    }
    if arguments.quiet {
        let (name, services) = (&arguments.name, threads.len());
        say!("{name}: {services} services: {filled} files filled, {updated} updated");
    }
    say!("{}: all ready", arguments.name);
    for thread in threads {
        thread
            .join()
            .map_err(|_panic| anyhow::anyhow!("a service panicked"))??;
    }
    Ok(())
}

/// Starts every service in a thread of its own; then compares what came over.
fn at_once(names: Vec<String>, arguments: &Arguments) -> anyhow::Result<Vec<Service>> {
    let start = |name: String| {
        let arguments = arguments.clone();
        thread::spawn(move || Service::start(&name, &arguments))
    };
    let starting: Vec<_> = names.into_iter().map(start).collect();
    let mut services = Vec::new();
    for thread in starting {
        let started = thread.join();
        services.push(started.map_err(|_panic| anyhow::anyhow!("a service panicked"))??);
    }
    services.iter().try_for_each(Service::verify_late)?;
    Ok(services)
}

/// Whether a service keeps a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    Counts,
    CountsNot,
}

/// The file that counts the starts.
struct Turn {
    file: File,
}

struct Service {
    name: String,
    arguments: Arguments,
    /// Its connection: while it is open the service is there.
    store: Store,
    /// Every descriptor stays open, as a service's would.
    files: Vec<OwnedFd>,
    is_frozen: Arc<AtomicBool>,
    /// How often every file was filled anew.
    turn: u64,
    /// Files made anew.
    filled: usize,
    /// Files that came over and were compared.
    updated: usize,
}

impl Service {
    fn start(name: &str, arguments: &Arguments) -> anyhow::Result<Self> {
        let store = Store::connect(name).with_context(|| format!("connect as {name}"))?;
        let mut service = Self {
            name: name.to_owned(),
            arguments: arguments.clone(),
            store,
            files: Vec::new(),
            is_frozen: Arc::default(),
            turn: 0,
            filled: 0,
            updated: 0,
        };
        let turn = match arguments.turns {
            true => Some(service.turn()?),
            false => None,
        };
        for kind in &arguments.items {
            service.open(kind, &kind.item())?;
        }
        for number in 0..arguments.numbered {
            service.open(&Kind::OneByte, &format!("number-{number}"))?;
        }
        if arguments.counter {
            service.count()?;
        }
        if arguments.probe_resize {
            service.probe_resize()?;
        }
        if let Some(turn) = turn {
            service.next_turn(turn)?;
        }
        service.store.running()?;
        if !arguments.never_finish {
            service.store.finish()?;
        }
        service.tell(format_args!("ready"));
        Ok(service)
    }

    fn open(&mut self, kind: &Kind, item_name: &str) -> anyhow::Result<()> {
        let context = || format!("{item_name} of {}", self.name);
        let seed = seed(&self.name, item_name) ^ self.turn;
        let item = self.store.memfd(item_name, &kind.spec());
        let item = item.with_context(context)?;
        if item.is_new() {
            kind.fill(item.fd(), seed).with_context(context)?;
            kind.verify(item.fd(), seed).with_context(context)?;
            self.tell(format_args!("{item_name} filled"));
            self.filled += 1;
        } else {
            if !self.arguments.at_once {
                kind.verify(item.fd(), seed).with_context(context)?;
                self.tell(format_args!("{item_name} verified, {}", origin(&item)));
            }
            self.updated += usize::from(item.origin() == Origin::Updated);
        }
        self.files.push(item.into_fd());
        Ok(())
    }

    /// Compares what was not compared while it started.
    fn verify_late(&self) -> anyhow::Result<()> {
        for (kind, fd) in self.arguments.items.iter().zip(&self.files) {
            let seed = seed(&self.name, &kind.item());
            let verified = kind.verify(fd.as_fd(), seed);
            verified.with_context(|| format!("{} of {}", kind.item(), self.name))?;
        }
        Ok(())
    }

    /// Number of this start; the files have the content of the one before.
    fn turn(&mut self) -> anyhow::Result<Turn> {
        let spec = MemfdSpec::new(4096).schema(1);
        let item = self.store.memfd("turn", &spec)?;
        let file = File::from(item.into_fd());
        self.turn = read_counter(&file)?;
        Ok(Turn { file })
    }

    /// Gives every file the content of the next start.
    fn next_turn(&mut self, turn: Turn) -> anyhow::Result<()> {
        self.turn += 1;
        for (kind, fd) in self.arguments.items.iter().zip(&self.files) {
            let item = kind.item();
            let seed = seed(&self.name, &item) ^ self.turn;
            kind.fill(fd.as_fd(), seed)?;
            kind.verify(fd.as_fd(), seed)?;
        }
        turn.file.write_all_at(&self.turn.to_le_bytes(), 0)?;
        say!("{}: turn {}", self.name, self.turn);
        self.files.push(turn.file.into());
        Ok(())
    }

    /// A line about this service.
    fn tell(&self, what: fmt::Arguments<'_>) {
        if !self.arguments.quiet {
            say!("{}: {what}", self.name);
        }
    }

    /// Counts in a kept file until frozen.
    fn count(&mut self) -> anyhow::Result<()> {
        let spec = MemfdSpec::new(4096).schema(1);
        let item = self.store.memfd("counter", &spec)?;
        let file = File::from(item.fd().try_clone_to_owned()?);
        say!(
            "{}: counter starts at {}, {}",
            self.name,
            read_counter(&file)?,
            origin(&item)
        );
        self.files.push(item.into_fd());
        let is_frozen = Arc::clone(&self.is_frozen);
        thread::spawn(move || -> anyhow::Result<()> {
            loop {
                if !is_frozen.load(Ordering::SeqCst) {
                    let next = read_counter(&file)? + 1;
                    file.write_all_at(&next.to_le_bytes(), 0)?;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(())
    }

    fn probe_resize(&mut self) -> anyhow::Result<()> {
        let spec = MemfdSpec::new(4096).seals(Seals::NONE).any_size();
        let item = self.store.memfd("probe", &spec)?;
        let file = File::from(item.into_fd());
        let name = self.name.clone();
        thread::spawn(move || -> anyhow::Result<()> {
            let mut could = None;
            loop {
                // Always to another size: what is preserved may still be "resized" to the one it
                // has.
                let other = if file.metadata()?.len() == 4096 {
                    8192
                } else {
                    4096
                };
                let can = file.set_len(other).map_err(|error| error.raw_os_error());
                if could != Some(can) {
                    match can {
                        Ok(()) => say!("{name}: resize works"),
                        Err(errno) => say!("{name}: resize refused, errno {errno:?}"),
                    }
                    could = Some(can);
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(())
    }

    /// Takes part in updates.
    fn live(self) -> anyhow::Result<()> {
        if self.arguments.passive {
            loop {
                thread::park();
            }
        }
        let mut events = self.store.events()?;
        self.tell(format_args!("subscribed"));
        while let Some(event) = events.next()? {
            self.step(&mut events, &event)?;
        }
        say!("{}: luod ended", self.name);
        Ok(())
    }

    fn step(&self, events: &mut Events, event: &Event) -> anyhow::Result<()> {
        if let Some(At { step, conduct }) = self.arguments.at {
            if step == event.kind() {
                return self.misbehave(events, event, conduct);
            }
        }
        match event.kind() {
            EventKind::Prepare => events.ready(event)?,
            EventKind::Freeze => {
                self.is_frozen.store(true, Ordering::SeqCst);
                // Whatever the counting thread was doing is done within two of its sleeps.
                thread::sleep(Duration::from_millis(10));
                if self.say_counter("frozen")? == Counting::Counts {
                    // The jump stops the log: the line must have left the machine.
                    thread::sleep(Duration::from_millis(200));
                }
                events.ready(event)?;
            }
            EventKind::Cancel => {
                self.is_frozen.store(false, Ordering::SeqCst);
                say!("{}: cancelled, going on", self.name);
                self.say_counter("going on")?;
            }
        }
        Ok(())
    }

    fn misbehave(
        &self,
        events: &mut Events,
        event: &Event,
        conduct: Conduct,
    ) -> anyhow::Result<()> {
        match conduct {
            Conduct::Veto => events.veto(event, "busy with something that cannot wait")?,
            Conduct::Silent => say!("{}: silent", self.name),
            Conduct::Die => std::process::exit(9),
        }
        Ok(())
    }

    fn say_counter(&self, what: &str) -> anyhow::Result<Counting> {
        if !self.arguments.counter {
            return Ok(Counting::CountsNot);
        }
        let fd = self.files.last().context("no counter")?;
        let file = File::from(fd.as_fd().try_clone_to_owned()?);
        say!("{}: {what} at {}", self.name, read_counter(&file)?);
        Ok(Counting::Counts)
    }
}

fn origin(item: &Item) -> &'static str {
    match item.origin() {
        Origin::New => "new",
        Origin::Kept => "kept",
        Origin::Updated => "updated",
    }
}

fn read_counter(file: &File) -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_le_bytes(bytes))
}

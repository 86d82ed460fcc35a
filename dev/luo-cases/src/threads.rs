//! Calls from several threads at once, and how long one takes.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use luo_sys::{Device, SessionName};
use rustix::fs::OFlags;

use crate::args::{create, name_of, preserve};
use crate::before::{memfd, open};
use crate::report::line;

const DEVICE: &str = "/dev/liveupdate";
/// Sessions each thread makes, one after the other.
const TURNS: usize = 50;

/// Every thread makes sessions of its own, with a file in each.
pub(crate) fn run(threads: usize) -> anyhow::Result<()> {
    let device = open(DEVICE, OFlags::RDWR).context("no device")?;
    let work = |number: usize, device: &OwnedFd| -> anyhow::Result<()> {
        for turn in 0..TURNS {
            let name = format!("thread {number} turn {turn}");
            let session = create(device, &name)?;
            anyhow::ensure!(name_of(&session)? == name);
            let file = memfd(name.as_bytes())?;
            preserve(&session, &file, 1)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let device = &device;
        let all: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || work(number, device)))
            .collect();
        for one in all {
            let joined = one
                .join()
                .map_err(|_panic| anyhow::anyhow!("a thread ended early"))?;
            joined?;
        }
        anyhow::Ok(())
    })?;
    line("threads", threads);
    line("sessions", threads * TURNS);
    Ok(())
}

/// Mean times of calls: of the interface, and of those that every program makes.
pub(crate) fn time(calls: u32) -> anyhow::Result<()> {
    // Not with `probe`, which takes longer to make an argument than the call takes.
    let device = Device::open()?;
    let session = device.create_session(&SessionName::new("time")?)?;
    let more = SessionName::new("more")?;
    let microseconds = |what: &str, call: &dyn Fn() -> anyhow::Result<()>| {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        let mean = start.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
        line(what, format_args!("{mean:.2}"));
        anyhow::Ok(())
    };
    microseconds("ioctl", &|| {
        let _name = session.name()?;
        Ok(())
    })?;
    microseconds("create and close a session", &|| {
        let _closed = device.create_session(&more)?;
        Ok(())
    })?;
    microseconds("open and close a file", &|| {
        let _closed = open("/", OFlags::RDONLY)?;
        Ok(())
    })?;
    microseconds("a call that is not looked at", &|| {
        let _parent = rustix::process::getppid();
        Ok(())
    })
}

//! Answers to the host's calls, each on a thread of its own: a long one does not keep back others.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use e2e_protocol::{Reply, Request, Target, ToHost};
use rustix::system::{RebootCommand, reboot};

use crate::log::Log;
use crate::run::{self, Program};
use crate::service::{self, Services};
use crate::worker::Host;
use crate::{files, kmsg};

/// Starts the answer to call `id`.
pub(crate) fn answer(
    id: u64,
    request: Request,
    host: &Arc<Host>,
    services: &Arc<Services>,
    log: &Arc<Log>,
) -> anyhow::Result<()> {
    let (host, services, log) = (Arc::clone(host), Arc::clone(services), Arc::clone(log));
    thread::Builder::new()
        .name(format!("call {id}"))
        .spawn(move || {
            let is_poweroff = request == Request::Poweroff;
            let reply = fulfil(request, &services).unwrap_or_else(|error| Reply::Failed {
                message: format!("{error:#}"),
            });
            if let Err(error) = host.send(&ToHost::Reply { id, reply }) {
                log.line("agent", format!("reply {id}: {error:#}").as_bytes());
            }
            if is_poweroff {
                if let Err(error) = reboot(RebootCommand::PowerOff) {
                    kmsg::write(&format!("power off: {error}"));
                }
            }
        })
        .context("start a thread for a call")?;
    Ok(())
}

fn fulfil(request: Request, services: &Arc<Services>) -> anyhow::Result<Reply> {
    match request {
        Request::Run {
            argv,
            env,
            cwd,
            uid,
            gid,
            stdin,
            timeout_ms,
        } => {
            let program = Program {
                argv: &argv,
                env: &env,
                cwd: cwd.as_deref(),
                uid,
                gid,
            };
            run::run(&program, stdin.0, Duration::from_millis(timeout_ms)).map(Reply::Ran)
        }
        Request::Spawn {
            name,
            argv,
            env,
            uid,
            gid,
        } => {
            let pid = services.spawn(&name, &argv, &env, uid, gid)?;
            Ok(Reply::Spawned { pid })
        }
        Request::Signal { target, signal } => {
            match target {
                Target::Service(name) => services.signal(&name, signal)?,
                Target::Pid(pid) => service::signal_pid(pid, signal)?,
            }
            Ok(Reply::Done)
        }
        Request::Wait { name, timeout_ms } => {
            let exit = services.wait(&name, Duration::from_millis(timeout_ms))?;
            Ok(Reply::Ended(exit))
        }
        Request::ReadFile { path, offset, max } => {
            files::read(&path, offset, max).map(|bytes| Reply::File { bytes })
        }
        Request::WriteFile {
            path,
            mode,
            offset,
            bytes,
        } => {
            files::write(&path, mode, offset, &bytes.0)?;
            Ok(Reply::Done)
        }
        Request::CollectLogs => files::collect_logs().map(Reply::Logs),
        // The caller switches off once the reply is out.
        Request::Poweroff => Ok(Reply::Done),
    }
}

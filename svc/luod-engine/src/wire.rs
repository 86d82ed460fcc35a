//! Both interfaces on the wire: parameters in, results or a refusal out.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use kexec_sys::SealedImage;
use live_varlink::{Handler, Peer, Replies, Request, ServerInfo, WireError};
use luod_api::manager::{self, Prepare, ReportAnswer};
use luod_api::service::{self, Done};
use luod_api::{Code, Refusal};
use preflight::Check;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::Engine;
use crate::host::{LoadRequest, UpdateId};
use crate::mailbox::Mailbox;
use crate::state::{OwnSession, Subscription};

/// How `luod` introduces itself.
pub const SERVER_INFO: ServerInfo = ServerInfo {
    vendor: "liveupdate",
    product: "luod",
    version: env!("CARGO_PKG_VERSION"),
    url: "",
    interfaces: luod_api::INTERFACES,
};

/// No barrier waits longer, whatever is asked for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

/// Answers calls with an [`Engine`].
#[derive(Debug)]
pub struct Wire(pub Arc<Engine>);

impl Handler for Wire {
    fn call(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Result<(), WireError> {
        let (interface, _) = request.split();
        let answer = if interface == service::NAME {
            self.service(peer, request, fds, replies)
        } else {
            self.manager(peer, request, fds, replies)
        };
        match answer {
            Ok(sent) => sent,
            Err(refusal) => {
                tracing::info!(method = request.method, pid = peer.pid, %refusal, "refused");
                replies.error(&refusal.code.error_name(interface), &refusal.parameters())
            }
        }
    }

    fn disconnected(&self, peer: &Peer) {
        self.0.detach(peer);
    }
}

/// An answer was sent (or could not be), or is refused.
type Answer = Result<Result<(), WireError>, Refusal>;

impl Wire {
    fn service(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Answer {
        use service::method;
        let engine = &*self.0;
        match request.method.as_str() {
            method::ATTACH => {
                let attach: service::Attach = parameters(request)?;
                let attached = engine.attach(peer, &attach.service)?;
                // Whoever finds its session in the answer need not ask for it: that time is blackout.
                let session = match attached.is_incoming {
                    true => Some(engine.get_session(peer, &attach.service)?),
                    false => None,
                };
                let fds: Vec<_> = session.iter().map(|fd| fd.as_fd()).collect();
                Ok(replies.done(&attached, &fds))
            }
            method::GET => {
                let fd = engine.get_item(peer, &parameters(request)?)?;
                Ok(replies.done(&Done {}, &[fd.as_fd()]))
            }
            method::GET_SESSION => {
                let nothing: service::Nothing = parameters(request)?;
                let fd = engine.get_session(peer, &nothing.service)?;
                Ok(replies.done(&Done {}, &[fd.as_fd()]))
            }
            method::KEEP => {
                engine.keep_item(peer, &parameters(request)?, fds)?;
                done(replies, &Done {})
            }
            method::FORGET => {
                engine.forget_item(peer, &parameters(request)?)?;
                done(replies, &Done {})
            }
            method::SUBSCRIBE => {
                let nothing: service::Nothing = parameters(request)?;
                self.subscribe(peer, &nothing.service, replies)
            }
            method::READY => {
                let answer: service::Answer = parameters(request)?;
                engine.ready(peer, &answer)?;
                done(replies, &Done {})
            }
            method::VETO => {
                let veto: service::Veto = parameters(request)?;
                engine.veto(peer, &veto)?;
                done(replies, &Done {})
            }
            method::RUNNING => {
                let nothing: service::Nothing = parameters(request)?;
                engine.running(peer, &nothing.service)?;
                done(replies, &Done {})
            }
            method::FINISH => {
                engine.finish_service(peer, &parameters(request)?)?;
                done(replies, &Done {})
            }
            _ => Ok(unknown_method(request, replies)),
        }
    }

    fn manager(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Answer {
        use manager::method;
        let engine = &*self.0;
        match request.method.as_str() {
            method::STATUS => done(replies, &engine.status()),
            method::SESSIONS => done(replies, &engine.sessions()),
            method::REPORT => done(
                replies,
                &ReportAnswer {
                    report: engine.report(),
                },
            ),
            method::HISTORY => done(replies, &engine.history(&parameters(request)?)),
            method::EVENTS => {
                let events: manager::Events = parameters(request)?;
                match events.follow {
                    true => {
                        let reader = engine.follow(replies.waker());
                        Ok(replies.stream(reader))
                    }
                    false => done(replies, &engine.events()),
                }
            }
            method::PREPARE => {
                check_root(peer)?;
                let load = load_request(parameters(request)?, fds)?;
                let mut watcher = |progress| report_progress(replies, &progress);
                engine.prepare(&load.0, load.1, &mut watcher)?;
                let phase = update::Phase::Prepared;
                let message = "everything is preserved".to_owned();
                done(replies, &manager::Progress { message, phase })
            }
            method::EXECUTE => {
                check_root(peer)?;
                let execute: manager::Execute = parameters(request)?;
                let mut watcher = |progress| report_progress(replies, &progress);
                let left = engine.execute(deadline(execute.deadline_ms), &mut watcher)?;
                done(replies, &left)
            }
            method::CANCEL => {
                check_root(peer)?;
                let cancel: manager::Cancel = parameters(request)?;
                engine.cancel(&cancel.reason)?;
                done(replies, &Done {})
            }
            method::FINISH => {
                check_root(peer)?;
                engine.finish_for(&parameters(request)?)?;
                done(replies, &Done {})
            }
            _ => Ok(unknown_method(request, replies)),
        }
    }

    /// Has notices sent until one side hangs up.
    fn subscribe(&self, peer: &Peer, service: &str, replies: &mut Replies<'_>) -> Answer {
        let mailbox = Arc::new(Mailbox::new(replies.waker()));
        let subscription = Subscription {
            connection: peer.connection,
            listener: Arc::<Mailbox>::clone(&mailbox),
            own_session: OwnSession::None,
        };
        self.0.set_subscription(peer, service, subscription)?;
        Ok(replies.stream(mailbox))
    }
}

fn done(replies: &mut Replies<'_>, results: &impl Serialize) -> Answer {
    Ok(replies.done(results, &[]))
}

/// A watcher that went away stops nothing: the operator's terminal may close, the update goes on.
fn report_progress(replies: &mut Replies<'_>, progress: &manager::Progress) {
    if let Err(error) = replies.continues(progress) {
        tracing::debug!(%error, "nobody watches the update");
    }
}

fn unknown_method(request: &Request, replies: &mut Replies<'_>) -> Result<(), WireError> {
    let parameters = serde_json::json!({ "method": request.method });
    replies.error("org.varlink.service.MethodNotFound", &parameters)
}

fn parameters<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_value(request.parameters.clone()).map_err(|error| {
        Refusal::new(
            Code::InvalidParameter,
            format!("{}: {error}", request.method),
        )
    })
}

fn check_root(peer: &Peer) -> Result<(), Refusal> {
    if peer.uid == 0 {
        return Ok(());
    }
    let text = format!("only root may do this, the caller is user {}", peer.uid);
    Err(Refusal::new(Code::PermissionDenied, text).with_hint("run luoctl as root"))
}

fn deadline(ms: u64) -> Duration {
    Duration::from_millis(ms).min(LONGEST_DEADLINE)
}

fn load_request(prepare: Prepare, fds: Vec<OwnedFd>) -> Result<(LoadRequest, Duration), Refusal> {
    let expected = if prepare.has_initrd { 2 } else { 1 };
    if fds.len() != expected {
        let text = format!(
            "Prepare takes {expected} descriptors here, {} came along",
            fds.len()
        );
        return Err(Refusal::new(Code::InvalidParameter, text));
    }
    let mut fds = fds.into_iter().map(File::from);
    let mut copy = |what| {
        let file = fds.next();
        file.map(|file| SealedImage::copy(what, file))
            .transpose()
            .map_err(|error| {
                let refusal = crate::refusals::kexec(&error);
                Refusal {
                    code: Code::ImageRefused,
                    ..refusal
                }
            })
    };
    let kernel = copy("kernel")?
        .ok_or_else(|| Refusal::new(Code::InvalidParameter, "no kernel came along"))?;
    let initrd = copy("initrd")?;
    let cmdline = CString::new(prepare.cmdline).map_err(|error| {
        Refusal::new(
            Code::InvalidParameter,
            format!("the command line has a NUL byte: {error}"),
        )
    })?;
    let named = |name: &String| {
        Check::named(name).ok_or_else(|| {
            let text = format!("there is no check {name:?} to force");
            Refusal::new(Code::InvalidParameter, text)
                .with_hint("`luoctl check` lists the names of all")
        })
    };
    let force = prepare.force.iter().map(named).collect::<Result<_, _>>()?;
    let update_id = prepare
        .update_id
        .as_deref()
        .map(UpdateId::new)
        .transpose()?;
    Ok((
        LoadRequest {
            kernel,
            initrd,
            cmdline,
            force,
            update_id,
        },
        deadline(prepare.deadline_ms),
    ))
}
